/*
 * What a flow speaks, by the first bytes of its client. A pure function of them: the caller keeps
 * what has come so far (at most SNIFF_MAX bytes, there is an answer by then) and asks again while
 * it is SNIFF_MORE. Nothing is consumed.
 */
#ifndef VMDECK_NET_SNIFF_H
#define VMDECK_NET_SNIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/http.h"

#define SNIFF_MAX 16384

enum sniff_kind {
    SNIFF_MORE,
    SNIFF_TLS,     /* a complete ClientHello */
    SNIFF_HTTP,    /* begins like a request of HTTP/1; the reader judges it */
    SNIFF_HTTP2,   /* HTTP/2 without TLS: its preface (RFC 9113 3.4) */
    SNIFF_SSH,     /* an identification string (RFC 4253 4.2) */
    SNIFF_UNKNOWN, /* .why says what it is not */
};

struct sniff {
    enum sniff_kind kind;
    const char *why; /* SNIFF_UNKNOWN: one line, constant */

    /* SNIFF_TLS (RFC 8446 4.1.2, RFC 6066 3, RFC 7301). */
    char server_name[HTTP_HOST_MAX + 1]; /* canonical (http_host_parse); empty: no SNI */
    bool alpn;                           /* it offers protocols, */
    bool alpn_http1;                     /* http/1.1 among them */
    /*
     * It has an encrypted ClientHello (RFC 9849), or the older encrypted SNI. Browsers put random
     * bytes there so that real ones do not stand out, and the two cannot be told apart. Whoever
     * ends TLS under server_name, as we do, reads on only as that name: a client that really meant
     * another one finds that out and gives up.
     */
    bool ech;
};

/* Looks at the first `size` bytes. Returns sniff->kind. */
enum sniff_kind sniff(const uint8_t *data, size_t size, struct sniff *sniff);

#endif
