/*
 * The guest's DNS, over UDP and TCP, by mode (dns_options.h): names get synthetic addresses, or
 * queries go to a resolver if policy could allow the name; a name that it refuses never leaves.
 * A name that somebody would be asked about (--ask) gets a synthetic address meanwhile: the name in
 * the request decides, not its address. Every query is answered, and at once where no resolver is
 * asked. A query goes to the resolver in the way it came, over UDP or TCP. One thread.
 */
#ifndef VMDECK_NET_NAMES_H
#define VMDECK_NET_NAMES_H

#include "net/core.h"
#include "net/dns_options.h"

#define NAMES_FORWARD_MAX 128  /* queries that wait for a resolver; more are answered SERVFAIL */
#define NAMES_FORWARD_MS  2500 /* until the next resolver is tried, and until it fails */
#define NAMES_TRIES       2

struct names;
struct forward;

/* Belongs to who asks; stays until it is answered, or names_cancel(). */
struct name_query {
    struct address to;   /* whom the guest asked */
    uint16_t guest_port; /* its own */
    bool stream;         /* over TCP; else an answer of more than `max` bytes is cut off */
    size_t max;
    /* Called once, maybe at once; data NULL: there is no answer. */
    void (*answered)(struct name_query *query, const void *data, size_t size);
    struct forward *forward; /* private */
};

/* Trusted without servers: the host's own resolvers, now. */
int names_open(struct names **out, struct core *core, const struct dns_settings *settings,
               struct error *err);

/* No query waits any more. NULL is fine. Memory goes when the loop has run. */
void names_close(struct names *names);

void names_ask(struct names *names, struct name_query *query, const uint8_t *data, size_t size);
void names_cancel(struct name_query *query);

#endif
