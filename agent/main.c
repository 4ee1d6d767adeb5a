/*
 * The guest's PID 1: makes the system, serves the host until it has had enough, powers off. Its
 * files: init, modules, uevent (the boot), power (the end), engine and port (the protocol),
 * configure, request, spawn, child, users, environment, pty (starting commands), stream, output,
 * input (running them), relay, mountpoint (the host's file systems, in a process of their own).
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/console.h"
#include "agent/engine.h"
#include "agent/init.h"

#define FILES_MAX 65536 /* three for each command, and those of commands that left processes */

int main(void)
{
    const char *why = "";
    struct rlimit files = {FILES_MAX, FILES_MAX};
    if (getpid() != 1) {
        fputs("vmdeck-agent: this is the first process of a vmdeck VM, not a command\n", stderr);
        return 1;
    }
    umask(022);
    setrlimit(RLIMIT_NOFILE, &files);
    int port = init_system(&why);
    if (port < 0) {
        console_log("%s: %s", why, strerror(-port));
        init_power_off();
    }
    /*
     * A command that ends wakes us three times: for either pipe and for its death. We need not
     * take the processor away from it each time, once it has finished is soon enough.
     */
    static const struct sched_param batch;
    syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &batch);
    static const struct engine_hooks hooks = {init_finish, init_reaped};
    int end = engine_run(port, &hooks);
    if (end == ENGINE_SHUTDOWN)
        init_shutdown();
    if (end < 0)
        console_log("the conversation with the host broke off: %s", strerror(-end));
    init_power_off();
}
