/*
 * Host names and authorities (RFC 3986 §3.2, RFC 1123) in the one form that everything else
 * compares: lower case, no trailing dot, A-labels, addresses in their canonical spelling (IPv6
 * without brackets). Pure functions, any thread.
 */
#ifndef VMDECK_NET_HOST_H
#define VMDECK_NET_HOST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define HOST_SIZE     254  /* 253 characters (RFC 1035) and NUL */
#define HOST_TEXT_MAX 1024 /* before normalisation */

enum host_flags {
    HOST_WILDCARD = 1, /* '*' may stand anywhere in a name: a pattern of the user's */
    HOST_UNICODE = 2,  /* UTF-8 is converted by IDNA 2008: for what the user types, not the guest */
};

/*
 * -EINVAL, *err saying what is wrong, for whatever is not plainly a name or an address: user info,
 * percent signs, blanks, empty labels, zone ids, and names whose last label is a number, which
 * resolvers would take for a strangely spelt address.
 */
int host_normalize(const char *text, size_t size, unsigned flags, char out[HOST_SIZE],
                   struct error *err);

/* HOST[:PORT], IPv6 in brackets. *port is 0 if there is none; port 0 is refused. */
int authority_split(const char *text, size_t size, unsigned flags, char host[HOST_SIZE],
                    uint16_t *port, struct error *err);

#endif
