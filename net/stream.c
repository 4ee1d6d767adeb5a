/*
 * Back-pressure needs no signals of its own: who stops reading leaves `in` full, so TLS is not
 * read, so its ciphertext is not consumed, so the transport's window closes.
 */
#include "net/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/secret_memory.h"

#define RECORD_MAX 16384

static void fail(struct stream *stream, const struct error *err)
{
    if (stream->failed == 0) {
        stream->failed = err->code;
        snprintf(stream->why, sizeof stream->why, "%.*s", (int)sizeof stream->why - 1,
                 err->message);
    }
    stream->ended = true;
}

static void fail_memory(struct stream *stream)
{
    fail(stream, &(struct error){.code = ENOMEM, .message = "out of memory"});
}

void stream_start_tls(struct stream *stream, struct tls *tls)
{
    stream->tls = tls;
    stream->open = false;
    stream->raw = stream->in; /* the transport still has these bytes as not consumed */
    stream->in = (struct buf){0};
}

void stream_received(struct stream *stream, const void *data, size_t size)
{
    if (buf_append(stream->tls != NULL ? &stream->raw : &stream->in, data, size) < 0)
        fail_memory(stream);
}

void stream_transport_ended(struct stream *stream)
{
    stream->transport_end = true;
    if (stream->tls == NULL)
        stream->ended = true;
}

/* Hands ciphertext to TLS. */
static bool feed(struct stream *stream)
{
    size_t taken = tls_feed(stream->tls, buf_data(&stream->raw), buf_len(&stream->raw));
    if (taken > 0) {
        buf_consume(&stream->raw, taken);
        stream->ops->consumed(stream->transport, taken);
    }
    if (stream->transport_end && buf_len(&stream->raw) == 0)
        tls_feed_end(stream->tls);
    return taken > 0;
}

size_t stream_fill(struct stream *stream)
{
    if (stream->tls == NULL || stream->failed != 0)
        return buf_len(&stream->in);
    struct error err = {0};
    while (!stream->ended && buf_len(&stream->in) < STREAM_IN_MAX) {
        bool fed = feed(stream);
        uint8_t *room = buf_reserve(&stream->in, RECORD_MAX);
        if (room == NULL) {
            fail_memory(stream);
            break;
        }
        ssize_t size = tls_read(stream->tls, room, RECORD_MAX, &err);
        if (size > 0)
            buf_added(&stream->in, (size_t)size);
        else if (size == 0)
            stream->ended = true;
        else if (size != -EAGAIN)
            fail(stream, &err);
        else if (!fed)
            break;
    }
    if (!stream->open)
        stream->open = stream->failed == 0 && tls_handshake(stream->tls, NULL) == 0;
    return buf_len(&stream->in);
}

void stream_consume(struct stream *stream, size_t size)
{
    if (size == 0)
        return;
    buf_consume(&stream->in, size);
    if (stream->tls == NULL)
        stream->ops->consumed(stream->transport, size);
}

static void wipe_out(struct stream *stream)
{
    if (!stream->sensitive || buf_len(&stream->out) > 0)
        return;
    secret_buf_free(&stream->out);
    stream->sensitive = false;
}

static bool flush_plain(struct stream *stream)
{
    if (buf_len(&stream->out) == 0)
        return false;
    size_t size =
        stream->ops->write(stream->transport, buf_data(&stream->out), buf_len(&stream->out));
    if (stream->sensitive) /* what is not kept must not lie around */
        explicit_bzero(buf_data(&stream->out), size);
    buf_consume(&stream->out, size);
    return size > 0;
}

static bool flush_tls(struct stream *stream)
{
    bool moved = false;
    struct error err = {0};
    while (buf_len(&stream->out) > 0 && stream->failed == 0) {
        ssize_t size = tls_write(stream->tls, buf_data(&stream->out), buf_len(&stream->out), &err);
        if (size == -EAGAIN)
            break;
        if (size < 0) {
            fail(stream, &err);
            break;
        }
        if (stream->sensitive)
            explicit_bzero(buf_data(&stream->out), (size_t)size);
        buf_consume(&stream->out, (size_t)size);
        moved = true;
    }
    size_t size;
    const void *output = tls_output(stream->tls, &size);
    size_t taken = size > 0 ? stream->ops->write(stream->transport, output, size) : 0;
    tls_output_sent(stream->tls, taken);
    return moved || taken > 0;
}

bool stream_drained(const struct stream *stream)
{
    size_t left = 0;
    if (stream->tls != NULL)
        (void)tls_output(stream->tls, &left);
    return buf_len(&stream->out) == 0 && left == 0;
}

bool stream_flush(struct stream *stream)
{
    bool moved = stream->tls != NULL ? flush_tls(stream) : flush_plain(stream);
    wipe_out(stream);
    if (!stream->shut || stream->shut_done || buf_len(&stream->out) > 0)
        return moved;
    if (stream->tls != NULL && !stream->told && stream_drained(stream)) {
        tls_close(stream->tls);
        stream->told = true;
        (void)flush_tls(stream);
    }
    if (stream_drained(stream)) {
        stream->ops->shutdown(stream->transport);
        stream->shut_done = true;
        moved = true;
    }
    return moved;
}

void stream_shutdown(struct stream *stream)
{
    stream->shut = true;
}

void stream_trim(struct stream *stream)
{
    if (buf_len(&stream->in) == 0)
        buf_free(&stream->in);
    if (buf_len(&stream->out) == 0)
        buf_free(&stream->out);
    if (buf_len(&stream->raw) == 0)
        buf_free(&stream->raw);
}

void stream_free(struct stream *stream)
{
    tls_free(stream->tls);
    if (stream->sensitive)
        secret_buf_free(&stream->out);
    buf_free(&stream->in);
    buf_free(&stream->out);
    buf_free(&stream->raw);
    *stream = (struct stream){0};
}
