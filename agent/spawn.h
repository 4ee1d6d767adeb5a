/*
 * Starting a command: what SPAWN asks for, and the process that comes of it. Single-threaded.
 */
#ifndef VMDECK_AGENT_SPAWN_H
#define VMDECK_AGENT_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/wire.h"

#define SPAWN_ARGS_MAX 65536

/* Zeroed memory is an empty request. All strings are in `memory`. */
struct spawn_request {
    void *memory;
    char **argv; /* NULL-terminated */
    size_t argc;
    char **env;
    size_t env_count;
    const char *cwd;  /* NULL: the user's home, or / */
    const char *user; /* NULL: root */
    bool pty, no_stdin;
    uint16_t rows, columns;
};

/* A started command's pid and our ends, close-on-exec and non-blocking; -1 where there is none. */
struct spawn_result {
    pid_t pid;
    int in, out, err; /* with a terminal `out` is its master */
};

struct spawn_failure {
    int code; /* errno */
    enum wire_stage stage;
    const char *text; /* constant */
};

/* Takes the fields of a SPAWN apart. 0 (the caller frees the request), or -1 and the failure. */
int spawn_parse(const uint8_t *data, uint32_t size, struct spawn_request *request,
                struct spawn_failure *failure);
void spawn_request_free(struct spawn_request *request);

/*
 * Starts the command with `configured` (count entries) between the defaults and its own
 * environment. 0; or -1 and the failure, also that of exec: nothing is left of the command then
 * but a zombie to be reaped like an orphan.
 */
int spawn_start(const struct spawn_request *request, char *const *configured, size_t count,
                struct spawn_result *result, struct spawn_failure *failure);

/*
 * Makes the process of a command that is still to come, unless one waits already. It is for the
 * next one; if that wants a terminal, it goes. What fails here is done when the command comes.
 */
void spawn_prepare(void);

#endif
