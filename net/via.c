/* A proxy's address is the user's word, like a --tcp-map's: it is not judged. */
#include "net/via.h"

#include <ctype.h>
#include <errno.h>
#include <mbedtls/base64.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/address.h"

static const char *variable(const char *first, const char *second)
{
    const char *value = getenv(first);
    if ((value == NULL || value[0] == '\0') && second != NULL)
        value = getenv(second);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* USER:PASSWORD, percent-encoded, as credentials. */
static int set_auth(struct via_proxy *proxy, const char *text, size_t size)
{
    unsigned char plain[VIA_AUTH_MAX / 2];
    size_t length = 0, written;
    for (size_t i = 0; i < size; i++) {
        char hex[3] = {0};
        if (length == sizeof plain)
            return -EINVAL;
        if (text[i] == '%' && i + 2 < size && isxdigit((unsigned char)text[i + 1]) &&
            isxdigit((unsigned char)text[i + 2])) {
            memcpy(hex, text + i + 1, 2);
            plain[length++] = (unsigned char)strtoul(hex, NULL, 16);
            i += 2;
        } else {
            plain[length++] = (unsigned char)text[i];
        }
    }
    memcpy(proxy->auth, "Basic ", 7);
    return mbedtls_base64_encode((unsigned char *)proxy->auth + 6, VIA_AUTH_MAX - 6, &written,
                                 plain, length) == 0
               ? 0
               : -EINVAL;
}

/* The message does not repeat the text: it may hold a password. */
static int parse(const char *name, const char *text, struct via_proxy *out, struct error *err)
{
    if (text == NULL)
        return 0;
    const char *scheme = strstr(text, "://");
    if (scheme != NULL && strncasecmp(text, "http://", 7) != 0)
        return error_set(err, EINVAL, "%s: only http:// is spoken with a proxy", name);
    const char *start = scheme != NULL ? scheme + 3 : text;
    size_t size = strcspn(start, "/");
    const char *at = memrchr(start, '@', size);
    if (at != NULL && set_auth(out, start, (size_t)(at - start)) < 0)
        return error_set(err, EINVAL, "%s: its user and password are too long", name);
    if (at != NULL) {
        size -= (size_t)(at + 1 - start);
        start = at + 1;
    }
    int rc = authority_split(start, size, 0, out->host, &out->port, err);
    if (rc < 0)
        return error_wrap(err, "%s", name);
    if (out->port == 0)
        out->port = 1080; /* as curl has it */
    return 0;
}

int via_read(struct via *via, struct error *err)
{
    *via = (struct via){0};
    const char *all = variable("all_proxy", "ALL_PROXY");
    const char *http = variable("http_proxy", NULL);
    const char *https = variable("https_proxy", "HTTPS_PROXY");
    const char *none = variable("no_proxy", "NO_PROXY");
    int rc = parse("http_proxy", http != NULL ? http : all, &via->http, err);
    if (rc == 0)
        rc = parse("https_proxy", https != NULL ? https : all, &via->https, err);
    if (rc < 0)
        return rc;
    via->none = strdup(none != NULL ? none : "");
    return via->none != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

void via_free(struct via *via)
{
    free(via->none);
    explicit_bzero(via, sizeof *via);
}

/* An entry of no_proxy: a name and what is below it, an address, or a network. */
static bool entry_matches(const char *entry, const char *host)
{
    struct network network;
    struct address address;
    if (address_parse(host, &address) == 0)
        return network_parse(entry, &network, NULL) == 0 && network_contains(&network, &address);
    while (*entry == '*' || *entry == '.')
        entry++;
    size_t size = strlen(entry), length = strlen(host);
    return size > 0 && length >= size && strcasecmp(host + length - size, entry) == 0 &&
           (length == size || host[length - size - 1] == '.');
}

static bool is_exempt(const char *none, const char *host, uint16_t port)
{
    for (const char *at = none; *at != '\0';) {
        char entry[HOST_SIZE + 8];
        at += strspn(at, ", \t");
        size_t size = strcspn(at, ", \t");
        if (size > 0 && size < sizeof entry) {
            memcpy(entry, at, size);
            entry[size] = '\0';
            char *colon = strchr(entry, ':');
            bool ported = colon != NULL && strchr(colon + 1, ':') == NULL;
            if (ported)
                *colon = '\0';
            if (strcmp(entry, "*") == 0 ||
                ((!ported || strtoul(colon + 1, NULL, 10) == port) && entry_matches(entry, host)))
                return true;
        }
        at += size;
    }
    return false;
}

const struct via_proxy *via_find(const struct via *via, bool tls, const char *host, uint16_t port)
{
    const struct via_proxy *proxy = tls ? &via->https : &via->http;
    return proxy->host[0] != '\0' && !is_exempt(via->none, host, port) ? proxy : NULL;
}
