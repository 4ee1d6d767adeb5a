/*
 * One TCP connection of the guest, from its first byte to its last: what it speaks is found out by
 * its first bytes, TLS ends here, each HTTP request is judged, given its secrets and passed on, and
 * its response comes back. Mapped TCP and WebSockets become tunnels. Everything else is refused.
 * Every decision is an event of the core's.
 *
 * The guest's side is a table of functions, so that it can be a flow of the link or anything else
 * that carries bytes. None of them may call back into the proxy. One thread.
 */
#ifndef VMDECK_NET_PROXY_H
#define VMDECK_NET_PROXY_H

#include <stddef.h>
#include <stdint.h>

#include "net/core.h"
#include "net/stream.h"

#define PROXY_TLS_MAX  256 /* TLS connections of guests; idle ones make room */
#define PROXY_OWNER_MS 10
#define PROXY_HELD_MAX (16u << 20) /* bytes of all heads that are not complete or wait */

struct proxy_guest {
    struct stream_ops stream;
    void (*accept)(void *guest); /* the connection is answered */
    /* One of these is the last call, and no more of the guest's side follows. */
    void (*refuse)(void *guest); /* not accepted: connect() fails */
    void (*abort)(void *guest);  /* reset */
    void (*set_idle)(void *guest, uint32_t seconds);
};

struct proxy_ends {
    struct address address; /* where the guest wants to connect to */
    uint16_t port;
    uint16_t guest_port;
};

/*
 * A new connection, which is accepted, refused, or decided later. NULL: it was aborted, and there
 * is nothing more to be said about it.
 */
struct proxy *proxy_open(struct core *core, const struct proxy_guest *ops, void *guest,
                         const struct proxy_ends *ends);

/* What happens on the guest's side. Each may end in abort(), and the proxy is then gone. */
void proxy_received(struct proxy *proxy, const void *data, size_t size);
void proxy_eof(struct proxy *proxy);
void proxy_writable(struct proxy *proxy);

/* The connection is over; the proxy is gone. */
void proxy_closed(struct proxy *proxy);

/* It was found out whose the flow is, as far as it can be; PROXY_OWNER_MS are given for that. */
void proxy_owner_known(struct core *core, uint32_t flow);

/* The core's rules have changed: requests that wait and tunnels are judged again. */
void proxy_rules_changed(struct core *core);

#endif
