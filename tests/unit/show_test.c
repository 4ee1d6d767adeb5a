/* session/cli: times, sizes and foreign text as they are shown and read. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "session/cli/show.h"

static void test_age(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {-5000, "0s"},     {0, "0s"},        {999, "0s"},       {12345, "12s"},
        {59999, "59s"},    {60000, "1m"},    {3599999, "59m"},  {3600000, "1h"},
        {86399999, "23h"}, {86400000, "1d"}, {172800000, "2d"}, {INT64_MAX, "106751991167d"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char out[SHOW_SIZE];
        show_age(rows[i].ms, out);
        assert_string_equal(out, rows[i].text);
    }
}

static void test_size(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0B"},
        {1023, "1023B"},
        {1024, "1.0K"},
        {1536, "1.5K"},
        {10240, "10K"},
        {134217728, "128M"},
        {UINT64_C(5) << 30, "5.0G"},
        {UINT64_MAX, "16E"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char out[SHOW_SIZE];
        show_size(rows[i].bytes, out);
        assert_string_equal(out, rows[i].text);
    }
}

static void test_time(void **state)
{
    (void)state;
    const int64_t now = INT64_C(1800000000000), bad = INT64_MIN;
    const struct {
        const char *text;
        int64_t time;
    } rows[] = {
        {"0s", now},
        {"30s", now - 30000},
        {"10m", now - 600000},
        {"2h", now - 7200000},
        {"1d", now - 86400000},
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T12:34:56Z", INT64_C(951827696000)},
        {"2000-02-29T12:34:56.7Z", INT64_C(951827696700)},
        {"2000-02-29T12:34:56.789123Z", INT64_C(951827696789)},
        {"2000-02-29T14:34:56+02:00", INT64_C(951827696000)},
        {"2000-02-29T07:04:56-05:30", INT64_C(951827696000)},
        {"", bad},
        {"10", bad},
        {"m", bad},
        {"-1m", bad},
        {" 1m", bad},
        {"1m ", bad},
        {"1w", bad},
        {"99999999999999m", bad},
        {"yesterday", bad},
        {"2000-02-29", bad},
        {"2000-02-29T12:34:56", bad},
        {"2000-02-29 12:34:56Z", bad},
        {"2000-02-30T12:34:56Z", bad},
        {"2000-13-01T12:34:56Z", bad},
        {"2000-02-29T12:34:56Zx", bad},
        {"2000-02-29T12:34:56+2:00", bad},
        {"2000-02-29T12:34:56+02:60", bad},
        {"2000-02-29T12:34:56+0200", bad},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int64_t out = bad;
        struct error err = {0};
        int rc = show_time_parse(rows[i].text, "--since", now, &out, &err);
        if (rows[i].time == bad) {
            if (rc != -EINVAL)
                fail_msg("'%s' was taken", rows[i].text);
            assert_non_null(strstr(err.message, "--since"));
            continue;
        }
        if (rc != 0 || out != rows[i].time)
            fail_msg("'%s': %d, %lld", rows[i].text, rc, (long long)out);
    }
}

static void test_plain(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t max;
        const char *plain;
    } rows[] = {
        {"", 5, ""},
        {"sleep 5", 20, "sleep 5"},
        {"a\x1b[2Jb\nc\x7f", 20, "a?[2Jb?c?"},
        {"a\xc2\x9b"
         "2Jb",
         20, "a??2Jb"},
        {"gr\xc3\xbc\xc3\x9f"
         "e",
         20,
         "gr\xc3\xbc\xc3\x9f"
         "e"},
        {"abcdef", 3, "abc"},
        {"ab\xc3\xbc", 3, "ab"},
        {"ab\xc3\xbc", 4, "ab\xc3\xbc"},
        {"\xe2\x82\xac\xe2\x82\xac", 5, "\xe2\x82\xac"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char out[32];
        assert_string_equal(show_plain(rows[i].text, rows[i].max, out), rows[i].plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
