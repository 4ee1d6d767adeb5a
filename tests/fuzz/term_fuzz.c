/*
 * The terminal engine. The first three bytes choose size, history and how the rest is split; 0xff
 * and two bytes in the rest resize. What must hold: the grid's invariants, the cursor on the
 * screen, bounded replies, the same terminal however the input was split, and a repaint that makes
 * an equal one.
 */
#include <stddef.h>
#include <stdint.h>

#include "session/term/engine.h"
#include "term_dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop(void *context, const uint8_t *bytes, size_t size)
{
    volatile unsigned *sum = context;
    for (size_t i = 0; i < size; i++)
        *sum += bytes[i];
}

static void check(const struct term *term)
{
    if (!grid_check(&term->grid) || term->cursor.row < 0 || term->cursor.row >= term->grid.rows ||
        term->cursor.col < 0 || term->cursor.col >= term->grid.cols || term->top >= term->bottom ||
        term->bottom > term->grid.rows || buf_len(&term->replies) > TERM_REPLY_MAX ||
        (term->pending && term->cursor.col != term->grid.cols - 1))
        abort();
}

static void expect_same(const struct term *a, const struct term *b)
{
    if (dump_same(a, b))
        return;
    char *left = dump_all(a), *right = dump_all(b);
    dump_difference(left, right);
    abort();
}

/* Feeds the input in pieces of `step` bytes (0: as long as they come). */
static struct term *feed(const uint8_t *data, size_t size, size_t step)
{
    static unsigned sum;
    static const struct term_events events = {.output = drop};
    struct term_options options = {.rows = data[0] % 40,
                                   .cols = data[1] % 90,
                                   .history = data[2] % 16,
                                   .events = &events,
                                   .context = &sum};
    struct term *term;
    if (term_new(&term, &options, NULL) != 0)
        abort();
    data += 3;
    size -= 3;
    while (size > 0) {
        const uint8_t *end = memchr(data, 0xff, size);
        size_t length = end != NULL ? (size_t)(end - data) : size;
        for (size_t at = 0; at < length;) {
            size_t count = step == 0 || step > length - at ? length - at : step;
            term_write(term, data + at, count);
            at += count;
        }
        data += length;
        size -= length;
        if (size >= 3)
            (void)term_resize(term, data[1] % 40, data[2] % 90, NULL);
        data += size < 3 ? size : 3;
        size -= size < 3 ? size : 3;
    }
    return term;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    struct term *whole = feed(data, size, 0);
    struct term *split = feed(data, size, 1 + data[2] / 16U);
    check(whole);
    expect_same(whole, split);
    struct term *clone = dump_clone(whole);
    check(clone);
    expect_same(whole, clone);
    term_free(clone);
    term_free(split);
    term_free(whole);
    return 0;
}
