/*
 * The user's terminal: raw mode that is always undone, its size, and bytes out without ever waiting
 * for a slow line. One per process (a signal handler must find it). Loop's thread.
 */
#ifndef VMDECK_TUI_OUTER_H
#define VMDECK_TUI_OUTER_H

#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/watch.h"

struct outer {
    struct buf waiting;
    struct watch *writable;
    void (*drained)(void *context); /* nothing waits any more */
    void *context;
    bool gone; /* the terminal hung up */
};

/* -ENOTTY unless standard input and output are a terminal. Sets the locale. */
int outer_open(struct outer *outer, uv_loop_t *loop, void (*drained)(void *context), void *context,
               struct error *err);
void outer_write(struct outer *outer, const void *data, size_t size);
static inline bool outer_idle(const struct outer *outer)
{
    return buf_len(&outer->waiting) == 0;
}
void outer_size(int *rows, int *cols);

/* Mouse, bracketed paste and focus reports. */
void outer_reports(struct outer *outer, bool mouse, bool on);

/* The terminal as it was; raw again. Async-signal-safe. */
void outer_restore(void);
int outer_raw(struct error *err);

void outer_close(struct outer *outer);

#endif
