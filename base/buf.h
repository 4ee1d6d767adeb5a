/*
 * A growable byte buffer that is filled at its end and consumed at its front. Zeroed memory is an
 * empty buffer. Not thread-safe. Sizes are bytes. Failures are -ENOMEM and leave it unchanged.
 */
#ifndef VMDECK_BASE_BUF_H
#define VMDECK_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *memory;
    size_t start; /* first byte not consumed */
    size_t end;   /* behind the last byte */
    size_t capacity;
};

static inline size_t buf_len(const struct buf *buf)
{
    return buf->end - buf->start;
}

static inline uint8_t *buf_data(const struct buf *buf)
{
    return buf->memory != NULL ? buf->memory + buf->start : NULL;
}

/* Makes room for `size` more bytes and returns where they go, or NULL. buf_added() takes them in.
 */
uint8_t *buf_reserve(struct buf *buf, size_t size);
static inline void buf_added(struct buf *buf, size_t size)
{
    buf->end += size;
}

int buf_append(struct buf *buf, const void *data, size_t size);
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forgets the first `size` bytes (at most all). */
void buf_consume(struct buf *buf, size_t size);

/* The content as a NUL-terminated string that the buffer still owns, or NULL without memory. */
const char *buf_string(struct buf *buf);

void buf_free(struct buf *buf);
#define CLEAN_BUF __attribute__((cleanup(buf_free)))

#endif
