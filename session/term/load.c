/*
 * Reading a saved terminal, from a file that somebody may have made to attack us. Every number is
 * read with the largest value it may have; the first bad one ends the reading (there is nothing
 * behind it then), and what was built so far is thrown away. What cells refer to is read before
 * them. Memory: a terminal of the size said, which term.h bounds, and as many lines as the owner
 * allows; each line costs the file a byte.
 *
 * Text that reaches a viewer's terminal (cells, links, title, directory) has passed the checks
 * that it has to pass when a guest sends it. The parser's state is not set but brought about, by
 * bytes that lead nowhere else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/term/format.h"
#include "session/term/save.h"

struct reader {
    const uint8_t *at, *end;
    const char *bad; /* what was found to be wrong; NULL: nothing */
    size_t left;     /* bytes that had not been read then */
    bool no_memory;
    struct term *term;
    struct cell style;
};

static void wrong(struct reader *reader, const char *what)
{
    if (reader->bad == NULL) {
        reader->bad = what;
        reader->left = (size_t)(reader->end - reader->at);
    }
    reader->at = reader->end;
}

/* 0 if it is not there or larger than `max`. */
static uint64_t number(struct reader *reader, uint64_t max, const char *what)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte >= 0x80)
            continue;
        if (value <= max)
            return value;
        break;
    }
    wrong(reader, what);
    return 0;
}

static const uint8_t *bytes(struct reader *reader, size_t size, const char *what)
{
    const uint8_t *at = reader->at;
    if (size > (size_t)(reader->end - at)) {
        wrong(reader, what);
        return NULL;
    }
    reader->at += size;
    return at;
}

/* A string of at most `max` bytes; NULL and no size if there is none. */
static const uint8_t *string(struct reader *reader, size_t max, size_t *size, const char *what)
{
    *size = (size_t)number(reader, max, what);
    const uint8_t *at = bytes(reader, *size, what);
    if (at == NULL)
        *size = 0;
    return at;
}

static bool is_one_of(unsigned value, const uint16_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] == value)
            return true;
    return false;
}

/* What the fields' own limits do not say. */
static void check_fields(struct reader *reader)
{
    static const uint16_t mice[] = {TERM_MOUSE_OFF, TERM_MOUSE_X10, TERM_MOUSE_CLICK,
                                    TERM_MOUSE_DRAG, TERM_MOUSE_MOVE};
    static const uint16_t codes[] = {TERM_CODE_DEFAULT, TERM_CODE_UTF8, TERM_CODE_SGR,
                                     TERM_CODE_URXVT};
    const struct term *term = reader->term;
    int rows = term->grid.rows, cols = term->grid.cols;
    if (term->top + 1 >= term->bottom && (term->top != 0 || term->bottom != rows))
        wrong(reader, "margins");
    if (term->bottom > rows)
        wrong(reader, "margins");
    if (term->cursor.row >= rows || term->cursor.col >= cols ||
        (term->pending && term->cursor.col != cols - 1))
        wrong(reader, "cursor");
    for (int i = 0; i < 2; i++) {
        const struct grid_mark *at = &term->saved[i].at;
        if (at->row >= rows || at->col >= cols ||
            (!term->saved[i].set && (at->row != 0 || at->col != 0)))
            wrong(reader, "saved cursor");
    }
    if (!is_one_of(term->mouse, mice, sizeof mice / sizeof mice[0]) ||
        !is_one_of(term->mouse_code, codes, sizeof codes / sizeof codes[0]))
        wrong(reader, "mouse mode");
}

static void load_fields(struct reader *reader)
{
    for (size_t i = 0; i < format_field_count; i++) {
        const struct format_field *field = &format_fields[i];
        uint64_t value = number(reader, field->max, field->name);
        char *at = (char *)reader->term + field->offset;
        uint8_t byte = (uint8_t)value;
        uint32_t word = (uint32_t)value;
        if (field->size == sizeof byte)
            memcpy(at, &byte, sizeof byte);
        else if (field->size == sizeof word)
            memcpy(at, &word, sizeof word);
        else
            memcpy(at, &value, sizeof value);
    }
    reader->term->frame_bytes =
        (size_t)number(reader, term_frame_held(reader->term) ? TERM_FRAME_MAX : 0, "held frame");
    check_fields(reader);
}

static bool is_point(uint64_t point)
{
    return point >= 0x20 && (point < 0x7f || point >= 0xa0) && point < FORMAT_CLUSTER &&
           (point < 0xd800 || point > 0xdfff);
}

/* They get their numbers in the order in which they come, unless there are two alike. */
static void add(struct reader *reader, struct intern *table, const void *entry, size_t size)
{
    uint32_t expected = table->count + 1, id = intern_add(table, entry, size);
    if (id == 0)
        reader->no_memory = true;
    else if (id != expected)
        wrong(reader, "table with an entry twice");
}

static void load_clusters(struct reader *reader)
{
    uint64_t count = number(reader, TERM_CLUSTERS, "count of clusters");
    for (uint64_t i = 0; i < count && reader->bad == NULL && !reader->no_memory; i++) {
        uint32_t points[CELL_POINTS];
        size_t size = (size_t)number(reader, CELL_POINTS, "cluster");
        for (size_t j = 0; j < size; j++) {
            points[j] = (uint32_t)number(reader, FORMAT_CLUSTER - 1, "cluster");
            if (!is_point(points[j]) || (j > 0 && points[j] < 0xa0))
                wrong(reader, "cluster's code point");
        }
        if (size < 2)
            wrong(reader, "cluster");
        if (reader->bad == NULL)
            add(reader, &reader->term->clusters, points, size * sizeof *points);
    }
}

static bool is_link_text(const char *text, size_t size, const char *without)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] < 0x20 || text[i] > 0x7e || strchr(without, text[i]) != NULL)
            return false;
    return true;
}

static void load_links(struct reader *reader)
{
    uint64_t count = number(reader, TERM_LINKS, "count of links");
    for (uint64_t i = 0; i < count && reader->bad == NULL && !reader->no_memory; i++) {
        char key[ESCAPE_STRING_MAX + 1 + TERM_LINK_MAX]; /* ID NUL URI */
        size_t name, size;
        const uint8_t *from = string(reader, ESCAPE_STRING_MAX, &name, "link's id");
        if (name > 0)
            memcpy(key, from, name);
        key[name] = '\0';
        from = string(reader, TERM_LINK_MAX, &size, "link");
        if (size > 0)
            memcpy(key + name + 1, from, size);
        if (size == 0 || name + 1 + size > ESCAPE_STRING_MAX || !is_link_text(key, name, ":;") ||
            !is_link_text(key + name + 1, size, ""))
            wrong(reader, "link's text");
        if (reader->bad == NULL)
            add(reader, &reader->term->links, key, name + 1 + size);
    }
}

static uint32_t color(struct reader *reader)
{
    uint32_t value = (uint32_t)number(reader, FORMAT_COLOR, "colour");
    return value >= FORMAT_RGB       ? COLOR_RGB | (value - FORMAT_RGB)
           : value >= FORMAT_INDEXED ? COLOR_INDEXED | (value - FORMAT_INDEXED)
                                     : COLOR_DEFAULT;
}

static uint16_t attributes(struct reader *reader, uint64_t value)
{
    if ((value & ~(uint64_t)CELL_STYLE) != 0 ||
        (value & CELL_UNDERLINE) >> CELL_UNDERLINE_SHIFT > 5)
        wrong(reader, "attributes");
    return (uint16_t)value;
}

static uint16_t link_number(struct reader *reader)
{
    return (uint16_t)number(reader, reader->term->links.count, "link's number");
}

static void load_pens(struct reader *reader)
{
    struct term *term = reader->term;
    struct cell *pens[] = {&term->pen, &term->saved[0].pen, &term->saved[1].pen};
    for (int i = 0; i < 3; i++) {
        pens[i]->fg = color(reader);
        pens[i]->bg = color(reader);
        pens[i]->attrs = attributes(reader, number(reader, CELL_STYLE, "attributes"));
        pens[i]->link = link_number(reader);
    }
}

static void load_strings(struct reader *reader)
{
    struct term *term = reader->term;
    size_t size;
    const uint8_t *text = string(reader, TERM_TITLE_MAX, &size, "title");
    if (string_clean(term->title, TERM_TITLE_MAX, (const char *)text, size) != size)
        wrong(reader, "title");
    text = string(reader, TERM_PATH_MAX, &size, "directory");
    if (size > 0) {
        term->cwd = malloc(TERM_PATH_MAX + 1);
        if (term->cwd == NULL)
            reader->no_memory = true;
        else if (string_clean(term->cwd, TERM_PATH_MAX, (const char *)text, size) != size)
            wrong(reader, "directory");
    }
    text = string(reader, TERM_REPLY_MAX, &size, "replies");
    if (buf_append(&term->replies, text, size) != 0)
        reader->no_memory = true;
}

/* Tab stops, margins and origin mode are libvterm's too. */
static void load_vt(struct reader *reader)
{
    struct term *term = reader->term;
    bool stops[TERM_COLS_MAX] = {false};
    int cols = term->grid.cols;
    const uint8_t *bits = bytes(reader, ((size_t)cols + 7) / 8, "tab stops");
    if (bits == NULL)
        return;
    for (int col = 0; col < cols; col++)
        stops[col] = (bits[col / 8] >> (col % 8) & 1) != 0;
    struct vt_cursor home = {0};
    vt_set_tabs(term->vt, stops);
    vt_margins(term->vt, &home, term->top, term->bottom);
    if ((term->modes & TERM_ORIGIN) != 0)
        vt_origin(term->vt, &home, true);
}

static void load_ascii(struct reader *reader, struct cell *cells, size_t count)
{
    const uint8_t *text = bytes(reader, count, "text");
    if (text == NULL)
        return;
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        good &= text[i] >= 0x20 && text[i] <= 0x7e;
        cells[i] = reader->style;
        cells[i].glyph = text[i];
    }
    if (!good)
        wrong(reader, "text");
}

/* Returns how many cells they take, at most `room`. */
static size_t load_glyphs(struct reader *reader, struct cell *cells, size_t count, size_t room)
{
    const uint64_t max = FORMAT_CLUSTER + reader->term->clusters.count;
    size_t at = 0;
    for (size_t i = 0; i < count && reader->bad == NULL; i++) {
        uint64_t value = number(reader, max << 1 | 1, "glyph"), glyph = value >> 1;
        size_t width = (value & 1) != 0 ? 2 : 1;
        if (width > room - at || (!is_point(glyph) && glyph <= FORMAT_CLUSTER)) {
            wrong(reader, "glyph");
            break;
        }
        cells[at] = reader->style;
        cells[at].glyph =
            (uint32_t)(glyph > FORMAT_CLUSTER ? CELL_CLUSTER | (glyph - FORMAT_CLUSTER) : glyph);
        if (width == 2) {
            cells[at].attrs |= CELL_WIDE;
            cells[at + 1] = reader->style;
            cells[at + 1].attrs |= CELL_TAIL;
        }
        at += width;
    }
    return at;
}

/* cells[0..used), which are blank, of which the last one will not be. */
static void load_cells(struct reader *reader, struct cell *cells, size_t used)
{
    for (size_t at = 0; at < used && reader->bad == NULL;) {
        uint64_t head = number(reader, UINT32_MAX, "run");
        uint64_t run = head & ((1U << FORMAT_RUN_BITS) - 1), count = head >> FORMAT_RUN_BITS;
        if (run == RUN_STYLE) {
            reader->style.attrs = attributes(reader, count);
            reader->style.fg = color(reader);
            reader->style.bg = color(reader);
            reader->style.link = link_number(reader);
            continue;
        }
        if (count == 0 || count > used - at || run > RUN_STYLE) {
            wrong(reader, "run");
            return;
        }
        if (run == RUN_ASCII)
            load_ascii(reader, cells + at, count);
        for (size_t i = 0; run == RUN_FILL && i < count; i++)
            cells[at + i].bg = reader->style.bg;
        at += run == RUN_GLYPHS ? load_glyphs(reader, cells + at, count, used - at) : count;
    }
    if (reader->bad == NULL && grid_used(cells, used, false) != used)
        wrong(reader, "row's length");
}

static void load_screen(struct reader *reader, struct grid_row *rows)
{
    const struct grid *grid = &reader->term->grid;
    for (int i = 0; i < grid->rows && reader->bad == NULL; i++) {
        uint64_t head = number(reader, (uint64_t)grid->cols << 1 | 1, "row");
        rows[i].wrapped = (head & 1) != 0;
        load_cells(reader, rows[i].cells, (size_t)(head >> 1));
    }
}

static void load_screens(struct reader *reader)
{
    struct grid *grid = &reader->term->grid;
    bool alternate = (reader->term->modes & TERM_ALTERNATE) != 0;
    load_screen(reader, grid->screen[0]);
    bool has = number(reader, 1, "alternate screen") != 0;
    if (has && grid_show(grid, true) != 0) {
        reader->no_memory = true;
        return;
    }
    if (has)
        load_screen(reader, grid->screen[1]);
    else if (alternate)
        wrong(reader, "alternate screen");
    grid->active = alternate ? 1 : 0;
}

static void load_history(struct reader *reader)
{
    struct grid *grid = &reader->term->grid;
    uint64_t count = number(reader, TERM_HISTORY_MAX, "count of lines");
    for (uint64_t i = 0; i < count && reader->bad == NULL; i++) {
        uint64_t head = number(reader, (uint64_t)grid->cols << 1 | 1, "line");
        size_t used = (size_t)(head >> 1);
        struct grid_row row = {.wrapped = (head & 1) != 0};
        row.length = (uint16_t)(row.wrapped ? (size_t)grid->cols : used);
        if (row.length > 0) {
            row.cells = calloc(row.length, sizeof *row.cells);
            if (row.cells == NULL) {
                reader->no_memory = true;
                return;
            }
            load_cells(reader, row.cells, used);
        }
        if (grid_ring_push(&grid->history, row) != 0 && grid->history.limit > 0) {
            reader->no_memory = true;
            return;
        }
    }
    if (reader->bad == NULL && !grid_check(grid))
        wrong(reader, "wrapped row");
}

static void act_text(void *user, const uint8_t *text, size_t size)
{
    (void)text;
    *(bool *)user |= size > 0;
}

static void act_control(void *user, uint8_t control)
{
    (void)control;
    *(bool *)user = true;
}

static void act_escape(void *user, char intermediate, char final)
{
    (void)intermediate;
    (void) final;
    *(bool *)user = true;
}

static void act_csi(void *user, const struct escape_csi *csi)
{
    (void)csi;
    *(bool *)user = true;
}

static void act_string(void *user, enum escape_string kind, const char *text, size_t size)
{
    (void)kind;
    (void)text;
    (void)size;
    *(bool *)user = true;
}

static void load_parser(struct reader *reader)
{
    static const struct escape_sink sink = {.text = act_text,
                                            .control = act_control,
                                            .escape = act_escape,
                                            .csi = act_csi,
                                            .string = act_string};
    struct term *term = reader->term;
    size_t size;
    bool acted = false;
    const uint8_t *part = string(reader, sizeof term->utf8.bytes - 1, &size, "character");
    text_write(term, part, size);
    if (size > 0 && (term->utf8.need == 0 || term->utf8.have != size))
        wrong(reader, "unfinished character");
    /* a string, what opens it and half of what ends it */
    part = string(reader, ESCAPE_CLIPBOARD_MAX + 3, &size, "sequence");
    escape_write(&term->escape, &sink, &acted, part, size);
    if (acted)
        wrong(reader, "unfinished sequence");
    if (reader->at != reader->end)
        wrong(reader, "end");
}

static void (*const parts[])(struct reader *reader) = {
    load_fields, load_clusters, load_links,   load_pens,   load_strings,
    load_vt,     load_screens,  load_history, load_parser,
};

int term_load(struct term **out, const struct term_options *options, const void *data, size_t size,
              struct error *err)
{
    struct reader reader = {.at = data, .end = (const uint8_t *)data + size};
    *out = NULL;
    const uint8_t *magic = bytes(&reader, strlen(FORMAT_MAGIC), "start");
    if (magic == NULL || memcmp(magic, FORMAT_MAGIC, strlen(FORMAT_MAGIC)) != 0)
        return error_set(err, EBADMSG, "this is no saved terminal: the file is damaged");
    unsigned version = (unsigned)number(&reader, 0x7f, "format");
    if (version != FORMAT_VERSION)
        return error_set(err, EBADMSG,
                         "the terminal is saved in format %u, this vmdeck reads format %d: use the "
                         "vmdeck that saved it",
                         version, FORMAT_VERSION);
    struct term_options own = {.history = options->history};
    own.rows = (int)number(&reader, TERM_ROWS_MAX, "rows");
    own.cols = (int)number(&reader, TERM_COLS_MAX, "columns");
    if (own.rows == 0 || own.cols == 0)
        wrong(&reader, "size");
    int status = reader.bad == NULL ? term_new(&reader.term, &own, err) : 0;
    if (status != 0)
        return status;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (reader.bad == NULL && !reader.no_memory)
            parts[i](&reader);
    if (reader.bad != NULL || reader.no_memory) {
        term_free(reader.term);
        return reader.bad == NULL
                   ? error_set(err, ENOMEM, "no memory to load a terminal")
                   : error_set(err, EBADMSG,
                               "the saved terminal is damaged (%s, byte %zu of %zu): it cannot be "
                               "shown again",
                               reader.bad, size - reader.left, size);
    }
    reader.term->events = options->events;
    reader.term->context = options->context;
    term_dirty(reader.term, 0, reader.term->grid.rows);
    *out = reader.term;
    return 0;
}
