/*
 * TCP connections of the guest, to whatever address it asked for: the guest's half ends here, and
 * the owner decides what is on the other side. Made by a link (net/link.h), which also delivers
 * the events; everything happens on the link's loop thread.
 *
 * A flow's life:
 *
 *     open event → flow_accept() → writable event (connected) → received … eof → closed event
 *                ↘ flow_refuse() (the guest's connect() fails with ECONNREFUSED; may come any time
 *                  later: nothing is answered until the owner decides)
 *
 * A `struct flow *` is valid from the open event until the closed event has returned, or until
 * flow_refuse() or flow_abort(), after which no event of this flow comes. All functions may be
 * called inside every event.
 *
 * Bounds: FLOW_MAX flows (more are refused); per flow 64 KiB not yet consumed by the owner and
 * 192 KiB not yet acknowledged by the guest. All flows together hold FLOW_MEMORY bytes; when that
 * is reached, each still gets FLOW_SHARE, so that no flow can stop the others.
 * Addresses are IPv4 in host byte order.
 */
#ifndef VMDECK_NET_FLOW_H
#define VMDECK_NET_FLOW_H

#include <stddef.h>
#include <stdint.h>

#define FLOW_MAX    10000
#define FLOW_MEMORY ((size_t)12 << 20)
#define FLOW_SHARE  ((size_t)3200)

#define FLOW_IDLE_HELD    60   /* seconds until a flow that nobody decides is refused */
#define FLOW_IDLE         7200 /* … until a silent connection is reset */
#define FLOW_IDLE_CLOSING 60   /* … once both directions have ended */

struct flow;

enum flow_end {
    FLOW_CLOSED = 1, /* both directions ended, and the guest knows */
    FLOW_RESET,      /* by the guest, or by link_reset_flows() or link_close() */
    FLOW_EXPIRED,    /* idle too long, or the guest stopped answering; it was sent an RST */
};

struct flow_events {
    /* The guest wants to connect. Decide now or later: flow_accept() or flow_refuse(). */
    void (*open)(void *context, struct flow *flow);
    /*
     * Bytes from the guest, in order; at most IPV4_MTU. `data` is valid during the call. The guest
     * may send as many again as flow_consumed() says.
     */
    void (*received)(void *context, struct flow *flow, const uint8_t *data, size_t size);
    /* The guest will send no more; it may still read. */
    void (*eof)(void *context, struct flow *flow);
    /* Connected; later: flow_write() had taken less than it was given and can take more now. */
    void (*writable)(void *context, struct flow *flow);
    /* The flow is over, and gone when this returns. */
    void (*closed)(void *context, struct flow *flow, enum flow_end end);
};

/* Answers the guest's SYN. The writable event follows when the guest has answered in turn. */
void flow_accept(struct flow *flow);

/* Refuses a flow that was not accepted. */
void flow_refuse(struct flow *flow);

/* Returns how many bytes were taken (copied): 0 before the first writable event. */
size_t flow_write(struct flow *flow, const void *data, size_t size);

/* The owner is done with `size` of the bytes received. */
void flow_consumed(struct flow *flow, size_t size);

/* Ends the direction to the guest, behind what was written. The other one goes on. */
void flow_shutdown(struct flow *flow);

/* Resets the connection: what the guest has not read is lost. */
void flow_abort(struct flow *flow);

/* The seconds without a segment after which it expires (held or connected), from now on. */
void flow_set_idle(struct flow *flow, uint32_t seconds);

void flow_set_owner(struct flow *flow, void *owner);
void *flow_owner(const struct flow *flow); /* NULL until set */

uint32_t flow_address(const struct flow *flow); /* where the guest wants to connect to */
uint16_t flow_port(const struct flow *flow);
uint16_t flow_guest_port(const struct flow *flow); /* its own port: names the socket in the guest */

#endif
