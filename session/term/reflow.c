/*
 * Resizing. The lines of history and primary screen are joined where they are wrapped, and cut
 * again at the new width, row by row from the oldest: a row is freed when its cells have been
 * taken over, so the peak is one copy and a line of any length needs no buffer of its own.
 *
 * Which rows are on the screen then: it begins with the line it began with, as long as that
 * leaves no content below its end; a screen that was full stays full (history comes back into it).
 * Blank rows below the cursor are no content: they go first.
 */
#include "session/term/grid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    struct grid_ring out;
    struct cell *cells; /* of the row in the making; cols of them */
    int cols, col;
};

static size_t writer_row(const struct writer *writer)
{
    return (size_t)writer->out.evicted + writer->out.count;
}

static void writer_end(struct writer *writer, bool wrapped)
{
    struct cell *last = &writer->cells[writer->cols - 1];
    if (wrapped && writer->col == writer->cols && last->glyph == 0 &&
        (last->attrs & CELL_TAIL) == 0)
        last->glyph = ' '; /* a blank there would mean that a wide glyph did not fit */
    size_t used =
        wrapped ? (size_t)writer->cols : grid_used(writer->cells, (size_t)writer->col, false);
    struct grid_row row = {.length = (uint16_t)used, .wrapped = wrapped};
    if (used > 0) {
        row.cells = malloc(used * sizeof *row.cells);
        if (row.cells == NULL)
            row = (struct grid_row){.length = 0};
        else
            memcpy(row.cells, writer->cells, used * sizeof *row.cells);
    }
    grid_ring_push(&writer->out, row);
    memset(writer->cells, 0, (size_t)writer->cols * sizeof *writer->cells);
    writer->col = 0;
}

/* Takes a glyph of `width` cells; where it went is *row, *col. */
static void writer_put(struct writer *writer, const struct cell *cells, int width, size_t *row,
                       int *col)
{
    struct cell narrow = {.glyph = 0xfffd, .fg = cells->fg, .bg = cells->bg};
    if (width > writer->cols) { /* a wide glyph in a terminal of one column */
        cells = &narrow;
        width = 1;
    }
    if (writer->col + width > writer->cols)
        writer_end(writer, true);
    *row = writer_row(writer);
    *col = writer->col;
    memcpy(writer->cells + writer->col, cells, (size_t)width * sizeof *cells);
    writer->col += width;
}

/* A mark while the lines move: `row` is that of the writer once `placed`. */
struct moving {
    struct grid_mark *mark;
    size_t row;
    bool placed;
};

/* The mark lies `gap` columns behind the end of its line. */
static void place_behind(struct moving *moving, const struct writer *writer, int gap)
{
    int col = writer->col + gap;
    moving->row = writer_row(writer);
    moving->mark->pending = col >= writer->cols && gap == 0;
    moving->mark->col = col >= writer->cols ? writer->cols - 1 : col;
    moving->placed = true;
}

/* Feeds one old row. marks: those that lie on it. */
static void take_row(struct writer *writer, const struct grid *grid, const struct grid_row *row,
                     struct moving *moving, size_t marks, int on_screen)
{
    int length = row->wrapped ? grid->cols - (grid_is_pad(grid, row) ? 1 : 0)
                              : (int)grid_used(row->cells, row->length, false);
    int width;
    for (int at = 0; at < length; at += width) {
        width = (row->cells[at].attrs & CELL_WIDE) != 0 ? 2 : 1;
        size_t line;
        int col;
        writer_put(writer, &row->cells[at], width, &line, &col);
        for (size_t i = 0; i < marks; i++) {
            struct grid_mark *mark = moving[i].mark;
            if (moving[i].placed || mark->row != on_screen || mark->pending || mark->col < at ||
                mark->col >= at + width)
                continue;
            moving[i] = (struct moving){.mark = mark, .row = line, .placed = true};
            mark->col = col + (width <= writer->cols ? mark->col - at : 0);
        }
    }
    for (size_t i = 0; i < marks; i++)
        if (!moving[i].placed && moving[i].mark->row == on_screen)
            place_behind(&moving[i], writer,
                         moving[i].mark->pending || moving[i].mark->col < length
                             ? 0
                             : moving[i].mark->col - length);
    if (!row->wrapped)
        writer_end(writer, false);
}

#define MARKS_MAX 4

struct reflow {
    struct writer writer;
    struct moving moving[MARKS_MAX];
    size_t marks;
    size_t top; /* the row with which the old screen began */
    bool full;  /* the old screen had no blank rows at its end */
};

/* Rows of the primary screen that have content, or the cursor, on or below them. */
static int used_rows(const struct grid *grid, const struct grid_mark *cursor)
{
    int used = grid->rows;
    while (used > 0 && grid_used(grid->screen[0][used - 1].cells, (size_t)grid->cols, false) == 0 &&
           (cursor == NULL || cursor->row < used - 1))
        used--;
    return used;
}

static void move_lines(struct reflow *reflow, struct grid *grid)
{
    for (size_t i = 0; i < grid->history.count; i++) {
        struct grid_row *row = grid_history(grid, i);
        take_row(&reflow->writer, grid, row, NULL, 0, -1);
        free(row->cells);
        row->cells = NULL;
        row->length = 0;
    }
    reflow->top = writer_row(&reflow->writer);
    int used = used_rows(grid, reflow->marks > 0 ? reflow->moving[0].mark : NULL);
    reflow->full = used == grid->rows;
    for (int i = 0; i < used; i++)
        take_row(&reflow->writer, grid, &grid->screen[0][i], reflow->moving, reflow->marks, i);
    if (reflow->writer.col > 0)
        writer_end(&reflow->writer, false);
    for (size_t i = 0; i < reflow->marks; i++) /* below the last used row */
        if (!reflow->moving[i].placed)
            reflow->moving[i].row =
                writer_row(&reflow->writer) + (size_t)(reflow->moving[i].mark->row - used);
}

/* The row with which the new screen begins. */
static size_t new_top(const struct reflow *reflow, size_t rows)
{
    size_t total = writer_row(&reflow->writer);
    size_t first = (size_t)reflow->writer.out.evicted;
    size_t top = reflow->top;
    if (total > top + rows || (reflow->full && total < top + rows))
        top = total > rows ? total - rows : 0;
    if (reflow->marks > 0 && reflow->moving[0].placed && reflow->moving[0].row < top)
        top = reflow->moving[0].row;
    return top < first ? first : top;
}

/* Takes the rows from `top` on off the ring onto the screen. */
static void fill_screen(struct grid_ring *ring, struct grid_row *screen, size_t top, int rows,
                        int cols)
{
    while (ring->evicted + ring->count > top + (size_t)rows)
        free(grid_ring_pop(ring).cells);
    while (ring->evicted + ring->count > top && ring->count > 0) {
        struct grid_row row = grid_ring_pop(ring);
        struct grid_row *to = &screen[ring->evicted + ring->count - top];
        if (row.length > 0)
            memcpy(to->cells, row.cells, row.length * sizeof *row.cells);
        to->wrapped = row.wrapped && row.length == cols;
        free(row.cells);
    }
    screen[rows - 1].wrapped = false;
}

static void resize_alternate(struct grid *grid, struct grid_row *screen, int rows, int cols)
{
    for (int i = 0; i < rows && i < grid->rows; i++) {
        const struct grid_row *from = &grid->screen[1][i];
        int count = cols < grid->cols ? cols : grid->cols;
        if (count < grid->cols && (from->cells[count].attrs & CELL_TAIL) != 0)
            count--;
        memcpy(screen[i].cells, from->cells, (size_t)count * sizeof *from->cells);
    }
}

/* A line that enters the history ends with its last character. */
static void trim_history(struct grid *grid)
{
    for (size_t i = 0; i < grid->history.count; i++) {
        struct grid_row *row = grid_history(grid, i);
        if (!row->wrapped)
            row->length = (uint16_t)grid_used(row->cells, row->length, true);
    }
}

int grid_resize(struct grid *grid, int rows, int cols, struct grid_mark *marks, size_t count,
                struct error *err)
{
    struct reflow reflow = {.marks = count < MARKS_MAX ? count : MARKS_MAX};
    struct grid_row *primary = grid_rows_new(rows, cols);
    struct grid_row *alternate = grid->screen[1] != NULL ? grid_rows_new(rows, cols) : NULL;
    reflow.writer.cells = calloc((size_t)cols, sizeof *reflow.writer.cells);
    if (primary == NULL || reflow.writer.cells == NULL ||
        (grid->screen[1] != NULL && alternate == NULL)) {
        grid_rows_free(primary, rows);
        grid_rows_free(alternate, rows);
        free(reflow.writer.cells);
        return error_set(err, ENOMEM, "no memory for a terminal of %d rows, %d columns", rows,
                         cols);
    }
    reflow.writer.cols = cols;
    reflow.writer.out = (struct grid_ring){.limit = grid->history.limit + (size_t)rows};
    for (size_t i = 0; i < reflow.marks; i++)
        reflow.moving[i].mark = &marks[i];
    move_lines(&reflow, grid);
    size_t top = new_top(&reflow, (size_t)rows);
    fill_screen(&reflow.writer.out, primary, top, rows, cols);
    for (size_t i = 0; i < reflow.marks; i++) {
        size_t row = reflow.moving[i].row < top ? 0 : reflow.moving[i].row - top;
        marks[i].row = row < (size_t)rows ? (int)row : rows - 1;
        if (marks[i].col >= cols)
            marks[i].col = cols - 1;
    }
    if (alternate != NULL)
        resize_alternate(grid, alternate, rows, cols);
    grid_rows_free(grid->screen[0], grid->rows);
    grid_rows_free(grid->screen[1], grid->rows);
    free(reflow.writer.cells);
    uint64_t evicted = grid->history.evicted;
    size_t limit = grid->history.limit;
    grid_ring_free(&grid->history);
    grid_ring_limit(&reflow.writer.out, limit); /* the screen gave its room back */
    grid->history = reflow.writer.out;
    grid->history.evicted += evicted;
    grid->screen[0] = primary;
    grid->screen[1] = alternate;
    grid->rows = rows;
    grid->cols = cols;
    trim_history(grid);
    return 0;
}
