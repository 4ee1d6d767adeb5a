/*
 * The last bytes that came out of a descriptor (QEMU's stderr, the serial console): read on the
 * loop, kept for error messages, never more than TAIL_MAX. Everything on the loop's thread.
 */
#ifndef VMDECK_VM_TAIL_H
#define VMDECK_VM_TAIL_H

#include <uv.h>

#include "base/buf.h"
#include "base/error.h"

#define TAIL_MAX ((size_t)16 * 1024)

struct tail;

/* Takes fd over, also on failure. */
int tail_open(struct tail **out, uv_loop_t *loop, int fd, struct error *err);

/* Reads what is there now, for when the writer has just died. */
void tail_drain(struct tail *tail);

/*
 * Appends the last `lines` lines that are not blank to `out`, printable characters only (escape
 * sequences and other control characters removed), each ended by a newline.
 */
void tail_lines(const struct tail *tail, size_t lines, struct buf *out);

void tail_close(struct tail *tail); /* NULL is fine */

#endif
