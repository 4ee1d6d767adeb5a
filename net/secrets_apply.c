/*
 * What leaves. A text is gone through once from left to right: a placeholder becomes its value, and
 * where a value (or a form of it) begins it must be allowed to go there. A value inside one that is
 * allowed is part of it, not a leak. It is measured first and written into memory reserved at once:
 * a buffer that grew would leave values behind in freed memory.
 *
 * Percent-encoding has no one form, so text with '%' in it is also looked at decoded, repeatedly.
 */
#include <errno.h>
#include <mbedtls/base64.h>
#include <string.h>

#include "net/secrets_internal.h"

#define DECODE_ROUNDS 3

enum scan_mode {
    SCAN_CHECK,  /* placeholders mean nothing here */
    SCAN_HEADER, /* substituted as they are */
    SCAN_QUERY,  /* of secrets with in_query, percent-encoded */
};

struct scan {
    const struct secrets *secrets;
    const struct secret_target *target;
    enum scan_mode mode;
    uint64_t allowed, forbidden;
    struct secret_uses *uses;
    struct error *err;
};

/* Where a scan's result goes; without memory it is only measured. */
struct sink {
    uint8_t *out;
    size_t size;
    bool changed;
};

static void emit(struct sink *sink, const void *data, size_t size)
{
    if (sink->out != NULL)
        memcpy(sink->out + sink->size, data, size);
    sink->size += size;
}

static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void emit_encoded(struct sink *sink, const struct secret_value *value)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < value->length; i++) {
        uint8_t c = value->bytes[i];
        const char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
        if (is_unreserved(c))
            emit(sink, &c, 1);
        else
            emit(sink, escape, sizeof escape);
    }
}

uint64_t secrets_allowed(const struct secrets *secrets, const struct secret_target *target)
{
    uint64_t allowed = 0;
    for (size_t i = 0; i < secrets->count; i++) {
        const struct secret *secret = &secrets->items[i];
        for (size_t j = 0; j < secret->host_count && secret->value.bytes != NULL; j++)
            if (secret->hosts[j].plain != target->tls &&
                pattern_host_matches(&secret->hosts[j], target->host, target->port))
                allowed |= UINT64_C(1) << i;
    }
    return allowed;
}

static bool same_value(const struct secret *a, const struct secret *b)
{
    return a->value.length == b->value.length &&
           memcmp(a->value.bytes, b->value.bytes, a->value.length) == 0;
}

uint64_t secrets_forbidden(const struct secrets *secrets, const struct secret_target *target)
{
    uint64_t allowed = secrets_allowed(secrets, target), forbidden = 0;
    for (size_t i = 0; i < secrets->count; i++)
        if ((allowed >> i & 1) == 0)
            forbidden |= UINT64_C(1) << i;
    /* the same value under another name may go there */
    for (size_t i = 0; i < secrets->count; i++)
        for (size_t j = 0; j < secrets->count && secrets->items[i].value.bytes != NULL; j++)
            if ((allowed >> j & 1) != 0 && same_value(&secrets->items[i], &secrets->items[j]))
                forbidden &= ~(UINT64_C(1) << i);
    return forbidden;
}

static int refuse(const struct scan *scan, size_t index, const char *what)
{
    const struct secret *secret = &scan->secrets->items[index];
    scan->uses->blocked |= UINT64_C(1) << index;
    return error_set(scan->err, EPERM, "%s secret %s may not go to %s://%s:%u", what, secret->name,
                     scan->target->tls ? "https" : "http", scan->target->host, scan->target->port);
}

static int substitute(const struct scan *scan, const struct needle *needle, const uint8_t *text,
                      struct sink *sink)
{
    const struct secret *secret = &scan->secrets->items[needle->secret];
    if (scan->mode == SCAN_CHECK || (scan->mode == SCAN_QUERY && !secret->in_query)) {
        emit(sink, text, needle->length);
        return 0;
    }
    sink->changed = true;
    if (secret->value.bytes == NULL)
        return 0; /* deleted: stands for nothing */
    if ((scan->allowed >> needle->secret & 1) == 0)
        return refuse(scan, needle->secret, "the");
    scan->uses->injected |= UINT64_C(1) << needle->secret;
    if (scan->mode == SCAN_QUERY)
        emit_encoded(sink, &secret->value);
    else
        emit(sink, secret->value.bytes, secret->value.length);
    return 0;
}

/* The values that begin at `at`. *covered is where the allowed ones seen so far end. */
static int check_values(const struct scan *scan, const uint8_t *data, size_t size, size_t at,
                        size_t *covered)
{
    const struct matcher *matcher = scan->secrets->matcher;
    const struct needle *needle = NULL;
    while ((needle = matcher_at(matcher, data + at, size - at, needle)) != NULL)
        if (needle->kind == NEEDLE_VALUE && (scan->forbidden >> needle->secret & 1) == 0 &&
            at + needle->length > *covered)
            *covered = at + needle->length;
    while ((needle = matcher_at(matcher, data + at, size - at, needle)) != NULL) {
        if (at + needle->length <= *covered)
            continue;
        if (needle->kind == NEEDLE_FORMER)
            return refuse(scan, needle->secret, "the former value of");
        if (needle->kind == NEEDLE_VALUE)
            return refuse(scan, needle->secret, "the value of");
    }
    return 0;
}

static int scan_text(const struct scan *scan, const uint8_t *data, size_t size, struct sink *sink)
{
    const struct matcher *matcher = scan->secrets->matcher;
    size_t at = 0, covered = 0;
    while (at < size) {
        size_t next = matcher_next(matcher, data, size, at);
        emit(sink, data + at, next - at);
        at = next;
        if (at == size)
            break;
        const struct needle *needle = matcher_at(matcher, data + at, size - at, NULL);
        int rc;
        if (needle != NULL && needle->kind == NEEDLE_PLACEHOLDER) {
            rc = substitute(scan, needle, data + at, sink);
            at += needle->length;
        } else {
            rc = needle != NULL ? check_values(scan, data, size, at, &covered) : 0;
            emit(sink, data + at, 1);
            at++;
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Scans and appends the result. *changed (may be NULL) says whether it differs. */
static int scan_into(const struct scan *scan, const uint8_t *data, size_t size, struct buf *out,
                     bool *changed)
{
    struct sink measure = {0};
    int rc = scan_text(scan, data, size, &measure);
    if (rc < 0)
        return rc;
    if (measure.size > SECRET_TEXT_MAX)
        return error_set(scan->err, EMSGSIZE, "longer than %u bytes with its secrets",
                         SECRET_TEXT_MAX);
    if (changed != NULL)
        *changed = measure.changed;
    if (measure.size == 0)
        return 0;
    struct sink write = {.out = buf_reserve(out, measure.size)};
    if (write.out == NULL)
        return error_set(scan->err, ENOMEM, "out of memory");
    (void)scan_text(scan, data, size, &write);
    buf_added(out, write.size);
    return 0;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; the new size. */
static size_t percent_decode(uint8_t *text, size_t size)
{
    size_t to = 0;
    for (size_t i = 0; i < size; to++) {
        int high = text[i] == '%' && i + 2 < size ? hex_digit(text[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        text[to] = (uint8_t)(low >= 0 ? high << 4 | low : text[i]);
        i += low >= 0 ? 3 : 1;
    }
    return to;
}

static int check_text(const struct scan *scan, const uint8_t *text, size_t size)
{
    CLEAN_SECRET_BUF struct buf decoded = {0};
    struct scan check = *scan;
    struct sink nowhere = {0};
    check.mode = SCAN_CHECK;
    int rc = scan_text(&check, text, size, &nowhere);
    if (rc < 0 || size == 0 || memchr(text, '%', size) == NULL)
        return rc;
    if (buf_append(&decoded, text, size) < 0)
        return error_set(scan->err, ENOMEM, "out of memory");
    for (int round = 0; round < DECODE_ROUNDS && rc == 0; round++) {
        size_t before = size;
        size = percent_decode(buf_data(&decoded), size);
        if (size == before)
            break;
        rc = scan_text(&check, buf_data(&decoded), size, &nowhere);
    }
    return rc;
}

static struct scan make_scan(const struct secrets *secrets, const struct secret_target *target,
                             enum scan_mode mode, struct secret_uses *uses, struct error *err)
{
    return (struct scan){.secrets = secrets,
                         .target = target,
                         .mode = mode,
                         .allowed = secrets_allowed(secrets, target),
                         .forbidden = secrets_forbidden(secrets, target),
                         .uses = uses,
                         .err = err};
}

/* The credentials of "Basic …", or NULL. */
static const uint8_t *basic_credentials(const char *name, const uint8_t *text, size_t size,
                                        size_t *length)
{
    size_t at = 6;
    if ((strcasecmp(name, "authorization") != 0 && strcasecmp(name, "proxy-authorization") != 0) ||
        size <= at || strncasecmp((const char *)text, "basic ", at) != 0)
        return NULL;
    while (at < size && text[at] == ' ')
        at++;
    *length = size - at;
    while (*length > 0 && text[at + *length - 1] == ' ')
        --*length;
    return text + at;
}

/* 1 and appended if there was something to substitute, 0 if not. */
static int substitute_basic(const struct scan *scan, const uint8_t *text, size_t size,
                            struct buf *out)
{
    CLEAN_SECRET_BUF struct buf plain = {0};
    CLEAN_SECRET_BUF struct buf decoded = {0};
    bool changed = false;
    size_t length;
    uint8_t *room = buf_reserve(&decoded, size + 1);
    if (room == NULL)
        return error_set(scan->err, ENOMEM, "out of memory");
    if (mbedtls_base64_decode(room, size + 1, &length, text, size) != 0)
        return 0;
    buf_added(&decoded, length);
    int rc = scan_into(scan, room, length, &plain, &changed);
    if (rc < 0 || !changed)
        return rc;
    size_t need = (buf_len(&plain) + 2) / 3 * 4 + 1;
    room = buf_reserve(out, 6 + need);
    if (room == NULL)
        return error_set(scan->err, ENOMEM, "out of memory");
    memcpy(room, "Basic ", 6);
    /* without any bytes it has no data to point to */
    if (mbedtls_base64_encode(room + 6, need, &length,
                              buf_len(&plain) > 0 ? buf_data(&plain) : room, buf_len(&plain)) != 0)
        return error_set(scan->err, EMSGSIZE, "credentials too long");
    buf_added(out, 6 + length);
    return 1;
}

int secrets_header(const struct secrets *secrets, const struct secret_target *target,
                   const char *name, const uint8_t *text, size_t size, struct buf *out,
                   struct secret_uses *uses, struct error *err)
{
    struct scan scan = make_scan(secrets, target, SCAN_HEADER, uses, err);
    size_t length;
    int rc = check_text(&scan, text, size);
    const uint8_t *basic = basic_credentials(name, text, size, &length);
    if (rc == 0 && basic != NULL)
        rc = substitute_basic(&scan, basic, length, out);
    if (rc == 0)
        rc = scan_into(&scan, text, size, out, NULL);
    if (rc < 0)
        error_wrap(err, "header %.60s", name);
    return rc < 0 ? rc : 0;
}

int secrets_request_target(const struct secrets *secrets, const struct secret_target *target,
                           const char *text, size_t size, struct buf *out, struct secret_uses *uses,
                           struct error *err)
{
    struct scan scan = make_scan(secrets, target, SCAN_QUERY, uses, err);
    const uint8_t *bytes = (const uint8_t *)text;
    const uint8_t *query = size > 0 ? memchr(bytes, '?', size) : NULL;
    size_t path = query != NULL ? (size_t)(query - bytes) : size;
    CLEAN_SECRET_BUF struct buf substituted = {0};
    int rc = check_text(&scan, bytes, size);
    if (rc == 0)
        rc = scan_into(&scan, bytes + path, size - path, &substituted, NULL);
    if (rc < 0) {
        error_wrap(err, "request target");
        return rc;
    }
    size_t whole = path + buf_len(&substituted);
    uint8_t *room = whole > 0 ? buf_reserve(out, whole) : NULL;
    if (room == NULL)
        return whole > 0 ? error_set(err, ENOMEM, "out of memory") : 0;
    memcpy(room, bytes, path);
    if (whole > path)
        memcpy(room + path, buf_data(&substituted), whole - path);
    buf_added(out, whole);
    return 0;
}

int secrets_check(const struct secrets *secrets, const struct secret_target *target,
                  const uint8_t *text, size_t size, struct secret_uses *uses, struct error *err)
{
    struct scan scan = make_scan(secrets, target, SCAN_CHECK, uses, err);
    return check_text(&scan, text, size);
}
