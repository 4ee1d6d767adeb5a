/* Queries that go to a resolver over TCP: one that the test plays, on a port of its own. */
#include "unit.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "net/names.h"
#include "net/names_stream.h"
#include "net/packet.h"

#define QUERY     "\0\7\1\0\0\1\0\0\0\0\0\0\1a\7example\0\0\20\0\1"
#define BIG       60000 /* more than a datagram's answer may have */
#define ANSWER_AT (sizeof QUERY - 1)
#define SECONDS   20

struct resolver {
    uv_loop_t loop;
    uv_tcp_t listener, connection;
    uv_timer_t watchdog;
    struct sockaddr_in address;
    bool connected;
    uint8_t query[512];
    size_t got;
    const uint8_t *answer; /* NULL: closes instead */
    uint8_t *message;      /* or this, under the query's id */
    size_t size, piece;
    /* what came of it */
    unsigned answers;
    uint8_t *response;
    size_t response_size;
};

static void stuck(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("stuck");
}

static void give(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    struct resolver *resolver = handle->data;
    (void)size;
    *out = uv_buf_init((char *)resolver->query + resolver->got,
                       (unsigned)(sizeof resolver->query - resolver->got));
}

/* Waits with each piece until the one before is out. */
static void write_on(uv_write_t *write, int status)
{
    struct resolver *resolver = write->data;
    if (status < 0 || resolver->size == 0) {
        free(write);
        return;
    }
    size_t piece = resolver->piece < resolver->size ? resolver->piece : resolver->size;
    uv_buf_t data = uv_buf_init((char *)(uintptr_t)resolver->answer, (unsigned)piece);
    resolver->answer += piece;
    resolver->size -= piece;
    assert_int_equal(uv_write(write, (uv_stream_t *)&resolver->connection, &data, 1, write_on), 0);
}

static void was_asked(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct resolver *resolver = stream->data;
    (void)buffer;
    if (size < 0) {
        uv_read_stop(stream);
        return;
    }
    resolver->got += (size_t)size;
    if (resolver->got < 2 || resolver->got < 2u + net_get16(resolver->query))
        return;
    if (resolver->message != NULL) {
        memcpy(resolver->message + 2, resolver->query + 2, 2);
        resolver->answer = resolver->message;
    }
    if (resolver->answer == NULL) {
        uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    uv_write_t *write = calloc(1, sizeof *write);
    write->data = resolver;
    write_on(write, 0);
}

static void came_in(uv_stream_t *listener, int status)
{
    struct resolver *resolver = listener->data;
    assert_int_equal(status, 0);
    assert_false(resolver->connected);
    uv_tcp_init(&resolver->loop, &resolver->connection);
    resolver->connection.data = resolver;
    resolver->connected = true;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&resolver->connection), 0);
    uv_read_start((uv_stream_t *)&resolver->connection, give, was_asked);
}

/* False: that port may not be had. */
static bool resolver_open(struct resolver *resolver, const char *ip, uint16_t port)
{
    int size = sizeof resolver->address;
    *resolver = (struct resolver){.piece = SIZE_MAX};
    assert_int_equal(uv_loop_init(&resolver->loop), 0);
    uv_ip4_addr(ip, port, &resolver->address);
    uv_tcp_init(&resolver->loop, &resolver->listener);
    uv_timer_init(&resolver->loop, &resolver->watchdog);
    uv_timer_start(&resolver->watchdog, stuck, SECONDS * 1000, 0);
    resolver->listener.data = resolver;
    int rc = uv_tcp_bind(&resolver->listener, (struct sockaddr *)&resolver->address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&resolver->listener, 4, came_in);
    uv_tcp_getsockname(&resolver->listener, (struct sockaddr *)&resolver->address, &size);
    return rc == 0;
}

static void resolver_close(struct resolver *resolver)
{
    uv_close((uv_handle_t *)&resolver->listener, NULL);
    uv_close((uv_handle_t *)&resolver->watchdog, NULL);
    if (resolver->connected && !uv_is_closing((uv_handle_t *)&resolver->connection))
        uv_close((uv_handle_t *)&resolver->connection, NULL);
    uv_run(&resolver->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&resolver->loop), 0);
    free(resolver->response);
}

static void keep(struct resolver *resolver, const void *data, size_t size)
{
    resolver->answers++;
    resolver->response_size = size;
    resolver->response = malloc(size + 1);
    if (size > 0)
        memcpy(resolver->response, data, size);
}

static void came(void *owner, uint8_t *response, size_t size)
{
    assert_true((response == NULL) == (size == 0));
    keep(owner, response, size);
}

static void test_stream(void **state)
{
    (void)state;
    static const struct {
        const char *answer; /* NULL: closes */
        size_t size, piece;
        size_t expected; /* 0: none */
    } rows[] = {
        {"\0\5hello", 7, SIZE_MAX, 5},
        {"\0\5hello", 7, 1, 5},
        {"\0\5hello\0\1x", 10, SIZE_MAX, 5}, /* what follows is nobody's */
        {"\0\0", 2, SIZE_MAX, 0},
        {NULL, 0, SIZE_MAX, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct resolver resolver;
        struct names_stream *stream;
        assert_true(resolver_open(&resolver, "127.0.0.1", 0));
        resolver.answer = (const uint8_t *)rows[i].answer;
        resolver.size = rows[i].size;
        resolver.piece = rows[i].piece;
        assert_int_equal(names_stream_ask(&stream, &resolver.loop,
                                          (struct sockaddr *)&resolver.address,
                                          (const uint8_t *)"query", 5, came, &resolver),
                         0);
        while (resolver.answers == 0)
            uv_run(&resolver.loop, UV_RUN_ONCE);
        assert_int_equal(resolver.got, 7);
        assert_memory_equal(resolver.query, "\0\5query", 7);
        assert_int_equal(resolver.response_size, rows[i].expected);
        assert_memory_equal(resolver.response, "hello", rows[i].expected);
        names_stream_close(stream);
        resolver_close(&resolver);
        assert_int_equal(resolver.answers, 1);
    }
}

/* Nobody listens; and one that is given up while it waits. */
static void test_stream_gone(void **state)
{
    (void)state;
    struct resolver resolver;
    struct names_stream *stream;
    struct sockaddr_in nobody;
    assert_true(resolver_open(&resolver, "127.0.0.1", 0));
    uv_ip4_addr("127.254.254.254", 53, &nobody);
    assert_int_equal(names_stream_ask(&stream, &resolver.loop, (struct sockaddr *)&nobody,
                                      (const uint8_t *)"query", 5, came, &resolver),
                     0);
    while (resolver.answers == 0)
        uv_run(&resolver.loop, UV_RUN_ONCE);
    assert_int_equal(resolver.response_size, 0);
    names_stream_close(stream);
    assert_int_equal(names_stream_ask(&stream, &resolver.loop, (struct sockaddr *)&resolver.address,
                                      (const uint8_t *)"query", 5, came, &resolver),
                     0);
    names_stream_close(stream);
    resolver_close(&resolver);
    assert_int_equal(resolver.answers, 1);
}

struct asking {
    struct name_query query; /* first */
    struct resolver *resolver;
};

static void answered(struct name_query *query, const void *data, size_t size)
{
    keep(((struct asking *)query)->resolver, data, size);
}

/* A whole query of the guest's, to port 53, which only root may have. */
static void test_forward(void **state)
{
    (void)state;
    struct resolver resolver;
    struct core core = {.policy = policy_new()};
    struct dns_settings settings = {.mode = DNS_MODE_TRUSTED, .server_count = 1};
    struct names *names;
    if (!resolver_open(&resolver, "127.254.254.253", 53)) {
        policy_free(core.policy);
        resolver_close(&resolver);
        skip();
    }
    resolver.message = calloc(1, 2 + BIG);
    resolver.size = 2 + BIG;
    net_put16(resolver.message, BIG);
    memcpy(resolver.message + 2, QUERY, ANSWER_AT);
    resolver.message[4] |= 0x80; /* a response */
    memset(resolver.message + 2 + ANSWER_AT, 'x', BIG - ANSWER_AT);
    core.loop = &resolver.loop;
    assert_int_equal(address_parse("127.254.254.253", &settings.servers[0]), 0);
    assert_int_equal(names_open(&names, &core, &settings, NULL), 0);
    struct asking asking = {.resolver = &resolver,
                            .query = {.stream = true, .max = UINT16_MAX, .answered = answered}};
    names_ask(names, &asking.query, (const uint8_t *)QUERY, ANSWER_AT);
    while (resolver.answers == 0)
        uv_run(&resolver.loop, UV_RUN_ONCE);
    assert_int_equal(resolver.response_size, BIG);
    assert_memory_equal(resolver.response, "\0\7\x81", 3); /* under the guest's id */
    assert_int_equal(resolver.response[BIG - 1], 'x');
    free(resolver.message);
    names_close(names);
    policy_free(core.policy);
    resolver_close(&resolver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_gone),
        cmocka_unit_test(test_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
