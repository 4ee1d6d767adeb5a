/*
 * A command's output on its way to a descriptor that others share (our stdout or stderr): never
 * blocks the loop, never drops, and says how much got out so that credit can be returned.
 */
#ifndef VMDECK_SESSION_CLI_OUTPUT_H
#define VMDECK_SESSION_CLI_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/watch.h"

struct output {
    int fd;
    struct watch *watch;
    struct buf waiting;
    bool broken; /* nobody reads: what comes is dropped */
    void (*written)(void *context, int fd, uint32_t bytes);
    void (*gone)(void *context, int fd, int code); /* first failed write: EPIPE, ENOSPC, … */
    void *context;
};

int output_open(struct output *output, uv_loop_t *loop, int fd,
                void (*written)(void *context, int fd, uint32_t bytes),
                void (*gone)(void *context, int fd, int code), void *context, struct error *err);

/* Writes what can be written now, keeps the rest (bounded by the credit of who sends). */
void output_write(struct output *output, const uint8_t *data, uint32_t size);

/* True when nothing waits. */
bool output_idle(const struct output *output);

void output_close(struct output *output);

#endif
