/*
 * The decoder: every encoding of keys and mouse, pastes, and bytes that come split at any place.
 * Each event becomes a word, so that a case is two lines of text.
 */
#include "unit.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "tui/input.h"

static void word_of(void *context, const struct input_event *event)
{
    char name[KEY_NAME_MAX];
    struct buf *out = context;
    static const char *const buttons[] = {"left", "middle", "right", "none", "up", "down"};
    switch (event->kind) {
    case INPUT_KEY:
        key_name(event->key, event->modifiers, name);
        buf_printf(out, "%s ", event->key == KEYCODE_UNKNOWN ? "unknown" : name);
        break;
    case INPUT_MOUSE:
        buf_printf(out, "%s@%d,%d%s%s ", buttons[event->button], event->row, event->col,
                   event->press ? "" : "-up", event->drag ? "-drag" : "");
        break;
    case INPUT_PASTE:
        buf_printf(out, "%s%.*s%s", event->first ? "<" : "", (int)event->size,
                   event->size > 0 ? (const char *)event->bytes : "", event->last ? "> " : "");
        break;
    default:
        buf_printf(out, "focus=%d ", event->focused);
        break;
    }
}

static const struct {
    const char *bytes, *words;
} cases[] = {
    {"ab", "a b "},
    {"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", "\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80 "},
    {"\r\t\x7f\x08", "Enter Tab Backspace Backspace "},
    {"\x01\x1a\x1d\x1c", "C-a C-z C-] C-\\ "},
    {"\033[A\033OB\033[1;5C\033[1;2D", "Up Down C-Right S-Left "},
    {"\033[H\033[4~\033[5~\033[3~\033[Z", "Home End PgUp Delete S-Tab "},
    {"\033OP\033[15~\033[24~", "F1 F5 F12 "},
    {"\033x\033\r", "M-x M-Enter "},
    {"\033[93;5u\033[27;5;93~\033[97;3u", "C-] C-] M-a "},
    {"\033[93;5:3u", ""}, /* a release */
    {"\033[<0;3;4M\033[<0;3;4m\033[<32;5;6M\033[<64;1;1M\033[<65;1;1M",
     "left@3,2 left@3,2-up left@5,4-drag up@0,0 down@0,0 "},
    {"\033[<0;0;4M\033[<0;99999;4M", ""}, /* no such place */
    {"\033[I\033[O", "focus=1 focus=0 "},
    {"\033[200~a\033[A\x1d b\033[201~c", "<a\033[A\x1d b> c "},
    {"\033[200~\033[201\033[201~x", "<\033[201> x "},
    {"\033[200~\033[201~", "<> "},
    {"\033[?1;2cq", "q "}, /* an answer that nobody asked for */
    {"\033[12;34;56;78;90Xq", "unknown q "},
    {"\xff\xc3zq", "\xef\xbf\xbd \xef\xbf\xbd z q "}, /* not UTF-8 */
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf out = {0};
        struct input input = {.emit = word_of, .context = &out};
        input_feed(&input, cases[i].bytes, strlen(cases[i].bytes));
        assert_false(input_pending(&input));
        const char *words = buf_string(&out);
        assert_string_equal(words != NULL ? words : "", cases[i].words);
        buf_free(&out);
    }
}

static void test_split_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (size_t at = 0; at <= strlen(cases[i].bytes); at++) {
            struct buf out = {0};
            struct input input = {.emit = word_of, .context = &out};
            input_feed(&input, cases[i].bytes, at);
            input_feed(&input, cases[i].bytes + at, strlen(cases[i].bytes) - at);
            const char *words = buf_string(&out);
            assert_string_equal(words != NULL ? words : "", cases[i].words);
            buf_free(&out);
        }
}

static void test_escape_alone(void **state)
{
    struct buf out = {0};
    struct input input = {.emit = word_of, .context = &out};
    (void)state;
    input_feed(&input, "\033", 1);
    assert_true(input_pending(&input));
    input_flush(&input);
    assert_false(input_pending(&input));
    input_feed(&input, "\033\033[A", 4);
    input_feed(&input, "\033[", 2);
    input_flush(&input);
    assert_string_equal(buf_string(&out), "Esc Esc Up M-[ ");
    buf_free(&out);
}

/* More parameter bytes than any key has: dropped, and the next key is one again. */
static void test_too_long(void **state)
{
    struct buf out = {0};
    struct input input = {.emit = word_of, .context = &out};
    char digits[INPUT_HELD_MAX * 3];
    (void)state;
    memset(digits, '1', sizeof digits);
    input_feed(&input, "\033[", 2);
    input_feed(&input, digits, INPUT_HELD_MAX - 1);
    assert_int_equal(buf_len(&out), 0);
    input_feed(&input, "q", 1);
    assert_string_equal(buf_string(&out), "q ");
    buf_free(&out);
}

static void test_names(void **state)
{
    static const char *const names[] = {"x", "C-]", "M-Left", "F5", "Space", "C-M-a", "S-Tab", "-"};
    static const char *const wrong[] = {"", "xy", "F13", "Foo", "C-", "\x01"};
    struct error err = {0};
    uint32_t key;
    unsigned modifiers;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char name[KEY_NAME_MAX];
        assert_int_equal(key_parse(names[i], &key, &modifiers, &err), 0);
        key_name(key, modifiers, name);
        assert_string_equal(name, names[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        if (strcmp(wrong[i], "C-") != 0) /* C and - are characters */
            assert_int_not_equal(key_parse(wrong[i], &key, &modifiers, &err), 0);
}

/* What a key is written as is read as that key. */
static void test_bytes(void **state)
{
    static const char *const keys[] = {
        "x",
        "X",
        "C-a",
        "C-]",
        "C-_",
        "C-Space",
        "M-x",
        "M-C-x",
        "C-5",
        "C-.",
        "Enter",
        "M-Enter",
        "C-Enter",
        "S-Enter",
        "Tab",
        "S-Tab",
        "Esc",
        "M-Esc",
        "Backspace",
        "C-Backspace",
        "Up",
        "C-Up",
        "M-Left",
        "C-M-S-End",
        "Home",
        "Insert",
        "Delete",
        "S-Delete",
        "PgUp",
        "C-PgDn",
        "F1",
        "S-F1",
        "F4",
        "F5",
        "C-F12",
        "\xc3\xa9",
        "\xe4\xb8\xad",
        "/",
        "[",
        "Space",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        struct buf out = {0};
        struct input input = {.emit = word_of, .context = &out};
        char bytes[KEY_BYTES_MAX], expected[KEY_NAME_MAX + 1];
        uint32_t key;
        unsigned modifiers;
        assert_int_equal(key_parse(keys[i], &key, &modifiers, NULL), 0);
        key_name(key, modifiers, expected);
        strcat(expected, " ");
        input_feed(&input, bytes, key_bytes(key, modifiers, bytes));
        input_flush(&input);
        assert_string_equal(buf_string(&out), expected);
        buf_free(&out);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),        cmocka_unit_test(test_split_anywhere),
        cmocka_unit_test(test_escape_alone), cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_bytes),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
