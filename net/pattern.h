/*
 * What a rule or a secret is about. Two grammars:
 *
 *   a rule      [METHOD ]HOST[:PORT][/PATHGLOB]
 *   an origin   [SCHEME://]HOST[:PORT]     scheme https (default, port 443) or http (port 80)
 *
 * '*' in HOST and PATHGLOB is any number of any characters (dots and slashes too), as METHOD or
 * PORT it is any. Hosts are compared as net/host.h writes them, paths as net/url_path.h. A method
 * is written in any case and compared in upper case. Single-threaded per object.
 */
#ifndef VMDECK_NET_PATTERN_H
#define VMDECK_NET_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "net/host.h"
#include "net/url_path.h"

#define PATTERN_TEXT_MAX   2048 /* bytes of a pattern as the user writes it */
#define PATTERN_METHOD_MAX 32   /* with NUL */

struct pattern {
    char method[PATTERN_METHOD_MAX]; /* empty: any */
    char host[HOST_SIZE];            /* with wildcards */
    uint16_t port;                   /* 0: any */
    bool plain;                      /* an origin's: http, not https */
    struct url_path path;            /* empty: any */
};

/* On failure (-EINVAL) *out needs no freeing. */
int pattern_parse_rule(const char *text, struct pattern *out, struct error *err);
int pattern_parse_origin(const char *text, struct pattern *out, struct error *err);
void pattern_free(struct pattern *pattern);
#define CLEAN_PATTERN __attribute__((cleanup(pattern_free)))

/* `host` normalised; port 0 stands for any. */
bool pattern_host_matches(const struct pattern *pattern, const char *host, uint16_t port);

/* A rule in canonical text; the same text means the same rule. 0 or -ENOMEM. */
int pattern_print_rule(const struct pattern *pattern, struct buf *out);

#endif
