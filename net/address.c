/*
 * The registries are two tables; the first row that matches decides, so the narrower rows stand
 * before the wider ones. IPv6 that no row names is not reachable: IANA has given out 2000::/3 and
 * nothing else. Multicast and the old site-local range are not in the registries and are refused
 * too. 64:ff9b:1::/48 (RFC 8215) hides an IPv4 address at a place that only the local network
 * knows, so it is refused as a whole.
 */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/str.h"

enum reach { NOWHERE, GLOBAL, V4_AT_12, V4_AT_2, V4_TEREDO };

struct range4 {
    uint32_t base;
    uint8_t bits;
    enum reach reach;
    const char *what;
};

struct range6 {
    uint64_t high, low;
    uint8_t bits;
    enum reach reach;
    const char *what;
};

#define V4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

static const struct range4 ranges4[] = {
    {V4(0, 0, 0, 0), 8, NOWHERE, "this network"},
    {V4(10, 0, 0, 0), 8, NOWHERE, "private use"},
    {V4(100, 64, 0, 0), 10, NOWHERE, "shared address space"},
    {V4(127, 0, 0, 0), 8, NOWHERE, "loopback"},
    {V4(169, 254, 0, 0), 16, NOWHERE, "link-local"},
    {V4(172, 16, 0, 0), 12, NOWHERE, "private use"},
    {V4(192, 0, 0, 9), 32, GLOBAL, "PCP anycast"},
    {V4(192, 0, 0, 10), 32, GLOBAL, "TURN anycast"},
    {V4(192, 0, 0, 0), 24, NOWHERE, "IETF protocol assignments"},
    {V4(192, 0, 2, 0), 24, NOWHERE, "documentation"},
    {V4(192, 88, 99, 0), 24, NOWHERE, "6to4 relay anycast"},
    {V4(192, 168, 0, 0), 16, NOWHERE, "private use"},
    {V4(198, 18, 0, 0), 15, NOWHERE, "benchmarking"},
    {V4(198, 51, 100, 0), 24, NOWHERE, "documentation"},
    {V4(203, 0, 113, 0), 24, NOWHERE, "documentation"},
    {V4(224, 0, 0, 0), 4, NOWHERE, "multicast"},
    {V4(255, 255, 255, 255), 32, NOWHERE, "broadcast"},
    {V4(240, 0, 0, 0), 4, NOWHERE, "reserved"},
    {0, 0, GLOBAL, "global"},
};

#define HIGH(a, b, c, d) \
    ((uint64_t)(a) << 48 | (uint64_t)(b) << 32 | (uint64_t)(c) << 16 | (uint64_t)(d))

static const struct range6 ranges6[] = {
    {0, 0, 128, NOWHERE, "unspecified"},
    {0, 1, 128, NOWHERE, "loopback"},
    {0, 0, 96, V4_AT_12, "IPv4-compatible"},
    {0, 0xffff00000000, 96, V4_AT_12, "IPv4-mapped"},
    {HIGH(0x64, 0xff9b, 0, 0), 0, 96, V4_AT_12, "NAT64"},
    {HIGH(0x64, 0xff9b, 1, 0), 0, 48, NOWHERE, "local-use NAT64"},
    {HIGH(0x100, 0, 0, 0), 0, 64, NOWHERE, "discard-only"},
    {HIGH(0x2001, 0, 0, 0), 0, 32, V4_TEREDO, "Teredo"},
    {HIGH(0x2001, 1, 0, 0), 1, 128, GLOBAL, "PCP anycast"},
    {HIGH(0x2001, 1, 0, 0), 2, 128, GLOBAL, "TURN anycast"},
    {HIGH(0x2001, 1, 0, 0), 3, 128, GLOBAL, "DNS-SD registration anycast"},
    {HIGH(0x2001, 3, 0, 0), 0, 32, GLOBAL, "AMT"},
    {HIGH(0x2001, 4, 0x112, 0), 0, 48, GLOBAL, "AS112"},
    {HIGH(0x2001, 0x20, 0, 0), 0, 28, GLOBAL, "ORCHIDv2"},
    {HIGH(0x2001, 0x30, 0, 0), 0, 28, GLOBAL, "drone remote ID"},
    {HIGH(0x2001, 0, 0, 0), 0, 23, NOWHERE, "IETF protocol assignments"},
    {HIGH(0x2001, 0xdb8, 0, 0), 0, 32, NOWHERE, "documentation"},
    {HIGH(0x2002, 0, 0, 0), 0, 16, V4_AT_2, "6to4"},
    {HIGH(0x3fff, 0, 0, 0), 0, 20, NOWHERE, "documentation"},
    {HIGH(0x2000, 0, 0, 0), 0, 3, GLOBAL, "global"},
    {HIGH(0xfc00, 0, 0, 0), 0, 7, NOWHERE, "unique local"},
    {HIGH(0xfe80, 0, 0, 0), 0, 10, NOWHERE, "link-local"},
    {HIGH(0xfec0, 0, 0, 0), 0, 10, NOWHERE, "site-local"},
    {HIGH(0xff00, 0, 0, 0), 0, 8, NOWHERE, "multicast"},
    {0, 0, 0, NOWHERE, "not allocated"},
};

int address_parse(const char *text, struct address *out)
{
    memset(out, 0, sizeof *out);
    out->v6 = strchr(text, ':') != NULL;
    return inet_pton(out->v6 ? AF_INET6 : AF_INET, text, out->bytes) == 1 ? 0 : -EINVAL;
}

void address_print(const struct address *address, char out[ADDRESS_TEXT_MAX])
{
    inet_ntop(address->v6 ? AF_INET6 : AF_INET, address->bytes, out, ADDRESS_TEXT_MAX);
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->v6 == b->v6 && memcmp(a->bytes, b->bytes, a->v6 ? 16 : 4) == 0;
}

int address_from_socket(const struct sockaddr *socket, struct address *out)
{
    memset(out, 0, sizeof *out);
    if (socket->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, socket, sizeof in);
        memcpy(out->bytes, &in.sin_addr, 4);
        return 0;
    }
    if (socket->sa_family != AF_INET6)
        return -EINVAL;
    struct sockaddr_in6 in6;
    memcpy(&in6, socket, sizeof in6);
    if (in6.sin6_scope_id != 0)
        return -EINVAL;
    out->v6 = true;
    memcpy(out->bytes, &in6.sin6_addr, 16);
    return 0;
}

/* The first `bits` bits are the same. */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;
    return memcmp(a, b, bytes) == 0 &&
           (rest == 0 || ((unsigned)(a[bytes] ^ b[bytes]) & (0xff00u >> rest) & 0xff) == 0);
}

static void put_big(uint8_t *out, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

static bool public4(const uint8_t bytes[4], const char **why)
{
    for (const struct range4 *range = ranges4;; range++) {
        uint8_t base[4];
        put_big(base, range->base, sizeof base);
        if (same_prefix(bytes, base, range->bits)) {
            *why = range->what;
            return range->reach == GLOBAL;
        }
    }
}

static const struct range6 *find6(const uint8_t bytes[16])
{
    for (const struct range6 *range = ranges6;; range++) {
        uint8_t base[16];
        put_big(base, range->high, 8);
        put_big(base + 8, range->low, 8);
        if (same_prefix(bytes, base, range->bits))
            return range;
    }
}

bool address_public(const struct address *address, const char **why)
{
    const char *unused = NULL;
    const uint8_t *bytes = address->bytes;
    why = why != NULL ? why : &unused;
    if (!address->v6)
        return public4(bytes, why);
    const struct range6 *range = find6(bytes);
    *why = range->what;
    switch (range->reach) {
    case NOWHERE:
        return false;
    case V4_AT_12:
        return public4(bytes + 12, why);
    case V4_AT_2:
        return public4(bytes + 2, why);
    case V4_TEREDO: {
        /* the server's address, and the client's, which is stored inverted */
        uint8_t client[4];
        for (int i = 0; i < 4; i++)
            client[i] = (uint8_t)~bytes[12 + i];
        return public4(bytes + 4, why) && public4(client, why);
    }
    case GLOBAL:
        break;
    }
    return true;
}

int network_parse(const char *text, struct network *out, struct error *err)
{
    char address[ADDRESS_TEXT_MAX];
    size_t length = strcspn(text, "/");
    if (length < sizeof address) {
        memcpy(address, text, length);
        address[length] = '\0';
    }
    if (length >= sizeof address || address_parse(address, &out->base) < 0)
        return error_set(err, EINVAL, "'%.80s' is not a network (ADDRESS/BITS, like 10.0.0.0/8)",
                         text);
    uint64_t bits = out->base.v6 ? 128 : 32;
    if (text[length] == '/' && str_number(text + length + 1, "prefix length", 0, bits, &bits, err))
        return error_wrap(err, "network '%.80s'", text);
    out->bits = (uint8_t)bits;
    struct address masked = out->base;
    for (unsigned bit = out->bits; bit < (out->base.v6 ? 128u : 32u); bit++)
        masked.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
    if (address_equal(&masked, &out->base))
        return 0;
    char base[ADDRESS_TEXT_MAX];
    address_print(&masked, base);
    return error_set(err, EINVAL, "network '%.80s' has bits behind its prefix: write %s/%u", text,
                     base, out->bits);
}

bool network_contains(const struct network *network, const struct address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *bytes = address->bytes;
    if (!network->base.v6 && address->v6) {
        if (memcmp(bytes, mapped, sizeof mapped) != 0)
            return false;
        bytes += sizeof mapped;
    }
    return (!network->base.v6 || address->v6) &&
           same_prefix(network->base.bytes, bytes, network->bits);
}
