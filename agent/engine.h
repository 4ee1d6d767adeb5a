/*
 * The agent's work once the VM is up: the host's frames, commands, children.
 */
#ifndef VMDECK_AGENT_ENGINE_H
#define VMDECK_AGENT_ENGINE_H

#include <sys/types.h>

enum engine_end {
    ENGINE_SHUTDOWN = 1, /* the host wants the VM to end */
    ENGINE_PROTOCOL,     /* the host broke the protocol; the console has the reason */
};

/* What the rest of PID 1 has to do; either may be NULL. */
struct engine_hooks {
    /* Once, after the first HELLO was answered and before any command: the pid of a child that does
     * late work (an empty CONFIGURE waits for its end), or -1. */
    pid_t (*greeted)(void);
    /* A child was reaped. Not 0: the host is told of the relay (WIRE_RELAY): 1, or -errno. */
    int (*reaped)(pid_t pid, int status);
};

/*
 * Serves the port (taken over, must be non-blocking) until the conversation is over; an
 * engine_end, or -errno where it could not begin or the port is gone. Blocks all signals and reaps
 * every child of the process. Processes are left running.
 */
int engine_run(int port, const struct engine_hooks *hooks);

#endif
