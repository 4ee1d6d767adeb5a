/* The tables: keys and their collisions, themes, the form of a new session. */
#include "unit.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "tui/binding.h"
#include "tui/form.h"
#include "tui/theme.h"

static void test_defaults(void **state)
{
    struct bindings bindings;
    struct buf out = {0};
    (void)state;
    bindings_default(&bindings);
    size_t collisions = bindings_collisions(&bindings, &out);
    if (collisions > 0)
        print_message("%s", buf_string(&out));
    assert_int_equal(collisions, 0);
    assert_int_equal(action_row_count, ACTIONS - 1); /* every action has a row */
    assert_int_equal(bindings_find(&bindings, WHERE_HOME, 'j', 0), ACTION_DOWN);
    assert_int_equal(bindings_find(&bindings, WHERE_HOME, 'S', INPUT_SHIFT), ACTION_SNAPSHOT_STOP);
    assert_int_equal(bindings_find(&bindings, WHERE_PANE, ']', INPUT_CTRL), ACTION_LEAVE);
    assert_int_equal(bindings_find(&bindings, WHERE_PANE, 'j', 0), ACTION_NONE);
    buf_free(&out);
}

/* In a pane everything goes to the guest but one key. */
static void test_one_key_in_panes(void **state)
{
    struct bindings bindings;
    size_t count = 0;
    (void)state;
    bindings_default(&bindings);
    for (size_t i = 0; i < bindings.count; i++)
        count += (bindings.items[i].where & WHERE_PANE) != 0;
    assert_int_equal(count, 1);
}

static void test_remap(void **state)
{
    struct bindings bindings;
    struct error err = {0};
    struct buf out = {0};
    char keys[64];
    (void)state;
    bindings_default(&bindings);
    assert_int_equal(bindings_set(&bindings, "key.stop", "F8 C-x", &err), 0);
    assert_int_equal(bindings_find(&bindings, WHERE_HOME, 'x', 0), ACTION_NONE);
    assert_int_equal(bindings_find(&bindings, WHERE_HOME, 'x', INPUT_CTRL), ACTION_STOP);
    bindings_keys(&bindings, ACTION_STOP, keys, sizeof keys);
    assert_string_equal(keys, "F8 C-x");
    assert_int_equal(bindings_set(&bindings, "pane-key.zoom", "M-z", &err), 0);
    assert_int_equal(bindings_find(&bindings, WHERE_PANE, 'z', INPUT_ALT), ACTION_ZOOM);
    assert_int_equal(bindings_find(&bindings, WHERE_HOME, 'z', 0), ACTION_ZOOM);
    assert_int_equal(bindings_collisions(&bindings, &out), 0);

    assert_int_equal(bindings_set(&bindings, "key.fork", "n", &err), 0);
    assert_int_equal(bindings_collisions(&bindings, &out), 1);
    assert_non_null(strstr(buf_string(&out), "n means new and fork"));
    assert_int_equal(bindings_find(&bindings, WHERE_HOME, 'n', 0), ACTION_NEW);

    assert_int_equal(bindings_set(&bindings, "key.nonsense", "n", &err), -ENOENT);
    assert_int_equal(bindings_set(&bindings, "nonsense", "n", &err), -ENOENT);
    assert_int_equal(bindings_set(&bindings, "key.stop", "Foo", &err), -EINVAL);
    assert_non_null(strstr(err.message, "stop"));
    assert_int_equal(bindings_find(&bindings, WHERE_HOME, KEYCODE_F1 + 7, 0), ACTION_STOP);
    buf_free(&out);
}

static void test_too_many_keys(void **state)
{
    struct bindings bindings;
    struct error err = {0};
    int rc = 0;
    (void)state;
    bindings_default(&bindings);
    for (int i = 0; i < BINDINGS_MAX && rc == 0; i++)
        rc = bindings_set(&bindings, "pane-key.zoom", "M-z", &err);
    assert_int_equal(rc, -E2BIG);
    assert_int_equal(bindings.count, BINDINGS_MAX);
}

static void test_theme_text(void **state)
{
    static const struct {
        const char *text, *wrong; /* NULL: fine */
    } cases[] = {
        {"", NULL},
        {"# a comment\n\n  text = red on #102030 bold underline\r\n", NULL},
        {"border = 255\nkey = bright-cyan\nmatch = reverse", NULL},
        {"text", "line 1"},
        {"text = default\nnonsense = red", "line 2"},
        {"text = redd", "redd"},
        {"text = 256", "256"},
        {"text = #12345", "#12345"},
        {"text = #12345g", "#12345g"},
        {"text = red on", "on"},
        {"text = red green", "green"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct theme theme = {.name = "before"};
        struct error err = {0};
        int rc = theme_parse("test", cases[i].text, &theme, &err);
        assert_int_equal(rc, cases[i].wrong != NULL ? -EINVAL : 0);
        assert_string_equal(theme.name, rc == 0 ? "test" : "before");
        if (cases[i].wrong != NULL)
            assert_non_null(strstr(err.message, cases[i].wrong));
    }
    struct theme theme;
    assert_int_equal(theme_parse("t", "text = red on #102030 bold", &theme, NULL), 0);
    assert_int_equal(theme.roles[ROLE_TEXT].fg, COLOR_INDEXED | 1);
    assert_int_equal(theme.roles[ROLE_TEXT].bg, COLOR_RGB | 0x102030);
    assert_int_equal(theme.roles[ROLE_KEY].attrs, CELL_BOLD); /* what is left out */
}

/* The built-in ones parse, and no other name leaves the directory. */
static void test_theme_files(void **state)
{
    struct strv names = {0};
    struct theme theme;
    struct error err = {0};
    (void)state;
    assert_int_equal(theme_names(&names), 0);
    assert_true(names.count >= 6);
    for (size_t i = 0; i < names.count; i++) {
        int rc = theme_load(names.items[i], &theme, &err);
        if (rc != 0)
            print_message("%s\n", err.message);
        assert_int_equal(rc, 0);
    }
    assert_int_equal(theme_load("../../etc/passwd", &theme, &err), -ENOENT);
    assert_int_equal(theme_load("nonsense", &theme, &err), -ENOENT);
    assert_non_null(strstr(err.message, "dark"));
    strv_free(&names);
}

/* Without colours everything still differs by weight. */
static void test_mono_has_no_colors(void **state)
{
    struct theme theme;
    (void)state;
    assert_int_equal(theme_load("mono", &theme, NULL), 0);
    for (int i = 0; i < THEME_ROLES; i++) {
        assert_int_equal(theme.roles[i].fg, COLOR_DEFAULT);
        assert_int_equal(theme.roles[i].bg, COLOR_DEFAULT);
    }
    assert_int_not_equal(theme.roles[ROLE_SELECTED].attrs, 0);
}

/* The manual's table is this one: each row word for word, in this order, and nothing else. */
static void test_manual(void **state)
{
    CLEAN_BUF struct buf text = {0}, plain = {0};
    struct error err = {0};
    (void)state;
    if (path_read(MANUAL, 1 << 20, &text, &err) < 0)
        fail_msg("%s", err.message);
    for (const char *at = buf_string(&text); *at != '\0'; at++) /* \\& keeps groff from obeying */
        if (at[0] == '\\' && at[1] == '&')
            at++;
        else
            buf_append(&plain, at, 1);
    const char *at = strstr(buf_string(&plain), "\n.Sh ACTIONS\n");
    assert_non_null(at);
    at = strstr(at, "\n.It Cm ");
    for (size_t i = 0; i < action_row_count; i++) {
        const struct action_row *row = &action_rows[i];
        CLEAN_FREE char *line = str_printf("\n.It Cm %s Ta Li %s Ta %s%s\n", row->name, row->keys,
                                           row->help, action_place(row));
        assert_non_null(at);
        if (strncmp(at, line, strlen(line)) != 0)
            fail_msg("vmdeck-dashboard(5) has '%.*s' instead of '%s'", (int)strcspn(at + 1, "\n"),
                     at + 1, line + 1);
        at += strlen(line) - 1;
    }
    assert_int_equal(strncmp(at, "\n.El\n", 5), 0);
}

static bool has_option(const char *verb, const char *option)
{
    (void)verb;
    return strcmp(option, "mount-hostfs") != 0 && strcmp(option, "host-secret") != 0;
}

static void type(struct form *form, const char *text)
{
    for (; *text != '\0'; text++) {
        const struct input_event event = {.kind = INPUT_KEY,
                                          .key = *text == '\t' ? KEYCODE_TAB : (uint32_t)*text};
        assert_int_equal(form_event(form, &event), FORM_CHANGED);
    }
}

static void test_form(void **state)
{
    static const struct tui_verb verbs[] = {{NULL, NULL}};
    static const struct tui_program program = {.verbs = verbs, .has_option = has_option};
    static const char *const expected[] = {"bash",
                                           "--detached",
                                           "--name=web",
                                           "--memory=1G",
                                           "--allow-host=a.example",
                                           "--allow-host=b.example",
                                           "--ask",
                                           "--keep",
                                           "--",
                                           "bash",
                                           "-c",
                                           "make; echo 'x y'"};
    const struct input_event enter = {.kind = INPUT_KEY, .key = KEYCODE_ENTER};
    struct form form = {0};
    struct strv argv = {0};
    (void)state;
    form_init(&form, &program);
    type(&form, "web\t\t1G\t\tmake; echo 'x y'\t\ta.example, b.example\t\t");
    assert_int_equal(form_event(&form, &enter), FORM_DONE);
    assert_int_equal(form_command(&form, &argv), 0);
    assert_int_equal(argv.count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < argv.count; i++)
        assert_string_equal(argv.items[i], expected[i]);
    strv_free(&argv);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_one_key_in_panes),
        cmocka_unit_test(test_remap),
        cmocka_unit_test(test_too_many_keys),
        cmocka_unit_test(test_theme_text),
        cmocka_unit_test(test_theme_files),
        cmocka_unit_test(test_mono_has_no_colors),
        cmocka_unit_test(test_manual),
        cmocka_unit_test(test_form),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("XDG_CONFIG_HOME", "/proc/none", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
