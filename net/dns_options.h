/* The options about DNS, and which of them go together. Pure functions, any thread. */
#ifndef VMDECK_NET_DNS_OPTIONS_H
#define VMDECK_NET_DNS_OPTIONS_H

#include <stddef.h>

#include "base/error.h"
#include "base/str.h"
#include "net/address.h"

#define DNS_SERVERS_MAX 8

enum dns_mode {
    DNS_MODE_SYNTHETIC, /* net/dns_names.h; nothing leaves */
    DNS_MODE_TRUSTED,   /* queries go to fixed resolvers */
    DNS_MODE_OPEN,      /* queries go to whom the guest names */
};

enum dns_mapping { DNS_MAPPING_SINGLE, DNS_MAPPING_PER_HOST };

/* As given on the command line, NULL where nothing was. */
struct dns_options {
    const char *mode;
    const char *mapping;
    struct strv servers;
    const char *needs_names; /* an option in use that needs each name to have its own address */
};

struct dns_settings {
    enum dns_mode mode;
    enum dns_mapping mapping; /* per host, unless the single one was asked for */
    struct address servers[DNS_SERVERS_MAX];
    size_t server_count; /* 0 with DNS_MODE_TRUSTED: the host's own */
};

int dns_settle(const struct dns_options *options, struct dns_settings *out, struct error *err);

#endif
