/* Requests through the proxy: whom they reach, what they carry, what comes back, what is told. */
#include "unit.h"

#include "net_world.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct strv list_of(const char *text)
{
    struct strv list = {0};
    if (text != NULL)
        strv_add(&list, text);
    return list;
}

/* %P in a text is the server's port. */
static char *with_port(const char *text, uint16_t port)
{
    CLEAN_BUF struct buf out = {0};
    for (; *text != '\0'; text++) {
        if (text[0] == '%' && text[1] == 'P') {
            buf_printf(&out, "%u", port);
            text++;
        } else {
            buf_append(&out, text, 1);
        }
    }
    return strdup(buf_string(&out));
}

struct row {
    const char *name;
    const char *sni; /* NULL: plain HTTP */
    const char *allow, *deny;
    bool internal; /* --allow-internal '*.example' */
    const char *request;
    const char *answer; /* of the server */
    const char *seen;   /* part of what it is sent; NULL: it must not be connected to */
    const char *unseen; /* no part of it */
    const char *reply;  /* part of what the guest gets; NULL: a reset */
    const char *verdict, *reason;
    bool closes; /* the connection ends behind the reply */
};

static const struct row rows[] = {
    {.name = "plain",
     .internal = true,
     .request = "GET /a?b=c HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = OK,
     .seen = "GET /a?b=c HTTP/1.1\r\nHost: a.example:",
     .reply = "\r\n\r\nok",
     .verdict = "allow"},
    {.name = "https",
     .sni = "a.example",
     .internal = true,
     .request = "GET / HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = OK,
     .seen = "GET / HTTP/1.1",
     .reply = "\r\n\r\nok",
     .verdict = "allow"},
    {.name = "loopback is refused",
     .allow = "a.example",
     .request = "GET / HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = OK,
     .reply = "HTTP/1.1 403 Forbidden\r\n",
     .verdict = "deny",
     .reason = "loopback"},
    {.name = "loopback by address",
     .request = "GET / HTTP/1.1\r\nHost: 127.0.0.1:%P\r\n\r\n",
     .answer = OK,
     .reply = "x-vmdeck-verdict: deny",
     .verdict = "deny",
     .reason = "loopback"},
    {.name = "resolved by the system",
     .internal = true,
     .request = "GET / HTTP/1.1\r\nHost: localhost:%P\r\n\r\n",
     .answer = OK,
     .seen = "Host: localhost:",
     .reply = "\r\n\r\nok",
     .verdict = "allow"},
    {.name = "resolved to loopback",
     .request = "GET / HTTP/1.1\r\nHost: localhost:%P\r\n\r\n",
     .answer = OK,
     .reply = "x-vmdeck-verdict: deny",
     .verdict = "deny",
     .reason = "loopback"},
    {.name = "not listed",
     .internal = true,
     .allow = "b.test",
     .request = "GET / HTTP/1.1\r\nHost: c.test:%P\r\n\r\n",
     .answer = OK,
     .reply = "x-vmdeck-verdict: deny",
     .verdict = "deny",
     .reason = "no rule allows c.test"},
    {.name = "denied path",
     .internal = true,
     .deny = "a.example/secret*",
     .request = "GET /./secret/x HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = OK,
     .reply = "HTTP/1.1 403",
     .verdict = "deny",
     .reason = "denies"},
    {.name = "denied over TLS",
     .sni = "a.example",
     .internal = true,
     .deny = "a.example",
     .request = "GET / HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = OK,
     .reply = "HTTP/1.1 403",
     .verdict = "deny",
     .reason = "denies"},
    {.name = "denied with a body that waits",
     .internal = true,
     .deny = "a.example",
     .request = "POST / HTTP/1.1\r\nHost: a.example:%P\r\nExpect: 100-continue\r\n"
                "Content-Length: 5\r\n\r\n",
     .answer = OK,
     .reply = "HTTP/1.1 403",
     .verdict = "deny",
     .closes = true},
    {.name = "body that waits",
     .internal = true,
     .request = "POST / HTTP/1.1\r\nHost: a.example:%P\r\nExpect: 100-continue\r\n"
                "Content-Length: 5\r\n\r\nhello",
     .answer = OK,
     .seen = "Content-Length: 5\r\n\r\nhello",
     .unseen = "Expect",
     .reply = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200",
     .verdict = "allow"},
    {.name = "SNI and Host differ",
     .sni = "a.example",
     .internal = true,
     .request = "GET / HTTP/1.1\r\nHost: b.example:%P\r\n\r\n",
     .answer = OK,
     .reply = "HTTP/1.1 421",
     .verdict = "deny",
     .reason = "not the server that TLS"},
    {.name = "another port in Host",
     .internal = true,
     .request = "GET / HTTP/1.1\r\nHost: a.example:9\r\n\r\n",
     .answer = OK,
     .reply = "HTTP/1.1 421",
     .verdict = "deny",
     .reason = "names port 9"},
    {.name = "Host and absolute target differ",
     .internal = true,
     .request = "GET http://b.example/ HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = OK,
     .reply = "HTTP/1.1 400",
     .verdict = "deny",
     .closes = true},
    {.name = "two Hosts",
     .internal = true,
     .request = "GET / HTTP/1.1\r\nHost: a.example:%P\r\nHost: b.example\r\n\r\n",
     .answer = OK,
     .reply = "HTTP/1.1 400",
     .verdict = "deny",
     .closes = true},
    {.name = "upper case and a dot",
     .internal = true,
     .request = "GET / HTTP/1.1\r\nHost: A.Example.:%P\r\n\r\n",
     .answer = OK,
     .seen = "Host: a.example:",
     .reply = "\r\n\r\nok",
     .verdict = "allow"},
    {.name = "CONNECT",
     .internal = true,
     .request = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
     .answer = OK,
     .reply = "HTTP/1.1 ",
     .verdict = "deny",
     .closes = true},
    {.name = "smuggling",
     .internal = true,
     .request = "POST / HTTP/1.1\r\nHost: a.example:%P\r\nContent-Length: 4\r\n"
                "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     .answer = OK,
     .reply = "HTTP/1.1 400",
     .verdict = "deny",
     .closes = true},
    {.name = "SSH", .request = "SSH-2.0-OpenSSH_9.0\r\n", .verdict = "deny", .reason = "SSH"},
    {.name = "no protocol", .request = "\x7f\x03zzzz\r\n", .verdict = "deny"},
    {.name = "HEAD",
     .internal = true,
     .request = "HEAD / HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
     .seen = "HEAD /",
     .reply = "Content-Length: 2\r\n\r\n",
     .verdict = "allow"},
    {.name = "204",
     .internal = true,
     .request = "GET / HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = "HTTP/1.1 204 No Content\r\n\r\n",
     .seen = "GET /",
     .reply = "HTTP/1.1 204 No Content\r\n\r\n",
     .verdict = "allow"},
    {.name = "103 and 100 before 200",
     .internal = true,
     .request = "GET / HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK,
     .seen = "GET /",
     .reply = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n",
     .verdict = "allow"},
    {.name = "chunked with trailers",
     .internal = true,
     .request = "POST / HTTP/1.1\r\nHost: a.example:%P\r\nTransfer-Encoding: chunked\r\n"
                "Trailer: X-End\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-End: 1\r\n\r\n",
     .answer = OK,
     .seen = "X-End: 1\r\n\r\n",
     .unseen = "x=y",
     .reply = "\r\n\r\nok",
     .verdict = "allow"},
    {.name = "1.0 client of a chunked answer",
     .internal = true,
     .request = "GET / HTTP/1.0\r\nHost: a.example:%P\r\n\r\n",
     .answer =
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
     .seen = "GET / HTTP/1.1",
     .reply = "\r\n\r\nonetwo",
     .verdict = "allow",
     .closes = true},
    {.name = "a broken answer",
     .internal = true,
     .request = "GET / HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
     .seen = "GET /",
     .reply = "HTTP/1.1 502",
     .verdict = "allow"},
    {.name = "a verdict that is not ours",
     .internal = true,
     .request = "GET / HTTP/1.1\r\nHost: a.example:%P\r\n\r\n",
     .answer = "HTTP/1.1 200 OK\r\nx-vmdeck-verdict: deny\r\nContent-Length: 2\r\n\r\nok",
     .seen = "GET /",
     .reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
     .verdict = "allow"},
};

static void run_row(const struct row *row, size_t piece, bool half_close)
{
    struct world world;
    struct peer peer;
    struct strv allow = list_of(row->allow), deny = list_of(row->deny);
    struct strv internal = list_of(row->internal ? "*.example" : NULL), resolve = {0};
    if (row->internal)
        strv_add(&internal, "localhost");
    strv_add(&resolve, "a.example=127.0.0.1");
    strv_add(&resolve, "b.example=127.0.0.1");
    world_open_server(&world, row->sni);
    world.server.answer = row->answer;
    world_open_core(
        &world, (struct net_options){
                    .allow = &allow, .deny = &deny, .internal = &internal, .resolve = &resolve});
    CLEAN_FREE char *request = with_port(row->request, world.server.port);
    peer_connect(&world, &peer, "93.184.216.34", world.server.port);
    if (row->sni != NULL)
        peer_start_tls(&peer, row->sni);
    peer_send(&peer, request, strlen(request), piece);
    if (half_close && peer.proxy != NULL)
        proxy_eof(peer.proxy);
    if (peer_wait(&peer, row->reply) == (row->reply == NULL) && row->reply != NULL)
        fail_msg("%s: got '%s'", row->name, peer_text(&peer));
    if ((row->closes || half_close) && row->reply != NULL && !peer.shut)
        assert_true(peer_wait(&peer, NULL));
    assert_int_equal(peer.aborted, row->reply == NULL);
    if (row->seen == NULL ? world.server.connections > 0
                          : strstr(seen_text(&world), row->seen) == NULL)
        fail_msg("%s: the server saw '%s'", row->name, seen_text(&world));
    if (row->unseen != NULL && strstr(seen_text(&world), row->unseen) != NULL)
        fail_msg("%s: the server saw '%s'", row->name, seen_text(&world));
    peer_close(&peer);
    const cJSON *event = world_find_event(&world, "type", "net");
    if (event == NULL || strcmp(event_text(event, "verdict"), row->verdict) != 0 ||
        (row->reason != NULL && strstr(event_text(event, "reason"), row->reason) == NULL))
        fail_msg("%s: verdict '%s', reason '%s'", row->name, event_text(event, "verdict"),
                 event_text(event, "reason"));
    world_close(&world);
    strv_free(&allow);
    strv_free(&deny);
    strv_free(&internal);
    strv_free(&resolve);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        run_row(&rows[i], SIZE_MAX, false);
        run_row(&rows[i], 1, false);
        if (rows[i].sni == NULL)
            run_row(&rows[i], SIZE_MAX, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, ca_home_make, ca_home_remove);
}
