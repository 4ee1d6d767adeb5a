/*
 * Ctrl-] among what is typed: all of its encodings, what only looks like one, pastes, and bytes
 * that come split at any place. Whatever is not the key must reach the guest unchanged.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "session/cli/keys.h"

#define ROUNDS    10000
#define INPUT_MAX 96

/* What a sequence of reads gave. */
struct taken {
    uint8_t out[1024];
    size_t size;
    bool found;
};

static void take(struct keys *keys, struct taken *taken, const void *data, size_t size)
{
    size_t more;
    if (taken->found)
        return;
    assert_true(taken->size + size + KEYS_HELD_MAX <= sizeof taken->out);
    taken->found = keys_take(keys, data, size, taken->out + taken->size, &more);
    taken->size += more;
}

static void flush(struct keys *keys, struct taken *taken)
{
    if (taken->found)
        return;
    taken->size += keys_flush(keys, taken->out + taken->size);
    assert_false(keys_pending(keys));
}

#define CASE(text, found, before)             \
    {                                         \
        text, sizeof(text) - 1, found, before \
    }

/* `before`: how many bytes stand before the key. Without a key all of them go to the guest. */
static const struct {
    const char *text;
    size_t size;
    bool found;
    size_t before;
} cases[] = {
    /* the key */
    CASE("\x1d", true, 0),
    CASE("ls\r\x1drest", true, 3),
    CASE("\033[93;5u", true, 0),
    CASE("abc\033[93;5udropped", true, 3),
    CASE("\033[93;5:1u", true, 0),   /* a press */
    CASE("\033[93;5:2u", true, 0),   /* a repetition */
    CASE("\033[93;69u", true, 0),    /* caps lock */
    CASE("\033[93;133u", true, 0),   /* num lock */
    CASE("\033[93;197u", true, 0),   /* both */
    CASE("\033[93:125;5u", true, 0), /* kitty's alternate keys: what Shift would make of it */
    CASE("\033[93;5;29u", true, 0),  /* with its text */
    CASE("\033[27;5;93~", true, 0),  /* modifyOtherKeys */
    CASE("\033[27;69;93~", true, 0),
    CASE("\033\033[93;5u", true, 1), /* an Escape before it */
    CASE("\033[\x1d", true, 2),      /* in the middle of something else */
    CASE("\033[93;5\x1d", true, 6),
    CASE("\033[93;\033[93;5u", true, 5),
    /* others */
    CASE("", false, 0),
    CASE("echo ]\r", false, 0),
    CASE("\033", false, 0),
    CASE("\033\033", false, 0),
    CASE("\033[", false, 0), /* Alt-[ */
    CASE("\033]", false, 0), /* Alt-] */
    CASE("\033[A\033[1;5C\033OP\033[15~\033[24;5~", false, 0),
    CASE("\033[93u", false, 0), /* ] */
    CASE("\033[93;1u", false, 0),
    CASE("\033[93;6u", false, 0),  /* Ctrl-Shift-] */
    CASE("\033[93;7u", false, 0),  /* Ctrl-Alt-] */
    CASE("\033[93;13u", false, 0), /* Ctrl-Super-] */
    CASE("\033[93;0u", false, 0),
    CASE("\033[93;5:3u", false, 0), /* a release */
    CASE("\033[93;69:3u", false, 0),
    CASE("\033[92;5u\033[94;5u\033[91;5u", false, 0),
    CASE("\033[193;5u\033[930;5u", false, 0),
    CASE("\033[27;5;92~\033[27;6;93~\033[27;5;93u", false, 0),
    CASE("\033[26;5;93~\033[27;5~\033[93;5~", false, 0),
    CASE("\033[;;;u\033[;u\033[u\033[~", false, 0),
    CASE("\033[99999999999999999999999;5u", false, 0),
    CASE("\033[93;99999999999999999999999u", false, 0),
    CASE("\033[?93;5u\033[>93;5u\033[<0;93;5M", false, 0), /* other sequences, a mouse */
    CASE("\033[M\x20\x21\x22", false, 0),
    CASE("\xc3\xa9\xe2\x82\xac\xff\x80\x9d", false, 0),
    /* pastes */
    CASE("\033[200~a\x1d"
         "b\033[201~",
         false, 0),
    CASE("\033[200~\033[93;5u\033[27;5;93~\033[201~", false, 0),
    CASE("\033[200~\x1d\033[201~\x1d", true, 13),
    CASE("\033[200~x\033[201~\033[93;5u", true, 13),
    CASE("\033[200~\033[200~\x1d\033[201~\x1d", true, 19), /* the first end ends it */
    CASE("\033[200~\033[20\x1d"
         "1~\x1d\033[201~",
         false, 0),
    CASE("\033[201~\x1d", true, 6),
    CASE("\033[2000~\x1d", true, 7),
    CASE("\033[200;1~\x1d", true, 8),
    /* longer than what is held: not the key, but nothing is lost */
    CASE("\033[93;5;0000000000000000000000000000000000000000u", false, 0),
    CASE("\033[00000000000000000000000000000000000000093;5u", false, 0),
    CASE("\033[93;500000000000000000000000000000000000000000\x1d", true, 47),
    CASE("\033[;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;\033[93;5u", true, 50),
};

/* A read may end behind the key's ESC, which then has been passed on. */
static void check(const struct taken *taken, size_t row, size_t split)
{
    size_t size = cases[row].found ? cases[row].before : cases[row].size;
    bool escape = cases[row].found && taken->size == size + 1 && taken->out[size] == 0x1b;
    if (taken->found != cases[row].found || (taken->size != size && !escape) ||
        memcmp(taken->out, cases[row].text, size) != 0)
        fail_msg("row %zu, split at %zu: found %d, %zu bytes", row, split, taken->found,
                 taken->size);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t row = 0; row < ARRAY_SIZE(cases); row++) {
        const char *text = cases[row].text;
        size_t size = cases[row].size;
        struct keys single = {0};
        struct taken bytes = {0};
        for (size_t split = 0; split <= size; split++) {
            struct keys keys = {0};
            struct taken taken = {0};
            take(&keys, &taken, text, split);
            take(&keys, &taken, text + split, size - split);
            flush(&keys, &taken);
            check(&taken, row, split);
        }
        for (size_t i = 0; i < size; i++)
            take(&single, &bytes, text + i, 1);
        flush(&single, &bytes);
        check(&bytes, row, SIZE_MAX);
    }
}

/* The key is not held up when it was typed, Escape neither, and Alt-[ only for a moment. */
static void test_held(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t passed; /* at once */
    } rows[] = {{"a", 1},      {"\033", 1},     {"\033\033", 2},    {"\033[", 0},
                {"a\033[", 1}, {"\033[1;5", 0}, {"\033[A", 3},      {"\033[Ab\033[9", 4},
                {"\033x", 2},  {"\033]", 2},    {"\033[93;5:3", 0}, {"\033[A\033", 4},
                {"\033O", 2}};
    for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
        struct keys keys = {0};
        struct taken taken = {0};
        size_t size = strlen(rows[row].text);
        take(&keys, &taken, rows[row].text, size);
        if (taken.size != rows[row].passed || keys_pending(&keys) != (taken.size < size))
            fail_msg("row %zu: %zu of %zu passed", row, taken.size, size);
        flush(&keys, &taken);
        assert_int_equal(taken.size, size);
        assert_memory_equal(taken.out, rows[row].text, size);
        assert_int_equal(keys_flush(&keys, taken.out), 0);
    }
}

/* What was given up is not taken for the beginning of a sequence afterwards. */
static void test_after_flush(void **state)
{
    (void)state;
    struct keys keys = {0};
    struct taken taken = {0};
    take(&keys, &taken, "\033[93;", 5);
    flush(&keys, &taken);
    take(&keys, &taken, "5u", 2);
    assert_false(taken.found);
    assert_int_equal(taken.size, 7);
    assert_memory_equal(taken.out, "\033[93;5u", 7);
    take(&keys, &taken, "\033", 1); /* handed on, and yet remembered */
    assert_false(keys_pending(&keys));
    take(&keys, &taken, "[93;5u", 6);
    assert_true(taken.found);
    assert_int_equal(taken.size, 8);
}

/* A paste of many reads, with all that may stand in it. */
static void test_long_paste(void **state)
{
    (void)state;
    struct keys keys = {0};
    struct taken taken = {0};
    take(&keys, &taken, "\033[200~", 6);
    for (int i = 0; i < 50; i++) {
        take(&keys, &taken, "\x1d\033[93;5u", 8);
        flush(&keys, &taken); /* a slow paste is one all the same */
    }
    assert_false(taken.found);
    assert_int_equal(taken.size, 6 + 50 * 8);
    take(&keys, &taken, "\033[201~\x1d", 7);
    assert_true(taken.found);
}

static size_t random_input(uint8_t *out)
{
    static const char *const parts[] = {
        "\033", "\033[", "\033[93;5", "\033[27;5;93", "\033[200~", "\033[201~", "u", "~",
        ";",    ":",     "5",         "93",           "\x1d",      "a"};
    size_t size = 0, wanted = (size_t)rand() % (INPUT_MAX - 16);
    while (size < wanted) {
        if (rand() % 3 == 0) {
            out[size++] = (uint8_t)rand();
            continue;
        }
        const char *part = parts[(size_t)rand() % ARRAY_SIZE(parts)];
        memcpy(out + size, part, strlen(part));
        size += strlen(part);
    }
    return size;
}

/* However it comes, the key is found at the same place or not at all, and the rest arrives. */
static void test_random(void **state)
{
    (void)state;
    unsigned found = 0;
    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t input[INPUT_MAX];
        size_t size = random_input(input);
        struct keys keys = {0}, parts = {0};
        struct taken whole = {0}, split = {0};
        take(&keys, &whole, input, size);
        flush(&keys, &whole);
        for (size_t at = 0, part; at < size; at += part) {
            part = 1 + (size_t)rand() % 7;
            part = part < size - at ? part : size - at;
            take(&parts, &split, input + at, part);
        }
        flush(&parts, &split);
        assert_int_equal(whole.found, split.found);
        if (!whole.found)
            assert_int_equal(whole.size, size);
        assert_in_range(whole.size, 0, size);
        assert_memory_equal(whole.out, input, whole.size);
        assert_in_range(split.size, whole.size, whole.size + whole.found);
        assert_memory_equal(split.out, input, split.size);
        found += whole.found;
    }
    assert_in_range(found, ROUNDS / 10, ROUNDS * 9 / 10); /* both kinds were there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),       cmocka_unit_test(test_held),
        cmocka_unit_test(test_after_flush), cmocka_unit_test(test_long_paste),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
