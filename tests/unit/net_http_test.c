/*
 * HTTP in, HTTP out: each row is read, whole and byte by byte, and what was understood is written
 * again. A refusal shows as "!status: reason".
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/http.h"

#define H "Host: a.example\r\n"

/*
 * What is read; what is written again, or how "!status: reason" starts; the request's method where
 * it is a response and not one to GET.
 */
typedef const char *const row[3];

struct transcript {
    struct buf out, body;
    enum http_framing framing;
};

static void note(struct transcript *t, const struct http_event *event)
{
    switch (event->kind) {
    case HTTP_EVENT_HEAD:
        assert_int_equal(http_head_write(event->head, NULL, &t->out), 0);
        t->framing = event->head->framing;
        http_head_free(event->head);
        break;
    case HTTP_EVENT_DATA:
        assert_true(event->size > 0);
        assert_int_equal(buf_append(&t->body, event->data, event->size), 0);
        break;
    case HTTP_EVENT_END:
        assert_int_equal(
            http_body_write(t->framing, buf_data(&t->body), buf_len(&t->body), &t->out), 0);
        assert_int_equal(http_body_end(t->framing, event->trailers, &t->out), 0);
        buf_consume(&t->body, buf_len(&t->body));
        break;
    case HTTP_EVENT_MORE:
    case HTTP_EVENT_TUNNEL:
        break;
    }
}

/* False when it was refused, which the transcript then says. */
static bool feed(struct http_reader *reader, const char *at, size_t size, struct transcript *t)
{
    struct http_event event;
    struct error err = {0};
    for (;;) {
        size_t used;
        if (http_read(reader, at, size, &used, &event, &err) < 0) {
            buf_consume(&t->out, buf_len(&t->out));
            assert_int_equal(buf_printf(&t->out, "!%d: %s", reader->refusal, err.message), 0);
            return false;
        }
        assert_true(used <= size);
        at += used;
        size -= used;
        note(t, &event);
        if (event.kind == HTTP_EVENT_TUNNEL) {
            assert_int_equal(buf_printf(&t->out, "[tunnel]"), 0);
            assert_int_equal(buf_append(&t->out, at, size), 0);
            return true;
        }
        if (event.kind == HTTP_EVENT_MORE) {
            assert_int_equal(size, 0);
            return true;
        }
    }
}

static void end(struct http_reader *reader, struct transcript *t)
{
    struct http_event event;
    struct error err = {0};
    if (http_read_end(reader, &event, &err) < 0) {
        buf_consume(&t->out, buf_len(&t->out));
        assert_int_equal(buf_printf(&t->out, "!%d: %s", reader->refusal, err.message), 0);
        return;
    }
    note(t, &event);
}

static void expect(struct http_reader *reader, const char *method)
{
    struct http_head request = {.method = method != NULL ? method : "GET", .minor = 1};
    if (strcmp(request.method, "CONNECT") == 0) {
        http_reader_expect_connect(reader);
        return;
    }
    if (strcmp(request.method, "WS") == 0) {
        request.method = "GET";
        request.websocket = true;
        request.fields.count = 1;
        request.fields.items[0] =
            (struct http_field){.name = "Sec-WebSocket-Key", .value = "dGhlIHNhbXBsZSBub25jZQ=="};
    }
    assert_int_equal(http_reader_expect(reader, &request), 0);
}

static void check(const row *row_at, bool response, size_t piece)
{
    const char *in = (*row_at)[0], *expected = (*row_at)[1];
    struct http_reader reader;
    struct transcript t = {0};
    if (response) {
        http_reader_responses(&reader);
        expect(&reader, (*row_at)[2]);
    } else {
        http_reader_requests(&reader, false);
    }
    size_t size = strlen(in);
    bool going = true;
    for (size_t at = 0; at < size && going; at += piece)
        going = feed(&reader, in + at, size - at < piece ? size - at : piece, &t);
    if (going)
        end(&reader, &t);
    const char *out = buf_string(&t.out);
    assert_non_null(out);
    if (expected[0] == '!')
        assert_memory_equal(out, expected,
                            strlen(out) < strlen(expected) ? strlen(out) + 1 : strlen(expected));
    else
        assert_string_equal(out, expected);
    buf_free(&t.out);
    buf_free(&t.body);
    http_reader_free(&reader);
}

static void check_rows(const row *rows, size_t count, bool response)
{
    for (size_t i = 0; i < count; i++) {
        check(&rows[i], response, strlen(rows[i][0]));
        if (strstr(rows[i][1], "[tunnel]") == NULL) /* pieces behind it would be marked again */
            check(&rows[i], response, 1);
    }
}

static void test_requests(void **state)
{
    (void)state;
    static const row rows[] = {
        {"GET /a?b=c HTTP/1.1\r\nHost: A.Example.\r\n\r\n",
         "GET /a?b=c HTTP/1.1\r\nHost: a.example\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost:a.example:80\r\nX-Test: a\r\nx-test:\tb \r\n\r\n",
         "GET / HTTP/1.1\r\n" H "X-Test: a\r\nx-test: b\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a.example:8080\r\nEmpty:\r\n\r\n",
         "GET / HTTP/1.1\r\nHost: a.example:8080\r\nEmpty: \r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: [0:0:0:0:0:0:0:1]:81\r\n\r\n",
         "GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n"},
        /* absolute-form becomes origin-form */
        {"GET http://A.example/x?y HTTP/1.1\r\n" H "\r\n", "GET /x?y HTTP/1.1\r\n" H "\r\n"},
        {"GET http://a.example:80?y HTTP/1.1\r\n" H "\r\n", "GET /?y HTTP/1.1\r\n" H "\r\n"},
        {"GET http://a.example HTTP/1.0\r\n\r\n",
         "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n"},
        /* bodies */
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello",
         "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n",
         "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"},
        {"POST / HTTP/1.1\r\n" H
         "Transfer-Encoding: Chunked\r\n\r\n3;x=\"y z\"\r\nhel\r\n02\r\nlo\r\n000\r\n\r\n",
         "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTrailer: Sum, Host\r\n\r\n"
         "0\r\nSum: 1\r\nHost: evil\r\nAuthorization: x\r\nContent-Length: 9\r\n\r\n",
         "POST / HTTP/1.1\r\n" H "Trailer: Sum, Host\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\nSum: 1\r\n\r\n"},
        {"POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
         "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"},
        /* pipelined */
        {"POST /1 HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nabGET /2 HTTP/1.1\r\n" H "\r\n",
         "POST /1 HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nabGET /2 HTTP/1.1\r\n" H "\r\n"},
        /* one hop's fields */
        {"GET / HTTP/1.1\r\n" H "Connection: x-foo, Keep-Alive\r\nX-Foo: 1\r\nKeep-Alive: 3\r\n"
         "Proxy-Connection: a\r\nProxy-Authorization: b\r\nTE: gzip\r\nTrailer: q\r\n"
         "x-vmdeck-verdict: deny\r\nX-Bar: 2\r\n\r\n",
         "GET / HTTP/1.1\r\n" H "X-Bar: 2\r\n\r\n"},
        {"GET / HTTP/1.1\r\n" H "TE: trailers, deflate;q=0.5\r\nConnection: TE, close\r\n\r\n",
         "GET / HTTP/1.1\r\n" H "Connection: close, TE\r\nTE: trailers\r\n\r\n"},
        {"GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n", "GET / HTTP/1.1\r\n" H "\r\n"},
        /* upgrades: WebSocket stays, others are offers that are not taken */
        {"GET / HTTP/1.1\r\n" H "Connection: Upgrade, x-foo, sec-websocket-key\r\nX-Foo: 1\r\n"
         "Upgrade: WebSocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
         "Sec-WebSocket-Version: 13\r\n\r\n",
         "GET / HTTP/1.1\r\n" H "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
         "Sec-WebSocket-Version: 13\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
        {"GET / HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
         "HTTP2-Settings: AAMA\r\n\r\n",
         "GET / HTTP/1.1\r\n" H "\r\n"},
    };
    check_rows(rows, ARRAY_SIZE(rows), false);
}

static void test_refused_lines(void **state)
{
    (void)state;
    static const row rows[] = {
        {"GET / HTTP/1.1\n" H "\r\n", "!400: a line ends in LF"},
        {"GET / HTTP/1.1\r\nHost: a.example\nX: y\r\n\r\n", "!400: a line ends in LF"},
        {"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", "!400: a header's value"},
        {"GET / HTTP/1.1\r\r\n" H "\r\n", "!505: only"},
        {"\r\nGET / HTTP/1.1\r\n" H "\r\n", "!400: there is an empty line"},
        {"\n", "!400: a line ends in LF"},
        {"GET /\r\n\r\n", "!505: the request has no version (HTTP/0.9)"},
        {"GET / HTTP/2.0\r\n" H "\r\n", "!505"},
        {"GET / HTTP/1.2\r\n" H "\r\n", "!505"},
        {"GET / http/1.1\r\n" H "\r\n", "!400: the first line"},
        {"GET  / HTTP/1.1\r\n" H "\r\n", "!400"},
        {"GET / HTTP/1.1 \r\n" H "\r\n", "!505"},
        {" GET / HTTP/1.1\r\n" H "\r\n", "!400: the first line"},
        {"G@T / HTTP/1.1\r\n" H "\r\n", "!400: the first line"},
        {"get / HTTP/1.1\r\n" H "\r\n", "!400: the method"},
        {"GET / HTTP/1.1\r\n" H " folded\r\n\r\n", "!400: a header is continued"},
        {"GET / HTTP/1.1\r\n " H "\r\n", "!400: a header is continued"},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "!400: a header has a blank before"},
        {"GET / HTTP/1.1\r\n" H "A b: c\r\n\r\n", "!400: a header's name"},
        {"GET / HTTP/1.1\r\n" H ": c\r\n\r\n", "!400: a header's name"},
        {"GET / HTTP/1.1\r\n" H "nocolon\r\n\r\n", "!400: a header line has no colon"},
        {"GET / HTTP/1.1\r\n" H "X\x80: c\r\n\r\n", "!400: a header's name"},
        {"GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n", "!400: a header's value"},
        {"GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n", "!400: a header's value"},
        {"GET / HTTP/1.1\r\n" H "X: y\r\n", "!400: the connection ended"},
        {"GET / HT", "!400: the connection ended"},
        {"\x16\x03\x01", "!400: what came is not HTTP"}, /* at once: no end of a line comes */
        {"\x01", "!400: what came is not HTTP"},
    };
    check_rows(rows, ARRAY_SIZE(rows), false);
}

static void test_refused_targets(void **state)
{
    (void)state;
    static const row rows[] = {
        {"CONNECT a.example:443 HTTP/1.1\r\n" H "\r\n", "!501: CONNECT is not allowed"},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "!501: OPTIONS *"},
        {"GET * HTTP/1.1\r\n" H "\r\n", "!400: the target * is"},
        {"GET a.example:443 HTTP/1.1\r\n" H "\r\n", "!400: the target is neither"},
        {"GET https://a.example/ HTTP/1.1\r\n" H "\r\n", "!400: the target is neither"},
        {"GET ftp://a.example/ HTTP/1.1\r\n" H "\r\n", "!400: the target is neither"},
        {"GET http://b.example/ HTTP/1.1\r\n" H "\r\n", "!400: the target names another"},
        {"GET http://a.example:81/ HTTP/1.1\r\n" H "\r\n", "!400: the target names another"},
        {"GET http://a.example/ HTTP/1.1\r\n\r\n", "!400: there is no Host"},
        {"GET http://u@a.example/ HTTP/1.1\r\n" H "\r\n", "!400: the host has a user name"},
        {"GET http:/// HTTP/1.1\r\n" H "\r\n", "!400: the host is empty"},
        {"GET /a\\b HTTP/1.1\r\n" H "\r\n", "!400: the target has a character"},
        {"GET /a#b HTTP/1.1\r\n" H "\r\n", "!400: the target has a character"},
        {"GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", "!400: the target has a character"},
        {"GET /\x01 HTTP/1.1\r\n" H "\r\n", "!400: the target has a character"},
        {"GET / HTTP/1.1\r\n\r\n", "!400: there is no Host"},
        {"GET / HTTP/1.0\r\n\r\n", "!400: there is no Host"},
        {"GET / HTTP/1.1\r\n" H "host: a.example\r\n\r\n", "!400: there is more than one Host"},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "!400: the host is empty"},
        {"GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", "!400: the host has a character"},
        {"GET / HTTP/1.1\r\nHost: u@a.example\r\n\r\n", "!400: the host has a user name"},
    };
    check_rows(rows, ARRAY_SIZE(rows), false);
}

#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"

static void test_refused_bodies(void **state)
{
    (void)state;
    static const row rows[] = {
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
         "!400: there are both"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
         "!400: there is more than one Content-Length"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", "!400: Content-Length is not"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", "!400: Content-Length is not"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", "!400: Content-Length is not"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", "!400: Content-Length is not"},
        {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", "!400: Content-Length is not"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551621\r\n\r\n",
         "!400: Content-Length is not"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", "!501"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\nExpect: 100-continue\r\n\r\n", "!501"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", "!501"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         "!501"},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
         "chunked\r\n\r\n",
         "!400"},
        {"POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
         "!400: Transfer-Encoding is"},
        {"POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n", "!417"},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhell", "!400: the connection ended"},
        {CHUNKED "5\r\nhello\r\n0\r\n", "!400: the connection ended"},
        {CHUNKED "5\nhello\r\n", "!400: a line ends in LF"},
        {CHUNKED "5\rXhello\r\n0\r\n\r\n", "!400: a chunk's size has something"},
        {CHUNKED "5 \r\nhello\r\n", "!400: a chunk's size has something"},
        {CHUNKED "0x5\r\nhello\r\n", "!400: a chunk's size has something"},
        {CHUNKED "+5\r\nhello\r\n", "!400: a chunk's size is not"},
        {CHUNKED "\r\n", "!400: a chunk's size is not"},
        {CHUNKED ";x\r\n", "!400: a chunk's size is not"},
        {CHUNKED "1000000000000000\r\n", "!400: a chunk's size is not"},
        {CHUNKED "5;\x01\r\nhello\r\n", "!400: a chunk's extension"},
        {CHUNKED "5\r\nhelloworld\r\n", "!400: a chunk is longer"},
        {CHUNKED "5\r\nhello\n0\r\n\r\n", "!400: a chunk is longer"},
        {CHUNKED "0\r\n folded: x\r\n\r\n", "!400: a header is continued"},
        {CHUNKED "0\r\nX : x\r\n\r\n", "!400: a header has a blank"},
        {"GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Version: 13\r\n\r\n",
         "!400: a WebSocket handshake has one key"},
        {"GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 7\r\n\r\n",
         "!400: a WebSocket handshake has Sec"},
        {"POST / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
         "!400: a WebSocket handshake is a GET"},
    };
    check_rows(rows, ARRAY_SIZE(rows), false);
}

static void test_responses(void **state)
{
    (void)state;
    static const row rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nhi",
         "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nhi"},
        {"HTTP/1.1 200\r\nAlt-Svc: h3\r\nX-Vmdeck-Verdict: deny\r\nContent-Length: 0\r\n\r\n",
         "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSum: 1\r\n"
         "Set-Cookie: x\r\n\r\n",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSum: 1\r\n\r\n",
         NULL},
        {"HTTP/1.1 200 OK\r\n\r\nuntil the end",
         "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
         "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HEAD"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
         "HEAD"},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
         "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n",
         NULL},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
         NULL},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x02hi",
         "HTTP/1.1 101 Switching Protocols\r\n"
         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
         "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n[tunnel]\x81\x02hi",
         "WS"},
        {"HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nx",
         "HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\nx", "WS"},
        {"HTTP/1.1 200 Connection established\r\n\r\n\x16\x03",
         "HTTP/1.1 200 Connection established\r\n\r\n[tunnel]\x16\x03", "CONNECT"},
        {"HTTP/1.1 407 Auth\r\nContent-Length: 1\r\n\r\nx",
         "HTTP/1.1 407 Auth\r\nContent-Length: 1\r\n\r\nx", "CONNECT"},
    };
    check_rows(rows, ARRAY_SIZE(rows), true);
}

static void test_refused_responses(void **state)
{
    (void)state;
    static const row rows[] = {
        {"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "!502: a line ends in LF"},
        {"HTTP/1.1 20 OK\r\n\r\n", "!502: the status"},
        {"HTTP/1.1 2000 OK\r\n\r\n", "!502: the status"},
        {"HTTP/1.1 099 OK\r\n\r\n", "!502: the status"},
        {"HTTP/1.1  200 OK\r\n\r\n", "!502"},
        {"HTTP/2 200 OK\r\nfill: up\r\n\r\n", "!502", NULL},
        {"ICY 200 OK and more\r\n\r\n", "!502"},
        {"HTTP/1.1 200 O\x01K\r\n\r\n", "!502: the reason"},
        {"HTTP/1.1 200 OK\r\nSet-Cookie: a\rX: b\r\n\r\n", "!502: a header's value"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         "!502: there are both"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "!502: there is more",
         NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "!502: the only"},
        {"HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\n", "!502: it announces a body"},
        {"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "!502: it announces a body",
         NULL},
        {"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
         "!502: it switches"},
        {"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: wrong\r\n\r\n",
         "!502: it switches", "WS"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
         "!502: a response came that nobody asked for"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\r", "!502: the connection ended"},
        {"HTTP/1.1 100 Continue\r\n\r\n", "!502: the connection ended"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
         "!502: the connection ended", NULL},
    };
    check_rows(rows, ARRAY_SIZE(rows), true);
}

/* NULs have no place in the tables above. */
static void test_nul(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t size;
    } rows[] = {
#define TEXT(text) {text, sizeof(text) - 1}
        TEXT("GET / HTTP/1.1\0\r\n" H "\r\n"),
        TEXT("GET /\0 HTTP/1.1\r\n" H "\r\n"),
        TEXT("GET / HTTP/1.1\r\n" H "X\0: y\r\n\r\n"),
        TEXT("GET / HTTP/1.1\r\n" H "X: y\0z\r\n\r\n"),
        TEXT("GET / HTTP/1.1\r\nHost: a.example\0.evil\r\n\r\n"),
        TEXT(CHUNKED "5;\0\r\nhello\r\n"),
#undef TEXT
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_reader reader;
        struct transcript t = {0};
        http_reader_requests(&reader, false);
        assert_false(feed(&reader, rows[i].in, rows[i].size, &t));
        assert_int_equal(reader.refusal, 400);
        assert_false(feed(&reader, "GET / HTTP/1.1\r\n" H "\r\n", 19, &t)); /* stays broken */
        buf_free(&t.out);
        http_reader_free(&reader);
    }
}

/* `before` and then `fill` `count` times: refused with the byte that is too much, not before. */
static void check_limit(const char *before, const char *fill, size_t count, int status)
{
    struct http_reader reader;
    struct transcript t = {0};
    http_reader_requests(&reader, false);
    assert_true(feed(&reader, before, strlen(before), &t));
    size_t i = 0;
    while (i < count && feed(&reader, fill, strlen(fill), &t))
        i++;
    assert_int_equal(i, count - 1);
    assert_int_equal(reader.refusal, status);
    buf_free(&t.out);
    http_reader_free(&reader);
}

static void test_limits(void **state)
{
    (void)state;
    const char *line = "GET / HTTP/1.1\r\n";
    check_limit("GET /", "a", HTTP_LINE_MAX - 5 + 1, 414);
    check_limit(line, "a", HTTP_HEAD_MAX - strlen(line) + 1, 431);
    check_limit(CHUNKED "5;", "a", HTTP_CHUNK_LINE_MAX - 2 + 1, 400);
    check_limit(CHUNKED "0\r\n", "a", HTTP_TRAILERS_MAX + 1, 431);

    struct buf head = {0};
    assert_int_equal(buf_printf(&head, "GET / HTTP/1.1\r\n" H), 0);
    for (int i = 0; i < HTTP_FIELDS_MAX - 1; i++)
        assert_int_equal(buf_printf(&head, "X: y\r\n"), 0);
    for (int more = 0; more < 2; more++) {
        struct http_reader reader;
        struct transcript t = {0};
        http_reader_requests(&reader, false);
        assert_true(feed(&reader, (char *)buf_data(&head), buf_len(&head), &t));
        if (more)
            assert_true(feed(&reader, "X: y\r\n", 6, &t));
        assert_int_equal(feed(&reader, "\r\n", 2, &t), !more);
        assert_int_equal(reader.refusal, more ? 431 : 0);
        buf_free(&t.out);
        http_reader_free(&reader);
    }
    buf_free(&head);
}

static struct http_head *read_request(const char *text, bool tls)
{
    struct http_reader reader;
    struct http_event event;
    size_t used;
    http_reader_requests(&reader, tls);
    assert_int_equal(http_read(&reader, text, strlen(text), &used, &event, NULL), 0);
    assert_int_equal(event.kind, HTTP_EVENT_HEAD);
    http_reader_free(&reader);
    return event.head;
}

static void test_request_parts(void **state)
{
    (void)state;
    CLEAN_HTTP_HEAD struct http_head *head =
        read_request("PUT https://B.example:444/x?q HTTP/1.1\r\nHost: b.example:444\r\n"
                     "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
                     "Accept: a, b ,,c\r\nAccept: d\r\n\r\n",
                     true);
    assert_string_equal(head->method, "PUT");
    assert_string_equal(head->target, "/x?q");
    assert_string_equal(head->host, "b.example");
    assert_int_equal(head->port, 444);
    assert_true(head->tls && head->expect_continue && head->trailers && head->keep_alive);
    assert_false(head->websocket);
    assert_true(http_field_lists(&head->fields, "accept", "B"));
    assert_true(http_field_lists(&head->fields, "ACCEPT", "d"));
    assert_false(http_field_lists(&head->fields, "accept", "a, b"));
    struct buf out = {0};
    const struct http_write_options options = {.absolute = true, .proxy_authorization = "Basic x"};
    head->trailers = false;
    assert_int_equal(http_head_write(head, &options, &out), 0);
    assert_string_equal(buf_string(&out),
                        "PUT https://b.example:444/x?q HTTP/1.1\r\nHost: b.example:444\r\n"
                        "Proxy-Authorization: Basic x\r\nAccept: a, b ,,c\r\nAccept: d\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n");
    buf_free(&out);
    CLEAN_HTTP_HEAD struct http_head *bodiless =
        read_request("GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n", false);
    assert_false(bodiless->expect_continue);
}

static void test_replace(void **state)
{
    (void)state;
    CLEAN_HTTP_HEAD struct http_head *head =
        read_request("GET /?k=P HTTP/1.1\r\n" H "Authorization: Bearer P\r\n\r\n", false);
    struct http_field *field = http_field_find(&head->fields, "authorization");
    assert_non_null(field);
    assert_int_equal(http_field_replace(field, "Bearer v\r\nX: y", NULL), -EINVAL);
    assert_int_equal(http_field_replace(field, "Bearer first", NULL), 0);
    assert_int_equal(http_field_replace(field, "Bearer value", NULL), 0);
    assert_int_equal(http_target_replace(head, "/?k=v HTTP/1.1", NULL), -EINVAL);
    assert_int_equal(http_target_replace(head, "x", NULL), -EINVAL);
    assert_int_equal(http_target_replace(head, "/?k=v", NULL), 0);
    struct buf out = {0};
    assert_int_equal(http_head_write(head, NULL, &out), 0);
    assert_string_equal(buf_string(&out),
                        "GET /?k=v HTTP/1.1\r\n" H "Authorization: Bearer value\r\n\r\n");
    buf_free(&out);
}

static void test_adapt(void **state)
{
    (void)state;
    static const struct {
        int request_minor;
        bool request_keep;
        enum http_framing framing, expected;
        bool keep;
    } rows[] = {
        {1, true, HTTP_BODY_UNTIL_CLOSE, HTTP_BODY_CHUNKED, true},
        {1, true, HTTP_BODY_LENGTH, HTTP_BODY_LENGTH, true},
        {1, false, HTTP_BODY_CHUNKED, HTTP_BODY_CHUNKED, false},
        {0, false, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE, false},
        {0, true, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE, false},
        {0, true, HTTP_BODY_LENGTH, HTTP_BODY_LENGTH, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_head request = {.minor = rows[i].request_minor,
                                    .keep_alive = rows[i].request_keep};
        struct http_head response = {.minor = 1, .status = 200, .framing = rows[i].framing};
        http_response_adapt(&response, &request);
        assert_int_equal(response.framing, rows[i].expected);
        assert_int_equal(response.keep_alive, rows[i].keep);
        assert_int_equal(response.minor, request.minor);
    }
}

static void test_answers(void **state)
{
    (void)state;
    struct http_head head = {.minor = 0, .method = "HEAD"};
    const struct {
        struct http_answer answer;
        const char *out;
    } rows[] = {
        {{403, "denied", true, true, NULL},
         "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
         "Content-Length: 7\r\nx-vmdeck-verdict: deny\r\n\r\ndenied\n"},
        {{502, "gone", false, false, &head},
         "HTTP/1.0 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n"
         "Content-Length: 5\r\nConnection: close\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buf out = {0};
        assert_int_equal(http_answer_write(&rows[i].answer, &out), 0);
        assert_string_equal(buf_string(&out), rows[i].out);
        buf_free(&out);
    }
}

static void test_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *in, *host;
        uint16_t port;
    } rows[] = {
        {"Example.COM", "example.com", 0},
        {"a_b-c.example.:8080", "a_b-c.example", 8080},
        {"xn--bcher-kva.example", "xn--bcher-kva.example", 0},
        {"127.0.0.1:1", "127.0.0.1", 1},
        {"[2001:DB8::0:1]:65535", "2001:db8::1", 65535},
        {"[::ffff:1.2.3.4]", "::ffff:1.2.3.4", 0},
        {"localhost", "localhost", 0},
        {"1a.2b", "1a.2b", 0},
        {"", NULL, 0},
        {".", NULL, 0},
        {"a..b", NULL, 0},
        {".a", NULL, 0},
        {"a:", NULL, 0},
        {"a:0", NULL, 0},
        {"a:65536", NULL, 0},
        {"a:99999999999999999999", NULL, 0},
        {"a:8o", NULL, 0},
        {"a:80:80", NULL, 0},
        {"[::1", NULL, 0},
        {"[::1]x", NULL, 0},
        {"[]", NULL, 0},
        {"[fe80::1%eth0]", NULL, 0},
        {"[1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:0:1:2:3:4:5:6:7]", NULL, 0},
        {"::1", NULL, 0},
        {"127.1", NULL, 0},
        {"0x7f000001", NULL, 0},
        {"a.0x1", NULL, 0},
        {"2130706433", NULL, 0},
        {"010.0.0.1", NULL, 0},
        {"1.2.3.4.5", NULL, 0},
        {"256.0.0.1", NULL, 0},
        {"a b", NULL, 0},
        {"a%2eb", NULL, 0},
        {"b\xc3\xbc"
         "cher.example",
         NULL, 0},
        {"a*b", NULL, 0},
        {"u@a", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char host[HTTP_HOST_MAX + 1];
        uint16_t port;
        int rc = http_host_parse(rows[i].in, strlen(rows[i].in), host, &port, NULL);
        assert_int_equal(rc, rows[i].host != NULL ? 0 : -EINVAL);
        if (rc < 0)
            continue;
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
    }
}

static void test_long_hosts(void **state)
{
    (void)state;
    char name[300], host[HTTP_HOST_MAX + 1];
    uint16_t port;
    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < sizeof name; i += 50)
        name[i] = '.';
    assert_int_equal(http_host_parse(name, HTTP_HOST_MAX, host, &port, NULL), 0);
    assert_int_equal(http_host_parse(name, HTTP_HOST_MAX + 1, host, &port, NULL), -EINVAL);
    memset(name, 'a', 64);
    assert_int_equal(http_host_parse(name, 63, host, &port, NULL), 0);
    assert_int_equal(http_host_parse(name, 64, host, &port, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_refused_lines),
        cmocka_unit_test(test_refused_targets),
        cmocka_unit_test(test_refused_bodies),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_refused_responses),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_request_parts),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_adapt),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_long_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
