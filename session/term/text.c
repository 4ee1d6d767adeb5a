/*
 * Text: bytes to characters, characters to cells. UTF-8 is decoded as the Unicode standard
 * recommends (table 3-7; one U+FFFD for each maximal part that is none), whatever is split where.
 *
 * Widths are libc's (wcwidth in a UTF-8 locale of our own), because that is what the guest's
 * programs and our own ncurses count with; unassigned code points are narrow. A combining character
 * joins the glyph in front of the cursor, found by looking there: no state survives between two
 * characters but the cursor, the pending wrap and the cells, which is why a repaint can restore all
 * of it.
 */
#include <locale.h>
#include <string.h>
#include <wchar.h>

#include "session/term/engine.h"

#define REPLACEMENT 0xfffdU

/* DEC Special Graphics, 0x5f to 0x7e. */
static const uint16_t drawing[] = {
    0x00a0, 0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0x00b0, 0x00b1, 0x2424, 0x240b,
    0x2518, 0x2510, 0x250c, 0x2514, 0x253c, 0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c,
    0x2524, 0x2534, 0x252c, 0x2502, 0x2264, 0x2265, 0x03c0, 0x2260, 0x00a3, 0x00b7,
};

/* The text goes on in the next row; `pad`: with a wide glyph that did not fit in this one. */
static void wrap(struct term *term, bool pad)
{
    struct vt_cursor before = term->cursor;
    struct grid_row *row = grid_row(&term->grid, before.row);
    bool scrolls = before.row == term->bottom - 1;
    const struct cell *last = &row->cells[term->grid.cols - 1];
    row->wrapped = (scrolls || before.row + 1 < term->grid.rows) &&
                   (pad || last->glyph != 0 || (last->attrs & CELL_TAIL) != 0);
    term->cursor.col = 0;
    term->wrapping = true;
    vt_escape(term->vt, &term->cursor, 'D');
    term->wrapping = false;
    term->pending = false;
    term_dirty(term, before.row, term->cursor.row + 1);
}

static void advance(struct term *term, int width)
{
    term->cursor.col += width;
    if (term->cursor.col >= term->grid.cols) {
        term->cursor.col = term->grid.cols - 1;
        term->pending = (term->modes & TERM_WRAP) != 0;
    }
    term_dirty(term, term->cursor.row, term->cursor.row + 1);
}

static void put_glyph(struct term *term, uint32_t glyph, int width)
{
    struct grid *grid = &term->grid;
    if (width > grid->cols) {
        glyph = REPLACEMENT;
        width = 1;
    }
    if (term->pending)
        wrap(term, false);
    if (term->cursor.col + width > grid->cols) {
        static const struct cell blank;
        if ((term->modes & TERM_WRAP) == 0)
            return;
        grid_erase(grid, term->cursor.row, term->cursor.row + 1, term->cursor.col, grid->cols,
                   &blank);
        wrap(term, true);
    }
    int row = term->cursor.row, col = term->cursor.col;
    if ((term->modes & TERM_INSERT) != 0)
        grid_shift(grid, row, col, width, &term->pen);
    struct cell *cells = grid_open(grid, row, col, width, width == 2);
    cells[0] = term->pen;
    cells[0].glyph = glyph;
    if (width == 2) {
        cells[1] = term->pen;
        cells[0].attrs |= CELL_WIDE;
        cells[1].attrs |= CELL_TAIL;
    }
    advance(term, width);
}

/* The glyph in front of the cursor, NULL for none. */
static struct cell *last_glyph(const struct term *term)
{
    int col = term->pending ? term->cursor.col : term->cursor.col - 1;
    if (col < 0)
        return NULL;
    struct cell *cell = &grid_row(&term->grid, term->cursor.row)->cells[col];
    if ((cell->attrs & CELL_TAIL) != 0)
        cell--;
    return cell->glyph != 0 ? cell : NULL;
}

static void combine(struct term *term, uint32_t point)
{
    struct cell *cell = last_glyph(term);
    if (cell == NULL)
        return;
    uint32_t points[CELL_POINTS + 1];
    int count = term_glyph(term, cell, points);
    if (count <= 0 || count >= CELL_POINTS)
        return;
    points[count] = point;
    uint32_t id = term_add_cluster(term, points, (size_t)count + 1);
    if (id == 0)
        return;
    cell->glyph = CELL_CLUSTER | id;
    term_dirty(term, term->cursor.row, term->cursor.row + 1);
}

static void put_point(struct term *term, uint32_t point)
{
    if (point < 0xa0 && point >= 0x7f)
        return;
    int width = point < 0x7f ? 1 : wcwidth((wchar_t)point);
    if (width == 0)
        combine(term, point);
    else
        put_glyph(term, point, width == 2 ? 2 : 1);
}

void text_repeat(struct term *term, int count)
{
    const struct cell *cell = last_glyph(term);
    if (cell == NULL || term->pending)
        return;
    uint32_t glyph = cell->glyph;
    int width = (cell->attrs & CELL_WIDE) != 0 ? 2 : 1;
    int room = (term->grid.cols - term->cursor.col) / width;
    for (int i = 0; i < count && i < room; i++)
        put_glyph(term, glyph, width);
}

/* A run of ASCII that is shown as it is: a whole row's worth at a time. */
static void put_run(struct term *term, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        if (term->pending)
            wrap(term, false);
        size_t room = (size_t)(term->grid.cols - term->cursor.col);
        size_t count = size < room ? size : room;
        struct cell *cells =
            grid_open(&term->grid, term->cursor.row, term->cursor.col, (int)count, false);
        struct cell cell = term->pen;
        for (size_t i = 0; i < count; i++) {
            cell.glyph = bytes[i];
            cells[i] = cell;
        }
        advance(term, (int)count);
        bytes += count;
        size -= count;
    }
}

static uint32_t translate(struct term *term, uint8_t byte)
{
    uint8_t set =
        term->charsets
            .g[term->charsets.single != 0 ? term->charsets.single : term->charsets.locked];
    term->charsets.single = 0;
    if (set == CHARSET_DRAWING && byte >= 0x5f && byte <= 0x7e)
        return drawing[byte - 0x5f];
    return set == CHARSET_UK && byte == '#' ? 0xa3 : byte;
}

static void put_ascii(struct term *term, const uint8_t *bytes, size_t size)
{
    term_output(term, bytes, size);
    const struct charsets *sets = &term->charsets;
    size_t i = 0;
    while (i < size && (sets->single != 0 || sets->g[sets->locked] != CHARSET_ASCII ||
                        (term->modes & TERM_INSERT) != 0))
        put_point(term, translate(term, bytes[i++]));
    put_run(term, bytes + i, size - i);
}

static void put_replacement(struct term *term)
{
    term->utf8.need = term->utf8.have = 0;
    term_output(term, "\xef\xbf\xbd", 3);
    put_point(term, REPLACEMENT);
}

void text_flush(struct term *term)
{
    if (term->utf8.need != 0)
        put_replacement(term);
}

/* The lead bytes' ranges: what may follow first, and how many bytes do. */
static const struct lead {
    uint8_t from, to, need, lower, upper, mask;
} leads[] = {
    {0xc2, 0xdf, 1, 0x80, 0xbf, 0x1f}, {0xe0, 0xe0, 2, 0xa0, 0xbf, 0x0f},
    {0xe1, 0xec, 2, 0x80, 0xbf, 0x0f}, {0xed, 0xed, 2, 0x80, 0x9f, 0x0f},
    {0xee, 0xef, 2, 0x80, 0xbf, 0x0f}, {0xf0, 0xf0, 3, 0x90, 0xbf, 0x07},
    {0xf1, 0xf3, 3, 0x80, 0xbf, 0x07}, {0xf4, 0xf4, 3, 0x80, 0x8f, 0x07},
};

static void lead_byte(struct term *term, uint8_t byte)
{
    for (size_t i = 0; i < sizeof leads / sizeof leads[0]; i++)
        if (byte >= leads[i].from && byte <= leads[i].to) {
            term->utf8 = (struct utf8){.point = byte & leads[i].mask,
                                       .need = leads[i].need,
                                       .lower = leads[i].lower,
                                       .upper = leads[i].upper,
                                       .bytes = {byte},
                                       .have = 1};
            return;
        }
    put_replacement(term);
}

/* Takes one byte of a character; false if it is none and begins something else. */
static bool next_byte(struct term *term, uint8_t byte)
{
    struct utf8 *utf8 = &term->utf8;
    if (byte < utf8->lower || byte > utf8->upper) {
        put_replacement(term);
        return false;
    }
    utf8->lower = 0x80;
    utf8->upper = 0xbf;
    utf8->point = utf8->point << 6 | (byte & 0x3f);
    utf8->bytes[utf8->have++] = byte;
    if (--utf8->need > 0)
        return true;
    if (utf8->point >= 0xa0)
        term_output(term, utf8->bytes, utf8->have);
    utf8->have = 0;
    put_point(term, utf8->point);
    return true;
}

/* The locale for wcwidth: made once, kept. Without one everything but ASCII is narrow. */
static locale_t utf8_locale(void)
{
    static locale_t locale;
    if (locale == (locale_t)0)
        locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    return locale;
}

void text_write(struct term *term, const uint8_t *bytes, size_t size)
{
    locale_t ours = utf8_locale();
    locale_t theirs = ours != (locale_t)0 ? uselocale(ours) : (locale_t)0;
    size_t i = 0;
    while (i < size) {
        if (term->utf8.need > 0) {
            if (next_byte(term, bytes[i]))
                i++;
        } else if (bytes[i] >= 0x80) {
            lead_byte(term, bytes[i++]);
        } else {
            size_t start = i;
            while (i < size && bytes[i] < 0x80)
                i++;
            put_ascii(term, bytes + start, i - start);
        }
    }
    if (ours != (locale_t)0)
        uselocale(theirs);
}

size_t text_encode(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[more] | point >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (point >> (6 * (more - i)) & 0x3f));
    return more + 1;
}
