/*
 * Recorded streams of real programs (tests/data/term, 80x24): wherever they are split the
 * terminal must be the same, what holds of a grid must hold all the time, and a repaint fed to a
 * new terminal must make an equal one that goes on equally.
 */
#include "unit.h"

#include "base/path.h"
#include "session/term/engine.h"
#include "term_dump.h"

static const char *const streams[] = {"apps", "bash", "dialog", "htop", "invalid",  "less",
                                      "ls",   "tmux", "top",    "vim",  "vim_tiny", "wide"};

static void load(const char *name, struct buf *data)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", TERM_DATA, name);
    struct error err;
    if (path_read(path, 1 << 20, data, &err) != 0)
        fail_msg("%s", err.message);
    assert_true(buf_len(data) > 1000);
}

static struct term *make(int rows, int cols)
{
    struct term_options options = {.rows = rows, .cols = cols, .history = TERM_HISTORY};
    struct term *term = NULL;
    assert_int_equal(term_new(&term, &options, NULL), 0);
    return term;
}

static void expect_same(const struct term *a, const struct term *b, const char *what, size_t at)
{
    if (dump_same(a, b))
        return;
    char *left = dump_all(a), *right = dump_all(b);
    dump_difference(left, right);
    free(left);
    free(right);
    fail_msg("%s at %zu", what, at);
}

static void expect_valid(const struct term *term)
{
    assert_true(grid_check(&term->grid));
    assert_in_range(term->cursor.row, 0, term->grid.rows - 1);
    assert_in_range(term->cursor.col, 0, term->grid.cols - 1);
}

static void write_chunks(struct term *term, const struct buf *data, size_t step)
{
    for (size_t at = 0; at < buf_len(data); at += step) {
        size_t left = buf_len(data) - at;
        term_write(term, buf_data(data) + at, left < step ? left : step);
    }
}

static void chunks(void **state)
{
    static const size_t steps[] = {1, 2, 3, 5, 7, 64, 1000};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        CLEAN_BUF struct buf data = {0};
        load(streams[i], &data);
        struct term *whole = make(24, 80);
        term_write(whole, buf_data(&data), buf_len(&data));
        expect_valid(whole);
        for (size_t j = 0; j < ARRAY_SIZE(steps); j++) {
            struct term *split = make(24, 80);
            write_chunks(split, &data, steps[j]);
            expect_same(whole, split, streams[i], steps[j]);
            term_free(split);
        }
        term_free(whole);
    }
}

/* One split, at every byte of a short stream and of eight windows of a long one. */
static void boundaries(void **state)
{
    enum { WINDOW = 64, WINDOWS = 8 };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        CLEAN_BUF struct buf data = {0};
        load(streams[i], &data);
        size_t size = buf_len(&data);
        struct term *whole = make(24, 80);
        term_write(whole, buf_data(&data), size);
        size_t distance = size <= 4096 ? WINDOW : size / WINDOWS;
        for (size_t at = 1; at < size; at++) {
            if (at % distance >= WINDOW)
                continue;
            struct term *split = make(24, 80);
            term_write(split, buf_data(&data), at);
            term_write(split, buf_data(&data) + at, size - at);
            expect_same(whole, split, streams[i], at);
            term_free(split);
        }
        term_free(whole);
    }
}

/* At many moments: the repaint equals, and the rest of the stream does the same to both. */
static void repaints(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        CLEAN_BUF struct buf data = {0};
        load(streams[i], &data);
        struct term *term = make(24, 80);
        size_t step = buf_len(&data) / 60 + 1;
        for (size_t at = 0; at < buf_len(&data); at += step) {
            size_t left = buf_len(&data) - at;
            struct term *clone = dump_clone(term);
            expect_same(term, clone, streams[i], at);
            expect_valid(clone);
            term_write(term, buf_data(&data) + at, left < step ? left : step);
            term_write(clone, buf_data(&data) + at, left < step ? left : step);
            expect_same(term, clone, "after a repaint", at + step);
            term_free(clone);
        }
        term_free(term);
    }
}

/* The live stream for viewers makes of another terminal what the guest's bytes made of this one. */
static void forward(void *context, const uint8_t *bytes, size_t size)
{
    term_write(*(struct term **)context, bytes, size);
}

static void viewers(void **state)
{
    static const struct term_events events = {.output = forward};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        CLEAN_BUF struct buf data = {0};
        load(streams[i], &data);
        struct term *viewer = make(24, 80), *term = NULL;
        struct term_options options = {
            .rows = 24, .cols = 80, .history = TERM_HISTORY, .events = &events, .context = &viewer};
        assert_int_equal(term_new(&term, &options, NULL), 0);
        write_chunks(term, &data, 777);
        expect_same(term, viewer, streams[i], 0);
        assert_int_equal(buf_len(term_replies(viewer)), 0);
        term_free(term);
        term_free(viewer);
    }
}

static void resized(void **state)
{
    static const int sizes[][2] = {{24, 40}, {10, 133}, {50, 7},  {1, 1},
                                   {24, 80}, {3, 2},    {30, 100}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        CLEAN_BUF struct buf data = {0};
        load(streams[i], &data);
        struct term *term = make(24, 80);
        size_t step = buf_len(&data) / 40 + 1;
        for (size_t at = 0, n = 0; at < buf_len(&data); at += step, n++) {
            size_t left = buf_len(&data) - at;
            term_write(term, buf_data(&data) + at, left < step ? left : step);
            expect_valid(term);
            const int *size = sizes[n % ARRAY_SIZE(sizes)];
            assert_int_equal(term_resize(term, size[0], size[1], NULL), 0);
            expect_valid(term);
            struct term *clone = dump_clone(term);
            expect_same(term, clone, streams[i], at);
            term_free(clone);
        }
        term_free(term);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks),  cmocka_unit_test(boundaries), cmocka_unit_test(repaints),
        cmocka_unit_test(viewers), cmocka_unit_test(resized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
