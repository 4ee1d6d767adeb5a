/* First bytes and what they are; ClientHellos are put together from parts here. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/sniff.h"

/* "what" and its answer once all its bytes are there; every shorter start is no other answer. */
static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum sniff_kind kind;
    } rows[] = {
        {"", SNIFF_MORE},
        {"G", SNIFF_MORE},
        {"GET", SNIFF_MORE},
        {"GET ", SNIFF_HTTP},
        {"M-SEARCH * HTTP/1.1", SNIFF_HTTP},
        {"PROPFIND /", SNIFF_HTTP},
        {"CONNECT a:443", SNIFF_HTTP},
        {"P", SNIFF_MORE},
        {"POST /", SNIFF_HTTP},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", SNIFF_MORE},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SNIFF_HTTP2},
        {"PRI * HTTP/2.1", SNIFF_HTTP},
        {"S", SNIFF_MORE},
        {"SSH", SNIFF_MORE},
        {"SSH-2.0-OpenSSH_9.0", SNIFF_SSH},
        {"SEARCH /", SNIFF_HTTP},
        {" GET / HTTP/1.1", SNIFF_UNKNOWN},
        {"get / HTTP/1.1", SNIFF_UNKNOWN},
        {"\r\nGET / HTTP/1.1", SNIFF_UNKNOWN},
        {"GET\t/", SNIFF_UNKNOWN},
        {"EHLO\r\n", SNIFF_UNKNOWN},
        {"AAAAAAAAAAAAAAAAAAAAAAAA", SNIFF_MORE},
        {"AAAAAAAAAAAAAAAAAAAAAAAAA", SNIFF_UNKNOWN},
        {"\x80\x2e\x01\x03\x01", SNIFF_UNKNOWN}, /* SSL 2 */
        {"\x16", SNIFF_MORE},
        {"\x16\x02", SNIFF_UNKNOWN},
        {"\x16\x03\x05\x01\x01", SNIFF_UNKNOWN},
        {"\x16\x03\x01\x41\x01", SNIFF_UNKNOWN},                 /* a record of more than 16 KiB */
        {"\x16\x03\x01\x01\x01\x02", SNIFF_UNKNOWN},             /* ServerHello */
        {"\x16\x03\x01\x01\x01\x01\x01\x01", SNIFF_MORE},        /* needs another byte of length */
        {"\x16\x03\x01\x01\x01\x01\x01\x01\x01", SNIFF_UNKNOWN}, /* of 65 KiB */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct sniff result;
        size_t size = strlen(rows[i].in);
        for (size_t cut = 0; cut <= size; cut++) {
            enum sniff_kind kind = sniff((const uint8_t *)rows[i].in, cut, &result);
            assert_int_equal(kind, result.kind);
            if (cut == size)
                assert_int_equal(kind, rows[i].kind);
            else
                assert_true(kind == SNIFF_MORE || kind == rows[i].kind);
            assert_int_equal(kind == SNIFF_UNKNOWN, result.why != NULL);
        }
    }
}

static void put(struct buf *out, size_t value, size_t size)
{
    while (size-- > 0) {
        uint8_t byte = (uint8_t)(value >> 8 * size);
        assert_int_equal(buf_append(out, &byte, 1), 0);
    }
}

/* `in` with its length in front, in `size` bytes; `in` is empty behind it. */
static void put_vector(struct buf *out, struct buf *in, size_t size)
{
    put(out, buf_len(in), size);
    assert_int_equal(buf_append(out, buf_data(in), buf_len(in)), 0);
    buf_free(in);
}

static void put_extension(struct buf *out, size_t type, struct buf *content)
{
    put(out, type, 2);
    put_vector(out, content, 2);
}

static void put_name(struct buf *out, size_t type, const char *name)
{
    struct buf text = {0}, list = {0}, extension = {0};
    assert_int_equal(buf_append(&text, name, strlen(name)), 0);
    put(&list, type, 1);
    put_vector(&list, &text, 2);
    put_vector(&extension, &list, 2);
    put_extension(out, 0, &extension);
}

static void put_protocol(struct buf *out, const char *name)
{
    struct buf text = {0}, list = {0}, extension = {0};
    assert_int_equal(buf_append(&text, name, strlen(name)), 0);
    put_vector(&list, &text, 1);
    put_vector(&extension, &list, 2);
    put_extension(out, 16, &extension);
}

/* The message, in records of at most `piece` bytes. Takes the extensions. */
static void put_hello(struct buf *out, struct buf *extensions, size_t piece)
{
    static const uint8_t random[32];
    struct buf body = {0}, message = {0};
    put(&body, 0x0303, 2);
    assert_int_equal(buf_append(&body, random, sizeof random), 0);
    put(&body, 0, 1); /* session id */
    put(&body, 4, 2); /* suites: GREASE and one */
    put(&body, 0x0a0ac02b, 4);
    put(&body, 0x0100, 2); /* no compression */
    put_vector(&body, extensions, 2);
    put(&message, 1, 1);
    put_vector(&message, &body, 3);
    while (buf_len(&message) > 0) {
        size_t size = buf_len(&message) < piece ? buf_len(&message) : piece;
        put(out, 0x160301, 3);
        put(out, size, 2);
        assert_int_equal(buf_append(out, buf_data(&message), size), 0);
        buf_consume(&message, size);
    }
    buf_free(&message);
}

static void grease(struct buf *out)
{
    struct buf content = {0};
    put(&content, 0, 1);
    put_extension(out, 0x1a1a, &content);
}

static void test_hello(void **state)
{
    (void)state;
    static const struct {
        const char *name, *protocol, *expected;
        bool http1, ech;
    } rows[] = {
        {"a.example", "http/1.1", "a.example", true, false},
        {"A.Example.", "h2", "a.example", false, false},
        {NULL, NULL, "", false, false},
        {"a.example", NULL, "a.example", false, true},
        {"xn--bcher-kva.example", "http/1.0", "xn--bcher-kva.example", false, false},
    };
    static const size_t pieces[] = {16384, 100, 7, 1};
    for (size_t i = 0; i < ARRAY_SIZE(rows) * ARRAY_SIZE(pieces); i++) {
        size_t row = i / ARRAY_SIZE(pieces);
        struct buf extensions = {0}, hello = {0}, random = {0};
        grease(&extensions);
        if (rows[row].name != NULL)
            put_name(&extensions, 0, rows[row].name);
        if (rows[row].protocol != NULL)
            put_protocol(&extensions, rows[row].protocol);
        put(&random, 42, 8);
        if (rows[row].ech)
            put_extension(&extensions, 0xfe0d, &random);
        buf_free(&random);
        put_hello(&hello, &extensions, pieces[i % ARRAY_SIZE(pieces)]);
        size_t size = buf_len(&hello);
        put(&hello, 0x140303, 3); /* what follows the hello does not matter */
        struct sniff result;
        for (size_t cut = 1; cut < size; cut++)
            assert_int_equal(sniff(buf_data(&hello), cut, &result), SNIFF_MORE);
        for (; size <= buf_len(&hello); size++) {
            assert_int_equal(sniff(buf_data(&hello), size, &result), SNIFF_TLS);
            assert_string_equal(result.server_name, rows[row].expected);
            assert_int_equal(result.alpn, rows[row].protocol != NULL);
            assert_int_equal(result.alpn_http1, rows[row].http1);
            assert_int_equal(result.ech, rows[row].ech);
        }
        buf_free(&hello);
    }
}

static void refuse(struct buf *extensions)
{
    struct buf hello = {0};
    struct sniff result;
    put_hello(&hello, extensions, 16384);
    assert_int_equal(sniff(buf_data(&hello), buf_len(&hello), &result), SNIFF_UNKNOWN);
    buf_free(&hello);
}

static void test_bad_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",      ".",   "a..b",      "1.2.3.4", "127.1", "::1",           "[::1]",
        "a:443", "a b", "\xff.test", "a/b",     "u@a",   "a.example\x01",
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct buf extensions = {0};
        put_name(&extensions, 0, names[i]);
        refuse(&extensions);
    }
    char name[255];
    memset(name, 'a', sizeof name);
    name[254] = '\0';
    struct buf extensions = {0};
    put_name(&extensions, 0, name);
    refuse(&extensions);
    put_name(&extensions, 1, "a.example"); /* another type of name */
    refuse(&extensions);
    put_name(&extensions, 0, "a.example"); /* twice */
    put_name(&extensions, 0, "a.example");
    refuse(&extensions);
    put_protocol(&extensions, "http/1.1");
    put_protocol(&extensions, "http/1.1");
    refuse(&extensions);
    put_protocol(&extensions, "");
    refuse(&extensions);
    struct buf empty = {0};
    put_extension(&extensions, 0, &empty); /* no list of names */
    refuse(&extensions);
    put(&extensions, 7, 1); /* a byte left over */
    refuse(&extensions);
    put(&extensions, 0x00170001, 4); /* a length beyond the end */
    refuse(&extensions);
}

static void test_two_names(void **state)
{
    (void)state;
    struct buf list = {0}, extension = {0}, extensions = {0};
    for (int i = 0; i < 2; i++) {
        struct buf text = {0};
        assert_int_equal(buf_append(&text, i == 0 ? "a.example" : "b.example", 9), 0);
        put(&list, 0, 1);
        put_vector(&list, &text, 2);
    }
    put_vector(&extension, &list, 2);
    put_extension(&extensions, 0, &extension);
    refuse(&extensions);
}

/* Up to 16 KiB, headers of records included. */
static void test_large(void **state)
{
    (void)state;
    struct buf extensions = {0}, filler = {0}, hello = {0};
    struct sniff result;
    for (int i = 0; i < 1500; i++)
        put(&filler, 0, 8);
    put_extension(&extensions, 21, &filler);
    put_name(&extensions, 0, "a.example");
    put_hello(&hello, &extensions, 16384);
    assert_int_equal(sniff(buf_data(&hello), buf_len(&hello), &result), SNIFF_TLS);
    buf_free(&hello);

    for (int i = 0; i < 2100; i++)
        put(&filler, 0, 8);
    put_extension(&extensions, 21, &filler);
    put_hello(&hello, &extensions, 16384);
    assert_int_equal(sniff(buf_data(&hello), buf_len(&hello), &result), SNIFF_UNKNOWN);
    buf_free(&hello);

    for (int i = 0; i < 1000; i++) /* small enough, but not in records of one byte */
        put(&filler, 0, 8);
    put_extension(&extensions, 21, &filler);
    put_hello(&hello, &extensions, 1);
    assert_int_equal(sniff(buf_data(&hello), SNIFF_MAX - 1, &result), SNIFF_MORE);
    assert_int_equal(sniff(buf_data(&hello), buf_len(&hello), &result), SNIFF_UNKNOWN);
    buf_free(&hello);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),      cmocka_unit_test(test_hello),
        cmocka_unit_test(test_bad_names), cmocka_unit_test(test_two_names),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
