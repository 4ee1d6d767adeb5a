/*
 * The scrollback and the primary screen are printed from top to bottom as a program would, so that
 * the viewer's terminal scrolls, wraps and joins lines by itself; then the alternate screen if it
 * is shown; then, in an order in which nothing undoes what came before: saved cursor, tab stops,
 * margins, origin mode, cursor, pen, character sets, modes.
 *
 * Blank cells (nothing written) are jumped over or erased, not printed, so that they stay blank. A
 * row that goes on in the next one is printed to its last column; the next one's first glyph makes
 * the viewer's terminal wrap. A pending wrap is made by printing the last glyph again.
 *
 * Not reproduced: the screen that is not shown, if it is the alternate one, and its saved cursor.
 */
#include "session/term/repaint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/term/engine.h"

struct painter {
    const struct term *term;
    const struct repaint_options *options;
    struct buf *out;
    struct cell pen; /* of the viewer's terminal */
    bool failed;
};

static void check(struct painter *painter, int status)
{
    if (status != 0)
        painter->failed = true;
}

static void put(struct painter *painter, const void *bytes, size_t size)
{
    check(painter, buf_append(painter->out, bytes, size));
}

static void say(struct painter *painter, const char *text)
{
    put(painter, text, strlen(text));
}

static void set_link(struct painter *painter, uint16_t link)
{
    if (link == painter->pen.link || !painter->options->strings)
        return;
    const char *id, *uri = term_link(painter->term, link, &id);
    say(painter, "\033]8;");
    if (uri != NULL && *id != '\0') {
        say(painter, "id=");
        say(painter, id);
    }
    say(painter, ";");
    say(painter, uri != NULL ? uri : "");
    say(painter, "\033\\");
}

static void set_pen(struct painter *painter, const struct cell *style)
{
    set_link(painter, style->link);
    struct cell before = painter->pen;
    before.link = style->link;
    if (!cell_same_style(&before, style))
        check(painter, pen_text(style, (enum pen_colors)painter->options->colors, painter->out));
    painter->pen = *style;
}

static void plain_pen(struct painter *painter)
{
    static const struct cell none;
    set_pen(painter, &none);
}

static void put_glyph(struct painter *painter, const struct cell *cell)
{
    uint32_t points[CELL_POINTS + 1];
    int count = term_glyph(painter->term, cell, points);
    set_pen(painter, cell);
    for (int i = 0; i < count; i++) {
        char text[4];
        put(painter, text, text_encode(points[i], text));
    }
}

/* Blank cells [from, to) with one background; the cursor stands at `from` and goes to `to`. */
static void put_blanks(struct painter *painter, const struct cell *blank, int count, bool erase,
                       bool last)
{
    if (erase || blank->bg != COLOR_DEFAULT) {
        struct cell style = {.bg = blank->bg};
        set_pen(painter, &style);
        check(painter, buf_printf(painter->out, "\033[%dX", count));
    }
    if (!last)
        check(painter, buf_printf(painter->out, "\033[%dC", count));
}

/* Cells [0, used) of a row at whose first column the cursor stands, or behind a full row before. */
static void put_row(struct painter *painter, const struct cell *cells, int used, bool joined,
                    bool goes_on)
{
    int at = 0;
    bool erase = false;
    if (joined && used > 0 && cells[0].glyph == 0) { /* something must be printed to wrap */
        plain_pen(painter);
        say(painter, " \r");
        erase = true;
    }
    while (at < used) {
        if (cells[at].glyph != 0) {
            put_glyph(painter, &cells[at]);
            int width = (cells[at].attrs & CELL_WIDE) != 0 ? 2 : 1;
            if (joined && at == 0 && width < painter->term->grid.cols &&
                cells[0].bg != COLOR_DEFAULT) { /* the row scrolled in with that background */
                plain_pen(painter);
                say(painter, "\033[K");
            }
            at += width;
            continue;
        }
        int from = at;
        while (at < used && cells[at].glyph == 0 && cells[at].bg == cells[from].bg)
            at++;
        put_blanks(painter, &cells[from], at - from, erase && from == 0, at == used && !goes_on);
    }
}

/* Rows one after the other; whether the one before goes on in this one is carried along. */
struct flow {
    bool begun, joined;
};

static void flow_row(struct painter *painter, struct flow *flow, const struct grid_row *row)
{
    const struct grid *grid = &painter->term->grid;
    if (flow->begun && !flow->joined) {
        plain_pen(painter);
        say(painter, "\r\n");
    }
    int used = (int)grid_used(row->cells, row->length, false);
    bool goes_on = row->wrapped && painter->options->cols == grid->cols;
    if (row->wrapped)
        used = grid->cols - (grid_is_pad(grid, row) ? 1 : 0);
    if (flow->joined && used == 0) { /* a blank line must be wrapped to all the same */
        plain_pen(painter);
        say(painter, " \r\033[X");
    }
    put_row(painter, row->cells, used, flow->joined, goes_on);
    *flow = (struct flow){.begun = true, .joined = goes_on};
}

static void put_screen(struct painter *painter, const struct grid_row *rows, struct flow flow)
{
    for (int i = 0; i < painter->term->grid.rows; i++)
        flow_row(painter, &flow, &rows[i]);
    plain_pen(painter);
}

static void put_primary(struct painter *painter)
{
    const struct grid *grid = &painter->term->grid;
    struct flow flow = {0};
    size_t count = grid->history.count;
    size_t first = painter->options->history < count ? count - painter->options->history : 0;
    for (size_t i = first; i < count; i++)
        flow_row(painter, &flow, grid_history(grid, i));
    put_screen(painter, grid->screen[0], flow);
}

static void put_charsets(struct painter *painter, const struct charsets *sets)
{
    static const char names[] = {'B', '0', 'A'};
    static const char *const locks[] = {"\017", "\016", "\033n", "\033o"};
    for (int i = 0; i < 4; i++)
        if (sets->g[i] != CHARSET_ASCII)
            check(painter, buf_printf(painter->out, "\033%c%c", "()*+"[i], names[sets->g[i]]));
    if (sets->locked != 0)
        say(painter, locks[sets->locked]);
    if (sets->single != 0)
        say(painter, sets->single == 2 ? "\033N" : "\033O");
}

static void plain_charsets(struct painter *painter)
{
    say(painter, "\033(B\033)B\033*B\033+B\017");
}

/* The cursor on the screen `rows`; `top` is what its row counts from. */
static void put_cursor(struct painter *painter, const struct grid_row *rows,
                       const struct grid_mark *at, int top)
{
    int col = at->col;
    const struct cell *cells = rows[at->row].cells;
    bool pending = at->pending;
    if (pending && col > 0 && (cells[col].attrs & CELL_TAIL) != 0)
        col--;
    pending = pending && cells[col].glyph != 0;
    check(painter, buf_printf(painter->out, "\033[%d;%dH", at->row - top + 1,
                              (pending ? col : at->col) + 1));
    if (pending)
        put_glyph(painter, &cells[col]);
}

/* Leaves the cursor, pen and character sets as they were when they were saved, and saves them. */
static void put_saved(struct painter *painter, const struct saved *saved,
                      const struct grid_row *rows, const char *how)
{
    if (saved->origin)
        say(painter, "\033[?6h");
    put_cursor(painter, rows, &saved->at, 0);
    set_pen(painter, &saved->pen);
    put_charsets(painter, &saved->charsets);
    say(painter, how);
    if (saved->origin)
        say(painter, "\033[?6l");
    plain_charsets(painter);
    plain_pen(painter);
}

static void put_alternate(struct painter *painter)
{
    const struct term *term = painter->term;
    const struct saved *saved = &term->saved[0];
    if (saved->set)
        put_saved(painter, saved, term->grid.screen[0], "\033[?1049h");
    else
        say(painter, "\033[?1047h");
    say(painter, "\033[H\033[2J");
    put_screen(painter, term->grid.screen[1], (struct flow){0});
}

static void put_tabs(struct painter *painter)
{
    bool stops[TERM_COLS_MAX];
    int cols = painter->term->grid.cols;
    bool usual = true;
    vt_tabs(painter->term->vt, stops);
    for (int i = 1; i < cols - 1; i++)
        usual = usual && stops[i] == (i % 8 == 0);
    if (usual)
        return;
    say(painter, "\033[3g");
    for (int i = 1; i < cols - 1; i++)
        if (stops[i])
            check(painter, buf_printf(painter->out, "\033[%dG\033H", i + 1));
}

static void put_state(struct painter *painter)
{
    const struct term *term = painter->term;
    const struct grid *grid = &term->grid;
    const struct saved *saved = &term->saved[grid->active];
    struct term_modes usual = {.bits = MODES_RESET};
    struct term_modes modes = term_modes(term);
    int top = 0;
    if (saved->set)
        put_saved(painter, saved, grid->screen[grid->active], "\0337");
    put_tabs(painter);
    if (term->top != 0 || term->bottom != grid->rows || painter->options->rows > grid->rows)
        check(painter, buf_printf(painter->out, "\033[%d;%dr", term->top + 1, term->bottom));
    if ((modes.bits & TERM_ORIGIN) != 0) {
        say(painter, "\033[?6h");
        top = term->top;
    }
    struct grid_mark at = {term->cursor.row, term->cursor.col, term->pending};
    put_cursor(painter, grid->screen[grid->active], &at, top);
    set_pen(painter, &term->pen);
    check(painter, modes_text(&usual, &modes, painter->out));
    if (term->cursor_shape != 0)
        check(painter, buf_printf(painter->out, "\033[%d q", term->cursor_shape));
    if (painter->options->strings && term->title[0] != '\0') {
        say(painter, "\033]2;");
        say(painter, term->title);
        say(painter, "\033\\");
    }
    put_charsets(painter, &term->charsets);
}

static void put_partial(struct painter *painter)
{
    const struct term *term = painter->term;
    if (term->utf8.need > 0)
        put(painter, term->utf8.bytes, term->utf8.have);
    check(painter, escape_pending(&term->escape, painter->out));
}

int repaint(const struct term *term, const struct repaint_options *options, struct buf *out,
            struct error *err)
{
    struct repaint_options chosen = *options;
    chosen.rows = options->rows > 0 ? options->rows : term->grid.rows;
    chosen.cols = options->cols > 0 ? options->cols : term->grid.cols;
    struct painter painter = {.term = term, .options = &chosen, .out = out};
    size_t before = buf_len(out);
    if (chosen.scroll) {
        check(&painter, buf_printf(out, "\033[r\033[%d;1H", chosen.rows));
        for (int i = 0; i < chosen.rows; i++)
            say(&painter, "\n");
    }
    say(&painter, REPAINT_RESET);
    if (chosen.strings)
        say(&painter, "\033]8;;\033\\");
    if (chosen.rows > term->grid.rows)
        check(&painter, buf_printf(out, "\033[1;%dr", term->grid.rows));
    put_primary(&painter);
    if (term->grid.active == 1)
        put_alternate(&painter);
    put_state(&painter);
    if (chosen.partial)
        put_partial(&painter);
    if (!painter.failed)
        return 0;
    out->end -= buf_len(out) - before;
    return error_set(err, ENOMEM, "no memory to repaint a terminal");
}

/* The last row with something on it, or with the cursor; the whole of an alternate screen. */
static int last_used_row(const struct term *term)
{
    struct term_cursor cursor;
    int row = term->grid.rows - 1, length;
    bool wrapped;
    term_cursor(term, &cursor);
    while (term->grid.active == 0 && row > cursor.row) {
        term_line(term, row, &length, &wrapped);
        if (length > 0)
            break;
        row--;
    }
    return row;
}

int repaint_leave(const struct term *term, struct buf *out, struct error *err)
{
    static const struct repaint_options options = {.strings = true};
    struct painter painter = {.term = term, .options = &options, .out = out};
    struct term_modes usual = {.bits = MODES_RESET};
    struct term_modes modes = term_modes(term);
    size_t before = buf_len(out);
    check(&painter, modes_text(&modes, &usual, out));
    if ((modes.bits & TERM_ORIGIN) != 0)
        say(&painter, "\033[?6l");
    if ((modes.bits & TERM_SYNC) != 0)
        say(&painter, "\033[?2026l");
    say(&painter, "\033[r");
    if (term->grid.active == 1)
        say(&painter, "\033[?1049l");
    plain_charsets(&painter);
    say(&painter, "\033]8;;\033\\\033[m\033[0 q");
    check(&painter, buf_printf(out, "\033[%d;1H\r\n", last_used_row(term) + 1));
    if (!painter.failed)
        return 0;
    out->end -= buf_len(out) - before;
    return error_set(err, ENOMEM, "no memory to leave a terminal");
}
