/* Runs one of the builder's programs to its end, reading what it says, until it is cancelled. */
#ifndef VMDECK_VM_IMAGE_RUN_H
#define VMDECK_VM_IMAGE_RUN_H

#include "base/error.h"

/* One line of standard error, without its end, cut at RUN_LINE_MAX bytes. */
typedef void run_line(void *context, const char *line);
#define RUN_LINE_MAX 1024

struct run {
    const char *const *argv;
    const char *const *env; /* NULL: ours */
    int out;                /* standard output; -1: /dev/null */
    run_line *line;         /* may be NULL */
    void *context;
    const volatile int *cancel; /* may be NULL */
};

/*
 * 0 when it exited with 0; -ECANCELED; -EIO when it failed in its own way (err says how it
 * ended). The child dies with the calling thread. Where argv[0] is unshare(1) with --fork and
 * --kill-child, everything below it is gone when this returns.
 */
int run_program(const struct run *run, struct error *err);

#endif
