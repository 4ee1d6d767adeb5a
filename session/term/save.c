/*
 * Writing a terminal down. State that is plain numbers is a table (format_fields) that load.c goes
 * through as well. The parser's state is written as the bytes that lead to it, so that the reader
 * needs to believe nothing but what any guest may send.
 *
 * Clusters and links are written with those that no cell names any more: how soon a table is full
 * decides what becomes of later text. Numbers that are free in between are closed up.
 */
#include "session/term/save.h"

#include <errno.h>
#include <string.h>

#include "session/term/format.h"

#define FIELD(member, limit)                                                               \
    {                                                                                      \
        .offset = offsetof(struct term, member), .size = sizeof((struct term *)0)->member, \
        .max = (limit), .name = #member,                                                   \
    }

const struct format_field format_fields[] = {
    FIELD(modes, TERM_ALTERNATE * 2 - 1),
    FIELD(mouse, TERM_MOUSE_MOVE),
    FIELD(mouse_code, TERM_CODE_URXVT),
    FIELD(cursor_shape, 6),
    FIELD(cursor.row, TERM_ROWS_MAX - 1),
    FIELD(cursor.col, TERM_COLS_MAX - 1),
    FIELD(pending, 1),
    FIELD(top, TERM_ROWS_MAX - 1),
    FIELD(bottom, TERM_ROWS_MAX),
    FIELD(charsets.g[0], CHARSET_UK),
    FIELD(charsets.g[1], CHARSET_UK),
    FIELD(charsets.g[2], CHARSET_UK),
    FIELD(charsets.g[3], CHARSET_UK),
    FIELD(charsets.locked, 3),
    FIELD(charsets.single, 3),
    FIELD(saved[0].set, 1),
    FIELD(saved[0].at.row, TERM_ROWS_MAX - 1),
    FIELD(saved[0].at.col, TERM_COLS_MAX - 1),
    FIELD(saved[0].at.pending, 1),
    FIELD(saved[0].origin, 1),
    FIELD(saved[0].charsets.g[0], CHARSET_UK),
    FIELD(saved[0].charsets.g[1], CHARSET_UK),
    FIELD(saved[0].charsets.g[2], CHARSET_UK),
    FIELD(saved[0].charsets.g[3], CHARSET_UK),
    FIELD(saved[0].charsets.locked, 3),
    FIELD(saved[0].charsets.single, 3),
    FIELD(saved[1].set, 1),
    FIELD(saved[1].at.row, TERM_ROWS_MAX - 1),
    FIELD(saved[1].at.col, TERM_COLS_MAX - 1),
    FIELD(saved[1].at.pending, 1),
    FIELD(saved[1].origin, 1),
    FIELD(saved[1].charsets.g[0], CHARSET_UK),
    FIELD(saved[1].charsets.g[1], CHARSET_UK),
    FIELD(saved[1].charsets.g[2], CHARSET_UK),
    FIELD(saved[1].charsets.g[3], CHARSET_UK),
    FIELD(saved[1].charsets.locked, 3),
    FIELD(saved[1].charsets.single, 3),
    FIELD(clusters.refused, TERM_CLUSTERS),
    FIELD(links.refused, TERM_LINKS),
    FIELD(grid.history.evicted, INT64_MAX),
};
const size_t format_field_count = sizeof format_fields / sizeof format_fields[0];

struct saver {
    const struct term *term;
    struct buf *out;
    bool failed;
    struct cell style;
    uint16_t clusters[TERM_CLUSTERS + 1], links[TERM_LINKS + 1]; /* by their id in the table */
};

#define NUMBER_SIZE 10
#define CELL_SIZE   20 /* of a cell in a style of its own, at most */

static uint8_t *encode(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static void put(struct saver *saver, const void *bytes, size_t size)
{
    if (buf_append(saver->out, bytes, size) != 0)
        saver->failed = true;
}

static void put_number(struct saver *saver, uint64_t value)
{
    uint8_t bytes[NUMBER_SIZE];
    put(saver, bytes, (size_t)(encode(bytes, value) - bytes));
}

static void put_string(struct saver *saver, const void *bytes, size_t size)
{
    put_number(saver, size);
    put(saver, bytes, size);
}

static void put_fields(struct saver *saver)
{
    for (size_t i = 0; i < format_field_count; i++) {
        const struct format_field *field = &format_fields[i];
        const char *at = (const char *)saver->term + field->offset;
        uint8_t byte = 0;
        uint32_t word = 0;
        uint64_t value = 0;
        if (field->size == sizeof byte) {
            memcpy(&byte, at, sizeof byte);
            value = byte;
        } else if (field->size == sizeof word) {
            memcpy(&word, at, sizeof word);
            value = word;
        } else {
            memcpy(&value, at, sizeof value);
        }
        put_number(saver, value);
    }
    put_number(saver, term_frame_held(saver->term) ? saver->term->frame_bytes : 0);
}

static void put_tables(struct saver *saver)
{
    const struct intern *tables[] = {&saver->term->clusters, &saver->term->links};
    uint16_t *numbers[] = {saver->clusters, saver->links};
    for (int t = 0; t < 2; t++) {
        uint16_t count = 0;
        size_t size;
        for (uint32_t id = 0; id <= tables[t]->count; id++)
            numbers[t][id] = intern_get(tables[t], id, &size) != NULL ? ++count : 0;
        put_number(saver, count);
        for (uint32_t id = 1; id <= tables[t]->count; id++) {
            const char *entry = intern_get(tables[t], id, &size);
            if (entry == NULL)
                continue;
            if (t == 1) {
                size_t name = strlen(entry) + 1; /* ID NUL URI */
                put_string(saver, entry, name - 1);
                put_string(saver, entry + name, size - name);
                continue;
            }
            uint32_t points[CELL_POINTS];
            memcpy(points, entry, size);
            put_number(saver, size / sizeof *points);
            for (size_t i = 0; i < size / sizeof *points; i++)
                put_number(saver, points[i]);
        }
    }
}

static uint32_t color_number(uint32_t color)
{
    uint32_t value = color & ~COLOR_KIND;
    switch (color & COLOR_KIND) {
    case COLOR_INDEXED:
        return FORMAT_INDEXED + value;
    case COLOR_RGB:
        return FORMAT_RGB + value;
    default:
        return 0;
    }
}

static void put_pen(struct saver *saver, const struct cell *pen)
{
    put_number(saver, color_number(pen->fg));
    put_number(saver, color_number(pen->bg));
    put_number(saver, pen->attrs);
    put_number(saver, saver->links[pen->link]);
}

static void put_tabs(struct saver *saver)
{
    bool stops[TERM_COLS_MAX + 8] = {false};
    vt_tabs(saver->term->vt, stops);
    for (int col = 0; col < saver->term->grid.cols; col += 8) {
        uint8_t byte = 0;
        for (int i = 0; i < 8; i++)
            byte |= (uint8_t)(stops[col + i] << i);
        put(saver, &byte, 1);
    }
}

static uint8_t *encode_run(uint8_t *at, enum format_run run, size_t count)
{
    return encode(at, count << FORMAT_RUN_BITS | run);
}

static uint8_t *encode_style(struct saver *saver, uint8_t *at, const struct cell *style)
{
    if (cell_same_style(style, &saver->style))
        return at;
    saver->style = *style;
    at = encode_run(at, RUN_STYLE, style->attrs & CELL_STYLE);
    at = encode(at, color_number(style->fg));
    at = encode(at, color_number(style->bg));
    return encode(at, saver->links[style->link]);
}

static bool is_blank(const struct cell *cell)
{
    return cell->glyph == 0 && (cell->attrs & CELL_TAIL) == 0;
}

static bool is_ascii(const struct cell *cell)
{
    return cell->glyph - 0x20 < 0x5f && (cell->attrs & CELL_WIDE) == 0;
}

/* Blank cells from cells[0] on. Returns how many. */
static size_t encode_blanks(struct saver *saver, uint8_t **at, const struct cell *cells,
                            size_t size)
{
    size_t count = 1;
    while (count < size && is_blank(&cells[count]) && cells[count].bg == cells[0].bg)
        count++;
    bool fill = cells[0].bg != COLOR_DEFAULT;
    if (fill && saver->style.bg != cells[0].bg) {
        struct cell style = {.bg = cells[0].bg};
        *at = encode_style(saver, *at, &style);
    }
    *at = encode_run(*at, fill ? RUN_FILL : RUN_BLANK, count);
    return count;
}

/* Narrow ASCII in one style from cells[0] on. Returns how many. */
static size_t encode_ascii(struct saver *saver, uint8_t **at, const struct cell *cells, size_t size)
{
    struct cell first = cells[0];
    size_t count = 1;
    while (count < size && is_ascii(&cells[count]) && cell_same_style(&cells[count], &first))
        count++;
    uint8_t *text = encode_run(encode_style(saver, *at, &first), RUN_ASCII, count);
    for (size_t i = 0; i < count; i++)
        text[i] = (uint8_t)cells[i].glyph;
    *at = text + count;
    return count;
}

/* Other glyphs in one style from cells[0] on. Returns how many cells they take. */
static size_t encode_glyphs(struct saver *saver, uint8_t **at, const struct cell *cells,
                            size_t size)
{
    size_t count = 0, end = 0;
    while (end < size && cells[end].glyph != 0 && !is_ascii(&cells[end]) &&
           cell_same_style(&cells[end], &cells[0])) {
        end += (cells[end].attrs & CELL_WIDE) != 0 ? 2 : 1;
        count++;
    }
    *at = encode_run(encode_style(saver, *at, &cells[0]), RUN_GLYPHS, count);
    for (size_t i = 0; i < end; i++) {
        uint32_t glyph = cells[i].glyph;
        bool wide = (cells[i].attrs & CELL_WIDE) != 0;
        if ((glyph & CELL_CLUSTER) != 0)
            glyph = FORMAT_CLUSTER + saver->clusters[glyph & ~CELL_CLUSTER];
        *at = encode(*at, glyph << 1 | wide);
        i += wide ? 1 : 0;
    }
    return end;
}

static void put_row(struct saver *saver, const struct grid_row *row)
{
    size_t used = grid_used(row->cells, row->length, false);
    uint8_t *start = buf_reserve(saver->out, NUMBER_SIZE + used * CELL_SIZE);
    if (start == NULL) {
        saver->failed = true;
        return;
    }
    uint8_t *at = encode(start, used << 1 | row->wrapped);
    for (size_t col = 0; col < used;) {
        const struct cell *cells = &row->cells[col];
        col += is_blank(cells)   ? encode_blanks(saver, &at, cells, used - col)
               : is_ascii(cells) ? encode_ascii(saver, &at, cells, used - col)
                                 : encode_glyphs(saver, &at, cells, used - col);
    }
    buf_added(saver->out, (size_t)(at - start));
}

static void put_rows(struct saver *saver)
{
    const struct grid *grid = &saver->term->grid;
    for (int s = 0; s < 2; s++) {
        if (s == 1)
            put_number(saver, grid->screen[1] != NULL);
        for (int i = 0; i < grid->rows && grid->screen[s] != NULL; i++)
            put_row(saver, &grid->screen[s][i]);
    }
    put_number(saver, grid->history.count);
    for (size_t i = 0; i < grid->history.count && !saver->failed; i++)
        put_row(saver, grid_history(grid, i));
}

static void put_parser(struct saver *saver)
{
    const struct utf8 *utf8 = &saver->term->utf8;
    put_string(saver, utf8->bytes, utf8->need > 0 ? utf8->have : 0);
    CLEAN_BUF struct buf pending = {0};
    if (escape_pending(&saver->term->escape, &pending) != 0)
        saver->failed = true;
    put_string(saver, buf_data(&pending), buf_len(&pending));
}

int term_save(const struct term *term, struct buf *out, struct error *err)
{
    static const uint8_t version = FORMAT_VERSION;
    struct saver saver = {.term = term, .out = out};
    size_t before = buf_len(out);
    put(&saver, FORMAT_MAGIC, strlen(FORMAT_MAGIC));
    put(&saver, &version, sizeof version);
    put_number(&saver, (uint64_t)term->grid.rows);
    put_number(&saver, (uint64_t)term->grid.cols);
    put_fields(&saver);
    put_tables(&saver);
    put_pen(&saver, &term->pen);
    put_pen(&saver, &term->saved[0].pen);
    put_pen(&saver, &term->saved[1].pen);
    put_string(&saver, term->title, strlen(term->title));
    put_string(&saver, term_cwd(term), strlen(term_cwd(term)));
    put_string(&saver, buf_data(&term->replies), buf_len(&term->replies));
    put_tabs(&saver);
    put_rows(&saver);
    put_parser(&saver);
    if (!saver.failed)
        return 0;
    out->end -= buf_len(out) - before;
    return error_set(err, ENOMEM, "no memory to save a terminal");
}
