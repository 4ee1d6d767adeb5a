/* Libraries that are loaded late: one that is there, one that is not, one that lacks something. */
#include "unit.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/late.h"

static struct {
    typeof(cos) *cos;
    typeof(sin) *sin;
} math;

static const struct late_symbol symbols[] = {
    {"cos", offsetof(typeof(math), cos)},
    {"sin", offsetof(typeof(math), sin)},
};
static const struct late_symbol unknown[] = {
    {"vmdeck_no_such_function", offsetof(typeof(math), cos)},
};

static void test_loaded(void **state)
{
    (void)state;
    struct late_library library = LATE_LIBRARY("libm.so.6", "libc6", symbols, &math);
    struct error err = {0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(late_load(&library, &err), 0);
        assert_true(math.cos(0) > 0.99 && math.sin(0) < 0.01);
    }
}

static void test_failures(void **state)
{
    (void)state;
    struct {
        struct late_library library;
        const char *says;
    } rows[] = {
        {LATE_LIBRARY("libvmdeck-none.so.1", "a-package", symbols, &math), "apt install a-package"},
        {LATE_LIBRARY("libm.so.6", "libc6", unknown, &math), "has no vmdeck_no_such_function"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(late_load(&rows[i].library, NULL), -ENOENT);
        struct error err = {0};
        assert_int_equal(late_load(&rows[i].library, &err), -ENOENT); /* it is remembered */
        assert_non_null(strstr(err.message, rows[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loaded),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
