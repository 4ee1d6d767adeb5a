/*
 * A name that two programs read differently is how proxies are tricked, so there is one reading and
 * everything else is refused. Underscores are allowed: they are in use (SRV, CDNs). libidn2 does
 * IDNA for what the user types; a guest must send A-labels, as every client does.
 */
#include "net/host.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "net/address.h"
#include "net/libidn2.h"

static void cleanup_idn(char **text)
{
    if (*text != NULL)
        libidn2.free(*text);
}

static int wrong(struct error *err, const char *text, size_t size, const char *why)
{
    char shown[80];
    size_t length = size < sizeof shown - 1 ? size : sizeof shown - 1;
    for (size_t i = 0; i < length; i++)
        shown[i] = text[i];
    shown[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (!isprint((unsigned char)shown[i]))
            shown[i] = '?';
    return error_set(err, EINVAL, "host '%s': %s", shown, why);
}

/* IPv6, with or without brackets. */
static int normalize_v6(const char *text, size_t size, char out[HOST_SIZE], struct error *err)
{
    const char *whole = text;
    size_t whole_size = size;
    char inner[ADDRESS_TEXT_MAX];
    struct address address;
    if (text[0] == '[' && size >= 2 && text[size - 1] == ']') {
        text++;
        size -= 2;
    }
    if (size >= sizeof inner || memchr(text, '\0', size) != NULL)
        return wrong(err, whole, whole_size, "not an IPv6 address");
    memcpy(inner, text, size);
    inner[size] = '\0';
    if (address_parse(inner, &address) < 0 || !address.v6)
        return wrong(err, whole, whole_size, "not an IPv6 address");
    address_print(&address, out);
    return 0;
}

/* What inet_aton() and with it every resolver takes for a number. */
static bool is_number(const char *label, size_t length)
{
    bool hex = length >= 2 && label[0] == '0' && label[1] == 'x';
    for (size_t i = hex ? 2 : 0; i < length; i++)
        if (hex ? !isxdigit((unsigned char)label[i]) : !isdigit((unsigned char)label[i]))
            return false;
    return true;
}

static const char *check_labels(const char *name, unsigned flags)
{
    struct address address;
    const char *label = name;
    size_t length;
    for (;; label += length + 1) {
        length = strcspn(label, ".");
        if (length == 0)
            return "a part of the name is empty";
        if (length > 63)
            return "a part of the name is longer than 63 characters";
        for (size_t i = 0; i < length; i++)
            if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_' &&
                (label[i] != '*' || (flags & HOST_WILDCARD) == 0))
                return "has characters that no host name has";
        if (label[length] == '\0')
            break;
    }
    if (strchr(name, '*') == NULL && is_number(label, length) && address_parse(name, &address) < 0)
        return "not an address as it is usually written";
    return NULL;
}

static int lower_ascii(const char *text, size_t size, char out[HOST_SIZE], struct error *err)
{
    if (size > 0 && text[size - 1] == '.')
        size--;
    if (size == 0)
        return error_set(err, EINVAL, "the host is empty");
    if (size >= HOST_SIZE)
        return wrong(err, text, size, "longer than 253 characters");
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0' || !isascii(text[i]))
            return wrong(err, text, size, "has characters that no host name has");
        else
            out[i] = (char)tolower((unsigned char)text[i]);
    out[size] = '\0';
    return 0;
}

int host_normalize(const char *text, size_t size, unsigned flags, char out[HOST_SIZE],
                   struct error *err)
{
    __attribute__((cleanup(cleanup_idn))) char *ascii = NULL;
    bool unicode = false;
    const char *given = text;
    size_t given_size = size;
    if (size > HOST_TEXT_MAX)
        return wrong(err, text, size, "too long");
    if (size > 0 && (text[0] == '[' || memchr(text, ':', size) != NULL))
        return normalize_v6(text, size, out, err);
    for (size_t i = 0; i < size; i++)
        unicode = unicode || !isascii(text[i]);
    if (unicode && (flags & HOST_UNICODE) != 0 && memchr(text, '\0', size) == NULL) {
        CLEAN_FREE char *copy = strndup(text, size);
        if (copy == NULL)
            return error_set(err, ENOMEM, "out of memory");
        int rc = libidn2_load(err);
        if (rc < 0)
            return rc;
        rc = libidn2.to_ascii_8z(copy, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
        if (rc != IDN2_OK)
            return wrong(err, text, size, libidn2.strerror(rc));
        text = ascii;
        size = strlen(ascii);
    }
    int rc = lower_ascii(text, size, out, err);
    if (rc < 0)
        return rc;
    const char *why = check_labels(out, flags);
    return why != NULL ? wrong(err, given, given_size, why) : 0;
}

int authority_split(const char *text, size_t size, unsigned flags, char host[HOST_SIZE],
                    uint16_t *port, struct error *err)
{
    size_t length = size; /* of the host */
    const char *colon = size > 0 ? memchr(text, ':', size) : NULL;
    *port = 0;
    if (size > 0 && text[0] == '[') {
        const char *bracket = memchr(text, ']', size);
        if (bracket == NULL)
            return wrong(err, text, size, "a bracket is not closed");
        length = (size_t)(bracket - text) + 1;
        if (length < size && text[length] != ':')
            return wrong(err, text, size, "only a port may stand behind the brackets");
    } else if (colon != NULL) {
        length = (size_t)(colon - text);
        if (memchr(colon + 1, ':', size - length - 1) != NULL)
            return wrong(err, text, size, "write IPv6 addresses in brackets, like [::1]:443");
    }
    if (length < size) {
        char digits[6];
        uint64_t number;
        size_t count = size - length - 1;
        if (count == 0 || count >= sizeof digits)
            return wrong(err, text, size, "the port is not a number from 1 to 65535");
        memcpy(digits, text + length + 1, count);
        digits[count] = '\0';
        if (strlen(digits) != count || str_number(digits, "port", 1, 65535, &number, NULL) < 0)
            return wrong(err, text, size, "the port is not a number from 1 to 65535");
        *port = (uint16_t)number;
    }
    return host_normalize(text, length, flags, host, err);
}
