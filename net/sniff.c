/*
 * TLS: the ClientHello is put together from its records (one message may lie in many), then its
 * extensions are walked. mbedTLS reads the same bytes again later; tls.c makes sure that both found
 * the same name. A hello with anything twice, or with bytes left over, is refused: who parses it
 * otherwise would see another name.
 *
 * Unknown extensions, versions, suites and groups are what they may be (GREASE, RFC 8701): they are
 * stepped over by their lengths.
 */
#include "net/sniff.h"

#include <string.h>

#define RECORD_HEADER    5
#define RECORD_HANDSHAKE 22
#define RECORD_MAX       16384
#define HELLO_CLIENT     1
#define METHOD_MAX       24

enum { EXT_SERVER_NAME = 0, EXT_ALPN = 16, EXT_ECH = 0xfe0d, EXT_ESNI = 0xffce };

struct reader {
    const uint8_t *at, *end;
    bool broken;
};

static enum sniff_kind unknown(struct sniff *sniff, const char *why)
{
    sniff->why = why;
    return SNIFF_UNKNOWN;
}

/* A big-endian number of `size` bytes; beyond the end the reader is broken and it is 0. */
static size_t number(struct reader *reader, size_t size)
{
    size_t value = 0;
    if ((size_t)(reader->end - reader->at) < size) {
        reader->broken = true;
        reader->at = reader->end;
        return 0;
    }
    while (size-- > 0)
        value = value << 8 | *reader->at++;
    return value;
}

/* The vector whose length stands in front of it in `size` bytes. */
static struct reader vector(struct reader *reader, size_t size)
{
    size_t length = number(reader, size);
    if (length > (size_t)(reader->end - reader->at)) {
        reader->broken = true;
        length = 0;
    }
    struct reader inner = {.at = reader->at, .end = reader->at + length};
    reader->at += length;
    return inner;
}

static bool done(const struct reader *reader)
{
    return reader->at == reader->end && !reader->broken;
}

/* Exactly one name of type host_name. An address is none (RFC 6066 3). */
static bool read_server_name(struct reader *extension, struct sniff *sniff)
{
    struct reader list = vector(extension, 2);
    size_t type = number(&list, 1);
    struct reader name = vector(&list, 2);
    uint16_t port;
    size_t size = (size_t)(name.end - name.at);
    if (!done(extension) || !done(&list) || type != 0)
        return false;
    return http_host_parse((const char *)name.at, size, sniff->server_name, &port, NULL) == 0 &&
           port == 0 && strchr(sniff->server_name, ':') == NULL &&
           sniff->server_name[strspn(sniff->server_name, "0123456789.")] != '\0';
}

static bool read_alpn(struct reader *extension, struct sniff *sniff)
{
    struct reader list = vector(extension, 2);
    sniff->alpn = true;
    while (list.at < list.end) {
        struct reader name = vector(&list, 1);
        size_t size = (size_t)(name.end - name.at);
        if (size == 0)
            return false;
        if (size == strlen("http/1.1") && memcmp(name.at, "http/1.1", size) == 0)
            sniff->alpn_http1 = true;
    }
    return done(extension) && done(&list);
}

static bool read_extensions(struct reader list, struct sniff *sniff)
{
    bool names = false, protocols = false, good = true;
    while (list.at < list.end && good) {
        size_t type = number(&list, 2);
        struct reader extension = vector(&list, 2);
        if (type == EXT_SERVER_NAME) {
            good = !names && read_server_name(&extension, sniff);
            names = true;
        } else if (type == EXT_ALPN) {
            good = !protocols && read_alpn(&extension, sniff);
            protocols = true;
        } else if (type == EXT_ECH || type == EXT_ESNI) {
            sniff->ech = true;
        }
    }
    return good && done(&list);
}

static enum sniff_kind read_hello(struct reader hello, struct sniff *sniff)
{
    size_t version = number(&hello, 2);
    for (int i = 0; i < 8; i++)
        (void)number(&hello, 4); /* random */
    struct reader session = vector(&hello, 1);
    struct reader suites = vector(&hello, 2);
    struct reader compression = vector(&hello, 1);
    struct reader extensions = {.at = hello.at, .end = hello.at};
    if (hello.at < hello.end)
        extensions = vector(&hello, 2);
    if (version >> 8 != 3 || !done(&hello) || session.end - session.at > 32 ||
        suites.at == suites.end || (suites.end - suites.at) % 2 != 0 ||
        compression.at == compression.end)
        return unknown(sniff, "its TLS ClientHello is malformed");
    if (!read_extensions(extensions, sniff))
        return unknown(sniff, "its TLS ClientHello has malformed extensions or no valid name");
    return SNIFF_TLS;
}

/* Joins the records' content: how much of it there is, or SIZE_MAX where they are none. */
static size_t join_records(struct reader in, uint8_t joined[SNIFF_MAX])
{
    size_t size = 0;
    while (in.end - in.at >= RECORD_HEADER) {
        size_t type = number(&in, 1), major = number(&in, 1), minor = number(&in, 1);
        size_t length = number(&in, 2);
        if (type != RECORD_HANDSHAKE || major != 3 || minor > 4 || length == 0 ||
            length > RECORD_MAX)
            return SIZE_MAX;
        size_t there = (size_t)(in.end - in.at) < length ? (size_t)(in.end - in.at) : length;
        memcpy(joined + size, in.at, there);
        size += there;
        in.at += there;
        if (size >= 4 && size - 4 >= ((size_t)joined[1] << 16 | (size_t)joined[2] << 8 | joined[3]))
            break; /* what comes behind the hello is not ours */
    }
    return size;
}

static enum sniff_kind sniff_tls(const uint8_t *data, size_t size, struct sniff *sniff)
{
    uint8_t joined[SNIFF_MAX];
    size_t got = join_records((struct reader){.at = data, .end = data + size}, joined);
    struct reader message = {.at = joined, .end = joined + (got == SIZE_MAX ? 0 : got)};
    if (got == SIZE_MAX || (size > 1 && data[1] != 3) || (got > 0 && joined[0] != HELLO_CLIENT))
        return unknown(sniff, "it begins like TLS but is not");
    if (got < 4)
        return SNIFF_MORE;
    (void)number(&message, 1);
    size_t length = number(&message, 3);
    if (length > SNIFF_MAX - RECORD_HEADER - 4)
        return unknown(sniff, "its TLS ClientHello is larger than 16 KiB");
    if (got - 4 < length)
        return SNIFF_MORE;
    message.end = message.at + length;
    return read_hello(message, sniff);
}

/* Is what is there of it the start of this text? */
static bool begins(const uint8_t *data, size_t size, const char *text)
{
    size_t length = strlen(text);
    return memcmp(data, text, size < length ? size : length) == 0;
}

static enum sniff_kind sniff_text(const uint8_t *data, size_t size, struct sniff *sniff)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    if (begins(data, size, preface))
        return size >= strlen(preface) ? SNIFF_HTTP2 : SNIFF_MORE;
    if (begins(data, size, "SSH-"))
        return size >= 4 ? SNIFF_SSH : SNIFF_MORE;
    size_t method = 0;
    while (method < size && method <= METHOD_MAX &&
           ((data[method] >= 'A' && data[method] <= 'Z') || data[method] == '-' ||
            data[method] == '_'))
        method++;
    if (method > METHOD_MAX || (method < size && (method == 0 || data[method] != ' ')))
        return unknown(sniff, "it is neither TLS nor HTTP");
    return method < size ? SNIFF_HTTP : SNIFF_MORE;
}

enum sniff_kind sniff(const uint8_t *data, size_t size, struct sniff *sniff)
{
    *sniff = (struct sniff){.kind = SNIFF_MORE};
    bool full = size >= SNIFF_MAX;
    if (full)
        size = SNIFF_MAX;
    if (size > 0)
        sniff->kind = data[0] == RECORD_HANDSHAKE ? sniff_tls(data, size, sniff)
                                                  : sniff_text(data, size, sniff);
    if (sniff->kind == SNIFF_MORE && full)
        sniff->kind = unknown(sniff, "it did not say what it speaks within 16 KiB");
    return sniff->kind;
}
