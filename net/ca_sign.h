/* Keys and certificates, as ca.c has them made. Results are mbedTLS's: 0 is success. */
#ifndef VMDECK_NET_CA_SIGN_H
#define VMDECK_NET_CA_SIGN_H

#include <time.h>

#include "net/ca_mbedtls.h"

#define CA_HOST_MAX 253

struct ca_request {
    mbedtls_pk_context *key, *issuer_key; /* mbedTLS wants to be able to change them */
    const char *subject, *issuer;         /* "O=…,CN=…" */
    time_t from, until;
    const char *host; /* of a leaf, at most CA_HOST_MAX long; NULL for an authority */
};

/* A new EC P-256 key in `key`, which was only initialised. */
int ca_make_key(mbedtls_pk_context *key);

/* Signs the certificate and parses it into *out, which was only initialised. */
int ca_sign(const struct ca_request *request, mbedtls_x509_crt *out);

#endif
