/*
 * What the parts that run in the network's thread share. Whoever made it (net.c, or a test) fills
 * in the objects, owns them, and frees them behind everything that uses them. One thread.
 */
#ifndef VMDECK_NET_CORE_H
#define VMDECK_NET_CORE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "net/dns_names.h"
#include "net/hold.h"
#include "net/policy.h"
#include "net/question.h"
#include "net/secrets.h"
#include "net/tcp_map.h"
#include "net/tls.h"
#include "net/upstream.h"

struct proxy;
struct proxy_ends;
TAILQ_HEAD(proxy_list, proxy);

struct core {
    uv_loop_t *loop;
    struct policy *policy;
    struct secrets *secrets;
    struct tls_context *tls;
    struct dns_names *names; /* of synthetic answers */
    struct tcp_map tcp_map;
    struct pins *pins;           /* --resolve */
    struct upstreams *upstreams; /* NULL when it is being closed */
    unsigned lookups;            /* that libuv's threads have */
    struct questions questions;
    struct holds refusals; /* that wait until it is known who is refused */
    bool no_websockets;

    /* A connection. False (or NULL): nobody will say whose it is, by proxy_owner_known(). */
    bool (*opened)(void *context, uint32_t flow, const struct proxy_ends *ends);
    /* A decision, for CLI.md's events; takes `fields` over. */
    void (*event)(void *context, const char *type, cJSON *fields);
    void *context;

    struct proxy_list proxies; /* the one used last comes last */
    uint32_t flows;            /* that there ever were: numbers them */
    size_t tls_flows;          /* guests' TLS connections */
    size_t held;               /* bytes of heads that are incomplete or wait for an answer */
    uint64_t received, sent;   /* bytes of the guest's connections, from and to upstreams */
};

#endif
