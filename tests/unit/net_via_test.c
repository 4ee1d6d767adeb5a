/* Which proxy of the host's environment a connection goes through; and through one, for real. */
#include "unit.h"

#include "net/via.h"
#include "net_world.h"

static const char *const variables[] = {"http_proxy", "https_proxy", "all_proxy", "no_proxy",
                                        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"};

static void clear(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
        unsetenv(variables[i]);
}

static void test_environment(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *none;
        bool tls;
        const char *host;
        uint16_t port;
        const char *proxy; /* NULL: directly */
        uint16_t proxy_port;
        const char *auth;
    } rows[] = {
        {"http_proxy", "http://p.test:3128", NULL, false, "a.test", 80, "p.test", 3128, ""},
        {"http_proxy", "http://p.test:3128", NULL, true, "a.test", 443, NULL, 0, NULL},
        {"HTTP_PROXY", "http://p.test:3128", NULL, false, "a.test", 80, NULL, 0, NULL},
        {"HTTPS_PROXY", "p.test", NULL, true, "a.test", 443, "p.test", 1080, ""},
        {"all_proxy", "http://u:p%40@10.0.0.1:1/", NULL, true, "a.test", 443, "10.0.0.1", 1,
         "Basic dTpwQA=="},
        {"http_proxy", "http://p.test:1", "a.test", false, "a.test", 80, NULL, 0, NULL},
        {"http_proxy", "http://p.test:1", "x, .test ,y", false, "a.test", 80, NULL, 0, NULL},
        {"http_proxy", "http://p.test:1", "st", false, "a.test", 80, "p.test", 1, ""},
        {"http_proxy", "http://p.test:1", "*", false, "a.test", 80, NULL, 0, NULL},
        {"http_proxy", "http://p.test:1", "a.test:81", false, "a.test", 80, "p.test", 1, ""},
        {"http_proxy", "http://p.test:1", "a.test:81", false, "a.test", 81, NULL, 0, NULL},
        {"http_proxy", "http://p.test:1", "10.0.0.0/8", false, "10.1.2.3", 80, NULL, 0, NULL},
        {"http_proxy", "http://p.test:1", "10.0.0.0/8", false, "11.1.2.3", 80, "p.test", 1, ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct via via;
        clear();
        setenv(rows[i].name, rows[i].value, 1);
        if (rows[i].none != NULL)
            setenv("no_proxy", rows[i].none, 1);
        assert_int_equal(via_read(&via, NULL), 0);
        const struct via_proxy *proxy = via_find(&via, rows[i].tls, rows[i].host, rows[i].port);
        if ((proxy != NULL) != (rows[i].proxy != NULL))
            fail_msg("row %zu", i);
        if (proxy != NULL) {
            assert_string_equal(proxy->host, rows[i].proxy);
            assert_int_equal(proxy->port, rows[i].proxy_port);
            assert_string_equal(proxy->auth, rows[i].auth);
        }
        via_free(&via);
    }
    static const char *const bad[] = {"socks5://p.test", "https://p.test", "http://secret@",
                                      "http://a b"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct via via;
        struct error err = {0};
        clear();
        setenv("https_proxy", bad[i], 1);
        assert_int_equal(via_read(&via, &err), -EINVAL);
        assert_null(strstr(err.message, "secret"));
    }
    clear();
}

/* The proxy is the test's server: it sees what a proxy is sent. */
static void test_requests(void **state)
{
    (void)state;
    static const struct {
        const char *sni, *answer, *seen, *reply;
    } rows[] = {
        {NULL, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
         "GET http://a.example:8080/x HTTP/1.1\r\n", "\r\n\r\nok"},
        {"a.example", "HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n",
         "CONNECT a.example:8080 HTTP/1.1\r\n", "answers CONNECT a.example:8080 with 407"},
        {"a.example", "HTTP/1.1 200 OK\r\n\r\nno TLS", "CONNECT a.example:8080 HTTP/1.1\r\n",
         "HTTP/1.1 502"},
        {"a.example", "garbage\r\n\r\n", "CONNECT a.example:8080 HTTP/1.1\r\n", "HTTP/1.1 502"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world world;
        struct peer peer;
        struct strv internal = {0};
        strv_add(&internal, "a.example");
        clear();
        world_open_server(&world, NULL);
        world.server.answer = rows[i].answer;
        CLEAN_FREE char *proxy = str_printf("http://u:p@127.0.0.1:%u", world.server.port);
        setenv("all_proxy", proxy, 1);
        world_open_core(&world, (struct net_options){.internal = &internal});
        peer_connect(&world, &peer, "93.184.216.34", 8080);
        if (rows[i].sni != NULL)
            peer_start_tls(&peer, rows[i].sni);
        static const char request[] = "GET /x HTTP/1.1\r\nHost: a.example:8080\r\n\r\n";
        peer_send(&peer, request, strlen(request), SIZE_MAX);
        if (!peer_wait(&peer, rows[i].reply))
            fail_msg("row %zu: '%s'", i, peer_text(&peer));
        assert_non_null(strstr(seen_text(&world), rows[i].seen));
        assert_non_null(strstr(seen_text(&world), "Proxy-Authorization: Basic dTpw\r\n"));
        peer_close(&peer);
        world_close(&world);
        strv_free(&internal);
    }
    clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_requests),
    };
    return cmocka_run_group_tests(tests, ca_home_make, ca_home_remove);
}
