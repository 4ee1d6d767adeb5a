/*
 * Consumed room at the front is reclaimed when the buffer would have to grow and at least half of
 * it is free, so appending and consuming stay linear over the life of a stream. An emptied buffer
 * that grew large gives its memory back: one burst must not keep a session host big.
 */
#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_KEEP 65536

uint8_t *buf_reserve(struct buf *buf, size_t size)
{
    if (buf->capacity - buf->end >= size)
        return buf->memory != NULL ? buf->memory + buf->end : buf->memory;
    size_t len = buf_len(buf);
    if (size > SIZE_MAX / 2 - len)
        return NULL;
    if (buf->start >= len && buf->capacity - len >= size) {
        memmove(buf->memory, buf->memory + buf->start, len);
    } else {
        size_t capacity = buf->capacity < 256 ? 256 : buf->capacity;
        while (capacity < len + size)
            capacity *= 2;
        uint8_t *memory = malloc(capacity);
        if (memory == NULL)
            return NULL;
        if (len > 0)
            memcpy(memory, buf->memory + buf->start, len);
        free(buf->memory);
        buf->memory = memory;
        buf->capacity = capacity;
    }
    buf->start = 0;
    buf->end = len;
    return buf->memory + buf->end;
}

int buf_append(struct buf *buf, const void *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t *room = buf_reserve(buf, size);
    if (room == NULL)
        return -ENOMEM;
    memcpy(room, data, size);
    buf_added(buf, size);
    return 0;
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return -EINVAL;
    uint8_t *room = buf_reserve(buf, (size_t)len + 1);
    if (room == NULL)
        return -ENOMEM;
    va_start(args, format);
    vsnprintf((char *)room, (size_t)len + 1, format, args);
    va_end(args);
    buf_added(buf, (size_t)len);
    return 0;
}

void buf_consume(struct buf *buf, size_t size)
{
    if (size < buf_len(buf)) {
        buf->start += size;
        return;
    }
    buf->start = buf->end = 0;
    if (buf->capacity > BUF_KEEP)
        buf_free(buf);
}

const char *buf_string(struct buf *buf)
{
    uint8_t *room = buf_reserve(buf, 1);
    if (room == NULL)
        return NULL;
    *room = '\0';
    return (const char *)buf_data(buf);
}

void buf_free(struct buf *buf)
{
    free(buf->memory);
    *buf = (struct buf){0};
}
