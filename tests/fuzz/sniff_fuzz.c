/* Any start of a flow has an answer, which later bytes do not change, within SNIFF_MAX bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

static void check(const struct sniff *result)
{
    must((result->kind == SNIFF_UNKNOWN) == (result->why != NULL));
    if (result->kind != SNIFF_TLS || result->server_name[0] == '\0')
        return;
    char host[HTTP_HOST_MAX + 1];
    uint16_t port;
    must(http_host_parse(result->server_name, strlen(result->server_name), host, &port, NULL) == 0);
    must(strcmp(host, result->server_name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sniff all, part;
    (void)sniff(data, size, &all);
    check(&all);
    must(size < SNIFF_MAX || all.kind != SNIFF_MORE);
    size_t step = size / 64 + 1;
    for (size_t cut = 0; cut < size && cut < SNIFF_MAX; cut += step) {
        (void)sniff(data, cut, &part);
        check(&part);
        if (part.kind == SNIFF_MORE)
            continue;
        must(part.kind == all.kind && strcmp(part.server_name, all.server_name) == 0);
        break;
    }
    return 0;
}
