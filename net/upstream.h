/*
 * Connections to the servers that guests may talk to. A name is resolved once, each of its
 * addresses is judged by policy_address_allowed() before a connect to it, and what was judged is
 * what is connected to; TLS verifies the server. Connections that are idle wait in a pool, judged
 * again when they are taken from it. Where the environment names an HTTP proxy (via.h), it is used,
 * but not for hosts of --resolve and --tcp-map; names are then resolved by that proxy, so addresses
 * cannot be judged here.
 *
 * Owners are told by one callback that something has changed, and look: `state`, and the stream.
 * It comes from the loop only, never from within a call into here. One thread.
 */
#ifndef VMDECK_NET_UPSTREAM_H
#define VMDECK_NET_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "net/address.h"
#include "net/host.h"
#include "net/stream.h"

#define UPSTREAM_MAX        128 /* connections, those in the pool included; more have to wait */
#define UPSTREAM_POOL_MAX   32
#define UPSTREAM_POOL_HOST  8     /* of them for one host */
#define UPSTREAM_IDLE       30000 /* ms in the pool */
#define UPSTREAM_IDLE_BODY  2000  /* ms until it is too old for a request that cannot be repeated */
#define UPSTREAM_CONNECT_MS 15000 /* name, connect, TLS; each address gets a part of it */

struct core;
struct upstreams;

enum upstream_state {
    UPSTREAM_CONNECTING,
    UPSTREAM_READY,
    UPSTREAM_FAILED, /* `error`; also where the connection broke later */
};

struct upstream_target {
    const char *host; /* normalised */
    uint16_t port;
    bool tls;
    bool mapped;   /* --tcp-map: the address is the user's word */
    bool tunnel;   /* it will not carry HTTP alone: a proxy has to be asked by CONNECT */
    bool fresh;    /* not from the pool */
    bool body;     /* only if it is hardly used up: the request cannot be repeated */
    bool internal; /* its addresses were allowed for this request: they are not judged again */
};

struct upstream {
    enum upstream_state state;
    struct error error;   /* EACCES: the address is not allowed, or the certificate not good */
    bool refused;         /* … by policy_address_allowed() */
    bool reused;          /* from the pool: it may turn out to be closed */
    bool via;             /* the request has to be written for an HTTP proxy */
    const char *via_auth; /* its Proxy-Authorization, or NULL */
    struct stream stream;
    struct address address; /* tried last; of the proxy where there is one */
    bool addressed;         /* `address` is set */
};

typedef void upstream_changed(void *owner);

int upstreams_new(struct core *core, struct upstreams **out, struct error *err);

/* Closes what is in the pool. Every upstream must be closed. Memory goes when the loop has run. */
void upstreams_free(struct upstreams *upstreams);

/* Never fails at once: NULL only without memory. A pooled connection is ready at once. */
struct upstream *upstream_open(struct upstreams *upstreams, const struct upstream_target *target,
                               upstream_changed *changed, void *owner);

/* Back into the pool, if it may go on there: nothing is owed in either direction. */
void upstream_release(struct upstream *upstream);

/* Breaks it off. NULL is fine. */
void upstream_close(struct upstream *upstream);

#endif
