/*
 * Drawing a pane, and looking back. Lines are counted as the engine counts them: 0 is the first of
 * the live screen, -1 the newest of the scrollback.
 */
#include <stdio.h>
#include <string.h>

#include "tui/pane.h"
#include "tui/wide.h"

static struct style style_of(const struct cell *cell, bool reverse)
{
    struct style style = {cell->fg, cell->bg, cell->attrs & CELL_STYLE};
    if (reverse)
        style.attrs ^= CELL_REVERSE;
    return style;
}

static void draw_line(const struct pane *pane, struct canvas *canvas, long index, int row, int col,
                      int cols, const struct style *chosen)
{
    bool reverse = (term_modes(pane->term).bits & TERM_REVERSE) != 0, wrapped;
    int length;
    const struct cell *cells = term_line(pane->term, (int)index, &length, &wrapped);
    static const struct cell blank;
    for (int i = 0; i < cols; i++) {
        const struct cell *cell = i < length ? &cells[i] : &blank;
        uint32_t points[CELL_POINTS + 1];
        int count = term_glyph(pane->term, cell, points);
        if ((cell->attrs & CELL_TAIL) != 0)
            continue;
        canvas_glyph(canvas, row, col + i, points, count, (cell->attrs & CELL_WIDE) != 0 ? 2 : 1,
                     chosen != NULL ? *chosen : style_of(cell, reverse));
    }
}

static void draw_cursor(const struct pane *pane, struct canvas *canvas, struct rect area, int skip)
{
    struct term_cursor cursor;
    term_cursor(pane->term, &cursor);
    int row = cursor.row - skip;
    if (!cursor.visible || row < 0 || row >= area.rows || cursor.col >= area.cols)
        return;
    canvas->cursor_row = area.row + row;
    canvas->cursor_col = area.col + cursor.col;
    canvas->cursor_shape = cursor.shape;
}

static void chosen_lines(const struct pane *pane, long *from, long *to)
{
    long other = pane->selecting ? pane->anchor : pane->cursor;
    *from = other < pane->cursor ? other : pane->cursor;
    *to = other > pane->cursor ? other : pane->cursor;
}

static bool is_chosen(const struct pane *pane, long line)
{
    long from, to;
    chosen_lines(pane, &from, &to);
    return pane->scrolling && line >= from && line <= to;
}

void pane_draw(const struct pane *pane, struct canvas *canvas, struct rect area, bool focused,
               const struct theme *theme)
{
    int rows = 0, cols = 0, skip = 0;
    canvas_fill(canvas, area, theme->roles[ROLE_TEXT]);
    if (pane->term == NULL) {
        canvas_label(canvas, area.row, area.col, area.cols, theme->roles[ROLE_DIM],
                     pane->ended ? pane->why : "");
        return;
    }
    term_size(pane->term, &rows, &cols);
    if (pane->preview && rows > area.rows) { /* what matters is where the cursor is */
        struct term_cursor cursor;
        term_cursor(pane->term, &cursor);
        skip = cursor.row >= area.rows ? cursor.row - area.rows + 1 : 0;
    }
    int shown = rows - skip < area.rows ? rows - skip : area.rows;
    for (int i = 0; i < shown; i++) {
        long line = i + skip - pane->offset;
        if (line >= -(long)term_history(pane->term))
            draw_line(pane, canvas, line, area.row + i, area.col,
                      cols < area.cols ? cols : area.cols,
                      is_chosen(pane, line) ? &theme->roles[ROLE_SELECTED] : NULL);
    }
    if (focused && !pane->scrolling && !pane->ended)
        draw_cursor(pane, canvas, area, skip);
}

void pane_scroll(struct pane *pane, bool on)
{
    if (pane->term == NULL)
        return;
    struct term_cursor cursor;
    term_cursor(pane->term, &cursor);
    if (on)
        pane_complete(pane);
    pane->scrolling = on;
    pane->selecting = false;
    pane->offset = 0;
    pane->cursor = cursor.row;
}

void pane_move(struct pane *pane, long lines)
{
    int rows, cols;
    if (pane->term == NULL || !pane->scrolling)
        return;
    term_size(pane->term, &rows, &cols);
    long oldest = -(long)term_history(pane->term), at = pane->cursor + lines;
    pane->cursor = at < oldest ? oldest : at >= rows ? rows - 1 : at;
    if (pane->anchor < oldest)
        pane->anchor = oldest;
    long first = -pane->offset;
    if (pane->cursor < first)
        first = pane->cursor;
    if (pane->cursor >= first + rows)
        first = pane->cursor - rows + 1;
    pane->offset = first > 0 ? 0 : -first;
}

void pane_page(struct pane *pane, long lines)
{
    int rows, cols;
    if (pane->term == NULL || !pane->scrolling)
        return;
    term_size(pane->term, &rows, &cols);
    long edge = lines < 0 ? -pane->offset : -pane->offset + rows - 1;
    pane_move(pane, edge + lines - pane->cursor);
}

static void line_text(const struct term *term, long index, struct buf *out, bool *wrapped)
{
    int length;
    const struct cell *cells = term_line(term, (int)index, &length, wrapped);
    size_t blanks = 0;
    for (int i = 0; i < length; i++) {
        uint32_t points[CELL_POINTS + 1];
        int count = term_glyph(term, &cells[i], points);
        if ((cells[i].attrs & CELL_TAIL) != 0)
            continue;
        if (count == 0 || (count == 1 && points[0] == ' ')) {
            blanks++;
            continue;
        }
        for (; blanks > 0; blanks--)
            buf_append(out, " ", 1);
        for (int k = 0; k < count; k++) {
            char bytes[4];
            buf_append(out, bytes, wide_encode(points[k], bytes));
        }
    }
}

bool pane_search(struct pane *pane, const char *text)
{
    if (pane->term == NULL)
        return false;
    if (text != NULL)
        snprintf(pane->search, sizeof pane->search, "%s", text);
    long oldest = -(long)term_history(pane->term);
    for (long at = pane->cursor - 1; at >= oldest && pane->search[0] != '\0'; at--) {
        struct buf line = {0};
        bool wrapped, found;
        line_text(pane->term, at, &line, &wrapped);
        found = buf_string(&line) != NULL && strcasestr(buf_string(&line), pane->search) != NULL;
        buf_free(&line);
        if (found) {
            pane_move(pane, at - pane->cursor);
            return true;
        }
    }
    return false;
}

void pane_select(struct pane *pane)
{
    pane->selecting = !pane->selecting;
    pane->anchor = pane->cursor;
}

int pane_copy(const struct pane *pane, struct buf *out)
{
    long from, to;
    chosen_lines(pane, &from, &to);
    for (long at = from; at <= to && pane->term != NULL; at++) {
        bool wrapped = false;
        line_text(pane->term, at, out, &wrapped);
        if (!wrapped && at < to && buf_append(out, "\n", 1) < 0)
            return -1;
    }
    return 0;
}
