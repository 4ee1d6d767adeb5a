/* What exec was asked to do, and the capture of output for --json. */
#ifndef VMDECK_SESSION_CLI_EXEC_H
#define VMDECK_SESSION_CLI_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "session/protocol/config.h"

#define EXEC_COMMANDS_MAX 256

struct exec_command {
    struct strv argv, env;
    char *cwd; /* NULL: as for all */
};

struct exec_options {
    struct session_config config;
    struct exec_command *commands;
    size_t command_count;
    char *cwd;
    bool tty, interactive, json;
    uint64_t timeout; /* seconds; 0: none */
};

/* Runs the commands in a VM of their own. The exit status, or a negative errno. */
int exec_run(struct session_config *config, const struct exec_options *options, struct error *err);

/* One command's result with --json. Output beyond CAPTURE_MAX per channel is dropped and said. */
#define CAPTURE_MAX ((size_t)64 * 1024 * 1024)

struct exec_capture {
    struct buf data[3]; /* [1] stdout, [2] stderr */
    bool truncated;
    int exit, signal;
    uint64_t began; /* uv_hrtime() */
};

void exec_capture_begin(struct exec_capture *capture);
void exec_capture_add(struct exec_capture *capture, unsigned channel, const uint8_t *data,
                      size_t size);

/* One line of JSON on stdout. Bytes that are not UTF-8 become U+FFFD. */
void exec_capture_print(struct exec_capture *capture);
void exec_capture_free(struct exec_capture *capture);

#endif
