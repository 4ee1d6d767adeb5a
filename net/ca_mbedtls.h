/* What ca.c and tls.c share: the only header that shows mbedTLS. */
#ifndef VMDECK_NET_CA_MBEDTLS_H
#define VMDECK_NET_CA_MBEDTLS_H

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include "net/ca.h"

struct ca_leaf;

/*
 * A certificate for a host (a name in lower case, or an address), made now or earlier. It stays
 * until ca_leaf_put, however many are asked for meanwhile, but not beyond ca_close.
 */
int ca_leaf_get(struct ca *ca, const char *host, struct ca_leaf **out, struct error *err);
void ca_leaf_put(struct ca_leaf *leaf); /* NULL is allowed */
mbedtls_x509_crt *ca_leaf_certificate(struct ca_leaf *leaf);

/* The private key of all leaves; the authority's. */
mbedtls_pk_context *ca_leaf_key(struct ca *ca);

/* The kernel's random numbers, as mbedTLS asks for them: there is no state that a fork of the
 * process could share. `context` is not used. */
int ca_random(void *context, unsigned char *out, size_t size);

/* "what: mbedTLS's text". Returns -code. */
int ca_error(struct error *err, int code, const char *what, int result);

#endif
