/* The end: processes first, then the disk. What fails here cannot be told to anybody any more. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/init.h"

#define GRACE_SECONDS 2

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Reaps until no process is left (all are children of PID 1 in the end) or the grace is over. */
static void wait_for_all(void)
{
    int64_t end = now_ns() + INT64_C(1000000000) * GRACE_SECONDS;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        int64_t left = end - now_ns();
        if (pid < 0 || left <= 0 || init_alone())
            return;
        struct timespec rest = {left / 1000000000, left % 1000000000};
        sigtimedwait(&child, NULL, &rest);
    }
}

void init_power_off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    for (;;)
        pause();
}

void init_shutdown(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    kill(-1, SIGTERM);
    kill(-1, SIGHUP); /* an interactive shell ends by nothing else */
    kill(-1, SIGCONT);
    wait_for_all();
    sync(); /* while the relay is there to carry what was written */
    kill(-1, SIGKILL);
    wait_for_all();
    sync();
    mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
    init_power_off();
}
