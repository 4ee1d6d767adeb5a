/*
 * The user's certificate authority, which guests trust and which signs for every host that a guest
 * speaks TLS to. One per user, in $XDG_DATA_HOME/vmdeck/ca: ca.key (mode 0600) and ca.crt. The
 * certificates it signs live in memory only.
 *
 * To be used by one thread at a time; several processes may open it at once.
 */
#ifndef VMDECK_NET_CA_H
#define VMDECK_NET_CA_H

#include "base/error.h"

#define CA_LEAVES_MAX 256 /* kept; the one not used for longest goes */

struct ca;

/*
 * Opens the authority. It is made where it is missing, and made anew where it cannot be used: not a
 * key, not a pair, readable or owned by others, expired or about to. Files that cannot be read or
 * written are an error.
 */
int ca_open(struct ca **out, struct error *err);
void ca_close(struct ca *ca);
static inline void ca_cleanup(struct ca **ca)
{
    ca_close(*ca);
}
#define CLEAN_CA __attribute__((cleanup(ca_cleanup)))

/*
 * The certificate as it lies there, PEM, unchecked; of an authority that is made where there is
 * none. For whoever prepares a guest before there is a network: who opens the authority may find it
 * unusable and make another. The caller frees it.
 */
int ca_read(char **pem, struct error *err);

/* The certificate for the guest's trust store, PEM; the authority's. */
const char *ca_certificate(const struct ca *ca);

#endif
