/*
 * --tcp-map HOST[:PORT]=UPSTREAM:PORT: which TCP destinations of the guest are passed on as they
 * are, and to where. The upstream is the user's word: its address is not checked. Policy still
 * hears of it: policy_add(…, RULE_TCP, …) with the guest's side. Zeroed memory is an empty map.
 * Single-threaded.
 */
#ifndef VMDECK_NET_TCP_MAP_H
#define VMDECK_NET_TCP_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/host.h"

#define TCP_MAP_MAX 256

struct tcp_mapping {
    char host[HOST_SIZE];
    uint16_t port; /* 0: every port */
    char upstream[HOST_SIZE];
    uint16_t upstream_port;
};

struct tcp_map {
    struct tcp_mapping *items;
    size_t count;
};

/* -EINVAL for a text that is no mapping (no wildcards), -EEXIST for one that is there already. */
int tcp_map_add(struct tcp_map *map, const char *text, struct error *err);

/* The mapping for a normalised host: the one that names the port before the one that does not. */
const struct tcp_mapping *tcp_map_find(const struct tcp_map *map, const char *host, uint16_t port);
void tcp_map_free(struct tcp_map *map);

#endif
