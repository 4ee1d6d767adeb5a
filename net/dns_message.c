/*
 * Only the question of a query is understood, so this reads no more of the format than that and the
 * OPT record's frame. A name in a question has nothing to point back to: compression there is an
 * error, so there are no loops to bound.
 *
 * Replies repeat the question byte by byte, for clients that check the case of its letters. A name
 * that is no host name (binary labels) is valid DNS; it has an empty `name` and no address.
 */
#include "net/dns_message.h"

#include <errno.h>
#include <string.h>

#define HEADER_SIZE 12
#define NAME_MAX_   255
#define LABEL_MAX   63
#define OPT_SIZE    11
#define UDP_SIZE    1232 /* what we say we can take: fits every path's packets */

enum { FLAG_QR = 0x8000, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_RA = 0x0080, FLAG_CD = 0x0010 };
#define OPCODE(flags) ((flags) >> 11 & 15)

static uint16_t get_big16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint8_t *put_big16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
    return p + 2;
}

static uint8_t *put_big32(uint8_t *p, uint32_t value)
{
    return put_big16(put_big16(p, value >> 16), value & 0xffff);
}

/* The size of the name in wire form at data[0], or 0 if there is none that is whole and plain. */
static size_t name_size(const uint8_t *data, size_t size)
{
    size_t at = 0;
    while (at < size && at < NAME_MAX_) {
        if (data[at] == 0)
            return at + 1;
        if (data[at] > LABEL_MAX)
            return 0;
        at += data[at] + 1u;
    }
    return 0;
}

static void read_name(struct dns_query *query)
{
    char text[NAME_MAX_ + 1];
    size_t length = 0;
    for (const uint8_t *label = query->question; *label != 0; label += *label + 1) {
        if (memchr(label + 1, '.', *label) != NULL)
            return; /* would read as two labels */
        memcpy(text + length, label + 1, *label);
        length += *label;
        text[length++] = '.';
    }
    if (length == 0 || host_normalize(text, length, 0, query->name, NULL) < 0)
        query->name[0] = '\0';
}

/* The records behind the question: an rcode. */
static int read_additional(const uint8_t *data, size_t size, unsigned count,
                           struct dns_query *query)
{
    size_t at = 0;
    for (; count > 0; count--) {
        size_t name = name_size(data + at, size - at);
        if (name == 0 || size - at - name < 10)
            return DNS_FORMERR;
        const uint8_t *record = data + at + name;
        size_t length = get_big16(record + 8);
        at += name + 10;
        if (size - at < length)
            return DNS_FORMERR;
        at += length;
        if (get_big16(record) != DNS_OPT)
            continue;
        if (query->edns || name != 1)
            return DNS_FORMERR;
        query->edns = true;
        if (record[5] != 0)
            return DNS_BADVERS;
    }
    return at == size ? 0 : DNS_FORMERR;
}

int dns_query_parse(const uint8_t *data, size_t size, struct dns_query *out)
{
    memset(out, 0, sizeof *out);
    if (size < HEADER_SIZE || size > DNS_QUERY_MAX)
        return -EBADMSG;
    out->id = get_big16(data);
    out->flags = get_big16(data + 2);
    if ((out->flags & FLAG_QR) != 0)
        return -EBADMSG;
    if (OPCODE(out->flags) != 0)
        return DNS_NOTIMP;
    if (get_big16(data + 4) != 1 || get_big16(data + 6) != 0 || get_big16(data + 8) != 0 ||
        (out->flags & FLAG_TC) != 0)
        return DNS_FORMERR;
    size_t name = name_size(data + HEADER_SIZE, size - HEADER_SIZE);
    size_t end = HEADER_SIZE + name + 4;
    if (name == 0 || end > size)
        return DNS_FORMERR;
    out->question_size = name + 4;
    memcpy(out->question, data + HEADER_SIZE, out->question_size);
    out->type = get_big16(out->question + name);
    out->class = get_big16(out->question + name + 2);
    read_name(out);
    return read_additional(data + end, size - end, get_big16(data + 10), out);
}

size_t dns_reply(const struct dns_query *query, enum dns_rcode rcode, const struct address *address,
                 uint32_t ttl, uint8_t out[DNS_REPLY_MAX])
{
    unsigned opcode = OPCODE(query->flags);
    unsigned flags = FLAG_QR | opcode << 11 | (query->flags & (FLAG_RD | FLAG_CD)) | FLAG_RA |
                     ((unsigned)rcode & 15);
    uint8_t *p = put_big16(out, query->id);
    p = put_big16(p, flags);
    p = put_big16(p, query->question_size > 0 ? 1 : 0);
    p = put_big16(p, address != NULL ? 1 : 0);
    p = put_big16(p, 0);
    p = put_big16(p, query->edns ? 1 : 0);
    memcpy(p, query->question, query->question_size);
    p += query->question_size;
    if (address != NULL) {
        unsigned length = address->v6 ? 16 : 4;
        p = put_big16(p, 0xc000 | HEADER_SIZE); /* the question's name */
        p = put_big16(p, address->v6 ? DNS_AAAA : DNS_A);
        p = put_big16(p, DNS_CLASS_IN);
        p = put_big32(p, ttl);
        p = put_big16(p, length);
        memcpy(p, address->bytes, length);
        p += length;
    }
    if (query->edns) {
        *p++ = 0;
        p = put_big16(p, DNS_OPT);
        p = put_big16(p, UDP_SIZE);
        *p++ = (uint8_t)((unsigned)rcode >> 4);
        memset(p, 0, 5); /* version, flags, no options */
        p += 5;
    }
    return (size_t)(p - out);
}

bool dns_response_matches(const struct dns_query *query, const uint8_t *data, size_t size)
{
    return size >= HEADER_SIZE + query->question_size && query->question_size > 0 &&
           get_big16(data) == query->id && (get_big16(data + 2) & FLAG_QR) != 0 &&
           get_big16(data + 4) == 1 &&
           memcmp(data + HEADER_SIZE, query->question, query->question_size) == 0;
}
