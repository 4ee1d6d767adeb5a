/*
 * What the two HTTP fuzzers share. Any bytes are a message or a refusal with a reason; a message
 * is the same however its bytes were cut; and what is written again reads as the same message, so
 * nobody behind us sees another one than we did.
 */
#ifndef VMDECK_TESTS_HTTP_TRANSCRIPT_H
#define VMDECK_TESTS_HTTP_TRANSCRIPT_H

#include <stdlib.h>
#include <string.h>

#include "net/http.h"

struct transcript {
    struct buf out, body;
    enum http_framing framing;
};

static void must(bool good)
{
    if (!good)
        abort();
}

static void transcript_note(struct transcript *t, const struct http_event *event)
{
    if (event->kind == HTTP_EVENT_HEAD) {
        /* Those for one hop are the writer's own business. */
        event->head->trailers = false;
        event->head->keep_alive = true;
        t->framing = event->head->framing;
        must(http_head_write(event->head, NULL, &t->out) == 0);
        http_head_free(event->head);
    } else if (event->kind == HTTP_EVENT_DATA) {
        must(buf_append(&t->body, event->data, event->size) == 0);
    } else if (event->kind == HTTP_EVENT_END) {
        must(http_body_write(t->framing, buf_data(&t->body), buf_len(&t->body), &t->out) == 0);
        must(http_body_end(t->framing, event->trailers, &t->out) == 0);
        buf_consume(&t->body, buf_len(&t->body));
    }
}

/* How many of the bytes were read before a tunnel, a refusal, or the end. */
static size_t transcript_feed(struct http_reader *reader, const uint8_t *data, size_t size,
                              size_t piece, struct transcript *t, bool *refused)
{
    size_t at = 0, given = 0;
    struct http_event event;
    struct error err = {0};
    do {
        given = size - at < piece ? size - at : piece;
        size_t used;
        if (http_read(reader, data + at, given, &used, &event, &err) < 0) {
            must(err.message[0] != '\0' && reader->refusal >= 400);
            *refused = true;
            return at;
        }
        must(used <= given);
        at += used;
        transcript_note(t, &event);
    } while (event.kind != HTTP_EVENT_TUNNEL && (at < size || event.kind != HTTP_EVENT_MORE));
    return at;
}

static void transcript_free(struct transcript *t)
{
    buf_free(&t->out);
    buf_free(&t->body);
}

#endif
