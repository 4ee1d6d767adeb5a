/*
 * The HTTP proxy that the host itself has to use, from http_proxy, https_proxy, all_proxy and
 * no_proxy as curl reads them (lower case first; HTTP_PROXY in upper case is ignored, as it could
 * come from a CGI request). Only "http://[USER:PASSWORD@]HOST[:PORT]" is spoken. Read once.
 */
#ifndef VMDECK_NET_VIA_H
#define VMDECK_NET_VIA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/host.h"

#define VIA_AUTH_MAX 1024

struct via_proxy {
    char host[HOST_SIZE]; /* empty: none */
    uint16_t port;
    char auth[VIA_AUTH_MAX]; /* "Basic …", or empty */
};

struct via {
    struct via_proxy http, https;
    char *none; /* no_proxy */
};

int via_read(struct via *via, struct error *err);
void via_free(struct via *via);

/* The proxy for a host, or NULL: it is connected to directly. */
const struct via_proxy *via_find(const struct via *via, bool tls, const char *host, uint16_t port);

#endif
