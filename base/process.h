/*
 * Child processes: started with exactly the descriptors, limits and environment that are named,
 * and nothing else of ours.
 */
#ifndef VMDECK_BASE_PROCESS_H
#define VMDECK_BASE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/error.h"

struct process_fd {
    int ours;   /* -1: /dev/null */
    int theirs; /* the number in the child; below PROCESS_FD_MAX */
};

#define PROCESS_FD_MAX 64

struct process_limit {
    int resource; /* RLIMIT_… */
    rlim_t value; /* soft and hard */
};

struct process_spec {
    const char *const *argv;      /* argv[0] is searched for in PATH */
    const char *const *env;       /* NULL: ours */
    const struct process_fd *fds; /* 0, 1 and 2 are /dev/null where they are not named */
    size_t fd_count;
    const struct process_limit *limits;
    size_t limit_count;
    const char *directory;   /* NULL: ours */
    int parent_death_signal; /* 0: none; sent when the calling thread ends */
    bool new_session;        /* setsid() */
    bool no_new_privileges;
    bool sparse_huge_pages; /* transparent ones only where the program advises them, or none */
};

/*
 * Starts the program. Returns its pid, or a negative errno (of exec too: the child's failure is
 * carried back). All signals are at their defaults and unblocked in the child. The caller reaps.
 */
pid_t process_spawn(const struct process_spec *spec, struct error *err);

/* Waits for the child's end; the raw wait status. Goes on after EINTR. */
int process_wait(pid_t pid);

/* The program's path as PATH finds it, or NULL. The caller frees it. */
char *process_find(const char *program);

#endif
