/*
 * The virtio-serial port: frames in, frames out. Descriptors: the port is taken over and made
 * non-blocking by whoever opened it. Single-threaded.
 */
#ifndef VMDECK_AGENT_PORT_H
#define VMDECK_AGENT_PORT_H

#include <stdbool.h>

#include "agent/loop.h"
#include "agent/wire.h"
#include "base/buf.h"

struct port {
    struct watch watch;
    struct loop *loop;
    uint8_t *in; /* PORT_IN_SIZE bytes */
    size_t start, end;
    struct buf out; /* whole frames; the first may have been sent in part */
    size_t sent;    /* bytes of the first frame that are out */
    bool readable;  /* there may be bytes that were not read yet */
    bool writable;  /* the last write was not refused */
    bool armed;     /* we are told when the port takes bytes again */
    bool greeted;   /* a HELLO came on this connection: frames may go out */
    bool quiet;     /* only `last` bytes of `out` may go until the next HELLO */
    size_t last;
    bool failed; /* the port is gone for good */
};

/* Called for each frame; -EPROTO ends the conversation, *why (a constant) saying what was wrong. */
typedef int port_receive(void *context, const struct frame *frame, const char **why);

int port_open(struct port *port, struct loop *loop, int fd); /* 0 or -errno; owns fd either way */
void port_close(struct port *port);

/*
 * Reads a bounded amount and hands the frames on. 0, or -EPROTO as `receive` or the frame's own
 * rules said. port->readable tells whether to come back without waiting.
 */
int port_read(struct port *port, port_receive *receive, void *context, const char **why);

/* True while a backlog of answers makes it unwise to read more requests. */
bool port_stuffed(const struct port *port);

/* Appends a frame; port_flush() sends it. Without memory the conversation fails. */
void port_send(struct port *port, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
               uint32_t length);

/* Answers a HELLO; with `restart`, before anything else that waits to be sent. */
void port_greet(struct port *port, const uint8_t epoch[WIRE_EPOCH_SIZE], bool restart);

/* What is to be sent so far is the last until port_greet(). */
void port_quiesce(struct port *port);

/* Sends as much as the port takes. */
void port_flush(struct port *port);

/* True when a DATA frame that is added now would go out at once. */
static inline bool port_idle(const struct port *port)
{
    return port->greeted && port->writable && !port->quiet && buf_len(&port->out) == 0;
}

#endif
