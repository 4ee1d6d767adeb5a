/* Hosts, authorities, paths and the patterns made of them. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "net/pattern.h"

static const struct {
    const char *text;
    unsigned flags;
    const char *expected; /* NULL: refused */
} hosts[] = {
    {"example.com", 0, "example.com"},
    {"Foo.Example.ORG.", 0, "foo.example.org"},
    {"my_host-1.x", 0, "my_host-1.x"},
    {"localhost", 0, "localhost"},
    {"xn--bcher-kva.de", 0, "xn--bcher-kva.de"},
    {"b\xc3\xbc"
     "cher.de",
     HOST_UNICODE, "xn--bcher-kva.de"},
    {"B\xc3\x9c"
     "CHER.de.",
     HOST_UNICODE, "xn--bcher-kva.de"},
    {"*.b\xc3\xbc"
     "cher.de",
     HOST_UNICODE | HOST_WILDCARD, "*.xn--bcher-kva.de"},
    {"b\xc3\xbc"
     "cher.de",
     0, NULL},
    {"ex\xef\xbc\x8e"
     "ample.com",
     0, NULL},
    {"1.2.3.4", 0, "1.2.3.4"},
    {"1.2.3.4.", 0, "1.2.3.4"},
    {"[::1]", 0, "::1"},
    {"::1", 0, "::1"},
    {"[2001:DB8::0:1]", 0, "2001:db8::1"},
    {"[::ffff:127.0.0.1]", 0, "::ffff:127.0.0.1"},
    {"[fe80::1%25eth0]", 0, NULL},
    {"[::1", 0, NULL},
    {"[]", 0, NULL},
    {"[1.2.3.4]", 0, NULL},
    {"[::1]x", 0, NULL},
    {"127.1", 0, NULL},
    {"2130706433", 0, NULL},
    {"0x7f000001", 0, NULL},
    {"0x7f.1", 0, NULL},
    {"0177.0.0.1", 0, NULL},
    {"example.0x", 0, NULL},
    {"example.1", 0, NULL},
    {"1.example", 0, "1.example"},
    {"", 0, NULL},
    {".", 0, NULL},
    {"..", 0, NULL},
    {"a..b", 0, NULL},
    {".example.com", 0, NULL},
    {"example.com..", 0, NULL},
    {"*.example.com", 0, NULL},
    {"*.example.com", HOST_WILDCARD, "*.example.com"},
    {"*", HOST_WILDCARD, "*"},
    {"user@example.com", 0, NULL},
    {"exa mple.com", 0, NULL},
    {"exam%70le.com", 0, NULL},
    {"example.com/", 0, NULL},
    {"example.com\t", 0, NULL},
};

static void normalizes_hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        char host[HOST_SIZE];
        struct error err = {0};
        int rc = host_normalize(hosts[i].text, strlen(hosts[i].text), hosts[i].flags, host, &err);
        if ((rc == 0) != (hosts[i].expected != NULL))
            fail_msg("'%s': %d %s", hosts[i].text, rc, err.message);
        if (rc == 0)
            assert_string_equal(host, hosts[i].expected);
        else
            assert_non_null(strstr(err.message, "host"));
    }
}

static void bounds_hosts(void **state)
{
    char text[HOST_TEXT_MAX + 2], host[HOST_SIZE];
    (void)state;
    memset(text, 'a', sizeof text);
    assert_int_equal(host_normalize(text, 63, 0, host, NULL), 0);
    assert_int_equal(host_normalize(text, 64, 0, host, NULL), -EINVAL);
    for (size_t i = 63; i < sizeof text; i += 64)
        text[i] = '.';
    assert_int_equal(host_normalize(text, 253, 0, host, NULL), 0);
    assert_int_equal(host_normalize(text, 254, 0, host, NULL), -EINVAL);
    assert_int_equal(host_normalize(text, sizeof text, 0, host, NULL), -EINVAL);
    memset(text, ':', sizeof text);
    assert_int_equal(host_normalize(text, sizeof text, 0, host, NULL), -EINVAL);
    assert_int_equal(host_normalize("a\0b", 3, 0, host, NULL), -EINVAL);
    assert_int_equal(host_normalize("::\0", 3, 0, host, NULL), -EINVAL);
}

static void splits_authorities(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } rows[] = {
        {"example.com", "example.com", 0},
        {"Example.com.:443", "example.com", 443},
        {"[::1]:65535", "::1", 65535},
        {"[::1]", "::1", 0},
        {"1.2.3.4:80", "1.2.3.4", 80},
        {"example.com:", NULL, 0},
        {"example.com:0", NULL, 0},
        {"example.com:65536", NULL, 0},
        {"example.com:+80", NULL, 0},
        {"example.com: 80", NULL, 0},
        {"example.com:80x", NULL, 0},
        {"example.com:0000080", NULL, 0},
        {"::1", NULL, 0},
        {"::1:80", NULL, 0},
        {"[::1]80", NULL, 0},
        {"[::1]:", NULL, 0},
        {"[::1:80", NULL, 0},
        {":80", NULL, 0},
        {"user@example.com:80", NULL, 0},
        {"user:password@example.com", NULL, 0},
        {"", NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char host[HOST_SIZE];
        uint16_t port;
        int rc = authority_split(rows[i].text, strlen(rows[i].text), 0, host, &port, NULL);
        if ((rc == 0) != (rows[i].host != NULL))
            fail_msg("'%s': %d", rows[i].text, rc);
        if (rc < 0)
            continue;
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
    }
}

static void reads_paths(void **state)
{
    static const struct {
        const char *text, *strict, *merged, *loose; /* strict NULL: refused */
    } rows[] = {
        {"/", "/", "/", "/"},
        {"/a/b?x=/../c", "/a/b", "/a/b", "/a/b"},
        {"/a/./b/../c", "/a/c", "/a/c", "/a/c"},
        {"/a/..", "/", "/", "/"},
        {"/..", "/", "/", "/"},
        {"/a/b/.", "/a/b/", "/a/b/", "/a/b/"},
        {"/a/%2e%2E/b", "/b", "/b", "/b"},
        {"/%61%2d%7e", "/a-~", "/a-~", "/a-~"},
        {"/a%2fb", "/a%2Fb", "/a%2Fb", "/a/b"},
        {"/a//../b", "/a/b", "/b", "/b"},
        {"//a", "//a", "/a", "/a"},
        {"/a%2f..%2fb", "/a%2F..%2Fb", "/a%2F..%2Fb", "/b"},
        {"/a/..%5cb", "/a/..%5Cb", "/a/..%5Cb", "/b"},
        {"/a/..\\b", "/a/..\\b", "/a/..\\b", "/b"},
        {"/a/..;x/b", "/a/..;x/b", "/a/..;x/b", "/b"},
        {"/a/%252e%252e/b", "/a/%252e%252e/b", "/a/%252e%252e/b", "/b"},
        {"/x%2A*", "/x%2A*", "/x%2A*", "/x%2A*"},
        {"/\xc3\xbc", "/%C3%BC", "/%C3%BC", "/\xc3\xbc"},
        {"/%c3%bc", "/%C3%BC", "/%C3%BC", "/\xc3\xbc"},
        {"/...", "/...", "/...", "/..."},
        {"", NULL, NULL, NULL},
        {"*", NULL, NULL, NULL},
        {"a/b", NULL, NULL, NULL},
        {"?/", NULL, NULL, NULL},
        {"/a b", NULL, NULL, NULL},
        {"/a#b", NULL, NULL, NULL},
        {"/%", NULL, NULL, NULL},
        {"/%4", NULL, NULL, NULL},
        {"/%zz", NULL, NULL, NULL},
        {"/%00", NULL, NULL, NULL},
        {"/%2500", NULL, NULL, NULL},
        {"/a\x01", NULL, NULL, NULL},
        {"/%25252525252e", NULL, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_URL_PATH struct url_path path;
        int rc = url_path_parse(rows[i].text, strlen(rows[i].text), &path, NULL);
        if ((rc == 0) != (rows[i].strict != NULL))
            fail_msg("'%s': %d", rows[i].text, rc);
        if (rc < 0)
            continue;
        assert_string_equal(path.forms[URL_PATH_STRICT], rows[i].strict);
        assert_string_equal(path.forms[URL_PATH_MERGED], rows[i].merged);
        assert_string_equal(path.forms[URL_PATH_LOOSE], rows[i].loose);
    }
}

static void bounds_paths(void **state)
{
    static char text[URL_PATH_MAX + 1];
    (void)state;
    memset(text, '/', sizeof text);
    struct url_path path;
    assert_int_equal(url_path_parse(text, URL_PATH_MAX, &path, NULL), 0);
    assert_string_equal(path.forms[URL_PATH_MERGED], "/");
    url_path_free(&path);
    assert_int_equal(url_path_parse(text, URL_PATH_MAX + 1, &path, NULL), -EINVAL);
    assert_null(path.forms[0]);
}

static void matches_globs(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool expected;
    } rows[] = {
        {"*", "", true},          {"*", "anything", true}, {"a*c", "abbc", true},
        {"a*c", "ac", true},      {"a*c", "ab", false},    {"", "", true},
        {"", "a", false},         {"a", "", false},        {"*a*b*", "xaxxbx", true},
        {"*ab", "aab", true},     {"*a", "ab", false},     {"a**b", "ab", true},
        {"a.*.c", "a.b.c", true}, {"a.*.c", "a.c", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (glob_matches(rows[i].pattern, rows[i].text) != rows[i].expected)
            fail_msg("'%s' and '%s'", rows[i].pattern, rows[i].text);
}

static void parses_rules(void **state)
{
    static const struct {
        const char *text, *printed; /* NULL: refused */
    } rows[] = {
        {"example.com", "example.com"},
        {"EXAMPLE.com.", "example.com"},
        {"*", "*"},
        {"*.Example.org:8443", "*.example.org:8443"},
        {"example.com:*", "example.com"},
        {"get example.com", "GET example.com"},
        {"* example.com", "example.com"},
        {"DELETE api.*.net:443/v1/*", "DELETE api.*.net:443/v1/*"},
        {"example.com/a%2d%2f", "example.com/a-%2F"},
        {"example.com/", "example.com/"},
        {"[::1]:80", "[::1]:80"},
        {"[::1]", "[::1]"},
        {"10.0.0.1/x", "10.0.0.1/x"},
        {"b\xc3\xbc"
         "cher.de/\xc3\xbc",
         "xn--bcher-kva.de/%C3%BC"},
        {"", NULL},
        {"GET ", NULL},
        {" example.com", NULL},
        {"GET  ", NULL},
        {"G(T example.com", NULL},
        {"GET* example.com", NULL},
        {"https://example.com/", NULL},
        {"example.com:http", NULL},
        {"example.com:0", NULL},
        {"exa$mple.com", NULL},
        {"127.1", NULL},
        {"example.com/a?b", NULL},
        {"example.com/a#b", NULL},
        {"example.com/a/../b", NULL},
        {"example.com/*/..", NULL},
        {"example.com/%", NULL},
        {"example.com/a b", NULL},
        {"/path", NULL},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF example.com", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_PATTERN struct pattern pattern;
        CLEAN_BUF struct buf printed = {0};
        struct error err = {0};
        int rc = pattern_parse_rule(rows[i].text, &pattern, &err);
        if ((rc == 0) != (rows[i].printed != NULL))
            fail_msg("'%s': %d %s", rows[i].text, rc, err.message);
        if (rc < 0)
            continue;
        assert_int_equal(pattern_print_rule(&pattern, &printed), 0);
        assert_string_equal(buf_string(&printed), rows[i].printed);
    }
}

static void bounds_rules(void **state)
{
    char text[PATTERN_TEXT_MAX + 2];
    struct pattern pattern;
    (void)state;
    memset(text, 'a', sizeof text);
    text[1] = '/';
    text[PATTERN_TEXT_MAX] = '\0';
    assert_int_equal(pattern_parse_rule(text, &pattern, NULL), 0);
    pattern_free(&pattern);
    text[PATTERN_TEXT_MAX] = 'a';
    text[PATTERN_TEXT_MAX + 1] = '\0';
    struct error err;
    assert_int_equal(pattern_parse_rule(text, &pattern, &err), -EINVAL);
}

static void parses_origins(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool plain;
    } rows[] = {
        {"example.com", "example.com", 443, false},
        {"https://example.com", "example.com", 443, false},
        {"HTTP://Example.com", "example.com", 80, true},
        {"http://example.com:8080", "example.com", 8080, true},
        {"example.com:8443", "example.com", 8443, false},
        {"*.example.com:*", "*.example.com", 0, false},
        {"https://[::1]:1", "::1", 1, false},
        {"ftp://example.com", NULL, 0, false},
        {"://example.com", NULL, 0, false},
        {"https://example.com/", NULL, 0, false},
        {"GET example.com", NULL, 0, false},
        {"https://", NULL, 0, false},
        {"", NULL, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_PATTERN struct pattern pattern;
        int rc = pattern_parse_origin(rows[i].text, &pattern, NULL);
        if ((rc == 0) != (rows[i].host != NULL))
            fail_msg("'%s': %d", rows[i].text, rc);
        if (rc < 0)
            continue;
        assert_string_equal(pattern.host, rows[i].host);
        assert_int_equal(pattern.port, rows[i].port);
        assert_int_equal(pattern.plain, rows[i].plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalizes_hosts),   cmocka_unit_test(bounds_hosts),
        cmocka_unit_test(splits_authorities), cmocka_unit_test(reads_paths),
        cmocka_unit_test(bounds_paths),       cmocka_unit_test(matches_globs),
        cmocka_unit_test(parses_rules),       cmocka_unit_test(bounds_rules),
        cmocka_unit_test(parses_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
