/*
 * The process that becomes a command: it shares the agent's memory until its exec. Internal to
 * spawn.c. Single-threaded.
 */
#ifndef VMDECK_AGENT_CHILD_H
#define VMDECK_AGENT_CHILD_H

#include <stdbool.h>
#include <sys/resource.h>

#include "agent/spawn.h"
#include "agent/users.h"

/* What it is to become. All of it must stay as it is until its exec. */
struct child {
    const struct spawn_request *request;
    const struct user *user;
    char **env;
    const char *path; /* PATH */
    int fds[3];       /* its standard descriptors; -1: has it already */
    bool change_user;
    bool limit_files;
    struct rlimit files;
    struct spawn_failure failure; /* code 0: none so far */
};

/* Returns when the program runs, or the process has ended (a failure says why). pid, or -1. */
pid_t child_start(struct child *child);

/*
 * A process that has taken what does not depend on the request (limit_files, files, fds) and waits
 * for the rest. 0 or -1; one at a time, and none after child_dismiss().
 */
int child_prepare(const struct child *child);

/* As child_start(), with the process that waits; -1 and no failure if there is none. */
pid_t child_wake(struct child *child);

/* The process that waits, if there is one, ends by itself. There will be no other. */
void child_dismiss(void);

#endif
