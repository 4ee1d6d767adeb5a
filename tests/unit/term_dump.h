/* What the terminal tests share: a terminal as text, so that two can be compared and a test that
 * fails shows where they differ. */
#ifndef VMDECK_TESTS_TERM_DUMP_H
#define VMDECK_TESTS_TERM_DUMP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/term/repaint.h"
#include "session/term/term.h"

static inline void dump_point(struct buf *out, uint32_t point)
{
    if (point < 0x80) {
        buf_printf(out, "%c", (int)point);
        return;
    }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned lead[] = {0, 0xc0, 0xe0, 0xf0};
    buf_printf(out, "%c", (int)(lead[more] | point >> (6 * more)));
    while (more-- > 0)
        buf_printf(out, "%c", (int)(0x80 | (point >> (6 * more) & 0x3f)));
}

static inline void dump_style(const struct term *term, const struct cell *cell, struct buf *out)
{
    const char *id, *uri = term_link(term, cell->link, &id);
    buf_printf(out, "{%x %x %x %s %s}", cell->fg, cell->bg, cell->attrs, uri != NULL ? id : "",
               uri != NULL ? uri : "");
}

/* A row's characters; with `styles`, also what they look like. Blanks are '~' in front of others.
 */
static inline void dump_line(const struct term *term, int index, bool styles, struct buf *out)
{
    int length;
    bool wrapped;
    const struct cell *cells = term_line(term, index, &length, &wrapped);
    static const struct cell blank;
    struct cell style = blank;
    int full = length;
    while (length > 0 && memcmp(&cells[length - 1], &blank, sizeof blank) == 0)
        length--;
    for (int col = 0; col < length; col++) {
        const struct cell *cell = &cells[col];
        if (styles && (cell->attrs != style.attrs || cell->link != style.link ||
                       cell->fg != style.fg || cell->bg != style.bg))
            dump_style(term, cell, out);
        style = *cell;
        uint32_t points[CELL_POINTS + 1];
        int count = term_glyph(term, cell, points);
        if (count == 0 && (cell->attrs & CELL_TAIL) == 0)
            buf_printf(out, "~");
        for (int i = 0; i < count; i++)
            dump_point(out, points[i]);
    }
    if (styles)
        buf_printf(out, wrapped ? "|%d\\" : "|%d", full);
    buf_printf(out, "\n");
}

static inline char *dump_rows(const struct term *term, bool history, bool styles)
{
    int rows, cols;
    struct buf out = {0};
    term_size(term, &rows, &cols);
    for (int row = history ? -(int)term_history(term) : 0; row < rows; row++) {
        if (row == 0 && history)
            buf_printf(&out, "--\n");
        dump_line(term, row, styles, &out);
    }
    char *text = strdup(buf_len(&out) > 0 ? buf_string(&out) : "");
    buf_free(&out);
    return text;
}

static inline char *dump_all(const struct term *term)
{
    int rows, cols;
    struct term_cursor cursor;
    struct term_modes modes = term_modes(term);
    struct buf out = {0};
    term_size(term, &rows, &cols);
    term_cursor(term, &cursor);
    buf_printf(&out, "size %d %d cursor %d %d %d %d modes %x %d %d title %s\n", rows, cols,
               cursor.row, cursor.col, cursor.visible, cursor.shape, modes.bits & ~TERM_SYNC,
               modes.mouse, modes.mouse_code, term_title(term));
    char *lines = dump_rows(term, true, true);
    buf_printf(&out, "%s", lines);
    free(lines);
    char *text = strdup(buf_string(&out));
    buf_free(&out);
    return text;
}

static inline bool dump_same_cell(const struct term *a, const struct cell *x, const struct term *b,
                                  const struct cell *y)
{
    if (x->fg != y->fg || x->bg != y->bg || x->attrs != y->attrs)
        return false;
    if (((x->glyph | y->glyph) & CELL_CLUSTER) == 0 && (x->link | y->link) == 0)
        return x->glyph == y->glyph;
    uint32_t left[CELL_POINTS + 1] = {0}, right[CELL_POINTS + 1] = {0};
    const char *id_left, *id_right;
    const char *uri_left = term_link(a, x->link, &id_left);
    const char *uri_right = term_link(b, y->link, &id_right);
    return term_glyph(a, x, left) == term_glyph(b, y, right) &&
           memcmp(left, right, sizeof left) == 0 && (uri_left == NULL) == (uri_right == NULL) &&
           (uri_left == NULL ||
            (strcmp(uri_left, uri_right) == 0 && strcmp(id_left, id_right) == 0));
}

/* Everything that can be seen of two terminals is the same. */
static inline bool dump_same(const struct term *a, const struct term *b)
{
    int rows[2], cols[2];
    struct term_cursor cursor[2];
    struct term_modes modes[2] = {term_modes(a), term_modes(b)};
    term_size(a, &rows[0], &cols[0]);
    term_size(b, &rows[1], &cols[1]);
    term_cursor(a, &cursor[0]);
    term_cursor(b, &cursor[1]);
    if (rows[0] != rows[1] || cols[0] != cols[1] || term_history(a) != term_history(b) ||
        cursor[0].row != cursor[1].row || cursor[0].col != cursor[1].col ||
        cursor[0].visible != cursor[1].visible || cursor[0].shape != cursor[1].shape ||
        ((modes[0].bits ^ modes[1].bits) & ~TERM_SYNC) != 0 || modes[0].mouse != modes[1].mouse ||
        modes[0].mouse_code != modes[1].mouse_code || strcmp(term_title(a), term_title(b)) != 0)
        return false;
    for (int row = -(int)term_history(a); row < rows[0]; row++) {
        int length[2];
        bool wrapped[2];
        const struct cell *left = term_line(a, row, &length[0], &wrapped[0]);
        const struct cell *right = term_line(b, row, &length[1], &wrapped[1]);
        if (wrapped[0] != wrapped[1] || length[0] != length[1])
            return false;
        for (int col = 0; col < length[0]; col++)
            if (!dump_same_cell(a, &left[col], b, &right[col]))
                return false;
    }
    return true;
}

/* Shows the first line in which two dumps differ. */
static inline void dump_difference(const char *left, const char *right)
{
    for (int line = 0;; line++) {
        size_t ends[2] = {strcspn(left, "\n"), strcspn(right, "\n")};
        if (ends[0] != ends[1] || memcmp(left, right, ends[0]) != 0) {
            fprintf(stderr, "line %d\n< %.*s\n> %.*s\n", line, (int)ends[0], left, (int)ends[1],
                    right);
            return;
        }
        if (left[ends[0]] == '\0' || right[ends[1]] == '\0')
            return;
        left += ends[0] + 1;
        right += ends[1] + 1;
    }
}

/* A new terminal that was fed the repaint of `term`. */
static inline struct term *dump_clone(const struct term *term)
{
    struct term_options options = {.history = TERM_HISTORY_MAX};
    struct repaint_options all = {
        .history = SIZE_MAX, .colors = REPAINT_TRUECOLOR, .strings = true, .partial = true};
    struct term *clone = NULL;
    struct buf text = {0};
    term_size(term, &options.rows, &options.cols);
    if (term_new(&clone, &options, NULL) == 0 && repaint(term, &all, &text, NULL) == 0)
        term_write(clone, buf_data(&text), buf_len(&text));
    buf_free(&text);
    return clone;
}

#endif
