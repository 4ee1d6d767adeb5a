/*
 * Between the link and what it carries: flows become proxies, and what goes to port 53 queries. One
 * thread.
 */
#ifndef VMDECK_NET_GUEST_H
#define VMDECK_NET_GUEST_H

#include "net/core.h"
#include "net/link.h"
#include "net/names.h"

struct guest {
    struct core *core;
    struct names *names;
    struct net_link *link;
    size_t name_flows, name_queries;                       /* to port 53: over TCP, and over UDP */
    void (*ended)(void *context, const struct error *why); /* the link; it was closed already */
    void *context;
    TAILQ_HEAD(datagram_list, datagram_query) queries; /* over UDP, that wait */
};

/* Takes the descriptor over. */
int guest_attach(struct guest *guest, int fd, struct error *err);

/* Everything that is open ends. */
void guest_detach(struct guest *guest);

#endif
