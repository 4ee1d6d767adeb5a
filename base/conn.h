/*
 * A connection that carries frames: a non-blocking stream descriptor on a libuv loop. Used
 * for all three of ours: host to agent, host to client, client to host. Single-threaded: every
 * call, and every callback, on the loop's thread.
 *
 * Sending never blocks and never waits: what the descriptor does not take at once is queued.
 * The protocols bound the queue by credit; should a peer break that, `queue_max` does: the
 * connection then ends with -ENOBUFS.
 */
#ifndef VMDECK_BASE_CONN_H
#define VMDECK_BASE_CONN_H

#include <uv.h>

#include "base/error.h"
#include "base/frame.h"

struct conn;

struct conn_events {
    /* A frame came. It is valid during the call; conn_close() is allowed in it. */
    void (*frame)(void *context, const struct frame *frame);
    /*
     * The connection has ended: the peer closed (code 0), a system error, a frame that the rules
     * forbid (EPROTO), or a full queue. Called once, never from within conn_send(); then only
     * conn_close() is left to do.
     */
    void (*ended)(void *context, const struct error *why);
};

/* Takes the descriptor over, also when it fails. */
int conn_open(struct conn **out, uv_loop_t *loop, int fd, const struct frame_rules *rules,
              size_t queue_max, const struct conn_events *events, void *context, struct error *err);

/* Sends a frame. Failures come back through `ended`, later. */
void conn_send(struct conn *conn, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
               uint32_t length);

/* Bytes that wait to be written. */
size_t conn_queued(const struct conn *conn);

int conn_fd(const struct conn *conn);

/* No callback comes after this. Memory is freed when the loop has run. NULL is fine. */
void conn_close(struct conn *conn);

#endif
