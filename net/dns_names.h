/*
 * Synthetic DNS: every name has an address in 198.18.0.0/15, and the address says later which name
 * was meant. No resolver is asked. Single-threaded.
 */
#ifndef VMDECK_NET_DNS_NAMES_H
#define VMDECK_NET_DNS_NAMES_H

#include "net/dns_message.h"
#include "net/dns_options.h"

#define DNS_NAMES_MAX 16384 /* names remembered: about 5 MB at worst */
#define DNS_NAMES_TTL 60    /* seconds */

struct dns_names;

/* `max` names are remembered, 1 to DNS_NAMES_MAX; then the least recently used is forgotten. */
struct dns_names *dns_names_new(enum dns_mapping mapping, size_t max);
void dns_names_free(struct dns_names *names);

/*
 * The reply to a query that was parsed (`rcode`: what dns_query_parse() returned). Its size.
 *   A, ANY       the name's address        AAAA, HTTPS, SVCB, everything else   no answer, NOERROR
 *   localhost    127.0.0.1, ::1            what is no host's name, *.arpa       NXDOMAIN
 */
size_t dns_names_reply(struct dns_names *names, const struct dns_query *query, int rcode,
                       uint8_t out[DNS_REPLY_MAX]);

/* The name's address, with DNS_MAPPING_SINGLE always the same. 0 or -ENOMEM. */
int dns_names_address(struct dns_names *names, const char *name, struct address *out);

/* The name that was given this address, until the next call; NULL if none was. */
const char *dns_names_lookup(struct dns_names *names, const struct address *address);

#endif
