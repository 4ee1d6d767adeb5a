/* What upstream.c (pool, life and death) and upstream_dial.c (how one gets connected) share. */
#ifndef VMDECK_NET_UPSTREAM_INTERNAL_H
#define VMDECK_NET_UPSTREAM_INTERNAL_H

#include <sys/queue.h>

#include "net/http.h"
#include "net/upstream.h"
#include "net/via.h"

#define DIAL_ADDRESSES_MAX 16

enum phase {
    PHASE_WAITING, /* for one of UPSTREAM_MAX places */
    PHASE_RESOLVING,
    PHASE_CONNECTING,
    PHASE_VIA, /* CONNECT was sent to the proxy */
    PHASE_TLS,
    PHASE_READY,
    PHASE_IDLE, /* in the pool, nobody's */
    PHASE_OVER,
};

struct connection;

/* A socket lives until libuv has closed it, its connection may be gone by then. */
struct socket {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct connection *connection; /* NULL: closing */
    struct buf writing;            /* what uv_write has */
    bool reading;
};

struct lookup {
    uv_getaddrinfo_t request;
    struct connection *connection; /* NULL: nobody waits for it any more */
    struct core *core;
};

struct connection {
    struct upstream public; /* first */
    struct upstreams *all;
    enum phase phase;
    upstream_changed *changed;
    void *owner;
    char host[HOST_SIZE];
    uint16_t port;
    bool tls, mapped, tunnel, internal;
    const struct via_proxy *proxy;
    struct http_reader via_reader;
    struct lookup *lookup;
    bool lookup_waits; /* in upstreams->resolving */
    TAILQ_ENTRY(connection) resolving;
    struct address addresses[DIAL_ADDRESSES_MAX];
    size_t address_count, next_address;
    struct socket *socket;
    uv_timer_t timer;
    uint64_t started, idle_since; /* loop time */
    TAILQ_ENTRY(connection) entry;
};

TAILQ_HEAD(connection_list, connection);

struct upstreams {
    struct core *core;
    struct via via;
    struct connection_list used, waiting, pool; /* the pool's oldest comes first */
    struct connection_list resolving;           /* wait for one of LOOKUPS_MAX, by `resolving` */
    size_t count;                               /* used and pooled */
    size_t pooled;
    char buffer[65536]; /* what a read brings, until it is copied */
};

/* upstream_dial.c: begins; goes on when the socket has something new; ends in READY or FAILED. */
void dial_begin(struct connection *connection);
void dial_progress(struct connection *connection);
/* Breaks off whatever is under way. */
void dial_stop(struct connection *connection);

/* upstream.c: `error` says why. The state is set; nobody is told. */
void connection_fail(struct connection *connection);
void connection_tell(struct connection *connection);
int socket_open(struct connection *connection);
void socket_start(struct socket *socket);
void socket_drop(struct connection *connection);

#endif
