/* Mounts as the user writes them. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "session/protocol/mounts.h"

static void test_spec(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *guest; /* host NULL: refused */
        bool read_only;
    } rows[] = {
        {"/a:/b", "/a", "/b", false},
        {"/a:/b:ro", "/a", "/b", true},
        {"/a:/b:rw", "/a", "/b", false},
        {"a b:/b c/", "a b", "/b c", false},
        {"/with:colon:/b", "/with:colon", "/b", false},
        {"/a:/b:c", "/a", "/b:c", false},
        {"/a:/b:/c", "/a:/b", "/c", false},
        {"/a://b///c//", "/a", "/b/c", false},
        {":/b:/c", ":/b", "/c", false},
        {"", NULL, NULL, false},
        {"/a", NULL, NULL, false},
        {"/a:b", NULL, NULL, false},
        {":/b", NULL, NULL, false},
        {"/a:ro", NULL, NULL, false},
        {"/a:/b/../c", NULL, NULL, false},
        {"/a:/./b", NULL, NULL, false},
        {"/a:/", NULL, NULL, false},
        {"/a:/proc", NULL, NULL, false},
        {"/a:/dev/x:ro", NULL, NULL, false},
        {"/a:/run/vmdeck", NULL, NULL, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        CLEAN_MOUNT_SPEC struct mount_spec spec = {0};
        struct error err = {0};
        int rc = mount_spec_parse(rows[i].text, &spec, &err);
        if (rows[i].host == NULL) {
            assert_int_equal(rc, -EINVAL);
            assert_true(err.message[0] != '\0');
            continue;
        }
        assert_int_equal(rc, 0);
        assert_string_equal(spec.host, rows[i].host);
        assert_string_equal(spec.guest, rows[i].guest);
        assert_int_equal(spec.read_only, rows[i].read_only);
    }
}

static void test_below(void **state)
{
    (void)state;
    assert_true(mount_is_below("/a", "/a"));
    assert_true(mount_is_below("/a/b", "/a"));
    assert_false(mount_is_below("/ab", "/a"));
    assert_false(mount_is_below("/", "/a"));
}

static void test_list(void **state)
{
    (void)state;
    struct session_config config;
    struct error err = {0};
    struct mount_list list = {0};
    session_config_init(&config);
    strv_add(&config.mounts_hostfs, "/x:/work/deep/er");
    strv_add(&config.mounts_hostfs, "/x:/work:ro");
    strv_add(&config.mounts_memfs, "/work/deep");
    assert_int_equal(mount_list(&config, &list, &err), 0);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0].guest, "/work");
    assert_null(list.items[1].host);
    assert_string_equal(list.items[2].guest, "/work/deep/er");
    mount_list_free(&list);

    strv_add(&config.mounts_memfs, "/work//");
    assert_int_equal(mount_list(&config, &list, &err), -EINVAL);
    assert_int_equal(list.count, 0);
    assert_non_null(strstr(err.message, "/work"));
    for (int i = 0; i < 300; i++)
        strv_addf(&config.mounts_memfs, "/m%d", i);
    assert_int_equal(mount_list(&config, &list, &err), -E2BIG);
    session_config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
