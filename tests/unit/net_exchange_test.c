/* What takes more than one request: connections kept, secrets, questions, tunnels, back-pressure.
 */
#include "unit.h"

#include "net_world.h"

#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define VALUE "s3cr3t-value-of-test"

struct setup {
    const char *tls_host;
    const char *answer;
    bool secret, query, ask, no_websockets;
    bool checked; /* no address is allowed */
    unsigned ask_seconds;
    const char *allow;   /* or "a.example" internally */
    const char *tcp_map; /* the guest's side */
};

static struct world world;
static struct peer peer;
static const char *placeholder;

static void start(const struct setup *setup)
{
    struct strv internal = {0}, resolve = {0}, hosts = {0}, allow = {0}, map = {0};
    world_open_server(&world, setup->tls_host);
    world.server.answer = setup->answer;
    if (!setup->ask)
        strv_add(&internal, "*.example");
    if (!setup->checked)
        strv_add(&internal, "127.0.0.0/8");
    strv_add(&resolve, "a.example=127.0.0.1");
    strv_add(&resolve, "b.example=127.0.0.1");
    strv_addf(&hosts, "https://a.example:%u", world.server.port);
    if (setup->allow != NULL)
        strv_add(&allow, setup->allow);
    if (setup->tcp_map != NULL)
        strv_addf(&map, "%s=127.0.0.1:%u", setup->tcp_map, world.server.port);
    struct net_secret secret = {.name = "KEY",
                                .hosts = &hosts,
                                .value = (const uint8_t *)VALUE,
                                .size = strlen(VALUE),
                                .query = setup->query};
    world_open_core(&world, (struct net_options){.allow = &allow,
                                                 .internal = &internal,
                                                 .resolve = &resolve,
                                                 .tcp_map = &map,
                                                 .secrets = &secret,
                                                 .secret_count = setup->secret ? 1 : 0,
                                                 .ask = setup->ask,
                                                 .ask_seconds = setup->ask_seconds,
                                                 .no_websockets = setup->no_websockets});
    placeholder = setup->secret ? secrets_placeholder(world.core->secrets, 0) : NULL;
    strv_free(&internal);
    strv_free(&resolve);
    strv_free(&hosts);
    strv_free(&allow);
    strv_free(&map);
}

static void connect_guest(struct peer *guest, const char *sni)
{
    peer_connect(&world, guest, "93.184.216.34", world.server.port);
    if (sni != NULL)
        peer_start_tls(guest, sni);
}

/* %P is the placeholder, %S the secret. */
static char *fill(const char *text)
{
    CLEAN_BUF struct buf out = {0};
    for (; *text != '\0'; text++) {
        if (text[0] == '%' && text[1] == 'P')
            buf_printf(&out, "%s", placeholder), text++;
        else if (text[0] == '%' && text[1] == 'S')
            buf_printf(&out, "%s", VALUE), text++;
        else
            buf_append(&out, text, 1);
    }
    return strdup(buf_string(&out));
}

static void send_text(struct peer *guest, const char *text)
{
    CLEAN_FREE char *filled = fill(text);
    peer_send(guest, filled, strlen(filled), SIZE_MAX);
}

static void send_get(struct peer *guest, const char *host, const char *path)
{
    CLEAN_FREE char *text =
        str_printf("GET %s HTTP/1.1\r\nHost: %s:%u\r\n\r\n", path, host, world.server.port);
    peer_send(guest, text, strlen(text), SIZE_MAX);
}

static void expect(struct peer *guest, const char *text)
{
    if (!peer_wait(guest, text))
        fail_msg("'%s' did not come, but '%s'", text, peer_text(guest));
}

static void expect_seen(const char *text)
{
    if (strstr(seen_text(&world), text) == NULL)
        fail_msg("the server did not see '%s', but '%s'", text, seen_text(&world));
}

static cJSON *call(const char *name, const char *arguments)
{
    struct error err = {0};
    cJSON *json = cJSON_Parse(arguments);
    cJSON *result = call_run(&world.thread, name, json, &err);
    cJSON_Delete(json);
    if (result == NULL)
        fail_msg("%s: %s", name, err.message);
    return result;
}

static void test_pipelining(void **state)
{
    (void)state;
    static const char *const hosts[] = {NULL, "a.example"};
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        start(&(struct setup){.answer = OK, .tls_host = hosts[i]});
        connect_guest(&peer, hosts[i]);
        send_get(&peer, "a.example", "/1");
        send_get(&peer, "a.example", "/2");
        expect(&peer, "ok" OK);
        send_get(&peer, "a.example", "/3");
        expect(&peer, "ok" OK "HTTP/1.1");
        expect_seen("GET /1 ");
        expect_seen("GET /3 ");
        assert_int_equal(world.server.connections, 1);
        assert_int_equal(world.server.requests, 3);
        peer_close(&peer);
        world_close(&world);
    }
}

/* A server that closes a connection in the pool: nobody notices. */
static void test_pool_retry(void **state)
{
    (void)state;
    start(&(struct setup){.answer = OK});
    connect_guest(&peer, NULL);
    send_get(&peer, "a.example", "/1");
    expect(&peer, OK);
    world.server.answer = NULL; /* the next request ends the connection */
    send_get(&peer, "a.example", "/2");
    while (world.server.requests < 2)
        uv_run(world.core->loop, UV_RUN_ONCE);
    world.server.answer = OK;
    expect(&peer, "ok" OK);
    assert_int_equal(world.server.connections, 2);
    assert_int_equal(world.server.requests, 3);
    peer_close(&peer);
    world_close(&world);
}

static void test_rules_change(void **state)
{
    (void)state;
    start(&(struct setup){.answer = OK});
    connect_guest(&peer, NULL);
    send_get(&peer, "a.example", "/1");
    expect(&peer, OK);
    cJSON_Delete(call("deny", "{\"patterns\":[\"a.example\"]}"));
    send_get(&peer, "a.example", "/2");
    expect(&peer, "x-vmdeck-verdict: deny");
    buf_consume(&peer.got, buf_len(&peer.got));
    send_get(&peer, "b.example", "/3");
    expect(&peer, OK);
    assert_int_equal(world.server.requests, 2);
    peer_close(&peer);
    world_close(&world);
}

static void test_secrets(void **state)
{
    (void)state;
    static const struct {
        const char *host; /* and SNI */
        const char *request;
        const char *seen; /* NULL: 403, and the server sees nothing of it */
        const char *where;
    } rows[] = {
        {"a.example", "GET / HTTP/1.1\r\nAuthorization: Bearer %P\r\n",
         "Authorization: Bearer %S\r\n", "Authorization"},
        {"a.example",
         "GET / HTTP/1.1\r\nX-Key: %P\r\nAccept-Encoding: gzip\r\nRange: bytes=0-1\r\n",
         "X-Key: %S\r\nAccept-Encoding: identity\r\n", "X-Key"},
        {"a.example", "GET /?t=%P HTTP/1.1\r\n", "GET /?t=%S HTTP/1.1", "query"},
        {"a.example", "GET / HTTP/1.1\r\nX-Real: %S\r\n", "X-Real: %S\r\n", NULL},
        {"a.example", "GET /%P HTTP/1.1\r\n", "GET /%P HTTP/1.1", NULL},
        {"b.example", "GET / HTTP/1.1\r\nAuthorization: Bearer %P\r\n", NULL, "Authorization"},
        {"b.example", "GET / HTTP/1.1\r\nAuthorization: Bearer %S\r\n", NULL, "Authorization"},
        {"b.example", "GET /%S HTTP/1.1\r\n", NULL, "path or query"},
        {"b.example", "GET /?x=%S HTTP/1.1\r\n", NULL, "path or query"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        start(
            &(struct setup){.answer = OK, .tls_host = rows[i].host, .secret = true, .query = true});
        connect_guest(&peer, rows[i].host);
        CLEAN_FREE char *text =
            str_printf("%sHost: %s:%u\r\n\r\n", rows[i].request, rows[i].host, world.server.port);
        CLEAN_FREE char *seen = rows[i].seen != NULL ? fill(rows[i].seen) : NULL;
        send_text(&peer, text);
        expect(&peer, rows[i].seen != NULL ? "HTTP/1.1 200" : "HTTP/1.1 403");
        if (seen != NULL)
            expect_seen(seen);
        else
            assert_int_equal(world.server.connections, 0);
        assert_null(strstr(seen_text(&world), "Range"));
        const cJSON *event = world_find_event(&world, "type", "secret");
        assert_int_equal(event != NULL, rows[i].where != NULL);
        if (event != NULL) {
            assert_string_equal(event_text(event, "where"), rows[i].where);
            assert_string_equal(event_text(event, "action"), seen != NULL ? "injected" : "blocked");
        }
        CLEAN_FREE char *events = cJSON_PrintUnformatted(world.events);
        assert_null(strstr(events, VALUE));
        peer_close(&peer);
        world_close(&world);
    }
}

static void test_secret_in_plain_http(void **state)
{
    (void)state;
    start(&(struct setup){.answer = OK, .secret = true});
    connect_guest(&peer, NULL);
    CLEAN_FREE char *text = str_printf("GET / HTTP/1.1\r\nHost: a.example:%u\r\nX: %s\r\n\r\n",
                                       world.server.port, placeholder);
    send_text(&peer, text);
    expect(&peer, "HTTP/1.1 403");
    assert_int_equal(world.server.connections, 0);
    peer_close(&peer);
    world_close(&world);
}

/* The value in a body to somebody else, cut at every place. */
static void test_secret_in_body(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 30; piece += 7) {
        start(&(struct setup){.answer = OK, .tls_host = "b.example", .secret = true});
        world.server.until = "the end of the body";
        connect_guest(&peer, "b.example");
        CLEAN_FREE char *text =
            str_printf("POST / HTTP/1.1\r\nHost: b.example:%u\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "5\r\n12345\r\n8\r\n%.8s\r\n%zx\r\n%s\r\n5\r\n12345\r\n0\r\n\r\n",
                       world.server.port, VALUE, strlen(VALUE) - 8, VALUE + 8);
        peer_send(&peer, text, strlen(text), piece);
        expect(&peer, "HTTP/1.1 403");
        assert_null(strstr(seen_text(&world), "value-of-test"));
        peer_close(&peer);
        world_close(&world);
    }
}

static void test_redaction(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *reply;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nX-Echo: <" VALUE ">\r\nContent-Length: 24\r\n\r\n--" VALUE "--",
         "X-Echo: <%P>\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
         "chunked\r\n\r\n6\r\n--s3cr\r\n12\r\n3t-value-of-test--\r\n"
         "0\r\n\r\n",
         "%P"},
        {"HTTP/1.1 302 Found\r\nLocation: https://c.example/?t=" VALUE
         "\r\nContent-Length: 0\r\n\r\n",
         "Location: https://c.example/?t=%P\r\n"},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
         "HTTP/1.1 502"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        start(&(struct setup){.answer = rows[i].answer, .tls_host = "a.example", .secret = true});
        connect_guest(&peer, "a.example");
        CLEAN_FREE char *text =
            str_printf("GET / HTTP/1.1\r\nHost: a.example:%u\r\nX: %%P\r\n\r\n", world.server.port);
        CLEAN_FREE char *reply = fill(rows[i].reply);
        send_text(&peer, text);
        expect(&peer, reply);
        peer_close(&peer);
        world_close(&world);
    }
}

static void ask_three(struct peer *guests)
{
    for (size_t i = 0; i < 3; i++) {
        connect_guest(&guests[i], NULL);
        send_get(&guests[i], i < 2 ? "a.example" : "b.example", "/x?y=z");
    }
    assert_int_equal(world.pending, 3);
}

static void close_three(struct peer *guests)
{
    for (size_t i = 0; i < 3; i++)
        peer_close(&guests[i]);
    assert_int_equal(world.pending, 0);
    world_close(&world);
}

static void test_ask(void **state)
{
    (void)state;
    struct peer guests[3];
    start(&(struct setup){.answer = OK, .ask = true, .ask_seconds = 600});
    ask_three(guests);
    cJSON *result = call("requests", "{}");
    const cJSON *list = cJSON_GetObjectItem(result, "requests");
    assert_int_equal(cJSON_GetArraySize(list), 3);
    const cJSON *first = cJSON_GetArrayItem(list, 0);
    assert_string_equal(event_text(first, "host"), "a.example");
    assert_string_equal(event_text(first, "path"), "/x");
    assert_string_equal(event_text(first, "protocol"), "http");
    cJSON_Delete(result);

    cJSON_Delete(call("answer", "{\"id\":3,\"allow\":false}"));
    expect(&guests[2], "denied when asked");
    assert_int_equal(world.pending, 2);
    cJSON_Delete(call("allow", "{\"patterns\":[\"a.example\"],\"scope\":\"once\"}"));
    expect(&guests[0], "\r\n\r\nok");
    assert_int_equal(world.pending, 1);
    cJSON_Delete(call("allow", "{\"patterns\":[\"*.example\"],\"scope\":\"session\"}"));
    expect(&guests[1], "\r\n\r\nok");
    assert_int_equal(world.server.requests, 2);
    close_three(guests);
}

static void test_ask_expires(void **state)
{
    (void)state;
    struct peer guests[3];
    start(&(struct setup){.answer = OK, .ask = true, .ask_seconds = 1});
    ask_three(guests);
    for (size_t i = 0; i < 3; i++)
        expect(&guests[i], "nobody answered within 1 s");
    assert_int_equal(world.server.connections, 0);
    close_three(guests);
}

/* One request that waits gets there though its address is internal; the next one is asked again. */
static void test_once_internal(void **state)
{
    (void)state;
    struct peer guests[3];
    start(&(struct setup){.answer = OK, .ask = true, .ask_seconds = 600, .checked = true});
    ask_three(guests);
    cJSON_Delete(
        call("allow", "{\"patterns\":[\"a.example\"],\"scope\":\"once\",\"internal\":true}"));
    expect(&guests[0], "\r\n\r\nok");
    assert_int_equal(world.pending, 2);
    assert_int_equal(policy_count(world.core->policy), 0);
    send_get(&guests[0], "a.example", "/again"); /* its connection is in the pool */
    assert_int_equal(world.pending, 3);
    cJSON_Delete(call("answer", "{\"id\":4,\"allow\":true}"));
    expect(&guests[0], "is not a public address");
    assert_int_equal(world.server.requests, 1);
    close_three(guests);
}

static bool opened(void *context, uint32_t flow, const struct proxy_ends *ends)
{
    (void)context;
    (void)flow;
    (void)ends;
    return true;
}

/* A refusal waits until it is known who is refused, once a connection, and not for ever. */
static void test_refused_later(void **state)
{
    (void)state;
    start(&(struct setup){.answer = OK, .allow = "b.example", .checked = true, .ask = true});
    policy_set_ask(world.core->policy, false);
    world.core->opened = opened;
    world.core->refusals.ms = 1000; /* less could be over before the loop waits for it */
    connect_guest(&peer, NULL);
    send_get(&peer, "a.example", "/1");
    peer_turn(&peer);
    assert_int_equal(buf_len(&peer.got), 0);
    CLEAN_FREE char *known = str_printf("{\"id\":%u}", world.core->flows);
    cJSON_Delete(call("owner", known));
    peer_turn(&peer);
    assert_non_null(strstr(peer_text(&peer), "no rule allows a.example"));
    buf_consume(&peer.got, buf_len(&peer.got));
    send_get(&peer, "a.example", "/2"); /* at once */
    peer_turn(&peer);
    assert_non_null(strstr(peer_text(&peer), "no rule allows a.example"));
    peer_close(&peer);
    connect_guest(&peer, NULL);
    send_get(&peer, "a.example", "/3");
    expect(&peer, "no rule allows a.example"); /* nobody says whose it is */
    peer_close(&peer);
    connect_guest(&peer, NULL);
    send_get(&peer, "a.example", "/4");
    peer_close(&peer); /* while it waits */
    cJSON_Delete(call("owner", "{\"id\":99}"));
    world_close(&world);
}

static void test_ask_gone(void **state)
{
    (void)state;
    struct peer guests[3];
    start(&(struct setup){.answer = OK, .ask = true, .ask_seconds = 600});
    ask_three(guests);
    struct error err = {0};
    cJSON *json = cJSON_Parse("{\"id\":77,\"allow\":true}");
    assert_null(call_run(&world.thread, "answer", json, &err));
    assert_int_equal(err.code, ENOENT);
    cJSON_Delete(json);
    close_three(guests); /* while they wait */
}

#define UPGRADE                                                                                 \
    "GET /chat HTTP/1.1\r\nHost: a.example:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
#define SWITCH                                                                          \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

static void test_websocket(void **state)
{
    (void)state;
    static const char *const hosts[] = {NULL, "a.example"};
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        start(&(struct setup){.answer = SWITCH "hello", .tls_host = hosts[i]});
        connect_guest(&peer, hosts[i]);
        CLEAN_FREE char *text = str_printf(UPGRADE, world.server.port);
        peer_send(&peer, text, strlen(text), SIZE_MAX);
        expect(&peer, "\r\n\r\nhello");
        world.server.until = NULL; /* an echo */
        peer_send(&peer, "frames", 6, 1);
        expect(&peer, "hello"
                      "frames");
        cJSON_Delete(call("deny", "{\"patterns\":[\"c.example\"]}"));
        assert_false(peer.aborted);
        cJSON_Delete(call("deny", "{\"patterns\":[\"a.example\"]}"));
        assert_true(peer.aborted);
        const cJSON *event = world_find_event(&world, "verdict", "deny");
        assert_string_equal(event_text(event, "protocol"), hosts[i] != NULL ? "wss" : "ws");
        peer_close(&peer);
        world_close(&world);
    }
    start(&(struct setup){.answer = SWITCH, .no_websockets = true});
    connect_guest(&peer, NULL);
    CLEAN_FREE char *text = str_printf(UPGRADE, world.server.port);
    peer_send(&peer, text, strlen(text), SIZE_MAX);
    expect(&peer, "HTTP/1.1 501");
    peer_close(&peer);
    world_close(&world);
}

/* The name's synthetic address, as the guest gets it from DNS. */
static void connect_mapped(const char *name, uint16_t port)
{
    struct address address;
    char text[ADDRESS_TEXT_MAX];
    assert_int_equal(dns_names_address(world.core->names, name, &address), 0);
    address_print(&address, text);
    peer_connect(&world, &peer, text, port);
}

static void test_tcp_map(void **state)
{
    (void)state;
    start(&(struct setup){.tcp_map = "db.example:5432"});
    world.server.until = NULL;
    connect_mapped("db.example", 5432);
    assert_false(peer.accepted);
    while (!peer.accepted)
        uv_run(world.core->loop, UV_RUN_ONCE);
    peer_send(&peer, "\0\1\2\3", 4, 1);
    while (buf_len(&peer.got) < 4) {
        uv_run(world.core->loop, UV_RUN_ONCE);
        peer_turn(&peer);
    }
    assert_memory_equal(buf_data(&peer.got), "\0\1\2\3", 4);
    assert_int_equal(peer.consumed, 4);
    proxy_eof(peer.proxy); /* the server closes in turn */
    while (!peer.shut)
        uv_run(world.core->loop, UV_RUN_ONCE);
    peer_close(&peer);
    world_close(&world);

    start(&(struct setup){.tcp_map = "db.example:5432"});
    uv_close((uv_handle_t *)&world.server.listener, NULL);
    uv_run(world.core->loop, UV_RUN_NOWAIT);
    connect_mapped("db.example", 5432); /* nobody listens there any more */
    while (!peer.refused)
        uv_run(world.core->loop, UV_RUN_ONCE);
    connect_mapped("db.example", 25); /* not mapped, and no HTTP */
    assert_true(peer.refused);
    peer_close(&peer);
    world_close(&world);
}

/* Without SNI nobody is named: an address that stands for a name is not enough, one that is meant
 * is judged as the host. */
static void test_no_server_name(void **state)
{
    (void)state;
    start(&(struct setup){.answer = OK, .allow = "nobody.test"});
    connect_mapped("a.example", 443);
    peer_start_tls(&peer, "198.18.0.9");
    assert_true(peer.aborted);
    const cJSON *event = world_find_event(&world, "verdict", "deny");
    assert_non_null(strstr(event_text(event, "reason"), "SNI"));
    assert_string_equal(event_text(event, "host"), "a.example");
    peer_close(&peer);
    connect_guest(&peer, "93.184.216.34");
    send_get(&peer, "a.example", "/");
    expect(&peer, "HTTP/1.1 421");
    send_get(&peer, "93.184.216.34", "/");
    expect(&peer, "HTTP/1.1 403");
    assert_int_equal(world.server.connections, 0);
    peer_close(&peer);
    world_close(&world);
}

static void test_wrong_server(void **state)
{
    (void)state;
    start(&(struct setup){.answer = OK, .tls_host = "b.example"});
    connect_guest(&peer, "a.example");
    send_get(&peer, "a.example", "/");
    expect(&peer, "HTTP/1.1 502");
    assert_int_equal(world.server.requests, 0);
    peer_close(&peer);
    world_close(&world);
}

static void test_back_pressure(void **state)
{
    (void)state;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n";
    size_t size = (16u << 20) + strlen(head);
    CLEAN_FREE char *answer = malloc(size);
    memset(answer, 'x', size);
    memcpy(answer, head, strlen(head));
    start(&(struct setup){.answer = answer});
    world.server.answer_size = size;
    connect_guest(&peer, NULL);
    peer.room = 1000;
    send_get(&peer, "a.example", "/");
    for (int i = 0; i < 200; i++) /* as far as it gets: nothing waits for more than the guest */
        uv_run(world.core->loop, UV_RUN_NOWAIT);
    assert_true(world.core->received < 512 * 1024);
    assert_true(world.core->received > 1000);
    while (buf_len(&peer.got) < size) {
        peer.room = 100000;
        proxy_writable(peer.proxy);
        uv_run(world.core->loop, UV_RUN_NOWAIT);
        peer_turn(&peer);
    }
    assert_int_equal(buf_len(&peer.got), size);
    peer_close(&peer);
    world_close(&world);
}

/* Heads that never end: as many as there may be are held, the others are told so. */
static void test_incomplete_heads(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    static struct peer guests[COUNT];
    CLEAN_FREE char *head = malloc(60000);
    int length = snprintf(head, 60000, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 90; i++)
        length += snprintf(head + length, 60000 - (size_t)length, "x-%d: %0500d\r\n", i, 0);
    start(&(struct setup){.answer = OK});
    unsigned refused = 0;
    for (size_t i = 0; i < COUNT; i++) {
        connect_guest(&guests[i], NULL);
        peer_send(&guests[i], head, (size_t)length, SIZE_MAX);
        refused += guests[i].shut;
    }
    assert_true(world.core->held <= PROXY_HELD_MAX + 65536);
    assert_true(refused > 0 && refused < COUNT);
    for (size_t i = 0; i < COUNT; i++)
        peer_close(&guests[i]);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_pool_retry),
        cmocka_unit_test(test_rules_change),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_secret_in_plain_http),
        cmocka_unit_test(test_secret_in_body),
        cmocka_unit_test(test_redaction),
        cmocka_unit_test(test_ask),
        cmocka_unit_test(test_ask_expires),
        cmocka_unit_test(test_once_internal),
        cmocka_unit_test(test_refused_later),
        cmocka_unit_test(test_ask_gone),
        cmocka_unit_test(test_websocket),
        cmocka_unit_test(test_tcp_map),
        cmocka_unit_test(test_wrong_server),
        cmocka_unit_test(test_no_server_name),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_incomplete_heads),
    };
    return cmocka_run_group_tests(tests, ca_home_make, ca_home_remove);
}
