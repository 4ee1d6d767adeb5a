/*
 * A session without a VM, whose emulation would hide what is measured: the agent's engine in a
 * process (its ptys are this machine's), the session host's terminals, viewers and peers in
 * another. And what benchmarks read of processes.
 */
#ifndef VMDECK_TESTS_BENCH_HOST_H
#define VMDECK_TESTS_BENCH_HOST_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/configure.h"
#include "agent/engine.h"
#include "session/host/peer.h"

#define MB 1048576

struct figures {
    double cat, all; /* seconds */
    double cpu;      /* seconds of the process that is measured */
    double rss;      /* MB of it */
    double sent;     /* MB to the viewer */
};

static void check(bool right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static double seconds(void)
{
    return (double)uv_hrtime() / 1e9;
}

static void measure_process(pid_t pid, struct figures *figures)
{
    char path[64], line[512];
    unsigned long user = 0, system = 0;
    long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *in = fopen(path, "r");
    check(in != NULL && fgets(line, sizeof line, in) != NULL, path);
    fclose(in);
    const char *fields = strrchr(line, ')');
    sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    in = fopen(path, "r");
    check(in != NULL && fscanf(in, "%*d %ld", &pages) == 1, path);
    fclose(in);
    figures->cpu = (double)(user + system) / (double)sysconf(_SC_CLK_TCK) - figures->cpu;
    figures->rss = (double)pages * (double)sysconf(_SC_PAGESIZE) / MB;
}

int __wrap_configure_apply(const struct settings *settings, const char **why);

/* This machine is no guest: its clock and name stay. The linker puts it in the original's place. */
int __wrap_configure_apply(const struct settings *settings, const char **why)
{
    (void)settings;
    (void)why;
    return 0;
}

static void host_ready(void *context)
{
    struct host *host = context;
    host->state = HOST_RUNNING;
    uv_stop(&host->loop);
}

static void host_gone(void *context, const struct error *why)
{
    (void)context;
    fprintf(stderr, "the agent has gone: %s\n", why->message);
    _exit(1);
}

static _Noreturn void run_agent(int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    exit(engine_run(fd, &(struct engine_hooks){0}) != ENGINE_SHUTDOWN);
}

/* In a process of its own: an agent, and the host that is ready to take peers; `fd` is kept from
 * the agent. 0 or a negative errno. */
static int bench_host(struct host *host, int fd, struct error *err)
{
    static const struct guest_events events = {.ready = host_ready, .ended = host_gone};
    int port[2];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, port) == 0, "socketpair");
    if (fork() == 0) {
        close(fd);
        close(port[0]);
        run_agent(port[1]);
    }
    close(port[1]);
    fcntl(port[0], F_SETFL, O_NONBLOCK);
    signal(SIGPIPE, SIG_IGN);
    session_config_init(&host->config);
    uv_loop_init(&host->loop);
    uv_timer_init(&host->loop, &host->last_words);
    const struct guest_settings settings = {.hostname = "vmdeck", .env = &host->config.env};
    int rc = guest_open(&host->guest, &host->loop, port[0], &settings, &events, host, err);
    if (rc == 0)
        uv_run(&host->loop, UV_RUN_DEFAULT); /* until it is ready */
    return rc;
}

#endif
