/*
 * Rows are pointers to their cells, so that scrolling moves 16 bytes a row. A line that enters
 * the history is copied without the blanks at its end: a line of text costs 16 bytes a character,
 * however wide the terminal is, and its full-width row is used again at the bottom.
 *
 * When memory is short, a line is lost on its way into the history; nothing else can fail.
 */
#include "session/term/grid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct grid_row *grid_rows_new(int rows, int cols)
{
    struct grid_row *out = calloc((size_t)rows, sizeof *out);
    for (int i = 0; out != NULL && i < rows; i++) {
        out[i].cells = calloc((size_t)cols, sizeof *out[i].cells);
        out[i].length = (uint16_t)cols;
        if (out[i].cells == NULL) {
            grid_rows_free(out, i);
            return NULL;
        }
    }
    return out;
}

void grid_rows_free(struct grid_row *rows, int count)
{
    for (int i = 0; rows != NULL && i < count; i++)
        free(rows[i].cells);
    free(rows);
}

int grid_init(struct grid *grid, int rows, int cols, size_t history, struct error *err)
{
    *grid = (struct grid){.rows = rows, .cols = cols, .history.limit = history};
    grid->screen[0] = grid_rows_new(rows, cols);
    if (grid->screen[0] == NULL)
        return error_set(err, ENOMEM, "no memory for a terminal of %d rows, %d columns", rows,
                         cols);
    return 0;
}

void grid_free(struct grid *grid)
{
    grid_rows_free(grid->screen[0], grid->rows);
    grid_rows_free(grid->screen[1], grid->rows);
    grid_ring_free(&grid->history);
    grid->screen[0] = grid->screen[1] = NULL;
}

static struct grid_row *ring_at(const struct grid_ring *ring, size_t index)
{
    size_t at = ring->start + index;
    return &ring->rows[at < ring->capacity ? at : at - ring->capacity];
}

static void ring_drop_oldest(struct grid_ring *ring)
{
    free(ring->rows[ring->start].cells);
    ring->start = ring->start + 1 == ring->capacity ? 0 : ring->start + 1;
    ring->count--;
    ring->evicted++;
}

void grid_ring_limit(struct grid_ring *ring, size_t limit)
{
    while (ring->count > limit)
        ring_drop_oldest(ring);
    ring->limit = limit;
}

void grid_ring_free(struct grid_ring *ring)
{
    for (size_t i = 0; i < ring->count; i++)
        free(ring_at(ring, i)->cells);
    free(ring->rows);
    *ring = (struct grid_ring){.limit = ring->limit, .evicted = ring->evicted};
}

static int ring_grow(struct grid_ring *ring)
{
    size_t capacity = ring->capacity == 0 ? 64 : ring->capacity * 2;
    if (capacity > ring->limit)
        capacity = ring->limit;
    struct grid_row *rows = malloc(capacity * sizeof *rows);
    if (rows == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < ring->count; i++)
        rows[i] = *ring_at(ring, i);
    free(ring->rows);
    ring->rows = rows;
    ring->start = 0;
    ring->capacity = capacity;
    return 0;
}

int grid_ring_push(struct grid_ring *ring, struct grid_row row)
{
    if (ring->limit == 0 ||
        (ring->count == ring->capacity && ring->capacity < ring->limit && ring_grow(ring) != 0)) {
        free(row.cells);
        ring->evicted++;
        return -ENOMEM;
    }
    if (ring->count == ring->limit) {
        ring_drop_oldest(ring);
    }
    ring->count++;
    *ring_at(ring, ring->count - 1) = row;
    return 0;
}

struct grid_row grid_ring_pop(struct grid_ring *ring)
{
    struct grid_row row = *ring_at(ring, ring->count - 1);
    ring->count--;
    return row;
}

void grid_clear_history(struct grid *grid)
{
    grid->history.evicted += grid->history.count;
    grid_ring_free(&grid->history);
}

static bool is_blank(const struct cell *cell, bool spaces)
{
    return (cell->glyph == 0 || (spaces && cell->glyph == ' ')) && cell->bg == COLOR_DEFAULT &&
           cell->attrs == 0 && cell->link == 0;
}

/* Cells up to the last that is not blank; `spaces`: written spaces count as blank too. */
size_t grid_used(const struct cell *cells, size_t length, bool spaces)
{
    while (length > 0 && is_blank(&cells[length - 1], spaces))
        length--;
    return length;
}

static void push_history(struct grid *grid, const struct grid_row *row)
{
    size_t used = row->wrapped ? row->length : grid_used(row->cells, row->length, true);
    struct grid_row line = {.length = (uint16_t)used, .wrapped = row->wrapped};
    if (used > 0) {
        line.cells = malloc(used * sizeof *line.cells);
        if (line.cells == NULL)
            return;
        memcpy(line.cells, row->cells, used * sizeof *line.cells);
    }
    grid_ring_push(&grid->history, line);
}

static void fill_cells(struct cell *cells, int count, const struct cell *fill)
{
    if (fill->bg == COLOR_DEFAULT) {
        memset(cells, 0, (size_t)count * sizeof *cells);
        return;
    }
    for (int i = 0; i < count; i++)
        cells[i] = (struct cell){.bg = fill->bg};
}

/* The row in front of `row`, across the border to the history; NULL if there is none. */
static struct grid_row *row_before(const struct grid *grid, int row)
{
    if (row > 0)
        return grid_row(grid, row - 1);
    if (grid->active == 0 && grid->history.count > 0)
        return grid_history(grid, grid->history.count - 1);
    return NULL;
}

bool grid_is_pad(const struct grid *grid, const struct grid_row *row)
{
    if (!row->wrapped || row->length < grid->cols)
        return false;
    const struct cell *last = &row->cells[grid->cols - 1];
    return last->glyph == 0 && (last->attrs & CELL_TAIL) == 0;
}

/* What stood in front of `row` does not go on there any more. */
static void part(struct grid *grid, int row)
{
    struct grid_row *before = row_before(grid, row);
    if (before == NULL || !before->wrapped)
        return;
    before->wrapped = false;
    if (row == 0)
        before->length = (uint16_t)grid_used(before->cells, before->length, true);
}

/* The first cell of `row` is no wide glyph any more: nothing explains the pad before it. */
static void unpad(struct grid *grid, int row)
{
    const struct grid_row *before = row_before(grid, row);
    if (before != NULL && grid_is_pad(grid, before))
        part(grid, row);
}

void grid_scroll(struct grid *grid, int top, int bottom, int lines, const struct cell *fill,
                 enum grid_keep keep, bool wrapping)
{
    int height = bottom - top;
    int count = lines < 0 ? -lines : lines;
    if (height <= 0 || count == 0)
        return;
    if (count > height)
        count = height;
    struct grid_row *rows = grid_row(grid, 0);
    bool history = lines > 0 && keep == GRID_HISTORY && top == 0 && grid->active == 0;
    if (!history)
        part(grid, top);
    if (!wrapping)
        rows[bottom - 1].wrapped = false;
    if (lines < 0)
        rows[bottom - 1 - count + (count == height ? 1 : 0)].wrapped = false;
    for (int i = 0; i < count; i++) {
        int from = lines > 0 ? top : bottom - 1;
        struct grid_row row = rows[from];
        if (history)
            push_history(grid, &row);
        if (lines > 0)
            memmove(&rows[top], &rows[top + 1], (size_t)(height - 1) * sizeof row);
        else
            memmove(&rows[top + 1], &rows[top], (size_t)(height - 1) * sizeof row);
        fill_cells(row.cells, grid->cols, fill);
        row.wrapped = false;
        rows[lines > 0 ? bottom - 1 : top] = row;
    }
}

/* A border between col - 1 and col goes through a wide glyph: both halves become blank. */
static void cut(struct grid *grid, struct grid_row *row, int col)
{
    if (col <= 0 || col >= grid->cols || (row->cells[col].attrs & CELL_TAIL) == 0)
        return;
    row->cells[col - 1] = (struct cell){.bg = row->cells[col - 1].bg};
    row->cells[col] = (struct cell){.bg = row->cells[col].bg};
    if (col == grid->cols - 1 && row->wrapped)
        row->cells[col].glyph = ' ';
    if (col == 1)
        unpad(grid, (int)(row - grid_row(grid, 0)));
}

void grid_erase(struct grid *grid, int top, int bottom, int left, int right,
                const struct cell *fill)
{
    for (int i = top; i < bottom && left < right; i++) {
        struct grid_row *row = grid_row(grid, i);
        cut(grid, row, left);
        cut(grid, row, right);
        fill_cells(row->cells + left, right - left, fill);
        if (right == grid->cols)
            row->wrapped = false;
        if (left == 0)
            unpad(grid, i);
    }
}

void grid_shift(struct grid *grid, int index, int col, int count, const struct cell *fill)
{
    struct grid_row *row = grid_row(grid, index);
    int behind = grid->cols - col;
    int by = count < 0 ? -count : count;
    if (by > behind)
        by = behind;
    cut(grid, row, col);
    cut(grid, row, count < 0 ? col + by : grid->cols - by);
    struct cell *cells = row->cells + col;
    size_t moved = (size_t)(behind - by) * sizeof *cells;
    if (count < 0) {
        memmove(cells, cells + by, moved);
        fill_cells(cells + behind - by, by, fill);
    } else {
        memmove(cells + by, cells, moved);
        fill_cells(cells, by, fill);
    }
    row->wrapped = false;
    if (col == 0)
        unpad(grid, index);
}

struct cell *grid_open(struct grid *grid, int index, int col, int count, bool wide)
{
    struct grid_row *row = grid_row(grid, index);
    cut(grid, row, col);
    cut(grid, row, col + count);
    if (col == 0 && !wide)
        unpad(grid, index);
    return row->cells + col;
}

int grid_show(struct grid *grid, bool alternate)
{
    if (alternate && grid->screen[1] == NULL) {
        grid->screen[1] = grid_rows_new(grid->rows, grid->cols);
        if (grid->screen[1] == NULL)
            return -ENOMEM;
    }
    grid->active = alternate ? 1 : 0;
    return 0;
}

static bool check_row(const struct grid *grid, const struct grid_row *row,
                      const struct grid_row *next)
{
    for (int i = 0; i < row->length; i++) {
        bool wide = (row->cells[i].attrs & CELL_WIDE) != 0;
        bool tail = (row->cells[i].attrs & CELL_TAIL) != 0;
        bool tail_next = i + 1 < row->length && (row->cells[i + 1].attrs & CELL_TAIL) != 0;
        if (wide != tail_next || (tail && (i == 0 || wide || row->cells[i].glyph != 0)) ||
            (wide && row->cells[i].glyph == 0))
            return false;
    }
    if (!row->wrapped)
        return true;
    return next != NULL && row->length == grid->cols &&
           (!grid_is_pad(grid, row) ||
            (next->length > 0 && (next->cells[0].attrs & CELL_WIDE) != 0));
}

bool grid_check(const struct grid *grid)
{
    for (size_t i = 0; i < grid->history.count; i++) {
        const struct grid_row *next =
            i + 1 < grid->history.count ? grid_history(grid, i + 1) : &grid->screen[0][0];
        const struct grid_row *row = grid_history(grid, i);
        if (row->length > grid->cols || !check_row(grid, row, next))
            return false;
    }
    for (int s = 0; s < 2 && grid->screen[s] != NULL; s++)
        for (int i = 0; i < grid->rows; i++) {
            const struct grid_row *row = &grid->screen[s][i];
            const struct grid_row *next = i + 1 < grid->rows ? row + 1 : NULL;
            if (row->length != grid->cols || !check_row(grid, row, next))
                return false;
        }
    return grid->history.count <= grid->history.limit;
}
