/*
 * Of the bytes that came, the longest end that may be the beginning of a value is kept until more
 * come; nothing else is delayed. Where two values begin at the same place, the longer one wins, so
 * a value that is the beginning of another waits until it is clear which of the two it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/secrets_internal.h"

struct secret_stream {
    struct matcher *matcher;
    uint64_t mask, found;
    struct buf kept;
    size_t count; /* of placeholders */
    char placeholders[][SECRET_PLACEHOLDER_SIZE];
};

struct secret_stream *secret_stream_new(const struct secrets *secrets, uint64_t mask)
{
    size_t size = sizeof(struct secret_stream) + secrets->count * SECRET_PLACEHOLDER_SIZE;
    struct secret_stream *stream = calloc(1, size);
    if (stream == NULL)
        return NULL;
    stream->matcher = matcher_hold(secrets->matcher);
    stream->mask = mask;
    stream->count = secrets->count;
    for (size_t i = 0; i < secrets->count; i++)
        memcpy(stream->placeholders[i], secrets->items[i].placeholder, SECRET_PLACEHOLDER_SIZE);
    return stream;
}

void secret_stream_free(struct secret_stream *stream)
{
    if (stream == NULL)
        return;
    matcher_release(stream->matcher);
    secret_buf_free(&stream->kept);
    free(stream);
}

uint64_t secret_stream_found(const struct secret_stream *stream)
{
    return stream->found;
}

static bool wanted(const struct secret_stream *stream, const struct needle *needle)
{
    return needle->kind != NEEDLE_PLACEHOLDER && (stream->mask >> needle->secret & 1) != 0;
}

typedef const struct needle *find_needle(const struct matcher *matcher, const uint8_t *data,
                                         size_t size, const struct needle *previous);

static const struct needle *find(const struct secret_stream *stream, find_needle *search,
                                 const uint8_t *data, size_t size)
{
    const struct needle *needle = NULL;
    do
        needle = search(stream->matcher, data, size, needle);
    while (needle != NULL && !wanted(stream, needle));
    return needle;
}

static int pass(struct buf *out, const void *data, size_t size)
{
    return out != NULL ? buf_append(out, data, size) : 0;
}

/* Goes through the bytes; *done is how many of them need not be kept. */
static int process(struct secret_stream *stream, const uint8_t *data, size_t size, bool last,
                   struct buf *out, size_t *done)
{
    size_t at = 0, passed = 0;
    int rc = 0;
    while (rc == 0 && (at = matcher_next(stream->matcher, data, size, at)) < size) {
        if (!last && find(stream, matcher_begun, data + at, size - at) != NULL)
            break;
        const struct needle *needle = find(stream, matcher_at, data + at, size - at);
        if (needle == NULL) {
            at++;
            continue;
        }
        stream->found |= UINT64_C(1) << needle->secret;
        rc = pass(out, data + passed, at - passed);
        if (rc == 0)
            rc = pass(out, stream->placeholders[needle->secret], SECRET_PLACEHOLDER_SIZE - 1);
        at += needle->length;
        passed = at;
    }
    if (rc == 0)
        rc = pass(out, data + passed, at - passed);
    *done = at;
    return rc;
}

int secret_stream_feed(struct secret_stream *stream, const uint8_t *data, size_t size, bool last,
                       struct buf *out)
{
    size_t done = 0;
    if (buf_len(&stream->kept) > 0) {
        int rc = buf_append(&stream->kept, data, size);
        if (rc == 0)
            rc = process(stream, buf_data(&stream->kept), buf_len(&stream->kept), last, out, &done);
        buf_consume(&stream->kept, done);
        return rc;
    }
    if (size == 0)
        return 0;
    int rc = process(stream, data, size, last, out, &done);
    return rc < 0 ? rc : buf_append(&stream->kept, data + done, size - done);
}

int secrets_redact(const struct secrets *secrets, uint64_t mask, const uint8_t *text, size_t size,
                   struct buf *out, uint64_t *found)
{
    struct secret_stream *stream = secret_stream_new(secrets, mask);
    if (stream == NULL)
        return -ENOMEM;
    int rc = secret_stream_feed(stream, text, size, true, out);
    if (found != NULL)
        *found = secret_stream_found(stream);
    secret_stream_free(stream);
    return rc;
}
