/*
 * What a pattern or an address means is for net/ to say, in the session host: here only the form is
 * looked at, and what must be read on this side is read: files, descriptors, the environment.
 * Values of secrets are wiped from every buffer of ours.
 */
#include "session/cli/vmoptions_net.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "session/protocol/config.h"

static int add(struct strv *list, const char *option, const char *value, struct error *err)
{
    if (*value == '\0')
        return error_set(err, EINVAL, "--%s: an empty value", option);
    return strv_add(list, value) < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

/* One setter an option whose values gather in a list. */
#define LIST_OPTION(member, option)                                                 \
    static int set_##member(void *target, const char *value, struct error *err)     \
    {                                                                               \
        return add(&((struct session_config *)target)->member, option, value, err); \
    }
LIST_OPTION(allow, "allow-host")
LIST_OPTION(deny, "deny-host")
LIST_OPTION(internal, "allow-internal")
LIST_OPTION(tcp_map, "tcp-map")
LIST_OPTION(resolve, "resolve")
LIST_OPTION(dns_servers, "dns-trusted-server")

static int set_ask(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    config->ask = true;
    return value != NULL ? str_number(value, "--ask", 1, CONFIG_ASK_MAX, &config->ask_seconds, err)
                         : 0;
}

static int set_no_net(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct session_config *)target)->no_net = true;
    return 0;
}

static int set_no_websockets(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct session_config *)target)->no_websockets = true;
    return 0;
}

static int set_policy(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    CLEAN_BUF struct buf text = {0};
    int rc = path_read(value, CONFIG_POLICY_MAX, &text, err);
    if (rc < 0)
        return error_wrap(err, "--policy");
    const char *string = buf_string(&text);
    if (string == NULL || strlen(string) != buf_len(&text))
        return error_set(err, EINVAL, "--policy '%.200s': not a JSON text", value);
    free(config->policy);
    config->policy = strdup(string);
    return config->policy != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int set_dns(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    static const char *const known[] = {"synthetic", "trusted", "open"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(value, known[i]) == 0) {
            free(config->dns);
            config->dns = strdup(value);
            return config->dns != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
        }
    return error_set(err, EINVAL, "--dns '%.40s': not one of synthetic, trusted, open", value);
}

static int set_mapping(void *target, const char *value, struct error *err)
{
    bool single = strcmp(value, "single") == 0;
    ((struct session_config *)target)->dns_single = single;
    return single || strcmp(value, "per-host") == 0
               ? 0
               : error_set(err, EINVAL,
                           "--dns-synthetic-host-mapping '%.40s': not one of single, per-host",
                           value);
}

static int set_upstream_ca(void *target, const char *value, struct error *err)
{
    CLEAN_FREE char *path = realpath(value, NULL); /* the session host works elsewhere */
    if (path == NULL || access(path, R_OK) < 0)
        return error_system(err, errno, "--upstream-ca '%.200s'", value);
    return add(&((struct session_config *)target)->upstream_ca, "upstream-ca", path, err);
}

/* Reads all of it; one newline at its end is not part of the value. */
static int secret_read(int fd, char value[SESSION_SECRET_VALUE_MAX + 2], struct error *err)
{
    size_t len = 0;
    ssize_t n;
    while ((n = read(fd, value + len, SESSION_SECRET_VALUE_MAX + 1 - len)) > 0)
        len += (size_t)n;
    if (n < 0)
        return error_system(err, errno, "cannot read the value");
    if (len > 0 && value[len - 1] == '\n')
        len--;
    value[len] = '\0';
    return strlen(value) == len ? 0 : error_set(err, EINVAL, "the value has a NUL byte");
}

/* Where the value comes from: what stands behind the '=', or nothing, for the environment. */
static int secret_value(const char *name, const char *from,
                        char value[SESSION_SECRET_VALUE_MAX + 2], struct error *err)
{
    uint64_t number;
    const char *text = from == NULL ? getenv(name) : from;
    if (text == NULL)
        return error_set(err, EINVAL, "$%.128s is not set", name);
    if (from != NULL && strncmp(from, "fd:", 3) == 0) {
        int rc = str_number(from + 3, "the descriptor", 0, 1 << 20, &number, err);
        return rc == 0 ? secret_read((int)number, value, err) : rc;
    }
    if (from != NULL && from[0] == '@') {
        CLEAN_FD int fd = open(from + 1, O_RDONLY | O_CLOEXEC);
        return fd >= 0 ? secret_read(fd, value, err)
                       : error_system(err, errno, "cannot open %.200s", from + 1);
    }
    size_t len = strlen(text);
    memcpy(value, text, len < SESSION_SECRET_VALUE_MAX + 1 ? len : SESSION_SECRET_VALUE_MAX + 1);
    value[len < SESSION_SECRET_VALUE_MAX + 1 ? len : SESSION_SECRET_VALUE_MAX + 1] = '\0';
    return 0;
}

static int secret_hosts(struct session_secret *secret, const char *hosts, size_t len,
                        struct error *err)
{
    strv_free(&secret->hosts);
    while (len > 0) {
        size_t one = 0;
        while (one < len && hosts[one] != ',')
            one++;
        if (one == 0 || strv_addf(&secret->hosts, "%.*s", (int)one, hosts) < 0)
            return error_set(err, EINVAL, "an empty host");
        hosts += one;
        len -= one;
        if (len > 0) {
            hosts++;
            len--;
        }
    }
    return secret->hosts.count > 0 ? 0 : error_set(err, EINVAL, "it names no host");
}

static int secret_add(struct session_config *config, const char *name, const char *rest,
                      struct error *err)
{
    char value[SESSION_SECRET_VALUE_MAX + 2];
    size_t hosts = strcspn(rest, "=");
    struct session_secret *secret = session_secrets_get(&config->secrets, name);
    if (secret == NULL)
        return error_set(err, EINVAL, "more than %d secrets", SESSION_SECRETS_MAX);
    int rc = secret_hosts(secret, rest, hosts, err);
    if (rc == 0)
        rc = secret_value(name, rest[hosts] == '=' ? rest + hosts + 1 : NULL, value, err);
    if (rc == 0) {
        size_t len = strlen(value);
        session_secret_forget(secret);
        if (len == 0 || len > SESSION_SECRET_VALUE_MAX)
            rc = error_set(err, EINVAL, "the value is empty, or larger than %d bytes",
                           SESSION_SECRET_VALUE_MAX);
        else if ((secret->value = strdup(value)) == NULL)
            rc = error_set(err, ENOMEM, "out of memory");
    }
    explicit_bzero(value, sizeof value);
    return rc;
}

static bool secret_name_good(const char *name, size_t len)
{
    bool good = len > 0 && len <= 128 && !isdigit((unsigned char)name[0]);
    for (size_t i = 0; i < len && good; i++)
        good = isalnum((unsigned char)name[i]) || name[i] == '_';
    return good;
}

static int set_secret(void *target, const char *value, struct error *err)
{
    const char *at = strchr(value, '@');
    size_t len = strcspn(value, "@");
    if (at == NULL ||
        !secret_name_good(value, len)) /* nothing of it is shown: it may be the value */
        return error_set(err, EINVAL, "--host-secret: not NAME@HOST[,HOST...][=VALUE]");
    CLEAN_FREE char *name = strndup(value, len);
    if (name == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = secret_add(target, name, at + 1, err);
    return rc < 0 ? error_wrap(err, "--host-secret %s", name) : 0;
}

static int set_secret_query(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    if (!secret_name_good(value, strlen(value)))
        return error_set(err, EINVAL, "--secret-in-query '%.40s': not the name of a secret", value);
    struct session_secret *secret = session_secrets_get(&config->secrets, value);
    if (secret == NULL)
        return error_set(err, EINVAL, "more than %d secrets", SESSION_SECRETS_MAX);
    secret->query = true;
    return 0;
}

static const struct option options[] = {
    {"allow-host", 0, "PATTERN", set_allow,
     "[METHOD ]HOST[:PORT][/PATH]: allow this, and nothing that no rule names; repeatable"},
    {"deny-host", 0, "PATTERN", set_deny, "refuse this, whatever allows it; repeatable"},
    {"allow-internal", 0, "PATTERN", set_internal,
     "a host, also at an internal address; or a network (CIDR); repeatable"},
    {"ask", 0, "[=SECONDS]", set_ask,
     "hold what no rule names until someone answers (30 s, then it is denied)"},
    {"policy", 0, "FILE", set_policy, "rules as JSON (see vmdeck-allow(1))"},
    {"no-net", 0, NULL, set_no_net, "no network at all"},
    {"host-secret", 0, "NAME@HOST[,...]", set_secret,
     "put $NAME (or =@FILE, =fd:N) into requests to HOST; the VM sees a placeholder"},
    {"secret-in-query", 0, "NAME", set_secret_query, "also in the query of a URL"},
    {"dns", 0, "MODE", set_dns, "synthetic, trusted, or open (synthetic)"},
    {"dns-trusted-server", 0, "IP", set_dns_servers, "for --dns trusted; repeatable"},
    {"dns-synthetic-host-mapping", 0, "MODE", set_mapping,
     "single: one address for all names; per-host (per-host)"},
    {"tcp-map", 0, "HOST[:PORT]=ADDRESS:PORT", set_tcp_map,
     "lead TCP connections to HOST elsewhere; repeatable"},
    {"resolve", 0, "HOST=ADDRESS", set_resolve, "the address of a name; repeatable"},
    {"upstream-ca", 0, "FILE", set_upstream_ca,
     "more authorities (PEM) to verify servers with; repeatable"},
    {"disable-websockets", 0, NULL, set_no_websockets, "refuse WebSockets"},
    {0},
};

const struct option_group network_options = {"Network options", options};
