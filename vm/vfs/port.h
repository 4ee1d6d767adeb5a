/*
 * The host's end of the relay port: a non-blocking stream socket that carries the frames of
 * relay.h. Frames are read on the loop's thread; any thread sends. Bounded both ways: while
 * PORT_BYTES_MAX of requests or PORT_COUNT_MAX of them are being worked on nothing is read, and
 * vfs_port_send() of a reply waits while PORT_BYTES_MAX of them are not sent.
 */
#ifndef VMDECK_VM_VFS_PORT_H
#define VMDECK_VM_VFS_PORT_H

#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "vm/vfs/pool.h"
#include "vm/vfs/relay.h"

#define PORT_BYTES_MAX (16u * 1024 * 1024)
#define PORT_COUNT_MAX 1024u

struct port;

/* A frame that came, with room for who works on it. */
struct inbound {
    struct job job;
    void *owner;
    struct inbound *next; /* the owner's, as is `interrupted` */
    bool interrupted;
    uint8_t type, flags;
    uint32_t stream, length;
    _Alignas(8) uint8_t payload[];
};

/* A frame to send: the header is written by vfs_port_send(). `payload` is aligned to 8. */
struct outbound {
    struct outbound *next;
    size_t start, end; /* of the frame in `bytes`, while it is being sent */
    _Alignas(8) uint8_t bytes[];
};
#define OUTBOUND_PAYLOAD 16u /* where it starts in `bytes` */

struct port_events {
    /* Loop's thread. Owns the frame: port_done() ends it. */
    void (*frame)(void *context, struct inbound *frame);
    /* Loop's thread, once: the peer has gone, or broke the protocol. */
    void (*ended)(void *context, const struct error *why);
};

/*
 * Takes the descriptor over, also when it fails. Sends a HELLO with this epoch, and drops what
 * comes in front of the HELLO that repeats it: a port can still carry an earlier connection's
 * bytes. Loop's thread.
 */
int vfs_port_open(struct port **out, uv_loop_t *loop, int fd, const uint8_t epoch[RELAY_EPOCH_SIZE],
                  const struct port_events *events, void *context, struct error *err);

/* Any thread; the frame is not worked on any more. */
void port_done(struct port *port, struct inbound *frame);

/* Loop's thread: one frame is being worked on, and nothing waits to be sent. */
bool port_idle(struct port *port);

/* Waits until no frame is being worked on: for when no more come. Not on a worker. */
void port_drain(struct port *port);

/* NULL without memory. */
struct outbound *outbound_new(size_t payload_size);

/*
 * Any thread. Takes the frame over. A worker (`wait`) waits for room, the loop's thread, which
 * makes it, never does; false comes back for what must not wait and finds none: the frame is then
 * dropped.
 */
bool vfs_port_send(struct port *port, struct outbound *frame, uint8_t type, uint32_t stream,
                   uint32_t length, bool wait);

/*
 * Loop's thread: the agent's end is another one. What it sent and was sent is dropped once nobody
 * works on it any more; then a HELLO with this epoch begins anew.
 */
void port_restart(struct port *port, const uint8_t epoch[RELAY_EPOCH_SIZE]);

/* Any thread: nobody waits for room any more, nothing is sent. */
void port_break(struct port *port);

/* Loop's thread; no other thread uses it any more. Freed when the loop has run. */
void vfs_port_close(struct port *port);

#endif
