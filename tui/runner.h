/*
 * Commands of vmdeck run beside the dashboard: the same program, the same words as in a shell. What
 * it prints is kept up to RUNNER_OUTPUT_MAX bytes. Loop's thread.
 */
#ifndef VMDECK_TUI_RUNNER_H
#define VMDECK_TUI_RUNNER_H

#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define RUNNER_OUTPUT_MAX 262144

struct runner {
    struct runner *next;
    uv_process_t process;
    uv_pipe_t pipe;
    struct buf output; /* stdout and stderr, in the order they came */
    char *line;        /* the command, as a shell takes it */
    bool show;         /* the user wants to read what it says */
    int handles;       /* that are not closed yet */
    int64_t status;
    int signal;
    struct runners *owner;
    char chunk[4096];
};

struct runners {
    struct runner *first;
    uv_loop_t *loop;
    void (*progress)(void *context, struct runner *runner, const char *line); /* its last line */
    void (*ended)(void *context, struct runner *runner);                      /* freed behind it */
    void *context;
};

/* `argv` without the program. */
int runner_start(struct runners *runners, const struct strv *argv, bool show, struct error *err);

/* No callbacks any more. What runs goes on without us. */
void runners_close(struct runners *runners);

#endif
