/* --tcp-map: what is a mapping, and which one is taken. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "net/tcp_map.h"

static void parses_mappings(void **state)
{
    static const struct {
        const char *text;
        int rc;
    } rows[] = {
        {"db=127.0.0.1:5432", 0},
        {"db:5432=[::1]:5433", 0},
        {"DB.:5432=localhost:1", -EEXIST},
        {"db", -EINVAL},
        {"db=", -EINVAL},
        {"=localhost:1", -EINVAL},
        {"db=localhost", -EINVAL},
        {"db:0=localhost:1", -EINVAL},
        {"*.db=localhost:1", -EINVAL},
        {"db:5432=localhost:99999", -EINVAL},
        {"db:5432=a=b:1", -EINVAL},
    };
    struct tcp_map map = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        int rc = tcp_map_add(&map, rows[i].text, &err);
        if (rc != rows[i].rc)
            fail_msg("'%s': %d %s", rows[i].text, rc, err.message);
    }
    assert_int_equal(map.count, 2);
    assert_string_equal(tcp_map_find(&map, "db", 5432)->upstream, "::1");
    assert_int_equal(tcp_map_find(&map, "db", 5432)->upstream_port, 5433);
    assert_string_equal(tcp_map_find(&map, "db", 80)->upstream, "127.0.0.1");
    assert_null(tcp_map_find(&map, "xdb", 5432));
    tcp_map_free(&map);
}

static void bounds_mappings(void **state)
{
    struct tcp_map map = {0};
    struct error err;
    char text[64];
    (void)state;
    for (int i = 1; i <= TCP_MAP_MAX + 1; i++) {
        snprintf(text, sizeof text, "db:%d=localhost:1", i);
        assert_int_equal(tcp_map_add(&map, text, &err), i <= TCP_MAP_MAX ? 0 : -ENOSPC);
    }
    tcp_map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_mappings),
        cmocka_unit_test(bounds_mappings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
