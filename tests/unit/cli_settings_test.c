/* The settings file: what it sets, what it leaves to the dashboard, and what is refused with its
 * line. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "session/cli/settings.h"

static char directory[64];

static int apply(const char *text, size_t size, struct session_config *config, struct error *err)
{
    CLEAN_FREE char *path = str_printf("%s/vmdeck/config", directory);
    struct error ignored = {0};
    assert_int_equal(path_write(path, 0600, text, size, &ignored), 0);
    session_config_init(config);
    return settings_apply(config, err);
}

static void test_values(void **state)
{
    static const char text[] = "# what I like\n\nmemory 1G\n  cpus = 3  # not a comment here\n";
    static const char good[] = "memory 1G\r\ncpus=3\n  spares = 2 \nenv A=1\nenv B=two words\n"
                               "cold on\ntheme dark\nkey.snapshot S\n#memory 2G\naccel\ttcg";
    struct error err = {0};
    CLEAN_SESSION_CONFIG struct session_config config = {0};
    (void)state;
    assert_int_equal(apply(text, sizeof text - 1, &config, &err), -EINVAL);
    assert_non_null(strstr(err.message, "config:4: "));
    session_config_free(&config);
    assert_int_equal(apply(good, sizeof good - 1, &config, &err), 0);
    assert_int_equal(config.memory, 1u << 30);
    assert_int_equal(config.cpus, 3);
    assert_int_equal(config.spares, 2);
    assert_int_equal(config.env.count, 2);
    assert_string_equal(config.env.items[1], "B=two words");
    assert_true(config.cold);
    assert_string_equal(config.accel, "tcg");
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"colour red", "config:1: there is no setting 'colour'"},
        {"\nname x", "config:2: there is no setting 'name'"},
        {"resume x", "there is no setting 'resume'"},
        {"spares 17", "config:1: "},
        {"spares -1", "config:1: "},
        {"cold maybe", "not on or off"},
        {"memory lots", "config:1: "},
        {"memory", "config:1: "},
        {"= 3", "there is no setting ''"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        CLEAN_SESSION_CONFIG struct session_config config = {0};
        assert_int_equal(apply(rows[i].text, strlen(rows[i].text), &config, &err), -EINVAL);
        if (strstr(err.message, rows[i].why) == NULL)
            fail_msg("'%s': %s", rows[i].text, err.message);
    }
}

static void test_file(void **state)
{
    struct error err = {0};
    CLEAN_SESSION_CONFIG struct session_config config = {0};
    CLEAN_FREE char *path = str_printf("%s/vmdeck/config", directory);
    CLEAN_FREE char *large = calloc(1, SETTINGS_SIZE_MAX + 1);
    (void)state;
    assert_int_equal(apply("cpus 2\0cpus 3", 13, &config, &err), -EINVAL);
    session_config_free(&config);
    memset(large, '\n', SETTINGS_SIZE_MAX + 1);
    assert_int_equal(apply(large, SETTINGS_SIZE_MAX, &config, &err), 0);
    session_config_free(&config);
    assert_int_equal(apply(large, SETTINGS_SIZE_MAX + 1, &config, &err), -EFBIG);
    session_config_free(&config);
    unlink(path);
    session_config_init(&config);
    assert_int_equal(settings_apply(&config, &err), 0);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/vmdeck-settings.XXXXXX");
    CLEAN_FREE char *below = NULL;
    if (mkdtemp(directory) == NULL)
        return -1;
    below = str_printf("%s/vmdeck", directory);
    return setenv("XDG_CONFIG_HOME", directory, 1) | mkdir(below, 0700);
}

static int tear_down(void **state)
{
    (void)state;
    return path_remove(directory, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
