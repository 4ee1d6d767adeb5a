/*
 * IPv4 and IPv6 addresses: text, networks, and whether the Internet is behind one. Sources: IANA's
 * IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), RFC 4291, 4380, 3056, 6052. Pure
 * functions, any thread.
 */
#ifndef VMDECK_NET_ADDRESS_H
#define VMDECK_NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

#define ADDRESS_TEXT_MAX 46 /* with NUL: INET6_ADDRSTRLEN */

struct address {
    bool v6;
    uint8_t bytes[16]; /* network order; an IPv4 address is the first four */
};

struct network {
    struct address base;
    uint8_t bits;
};

/*
 * The usual spellings and no others: four decimal numbers without leading zeros, or RFC 4291.
 * No zone ids, brackets, blanks, octal, hexadecimal or shortened IPv4. 0 or -EINVAL.
 */
int address_parse(const char *text, struct address *out);
void address_print(const struct address *address, char out[ADDRESS_TEXT_MAX]);
bool address_equal(const struct address *a, const struct address *b);

/* From AF_INET and AF_INET6 (without a scope id) only: -EINVAL for anything else. */
int address_from_socket(const struct sockaddr *socket, struct address *out);

/*
 * Is it globally reachable unicast? IPv4 inside an IPv6 address (mapped, compatible, NAT64, 6to4,
 * Teredo) decides for it. If not, *why (may be NULL) is what it is, a constant like "loopback".
 */
bool address_public(const struct address *address, const char **why);

/* ADDRESS[/BITS]; host bits must be zero. -EINVAL with the reason. */
int network_parse(const char *text, struct network *out, struct error *err);

/* An IPv4-mapped address is in the networks that its IPv4 address is in. */
bool network_contains(const struct network *network, const struct address *address);

#endif
