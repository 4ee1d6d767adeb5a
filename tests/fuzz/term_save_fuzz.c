/*
 * Saved terminals from anybody: data up to the last 0xff is loaded, what follows it is written to
 * the terminal that comes of it. What must hold: the grid's invariants before and after, also of
 * another size; it is saved as something that loads and is saved as the same; it can be repainted.
 */
#include <stddef.h>
#include <stdint.h>

#include "session/term/engine.h"
#include "term_resume.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct term *term)
{
    struct repaint_options all = {
        .history = SIZE_MAX, .colors = REPAINT_TRUECOLOR, .strings = true, .partial = true};
    CLEAN_BUF struct buf out = {0};
    if (!grid_check(&term->grid) || term->cursor.row < 0 || term->cursor.row >= term->grid.rows ||
        term->cursor.col < 0 || term->cursor.col >= term->grid.cols ||
        buf_len(&term->replies) > TERM_REPLY_MAX || repaint(term, &all, &out, NULL) != 0)
        abort();
    struct term *again = resume(term, NULL, NULL);
    if (again == NULL || !resume_same(term, again))
        abort();
    term_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct term_options options = {.history = 50};
    const uint8_t *end = memrchr(data, 0xff, size);
    size_t saved = end != NULL ? (size_t)(end - data) : size;
    struct term *term;
    if (term_load(&term, &options, data, saved, NULL) != 0)
        return 0;
    check(term);
    if (end != NULL)
        term_write(term, end + 1, size - saved - 1);
    check(term);
    int rows = (int)(size * 7 % 60), cols = (int)(size * 11 % 130);
    if (term_resize(term, rows, cols, NULL) != 0)
        abort();
    check(term);
    term_free(term);
    return 0;
}
