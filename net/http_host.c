/*
 * Who is being talked to is decided by comparing names, so each host has one spelling here. Only
 * inet_pton reads addresses: it takes dotted quads of decimal numbers and nothing else, whereas
 * resolvers also take 127.1, 0177.0.0.1 and 2130706433. Such a name, its last label a number, is
 * no name either (no top-level domain is one), so it is refused instead of resolved.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "net/http.h"

static int bad_host(struct error *err, const char *why)
{
    return error_set(err, EINVAL, "the host %s", why);
}

/* Digits, or 0x and anything: what inet_aton takes for a part of an address. */
static bool is_number(const char *label)
{
    if (label[0] == '0' && label[1] == 'x')
        return true;
    return label[0] != '\0' && label[strspn(label, "0123456789")] == '\0';
}

static int check_name(const char *host, struct error *err)
{
    size_t label = 0;
    for (const char *at = host;; at++) {
        if (*at == '.' || *at == '\0') {
            if (label == 0 || label > 63)
                return bad_host(err, "has an empty label or one of more than 63 characters");
            label = 0;
        } else if (islower((unsigned char)*at) || isdigit((unsigned char)*at) || *at == '-' ||
                   *at == '_') {
            label++;
        } else {
            return bad_host(err, "has a character that names cannot have");
        }
        if (*at == '\0')
            break;
    }
    const char *dot = strrchr(host, '.');
    if (is_number(dot != NULL ? dot + 1 : host))
        return bad_host(err, "is a number that is no IPv4 address");
    return 0;
}

/* `text` has brackets around it; they do not become part of the host. */
static int parse_ipv6(const char *text, size_t size, char host[HTTP_HOST_MAX + 1],
                      struct error *err)
{
    char copy[INET6_ADDRSTRLEN] = "";
    struct in6_addr address;
    if (size - 2 < sizeof copy)
        memcpy(copy, text + 1, size - 2);
    if (inet_pton(AF_INET6, copy, &address) != 1)
        return bad_host(err, "has brackets, but no IPv6 address in them");
    inet_ntop(AF_INET6, &address, host, INET6_ADDRSTRLEN);
    return 0;
}

static int parse_port(const char *text, size_t size, uint16_t *port, struct error *err)
{
    unsigned long value = 0;
    for (size_t i = 0; i < size && value <= UINT16_MAX; i++) {
        if (!isdigit((unsigned char)text[i]))
            return bad_host(err, "has a port that is no number");
        value = value * 10 + (unsigned long)(text[i] - '0');
    }
    if (value == 0 || value > UINT16_MAX)
        return bad_host(err, "has a port that is not between 1 and 65535");
    *port = (uint16_t)value;
    return 0;
}

int http_host_parse(const char *text, size_t size, char host[HTTP_HOST_MAX + 1], uint16_t *port,
                    struct error *err)
{
    *port = 0;
    bool bracket = size > 0 && text[0] == '[';
    const char *end = memchr(text, bracket ? ']' : ':', size);
    size_t length = end == NULL ? size : (size_t)(end - text) + bracket;
    if (bracket && end == NULL)
        return bad_host(err, "has a bracket that is not closed");
    if (length < size) {
        if (text[length] != ':')
            return bad_host(err, "has something behind its bracket that is no port");
        int rc = parse_port(text + length + 1, size - length - 1, port, err);
        if (rc < 0)
            return rc;
    }
    if (bracket)
        return parse_ipv6(text, length, host, err);
    if (length > 1 && text[length - 1] == '.')
        length--;
    if (length == 0)
        return bad_host(err, "is empty");
    if (length > HTTP_HOST_MAX)
        return bad_host(err, "is longer than 253 characters");
    if (memchr(text, '\0', length) != NULL)
        return bad_host(err, "has a character that names cannot have");
    for (size_t i = 0; i < length; i++) /* not tolower(): it knows about locales */
        host[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
    host[length] = '\0';
    struct in_addr address;
    if (inet_pton(AF_INET, host, &address) == 1)
        return 0;
    return check_name(host, err);
}
