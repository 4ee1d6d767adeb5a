/* What secrets.c keeps, for secrets_apply.c and secrets_stream.c. */
#ifndef VMDECK_NET_SECRETS_INTERNAL_H
#define VMDECK_NET_SECRETS_INTERNAL_H

#include "net/pattern.h"
#include "net/secret_matcher.h"
#include "net/secrets.h"

struct secret_value {
    uint8_t *bytes; /* locked memory */
    size_t length;
};

struct secret {
    char name[SECRET_NAME_MAX];
    char placeholder[SECRET_PLACEHOLDER_SIZE];
    struct pattern *hosts;
    size_t host_count;
    struct secret_value value; /* none: deleted */
    struct secret_value former[SECRET_FORMER_MAX];
    size_t former_count;
    bool in_query;
};

struct secrets {
    struct secret items[SECRETS_MAX];
    size_t count;
    struct matcher *matcher; /* of all of it, never NULL */
};

#endif
