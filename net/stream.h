/*
 * One side of a conversation as plaintext: bytes that came and were not used yet, bytes to be sent,
 * and TLS in between where there is any. The transport (a guest's flow, a socket) is called through
 * a table. Nothing blocks and nothing calls back: the owner asks for what there is, and calls again
 * when its transport has something new. Single-threaded.
 */
#ifndef VMDECK_NET_STREAM_H
#define VMDECK_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "net/tls.h"

#define STREAM_OUT_MAX 65536 /* plaintext to be sent: stream_full() from here on */
#define STREAM_IN_MAX                                                           \
    32768 /* plaintext decrypted and not used; without TLS the transport bounds \
           */

struct stream_ops {
    size_t (*write)(void *transport, const void *data, size_t size); /* how much was taken */
    void (*consumed)(void *transport, size_t size); /* of what came, so that more may come */
    void (*shutdown)(void *transport);              /* no more will be written */
};

/* Zeroed, with ops and transport set, it is a stream without TLS. */
struct stream {
    const struct stream_ops *ops;
    void *transport;
    struct tls *tls;    /* owned; may be set before anything was read, or behind plaintext */
    struct buf in;      /* plaintext, for the owner to read; take it by stream_consume() */
    struct buf out;     /* plaintext, for the owner to append to */
    struct buf raw;     /* with TLS: ciphertext that it did not take yet */
    bool transport_end; /* the transport said that no more comes */
    bool ended;         /* no more plaintext will come behind `in` */
    bool open;          /* the handshake is over, or there is none */
    bool shut;          /* stream_shutdown() */
    bool told;          /* … and TLS has said so */
    bool shut_done;     /* … and the transport was told */
    bool sensitive;     /* secret values went through `out`: it is wiped when empty */
    int failed;         /* errno */
    char why[160];      /* … in a line; there are many streams, and errors are large */
};

/* From here on there is TLS; what came and was not consumed is its ciphertext. */
void stream_start_tls(struct stream *stream, struct tls *tls);

/* The transport brought something, or its end. -ENOMEM fails the stream. */
void stream_received(struct stream *stream, const void *data, size_t size);
void stream_transport_ended(struct stream *stream);

/* Decrypts what there is. The bytes in `in`. */
size_t stream_fill(struct stream *stream);
void stream_consume(struct stream *stream, size_t size);

static inline bool stream_full(const struct stream *stream)
{
    return buf_len(&stream->out) >= STREAM_OUT_MAX;
}

/* Sends what can be sent. True when something moved. */
bool stream_flush(struct stream *stream);

/* Everything that was to be sent is with the transport. */
bool stream_drained(const struct stream *stream);

/* Ends our direction, behind what `out` holds. */
void stream_shutdown(struct stream *stream);

/* Gives back the memory of empty buffers: idle streams are many. */
void stream_trim(struct stream *stream);
void stream_free(struct stream *stream);

#endif
