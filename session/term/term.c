/*
 * The engine: bytes go through the filter (escape.c), which calls text.c, control.c and strings.c,
 * which change the cells (grid.c) themselves or ask libvterm (vt.c) where things go. Everything
 * that a program can ask for is one row of a table in control.c, modes.c, pen.c or strings.c.
 *
 * What has no place in a cell (clusters of combining characters, hyperlinks) is kept once in a
 * bounded table; when it is full, all cells are looked at and what none of them names is thrown
 * out, at most once for as many additions as the table has entries.
 *
 * Callbacks come at the end of a write, when the terminal is consistent.
 */
#include "session/term/term.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/term/engine.h"
#include "session/term/repaint.h"

static int clamp(int value, int max)
{
    return value < 1 ? 1 : value > max ? max : value;
}

static void on_scroll(void *context, int top, int bottom, int lines)
{
    struct term *term = context;
    grid_scroll(&term->grid, top, bottom, lines, &term->pen, term->keep, term->wrapping);
    term_dirty(term, top, bottom);
}

static void on_erase(void *context, int top, int bottom, int left, int right)
{
    struct term *term = context;
    grid_erase(&term->grid, top, bottom, left, right, &term->pen);
    term_dirty(term, top, bottom);
}

static const struct vt_ops vt_ops = {.scroll = on_scroll, .erase = on_erase};

static void on_text(void *user, const uint8_t *bytes, size_t size)
{
    text_write(user, bytes, size);
}

static void on_control(void *user, uint8_t control)
{
    text_flush(user);
    control_code(user, control);
}

static void on_escape(void *user, char intermediate, char final)
{
    text_flush(user);
    control_escape(user, intermediate, final);
}

static void on_csi(void *user, const struct escape_csi *csi)
{
    text_flush(user);
    control_csi(user, csi);
}

static void on_string(void *user, enum escape_string kind, const char *text, size_t size)
{
    text_flush(user);
    string_take(user, kind, text, size);
}

static const struct escape_sink sink = {
    .text = on_text,
    .control = on_control,
    .escape = on_escape,
    .csi = on_csi,
    .string = on_string,
};

int term_new(struct term **out, const struct term_options *options, struct error *err)
{
    *out = NULL;
    struct term *term = calloc(1, sizeof *term);
    if (term == NULL)
        return error_set(err, ENOMEM, "no memory for a terminal");
    int rows = clamp(options->rows, TERM_ROWS_MAX), cols = clamp(options->cols, TERM_COLS_MAX);
    size_t history = options->history < TERM_HISTORY_MAX ? options->history : TERM_HISTORY_MAX;
    int status = grid_init(&term->grid, rows, cols, history, err);
    if (status == 0)
        status = vt_new(&term->vt, rows, cols, &vt_ops, term, err);
    if (status != 0) {
        term_free(term);
        return status;
    }
    intern_init(&term->clusters, TERM_CLUSTERS);
    intern_init(&term->links, TERM_LINKS);
    term->events = options->events;
    term->context = options->context;
    term->keep = GRID_HISTORY;
    term->bottom = rows;
    term->modes = MODES_RESET;
    *out = term;
    return 0;
}

void term_free(struct term *term)
{
    if (term == NULL)
        return;
    grid_free(&term->grid);
    vt_free(term->vt);
    escape_free(&term->escape);
    intern_free(&term->clusters);
    intern_free(&term->links);
    free(term->cwd);
    buf_free(&term->replies);
    free(term);
}

void term_dirty(struct term *term, int first, int last)
{
    if (term->dirty_first == term->dirty_last) {
        term->dirty_first = first;
        term->dirty_last = last;
        return;
    }
    if (first < term->dirty_first)
        term->dirty_first = first;
    if (last > term->dirty_last)
        term->dirty_last = last;
}

void term_output(struct term *term, const void *bytes, size_t size)
{
    if (term->events != NULL && term->events->output != NULL && size > 0)
        term->events->output(term->context, bytes, size);
}

void term_output_csi(struct term *term, const struct escape_csi *csi)
{
    if (term->events == NULL || term->events->output == NULL)
        return;
    struct buf text = {0};
    if (escape_csi_text(csi, &text) == 0)
        term_output(term, buf_data(&text), buf_len(&text));
    buf_free(&text);
}

void term_reply(struct term *term, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size <= 0 || (size_t)size >= sizeof text ||
        buf_len(&term->replies) + (size_t)size > TERM_REPLY_MAX)
        return;
    if (buf_append(&term->replies, text, (size_t)size) == 0)
        term->happened |= SAW_REPLY;
}

static void tell(struct term *term)
{
    const struct term_events *events = term->events;
    unsigned happened = term->happened;
    term->happened = 0;
    if (events == NULL)
        return;
    if (events->damage != NULL && !term_frame_held(term) && term->dirty_first < term->dirty_last) {
        int first = term->dirty_first, last = term->dirty_last;
        term->dirty_first = term->dirty_last = 0;
        events->damage(term->context, first, last);
    }
    if ((happened & SAW_TITLE) != 0 && events->title != NULL)
        events->title(term->context, term->title);
    if ((happened & SAW_BELL) != 0 && events->bell != NULL)
        events->bell(term->context);
    if ((happened & SAW_CWD) != 0 && events->cwd != NULL)
        events->cwd(term->context, term_cwd(term));
    if ((happened & SAW_MODES) != 0 && events->modes != NULL)
        events->modes(term->context);
    if ((happened & SAW_REPLY) != 0 && events->replies != NULL)
        events->replies(term->context);
}

void term_write(struct term *term, const void *bytes, size_t size)
{
    if (term_frame_held(term)) {
        term->frame_bytes += size;
        if (term->frame_bytes > TERM_FRAME_MAX)
            term->modes &= ~TERM_SYNC;
    }
    escape_write(&term->escape, &sink, term, bytes, size);
    tell(term);
}

/* Where the cursors are on a screen that was resized; marks: see term_resize. */
static void place_cursors(struct term *term, const struct grid_mark marks[2])
{
    int rows = term->grid.rows, cols = term->grid.cols;
    struct grid_mark *saved = &term->saved[1].at;
    saved->row = saved->row < rows ? saved->row : rows - 1;
    saved->col = saved->col < cols ? saved->col : cols - 1;
    if (term->saved[0].set)
        term->saved[0].at = marks[1];
    if (term->grid.active == 0) {
        term->cursor = (struct vt_cursor){marks[0].row, marks[0].col};
        term->pending = marks[0].pending && (term->modes & TERM_WRAP) != 0;
        return;
    }
    if (term->cursor.row >= rows)
        term->cursor.row = rows - 1;
    if (term->cursor.col >= cols)
        term->cursor.col = cols - 1;
    term->pending = term->pending && term->cursor.col == cols - 1;
}

int term_resize(struct term *term, int rows, int cols, struct error *err)
{
    rows = clamp(rows, TERM_ROWS_MAX);
    cols = clamp(cols, TERM_COLS_MAX);
    if (rows == term->grid.rows && cols == term->grid.cols)
        return 0;
    /* the primary screen's cursor (behind the alternate one: as it was saved), its saved cursor */
    struct grid_mark marks[2] = {{term->cursor.row, term->cursor.col, term->pending},
                                 term->saved[0].at};
    if (term->grid.active == 1)
        marks[0] = term->saved[0].at;
    struct vt *vt;
    int status = vt_new(&vt, rows, cols, &vt_ops, term, err);
    if (status == 0)
        status = grid_resize(&term->grid, rows, cols, marks, 2, err);
    if (status != 0) {
        vt_free(vt);
        return status;
    }
    vt_copy_tabs(vt, term->vt);
    vt_free(term->vt);
    term->vt = vt;
    term->top = 0;
    term->bottom = rows;
    place_cursors(term, marks);
    struct vt_cursor home = {0};
    if ((term->modes & TERM_ORIGIN) != 0)
        vt_origin(vt, &home, true);
    term->dirty_first = 0;
    term->dirty_last = rows;
    tell(term);
    return 0;
}

/* Clusters or links that no cell, pen or saved pen names any more go. */
static void sweep(struct term *term)
{
    const struct saved *saved = term->saved;
    intern_mark(&term->links, term->pen.link);
    intern_mark(&term->links, saved[0].pen.link);
    intern_mark(&term->links, saved[1].pen.link);
    size_t history = term->grid.history.count, rows = (size_t)term->grid.rows;
    for (size_t i = 0; i < history + 2 * rows; i++) {
        const struct grid_row *row;
        if (i < history)
            row = grid_history(&term->grid, i);
        else if (i < history + rows)
            row = &term->grid.screen[0][i - history];
        else if (term->grid.screen[1] != NULL)
            row = &term->grid.screen[1][i - history - rows];
        else
            break;
        for (int col = 0; col < row->length; col++) {
            if ((row->cells[col].glyph & CELL_CLUSTER) != 0)
                intern_mark(&term->clusters, row->cells[col].glyph & ~CELL_CLUSTER);
            intern_mark(&term->links, row->cells[col].link);
        }
    }
    intern_sweep(&term->clusters);
    intern_sweep(&term->links);
}

static uint32_t add(struct term *term, struct intern *table, const void *bytes, size_t size)
{
    uint32_t id = intern_add(table, bytes, size);
    if (id == 0 && intern_should_sweep(table)) {
        sweep(term);
        id = intern_add(table, bytes, size);
    }
    return id;
}

uint32_t term_add_cluster(struct term *term, const uint32_t *points, size_t count)
{
    return add(term, &term->clusters, points, count * sizeof *points);
}

uint32_t term_add_link(struct term *term, const char *text, size_t size)
{
    return add(term, &term->links, text, size);
}

void term_save_cursor(struct term *term)
{
    term->saved[term->grid.active] = (struct saved){
        .set = true,
        .at = {term->cursor.row, term->cursor.col, term->pending},
        .origin = (term->modes & TERM_ORIGIN) != 0,
        .pen = term->pen,
        .charsets = term->charsets,
    };
}

/* What was never saved is the state after a reset. */
void term_restore_cursor(struct term *term)
{
    const struct saved *saved = &term->saved[term->grid.active];
    struct vt_cursor from = term->cursor;
    mode_origin(term, saved->origin);
    term->cursor = (struct vt_cursor){saved->at.row, saved->at.col};
    if (saved->origin) {
        if (term->cursor.row < term->top)
            term->cursor.row = term->top;
        if (term->cursor.row >= term->bottom)
            term->cursor.row = term->bottom - 1;
    }
    const struct cell *last = &grid_row(&term->grid, saved->at.row)->cells[term->grid.cols - 1];
    term->pending = saved->at.pending && (term->modes & TERM_WRAP) != 0 &&
                    term->cursor.row == saved->at.row && saved->at.col == term->grid.cols - 1 &&
                    (last->glyph != 0 || (last->attrs & CELL_TAIL) != 0);
    term->pen = saved->pen;
    term->charsets = saved->charsets;
    term_dirty(term, from.row, from.row + 1);
    term_dirty(term, term->cursor.row, term->cursor.row + 1);
}

void term_soft_reset(struct term *term)
{
    struct vt_cursor here = term->cursor;
    mode_origin(term, false);
    vt_margins(term->vt, &term->cursor, 0, term->grid.rows);
    term->top = 0;
    term->bottom = term->grid.rows;
    term->cursor = here;
    term->modes |= MODES_RESET;
    term->modes &= ~(TERM_INSERT | TERM_APP_CURSOR | TERM_APP_KEYPAD);
    term->cursor_shape = 0;
    term->pen = (struct cell){0};
    term->charsets = (struct charsets){0};
    term->saved[term->grid.active] = (struct saved){0};
    term->happened |= SAW_MODES;
}

void term_hard_reset(struct term *term)
{
    grid_show(&term->grid, false);
    term_soft_reset(term);
    term->saved[0] = term->saved[1] = (struct saved){0};
    term->modes = MODES_RESET;
    term->mouse = TERM_MOUSE_OFF;
    term->mouse_code = TERM_CODE_DEFAULT;
    term->cursor = (struct vt_cursor){0, 0};
    term->pending = false;
    vt_default_tabs(term->vt);
    grid_erase(&term->grid, 0, term->grid.rows, 0, term->grid.cols, &term->pen);
    if (term->grid.screen[1] != NULL) {
        grid_show(&term->grid, true);
        grid_erase(&term->grid, 0, term->grid.rows, 0, term->grid.cols, &term->pen);
        grid_show(&term->grid, false);
    }
    term_output(term, REPAINT_RESET, sizeof REPAINT_RESET - 1);
    term_dirty(term, 0, term->grid.rows);
}

void term_size(const struct term *term, int *rows, int *cols)
{
    *rows = term->grid.rows;
    *cols = term->grid.cols;
}

struct buf *term_replies(struct term *term)
{
    return &term->replies;
}

const struct cell *term_line(const struct term *term, int index, int *length, bool *wrapped)
{
    const struct grid_row *row;
    if (index >= 0 && index < term->grid.rows)
        row = grid_row(&term->grid, index);
    else if (index < 0 && (size_t) - (long)index <= term->grid.history.count)
        row = grid_history(&term->grid, term->grid.history.count - (size_t) - (long)index);
    else
        return NULL;
    *length = row->length;
    *wrapped = row->wrapped;
    return row->cells;
}

size_t term_history(const struct term *term)
{
    return term->grid.history.count;
}

uint64_t term_evicted(const struct term *term)
{
    return term->grid.history.evicted;
}

int term_glyph(const struct term *term, const struct cell *cell, uint32_t *points)
{
    if (cell->glyph == 0)
        return 0;
    if ((cell->glyph & CELL_CLUSTER) == 0) {
        points[0] = cell->glyph;
        return 1;
    }
    size_t size = 0;
    const char *bytes = intern_get(&term->clusters, cell->glyph & ~CELL_CLUSTER, &size);
    if (bytes != NULL)
        memcpy(points, bytes, size);
    return (int)(size / sizeof *points);
}

const char *term_link(const struct term *term, unsigned link, const char **id)
{
    size_t size;
    const char *text = intern_get(&term->links, link, &size);
    *id = text;
    return text != NULL ? text + strlen(text) + 1 : NULL;
}

void term_cursor(const struct term *term, struct term_cursor *cursor)
{
    *cursor = (struct term_cursor){
        .row = term->cursor.row,
        .col = term->cursor.col,
        .visible = (term->modes & TERM_CURSOR) != 0,
        .shape = term->cursor_shape,
    };
}

struct term_modes term_modes(const struct term *term)
{
    return (struct term_modes){
        .bits = term->modes, .mouse = term->mouse, .mouse_code = term->mouse_code};
}

const char *term_title(const struct term *term)
{
    return term->title;
}

const char *term_cwd(const struct term *term)
{
    return term->cwd != NULL ? term->cwd : "";
}

bool term_frame_held(const struct term *term)
{
    return (term->modes & TERM_SYNC) != 0;
}

void term_release_frame(struct term *term)
{
    term->modes &= ~TERM_SYNC;
    tell(term);
}

static size_t intern_memory(const struct intern *table)
{
    size_t sum = table->capacity * sizeof *table->entries +
                 (table->buckets != NULL ? table->limit * sizeof *table->buckets : 0);
    for (uint32_t i = 1; i <= table->count; i++)
        sum += table->entries[i].bytes != NULL ? table->entries[i].size + 1 : 0;
    return sum;
}

size_t term_memory(const struct term *term)
{
    const struct grid *grid = &term->grid;
    size_t screens = grid->screen[1] != NULL ? 2 : 1;
    size_t cells = screens * (size_t)grid->rows * (size_t)grid->cols;
    for (size_t i = 0; i < grid->history.count; i++)
        cells += grid_history(grid, i)->length;
    size_t rows = screens * (size_t)grid->rows + grid->history.capacity;
    return sizeof *term + cells * sizeof(struct cell) + rows * sizeof(struct grid_row) +
           intern_memory(&term->clusters) + intern_memory(&term->links);
}
