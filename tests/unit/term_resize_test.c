/* Resizing: lines are joined and cut again, the cursor stays with its text. */
#include "unit.h"

#include "term_dump.h"

struct size {
    int rows, cols;
};

/* From `start`, after `input`, through the sizes to the last; scrollback "--" screen. */
static const struct {
    const char *name;
    struct size start;
    const char *input;
    struct size sizes[3];
    const char *rows;
    int row, col;
} cases[] = {
    {"narrower", {4, 10}, "0123456789\r\n", {{4, 5}}, "--\n01234\n56789", 2, 0},
    {"narrower and back",
     {4, 10},
     "0123456789abc\r\nx",
     {{4, 4}, {4, 10}},
     "--\n0123456789\nabc\nx",
     2,
     1},
    {"wider joins", {4, 5}, "0123456789x", {{4, 20}}, "--\n0123456789x", 0, 11},
    {"wider does not join lines that were ended",
     {4, 5},
     "01234\r\n56789\r\n",
     {{4, 20}},
     "--\n01234\n56789",
     2,
     0},
    {"the cursor in the middle",
     {4, 10},
     "0123456789\033[1;7H",
     {{4, 5}},
     "--\n01234\n56789",
     1,
     1},
    {"the cursor in the middle, and back",
     {4, 10},
     "0123456789\033[1;7H",
     {{4, 5}, {4, 10}},
     "--\n0123456789",
     0,
     6},
    {"the cursor behind its text", {4, 10}, "$ \r\n01\033[1;5H", {{4, 8}}, "--\n$ \n01", 0, 4},
    {"pending wrap, wider", {4, 5}, "01234", {{4, 6}}, "--\n01234", 0, 5},
    {"becomes a pending wrap", {4, 10}, "01234", {{4, 5}}, "--\n01234", 0, 4},
    {"a blank screen below", {4, 10}, "a\r\nb", {{2, 10}}, "--\na\nb", 1, 1},
    {"lower: the top goes to the history",
     {4, 10},
     "a\r\nb\r\nc\r\nd",
     {{2, 10}},
     "a\nb\n--\nc\nd",
     1,
     1},
    {"lower and back", {4, 10}, "a\r\nb\r\nc\r\nd", {{2, 10}, {4, 10}}, "--\na\nb\nc\nd", 3, 1},
    {"higher: the history comes back",
     {2, 10},
     "a\r\nb\r\nc\r\nd",
     {{3, 10}},
     "a\n--\nb\nc\nd",
     2,
     1},
    {"higher after clear: it does not",
     {2, 10},
     "a\r\nb\r\nc\r\nd\033[H\033[J$",
     {{3, 10}},
     "a\nb\n--\n$",
     0,
     1},
    {"narrower pushes lines out",
     {2, 6},
     "012345\r\nabcdef",
     {{2, 3}},
     "012\n345\n--\nabc\ndef",
     1,
     2},
    {"the history is cut too",
     {2, 6},
     "012345\r\nabcdef\r\nx\r\ny",
     {{2, 3}},
     "012\n345\nabc\ndef\n--\nx\ny",
     1,
     1},
    {"the history is joined too", {2, 3}, "012345\r\nx\r\ny", {{2, 6}}, "012345\n--\nx\ny", 1, 1},
    {"the cursor stays in view", {4, 10}, "a\r\nb\r\nc\r\nd\033[1;1H", {{2, 10}}, "--\na\nb", 0, 0},
    {"wide glyphs are not cut",
     {3, 6},
     "\346\227\245\346\227\245\346\227\245",
     {{3, 5}},
     "--\n\346\227\245\346\227\245\n\346\227\245",
     1,
     2},
    {"wide glyphs and back",
     {3, 6},
     "a\346\227\245\346\227\245b",
     {{3, 4}, {3, 6}},
     "--\na\346\227\245\346\227\245b",
     0,
     5},
    {"one column", {3, 6}, "a\346\227\245b", {{3, 1}}, "--\na\n\357\277\275\nb", 2, 0},
    {"blanks within a line", {3, 6}, "a\033[1;5Hb", {{3, 3}}, "--\na~ \n~b", 1, 2},
    {"the alternate screen is cut",
     {3, 6},
     "main\033[?1049h\033[Habcdef\r\nx",
     {{2, 4}},
     "--\nabcd\nx",
     1,
     1},
    {"the screen behind the alternate one is reflowed",
     {3, 6},
     "012345\r\n$ \033[?1049h\033[Hxyz",
     {{3, 3}, {3, 3}},
     "--\nxyz",
     0,
     2},
    {"and its cursor is too",
     {3, 6},
     "012345\r\n$ \033[?1049h\033[Hxyz\033[?1049l",
     {{3, 3}},
     "--\n012\n345\n$ ",
     2,
     2},
    {"an erased wrap is none", {3, 5}, "0123456\033[1;5H\033[K", {{3, 10}}, "--\n0123\n56", 0, 4},
    {"lines that scrolled apart",
     {3, 5},
     "0123456\033[2;1H\033[L\033[2;1Hx",
     {{3, 10}},
     "--\n01234\nx\n56",
     1,
     1},
    {"beyond the limits", {3, 5}, "x", {{100000, -5}, {3, 5}}, "--\nx", 0, 1},
};

static void reflow(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct term_options options = {
            .rows = cases[i].start.rows, .cols = cases[i].start.cols, .history = 100};
        struct term *term = NULL;
        assert_int_equal(term_new(&term, &options, NULL), 0);
        term_write(term, cases[i].input, strlen(cases[i].input));
        for (size_t j = 0; j < ARRAY_SIZE(cases[i].sizes) && cases[i].sizes[j].rows != 0; j++)
            assert_int_equal(
                term_resize(term, cases[i].sizes[j].rows, cases[i].sizes[j].cols, NULL), 0);
        char *text = dump_rows(term, true, false);
        for (size_t size = strlen(text); size > 0 && text[size - 1] == '\n'; size--)
            text[size - 1] = '\0';
        struct term_cursor cursor;
        term_cursor(term, &cursor);
        if (strcmp(text, cases[i].rows) != 0 || cursor.row != cases[i].row ||
            cursor.col != cases[i].col)
            fail_msg("%s: cursor %d %d\n%s", cases[i].name, cursor.row, cursor.col, text);
        free(text);
        term_free(term);
    }
}

/* The history keeps its limit through resizes, and its newest lines. */
static void limit(void **state)
{
    struct term_options options = {.rows = 3, .cols = 40, .history = 50};
    struct term *term = NULL;
    (void)state;
    assert_int_equal(term_new(&term, &options, NULL), 0);
    for (int i = 0; i < 200; i++) {
        char line[64];
        snprintf(line, sizeof line, "%d this is a line of some length\r\n", i);
        term_write(term, line, strlen(line));
    }
    assert_int_equal(term_history(term), 50);
    for (int cols = 1; cols < 60; cols += 7) {
        assert_int_equal(term_resize(term, 3 + cols % 5, cols, NULL), 0);
        assert_in_range(term_history(term), 1, 50);
        term_write(term, "x\r\ny\r\n", 6);
        assert_in_range(term_history(term), 1, 50);
    }
    term_free(term);
}

/* Tab stops stay where they are; new columns have the usual ones. */
static void tabs(void **state)
{
    struct term_options options = {.rows = 3, .cols = 20};
    struct term *term = NULL;
    (void)state;
    assert_int_equal(term_new(&term, &options, NULL), 0);
    term_write(term, "\033[9G\033[g\033[6G\033H", 13);
    static const int cols[] = {30, 10, 40};
    static const int stops[][6] = {
        {5, 16, 24, 29},
        {5, 9},
        {5, 16, 24, 32, 39},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cols); i++) {
        assert_int_equal(term_resize(term, 3 + (int)i, cols[i], NULL), 0);
        term_write(term, "\r", 1);
        for (size_t j = 0; j < 6 && stops[i][j] != 0; j++) {
            struct term_cursor cursor;
            term_write(term, "\t", 1);
            term_cursor(term, &cursor);
            assert_int_equal(cursor.col, stops[i][j]);
        }
    }
    term_free(term);
}

/* Margins end with a resize: what is set afterwards is what counts. */
static void margins(void **state)
{
    struct term_options options = {.rows = 24, .cols = 80, .history = 50};
    struct term *term = NULL;
    (void)state;
    assert_int_equal(term_new(&term, &options, NULL), 0);
    term_write(term, "\033[10;24r\033[24;1H", 15);
    assert_int_equal(term_resize(term, 5, 80, NULL), 0);
    term_write(term, "\n\n\n\n\n\n\n\n\n\nx", 11);
    struct term_cursor cursor;
    term_cursor(term, &cursor);
    assert_int_equal(cursor.row, 4);
    term_free(term);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reflow),
        cmocka_unit_test(limit),
        cmocka_unit_test(tabs),
        cmocka_unit_test(margins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
