/* Nothing is guessed around: options that contradict each other are an error that names both. */
#include "net/dns_options.h"

#include <errno.h>
#include <string.h>

static const char *const modes[] = {
    [DNS_MODE_SYNTHETIC] = "synthetic",
    [DNS_MODE_TRUSTED] = "trusted",
    [DNS_MODE_OPEN] = "open",
};

static const char *const mappings[] = {
    [DNS_MAPPING_SINGLE] = "single",
    [DNS_MAPPING_PER_HOST] = "per-host",
};

/* The name's index, or -EINVAL. */
static int find(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -EINVAL;
}

static int parse_servers(const struct strv *servers, struct dns_settings *out, struct error *err)
{
    if (servers->count > DNS_SERVERS_MAX)
        return error_set(err, EINVAL, "--dns-trusted-server: more than %d", DNS_SERVERS_MAX);
    for (size_t i = 0; i < servers->count; i++)
        if (address_parse(servers->items[i], &out->servers[out->server_count++]) < 0)
            return error_set(err, EINVAL, "--dns-trusted-server: '%.60s' is not an IP address",
                             servers->items[i]);
    return 0;
}

int dns_settle(const struct dns_options *options, struct dns_settings *out, struct error *err)
{
    const char *needs = options->needs_names;
    int mode = DNS_MODE_SYNTHETIC, mapping = DNS_MAPPING_PER_HOST;
    *out = (struct dns_settings){0};
    if (options->mode != NULL)
        mode = find(modes, sizeof modes / sizeof modes[0], options->mode);
    if (mode < 0)
        return error_set(err, EINVAL, "--dns: '%.40s' is not synthetic, trusted or open",
                         options->mode);
    if (options->mapping != NULL)
        mapping = find(mappings, sizeof mappings / sizeof mappings[0], options->mapping);
    if (mapping < 0)
        return error_set(err, EINVAL,
                         "--dns-synthetic-host-mapping: '%.40s' is not single or per-host",
                         options->mapping);
    if (needs != NULL && mode != DNS_MODE_SYNTHETIC)
        return error_set(err, EINVAL, "%s requires dns mode 'synthetic'", needs);
    if (needs != NULL && mapping != DNS_MAPPING_PER_HOST)
        return error_set(err, EINVAL, "%s requires dns host mapping 'per-host'", needs);
    if (options->mapping != NULL && mode != DNS_MODE_SYNTHETIC)
        return error_set(err, EINVAL, "--dns-synthetic-host-mapping requires --dns synthetic");
    if (options->servers.count > 0 && mode != DNS_MODE_TRUSTED)
        return error_set(err, EINVAL, "--dns-trusted-server requires --dns trusted");
    out->mode = (enum dns_mode)mode;
    out->mapping = (enum dns_mapping)mapping;
    return parse_servers(&options->servers, out, err);
}
