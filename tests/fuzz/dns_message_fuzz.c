/* A query from the guest: refused or answered, and the answer repeats its question. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/dns_names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_names *names;
    struct dns_query query;
    uint8_t reply[DNS_REPLY_MAX];
    if (names == NULL)
        names = dns_names_new(DNS_MAPPING_PER_HOST, 64);
    int rc = dns_query_parse(data, size, &query);
    if (rc < 0)
        return 0;
    size_t length = dns_names_reply(names, &query, rc, reply);
    if (length > sizeof reply || memcmp(reply, data, 2) != 0)
        abort();
    if (query.question_size > 0 && !dns_response_matches(&query, reply, length))
        abort();
    (void)dns_response_matches(&query, data, size);
    return 0;
}
