/*
 * The cells of a terminal: primary and alternate screen, and the lines that scrolled off the
 * primary one. Rows count from 0 at the top of the active screen, columns from 0. Positions given
 * must lie on the screen; ranges are [from, to). Not thread-safe.
 *
 * What holds between calls (grid_check says whether it does):
 *  - a row of a screen has exactly `cols` cells, one of the history as many as are not blank at
 *    its end, or `cols` if it is wrapped;
 *  - CELL_WIDE is followed by its CELL_TAIL on the same row, and no tail is without it;
 *  - a wrapped row goes on in the next one, and its last cell is written, or was left blank by a
 *    wide glyph that did not fit and begins the next row.
 */
#ifndef VMDECK_SESSION_TERM_GRID_H
#define VMDECK_SESSION_TERM_GRID_H

#include <stddef.h>

#include "base/error.h"
#include "session/term/cell.h"

struct grid_row {
    struct cell *cells;
    uint16_t length;
    bool wrapped;
};

/* Lines in order of age; the oldest goes when `limit` is reached. */
struct grid_ring {
    struct grid_row *rows;
    size_t start, count, capacity, limit;
    uint64_t evicted; /* ever */
};

struct grid {
    int rows, cols;
    struct grid_row *screen[2]; /* primary, alternate (NULL until it is used) */
    int active;
    struct grid_ring history;
};

/* A position that stays with its text when the screen is reflowed. */
struct grid_mark {
    int row, col;
    bool pending; /* behind the glyph in the last column */
};

int grid_init(struct grid *grid, int rows, int cols, size_t history, struct error *err);
void grid_free(struct grid *grid);

static inline struct grid_row *grid_row(const struct grid *grid, int row)
{
    return &grid->screen[grid->active][row];
}

/* Line `index` of the history, 0 the oldest. */
static inline struct grid_row *grid_history(const struct grid *grid, size_t index)
{
    size_t at = grid->history.start + index;
    return &grid->history.rows[at < grid->history.capacity ? at : at - grid->history.capacity];
}

enum grid_keep {
    GRID_DROP,    /* lines that leave at the top are gone */
    GRID_HISTORY, /* they go to the history, on the primary screen and from its first row */
};

/*
 * Moves the rows of [top, bottom) up by `lines` (down where negative) and fills with `fill`.
 * `wrapping`: the scroll happens because text goes on in the next row, so the row stays wrapped.
 */
void grid_scroll(struct grid *grid, int top, int bottom, int lines, const struct cell *fill,
                 enum grid_keep keep, bool wrapping);

/* Blanks the cells of a rectangle; of `fill` only the background is taken. */
void grid_erase(struct grid *grid, int top, int bottom, int left, int right,
                const struct cell *fill);

/* Moves what is at and behind `col` right by `count` cells (left where negative). */
void grid_shift(struct grid *grid, int row, int col, int count, const struct cell *fill);

/*
 * The cells [col, col + count) for the caller to fill, with one wide glyph or with narrow ones;
 * glyphs that are cut in two are blanked.
 */
struct cell *grid_open(struct grid *grid, int row, int col, int count, bool wide);

/* Shows the primary or the alternate screen. -ENOMEM leaves it as it is. */
int grid_show(struct grid *grid, bool alternate);

void grid_clear_history(struct grid *grid);

/*
 * Changes the size. The primary screen and the history are reflowed, the alternate screen is cut
 * or padded. marks[0..count) are positions on the primary screen and follow their text; marks[0]
 * is its cursor, which stays on the screen. Failure leaves everything as it was.
 */
int grid_resize(struct grid *grid, int rows, int cols, struct grid_mark *marks, size_t count,
                struct error *err);

/* True if everything said at the top holds. */
bool grid_check(const struct grid *grid);

/* For reflow.c. */
int grid_ring_push(struct grid_ring *ring,
                   struct grid_row row);               /* owns row.cells, also on failure */
struct grid_row grid_ring_pop(struct grid_ring *ring); /* the newest */
void grid_ring_limit(struct grid_ring *ring, size_t limit);
struct grid_row *grid_rows_new(int rows, int cols);
void grid_rows_free(struct grid_row *rows, int count);
void grid_ring_free(struct grid_ring *ring);
bool grid_is_pad(const struct grid *grid, const struct grid_row *row);
size_t grid_used(const struct cell *cells, size_t length, bool spaces);

#endif
