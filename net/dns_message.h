/*
 * DNS messages (RFC 1035, EDNS0: RFC 6891): queries are parsed strictly, answers are built. Pure
 * functions, any thread.
 */
#ifndef VMDECK_NET_DNS_MESSAGE_H
#define VMDECK_NET_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/address.h"
#include "net/host.h"

#define DNS_QUESTION_MAX 259  /* name in wire form (255), type and class */
#define DNS_QUERY_MAX    4096 /* larger ones are dropped */
#define DNS_REPLY_MAX    512  /* every reply that is built here is smaller */

enum dns_type {
    DNS_A = 1,
    DNS_PTR = 12,
    DNS_AAAA = 28,
    DNS_OPT = 41,
    DNS_SVCB = 64,
    DNS_HTTPS = 65,
    DNS_TYPE_ANY = 255,
};

enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16,
};

#define DNS_CLASS_IN 1

struct dns_query {
    uint16_t id;
    uint16_t flags; /* as sent */
    uint16_t type, class;
    bool edns;
    uint8_t question[DNS_QUESTION_MAX]; /* as sent, also the case of its letters */
    size_t question_size;
    char name[HOST_SIZE]; /* normalised; empty for the root and for what is no host name */
};

/*
 * 0, or what to reply instead: an rcode > 0. -EBADMSG: not to be replied to at all (no header, a
 * response, larger than DNS_QUERY_MAX). One question, no compressed name, no answers; additional
 * records are read, but only OPT means something. *out is good for dns_reply() unless -EBADMSG.
 */
int dns_query_parse(const uint8_t *data, size_t size, struct dns_query *out);

/*
 * A reply with the address, which must be of the type the question asks for, or with none (NULL).
 * The size, at most DNS_REPLY_MAX.
 */
size_t dns_reply(const struct dns_query *query, enum dns_rcode rcode, const struct address *address,
                 uint32_t ttl, uint8_t out[DNS_REPLY_MAX]);

/*
 * Is this a resolver's response to the query: the same id and question? What is behind the
 * question is not looked at: it is only passed on.
 */
bool dns_response_matches(const struct dns_query *query, const uint8_t *data, size_t size);

#endif
