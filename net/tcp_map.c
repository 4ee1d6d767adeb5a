/* A short list that is searched from front to back. */
#include "net/tcp_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int parse(const char *text, struct tcp_mapping *out, struct error *err)
{
    const char *equals = strchr(text, '=');
    *out = (struct tcp_mapping){0};
    if (equals == NULL)
        return error_set(err, EINVAL, "a mapping is written HOST[:PORT]=UPSTREAM:PORT");
    int rc =
        authority_split(text, (size_t)(equals - text), HOST_UNICODE, out->host, &out->port, err);
    if (rc == 0)
        rc = authority_split(equals + 1, strlen(equals + 1), HOST_UNICODE, out->upstream,
                             &out->upstream_port, err);
    if (rc == 0 && out->upstream_port == 0)
        rc = error_set(err, EINVAL, "the upstream needs a port");
    return rc;
}

/* The mapping with exactly this port. */
static const struct tcp_mapping *find(const struct tcp_map *map, const char *host, uint16_t port)
{
    for (size_t i = 0; i < map->count; i++)
        if (map->items[i].port == port && strcmp(map->items[i].host, host) == 0)
            return &map->items[i];
    return NULL;
}

int tcp_map_add(struct tcp_map *map, const char *text, struct error *err)
{
    struct tcp_mapping mapping;
    if (parse(text, &mapping, err) < 0)
        return error_wrap(err, "--tcp-map '%.200s'", text);
    if (find(map, mapping.host, mapping.port) != NULL)
        return error_set(err, EEXIST, "--tcp-map '%.200s': it is mapped already", text);
    if (map->count == TCP_MAP_MAX)
        return error_set(err, ENOSPC, "--tcp-map: more than %d", TCP_MAP_MAX);
    struct tcp_mapping *items = realloc(map->items, (map->count + 1) * sizeof *items);
    if (items == NULL)
        return error_set(err, ENOMEM, "out of memory");
    map->items = items;
    items[map->count++] = mapping;
    return 0;
}

const struct tcp_mapping *tcp_map_find(const struct tcp_map *map, const char *host, uint16_t port)
{
    const struct tcp_mapping *found = find(map, host, port);
    return found != NULL ? found : find(map, host, 0);
}

void tcp_map_free(struct tcp_map *map)
{
    free(map->items);
    *map = (struct tcp_map){0};
}
