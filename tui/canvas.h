/*
 * What is drawn before it is shown: a grid of cells in memory. Views write to it, screen.c shows
 * it, tests read it. Everything is clipped to the canvas; a wide character that would be cut in two
 * is not drawn. Text may come from a guest: what must not reach a terminal is drawn as '?'.
 * Not thread-safe.
 */
#ifndef VMDECK_TUI_CANVAS_H
#define VMDECK_TUI_CANVAS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "session/term/cell.h"

#define CANVAS_POINTS 4 /* of a cell: one and what combines with it; more are dropped */

/* Colours and attributes are those of session/term/cell.h: COLOR_*, CELL_*. */
struct style {
    uint32_t fg, bg;
    uint16_t attrs;
};

struct canvas_cell {
    uint32_t points[CANVAS_POINTS]; /* ends with 0 */
    uint32_t fg, bg;
    uint16_t attrs;
    uint16_t width; /* 0: covered by the wide one left of it */
};

struct canvas {
    int rows, cols;
    struct canvas_cell *cells;
    int cursor_row, cursor_col; /* -1: not shown */
    int cursor_shape;           /* DECSCUSR's parameter */
};

struct rect {
    int row, col, rows, cols;
};

int canvas_resize(struct canvas *canvas, int rows, int cols, struct error *err);
void canvas_free(struct canvas *canvas);

/* NULL outside. */
struct canvas_cell *canvas_at(const struct canvas *canvas, int row, int col);

void canvas_fill(struct canvas *canvas, struct rect area, struct style style);

/* Draws at most `max` columns of UTF-8 text; returns how many were drawn. */
int canvas_text(struct canvas *canvas, int row, int col, int max, struct style style,
                const char *text);
int canvas_printf(struct canvas *canvas, int row, int col, int max, struct style style,
                  const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Like canvas_text(), and "…" where the text does not fit. */
int canvas_label(struct canvas *canvas, int row, int col, int max, struct style style,
                 const char *text);

/* One character, `width` columns wide, and what combines with it (points[0..count)). */
void canvas_glyph(struct canvas *canvas, int row, int col, const uint32_t *points, int count,
                  int width, struct style style);

void canvas_line(struct canvas *canvas, int row, int col, int cols, struct style style);
void canvas_column(struct canvas *canvas, int row, int col, int rows, struct style style);

/* Appends what the row shows, as UTF-8 without the blanks at its end. 0 or -ENOMEM. */
int canvas_row(const struct canvas *canvas, int row, struct buf *out);

/* Columns that the text takes. */
int canvas_width(const char *text);

#endif
