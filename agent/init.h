/* What makes a kernel with an initramfs into a system with a root file system and an open port. */
#ifndef VMDECK_AGENT_INIT_H
#define VMDECK_AGENT_INIT_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Mounts everything and opens the port, non-blocking. The port's descriptor, or -errno and *why
 * (a constant) saying what failed; smaller failures are lines on the console.
 */
int init_system(const char **why);

/*
 * Starts the file systems' relay, and a process that loads the late modules and empties the
 * initramfs, beside the first command instead of before it. That one's pid, or -1.
 */
pid_t init_finish(void);

/*
 * A child of PID 1 was reaped. 1: with it the last of the relay has gone, all mounts with it, and
 * another relay was started. -errno: and none was. 0: nothing of that.
 */
int init_reaped(pid_t pid, int status);

/* No process is left but the relay, which has to outlive those that have files open. */
bool init_alone(void);

/* Ends all processes (SIGTERM, a grace of 2 seconds, SIGKILL), syncs, and powers off. */
_Noreturn void init_shutdown(void);

/* Powers off at once. */
_Noreturn void init_power_off(void);

#endif
