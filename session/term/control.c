/*
 * Control characters, escape sequences and control sequences: one row each, saying who does it
 * and whether a viewer's terminal gets to see it. What has no row is not known, and does nothing.
 *
 * Positions and margins are libvterm's business (vt.c). Its differences to xterm are evened out
 * here: cursor movement stops at the margins (0.1.4 ignores them), characters are inserted and
 * deleted outside of the margins too, lines that DL deletes don't go to the history.
 *
 * Queries are answered here and never passed on: a viewer's terminal would answer them again,
 * into the guest's input.
 */
#include <string.h>

#include "session/term/engine.h"

typedef void csi_handler(struct term *term, const struct escape_csi *csi);

/* From here on the cursor may be elsewhere: what was there and what is there is drawn again. */
static void moved(struct term *term, struct vt_cursor from)
{
    term_dirty(term, from.row, from.row + 1);
    term_dirty(term, term->cursor.row, term->cursor.row + 1);
}

static void forward(struct term *term, char final, int first, int second)
{
    struct vt_cursor from = term->cursor;
    term->pending = false;
    vt_csi(term->vt, &term->cursor, final, first, second);
    moved(term, from);
}

static void csi_move(struct term *term, const struct escape_csi *csi)
{
    forward(term, csi->final, escape_arg(csi, 0, 1), -1);
}

static void csi_position(struct term *term, const struct escape_csi *csi)
{
    forward(term, csi->final, escape_arg(csi, 0, 1), escape_arg(csi, 1, 1));
}

/* CUU, CUD, CNL, CPL: as far as the margin, if they come from within. */
static void csi_vertical(struct term *term, const struct escape_csi *csi)
{
    int row = term->cursor.row;
    bool up = csi->final == 'A' || csi->final == 'F';
    int room = up ? (row >= term->top ? row - term->top : row)
                  : (row < term->bottom ? term->bottom : term->grid.rows) - 1 - row;
    int count = escape_arg(csi, 0, 1);
    if (room > 0)
        forward(term, up ? 'A' : 'B', count < room ? count : room, -1);
    term->pending = false;
    if (csi->final == 'E' || csi->final == 'F') {
        term->cursor.col = 0;
        moved(term, term->cursor);
    }
}

/* CHT, CBT: a tab that finds no stop leaves a pending wrap alone. */
static void tab(struct term *term, char final, int count)
{
    struct vt_cursor from = term->cursor;
    bool pending = term->pending;
    forward(term, final, count, -1);
    term->pending = pending && term->cursor.col == from.col;
}

static void csi_tab(struct term *term, const struct escape_csi *csi)
{
    tab(term, csi->final, escape_arg(csi, 0, 1));
}

static void csi_characters(struct term *term, const struct escape_csi *csi)
{
    int count = escape_arg(csi, 0, 1);
    grid_shift(&term->grid, term->cursor.row, term->cursor.col, csi->final == '@' ? count : -count,
               &term->pen);
    term->pending = false;
    moved(term, term->cursor);
}

static void csi_erase(struct term *term, const struct escape_csi *csi)
{
    int what = escape_arg(csi, 0, 0);
    if (csi->final == 'J' && what == 3)
        grid_clear_history(&term->grid);
    else if (what <= 2)
        forward(term, csi->final, what, -1);
}

static void csi_lines(struct term *term, const struct escape_csi *csi)
{
    if (csi->final == 'T' && csi->count > 1) /* xterm's highlight tracking */
        return;
    term->keep = csi->final == 'S' ? GRID_HISTORY : GRID_DROP;
    struct vt_cursor from = term->cursor;
    forward(term, csi->final, escape_arg(csi, 0, 1), -1);
    term->keep = GRID_HISTORY;
    if (csi->final == 'S' || csi->final == 'T')
        term->cursor = from;
}

static void csi_repeat(struct term *term, const struct escape_csi *csi)
{
    text_repeat(term, escape_arg(csi, 0, 1));
}

static void csi_clear_tabs(struct term *term, const struct escape_csi *csi)
{
    int what = escape_arg(csi, 0, 0);
    if (what == 0 || what == 3)
        vt_csi(term->vt, &term->cursor, 'g', what, -1);
}

static void csi_pen(struct term *term, const struct escape_csi *csi)
{
    pen_set(&term->pen, csi);
}

static void csi_mode(struct term *term, const struct escape_csi *csi)
{
    bool ansi = csi->leader == 0;
    for (unsigned i = 0; i < csi->count; i++) {
        if (mode_report(term, ansi, csi->arg[i]) == 0)
            continue;
        struct escape_csi one = *csi;
        one.count = 1;
        one.joined = 0;
        one.arg[0] = csi->arg[i];
        term_output_csi(term, &one);
        mode_set(term, ansi, csi->arg[i], csi->final == 'h');
    }
}

static void csi_request_mode(struct term *term, const struct escape_csi *csi)
{
    bool ansi = csi->leader == 0;
    int mode = escape_arg(csi, 0, 0);
    term_reply(term, "\033[%s%d;%d$y", ansi ? "" : "?", mode, mode_report(term, ansi, mode));
}

static void csi_status(struct term *term, const struct escape_csi *csi)
{
    const char *leader = csi->leader == '?' ? "?" : "";
    int top = (term->modes & TERM_ORIGIN) != 0 ? term->top : 0;
    switch (escape_arg(csi, 0, 0)) {
    case 5:
        term_reply(term, "\033[0n");
        break;
    case 6:
        term_reply(term, "\033[%s%d;%dR", leader, term->cursor.row - top + 1, term->cursor.col + 1);
        break;
    default:
        break;
    }
}

/* VT220 with ANSI colours; nothing that we would then have to do. */
static void csi_attributes(struct term *term, const struct escape_csi *csi)
{
    if (escape_arg(csi, 0, 0) == 0)
        term_reply(term, csi->leader == '>' ? "\033[>1;10;0c" : "\033[?62;22c");
}

static void csi_version(struct term *term, const struct escape_csi *csi)
{
    if (escape_arg(csi, 0, 0) == 0)
        term_reply(term, "\033P>|vmdeck\033\\");
}

/* Of the window operations only the size of the text area, which is no secret. */
static void csi_window(struct term *term, const struct escape_csi *csi)
{
    if (escape_arg(csi, 0, 0) == 18)
        term_reply(term, "\033[8;%d;%dt", term->grid.rows, term->grid.cols);
}

static void csi_margins(struct term *term, const struct escape_csi *csi)
{
    int top = escape_arg(csi, 0, 1) - 1;
    int bottom = escape_arg(csi, 1, term->grid.rows);
    if (bottom > term->grid.rows)
        bottom = term->grid.rows;
    if (top + 1 >= bottom && !(top == 0 && bottom == term->grid.rows))
        return;
    struct vt_cursor from = term->cursor;
    term->top = top;
    term->bottom = bottom;
    term->pending = false;
    vt_margins(term->vt, &term->cursor, top, bottom);
    moved(term, from);
}

/* SCOSC; with parameters it would be DECSLRM, which needs a mode that we don't have. */
static void csi_save(struct term *term, const struct escape_csi *csi)
{
    if (csi->count == 0)
        term_save_cursor(term);
}

static void csi_restore(struct term *term, const struct escape_csi *csi)
{
    if (csi->count == 0)
        term_restore_cursor(term);
}

static void csi_soft_reset(struct term *term, const struct escape_csi *csi)
{
    (void)csi;
    term_soft_reset(term);
}

static void csi_cursor_shape(struct term *term, const struct escape_csi *csi)
{
    int shape = escape_arg(csi, 0, 0);
    if (shape > 6)
        return;
    term->cursor_shape = (uint8_t)shape;
    term->happened |= SAW_MODES;
    moved(term, term->cursor);
}

struct csi_row {
    csi_handler *handle;
    bool pass; /* on to viewers */
};

/* Control sequences without leader and intermediate, by their final byte from '@' on. */
static const struct csi_row plain[] = {
    ['@' - '@'] = {csi_characters, true},                                  /* ICH */
    ['A' - '@'] = {csi_vertical, true},                                    /* CUU */
    ['B' - '@'] = {csi_vertical, true},                                    /* CUD */
    ['C' - '@'] = {csi_move, true},                                        /* CUF */
    ['D' - '@'] = {csi_move, true},                                        /* CUB */
    ['E' - '@'] = {csi_vertical, true},                                    /* CNL */
    ['F' - '@'] = {csi_vertical, true},                                    /* CPL */
    ['G' - '@'] = {csi_move, true},                                        /* CHA */
    ['H' - '@'] = {csi_position, true},                                    /* CUP */
    ['I' - '@'] = {csi_tab, true},                                         /* CHT */
    ['J' - '@'] = {csi_erase, true},                                       /* ED */
    ['K' - '@'] = {csi_erase, true},                                       /* EL */
    ['L' - '@'] = {csi_lines, true},                                       /* IL */
    ['M' - '@'] = {csi_lines, true},                                       /* DL */
    ['P' - '@'] = {csi_characters, true},                                  /* DCH */
    ['S' - '@'] = {csi_lines, true},                                       /* SU */
    ['T' - '@'] = {csi_lines, true},                                       /* SD */
    ['X' - '@'] = {csi_move, true},                                        /* ECH */
    ['Z' - '@'] = {csi_tab, true},                                         /* CBT */
    ['`' - '@'] = {csi_move, true},                                        /* HPA */
    ['a' - '@'] = {csi_move, true},                                        /* HPR */
    ['b' - '@'] = {csi_repeat, true},                                      /* REP */
    ['c' - '@'] = {csi_attributes, false}, ['d' - '@'] = {csi_move, true}, /* VPA */
    ['e' - '@'] = {csi_move, true},                                        /* VPR */
    ['f' - '@'] = {csi_position, true},    ['g' - '@'] = {csi_clear_tabs, true},
    ['h' - '@'] = {csi_mode, false}, /* passes what it knows itself */
    ['j' - '@'] = {csi_move, true},  /* HPB */
    ['k' - '@'] = {csi_move, true},  /* VPB */
    ['l' - '@'] = {csi_mode, false},       ['m' - '@'] = {csi_pen, true},
    ['n' - '@'] = {csi_status, false},     ['r' - '@'] = {csi_margins, true},
    ['s' - '@'] = {csi_save, true},        ['t' - '@'] = {csi_window, false},
    ['u' - '@'] = {csi_restore, true},     ['~' - '@'] = {NULL, false},
};

static const struct {
    char leader, intermediate, final;
    struct csi_row row;
} others[] = {
    {'?', 0, 'h', {csi_mode, false}},         {'?', 0, 'l', {csi_mode, false}},
    {'?', 0, 'n', {csi_status, false}},       {'?', 0, 'J', {csi_erase, true}},
    {'?', 0, 'K', {csi_erase, true}},         {'>', 0, 'c', {csi_attributes, false}},
    {'>', 0, 'q', {csi_version, false}},      {'?', '$', 'p', {csi_request_mode, false}},
    {0, '$', 'p', {csi_request_mode, false}}, {0, '!', 'p', {csi_soft_reset, true}},
    {0, ' ', 'q', {csi_cursor_shape, true}},
};

static const struct csi_row *find(const struct escape_csi *csi)
{
    if (csi->leader == 0 && csi->intermediate == 0)
        return &plain[csi->final - '@'];
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i].leader == csi->leader && others[i].intermediate == csi->intermediate &&
            others[i].final == csi->final)
            return &others[i].row;
    return NULL;
}

void control_csi(struct term *term, const struct escape_csi *csi)
{
    const struct csi_row *row = find(csi);
    if (row == NULL || row->handle == NULL)
        return;
    if (row->pass)
        term_output_csi(term, csi);
    row->handle(term, csi);
}

static void line_feed(struct term *term)
{
    struct vt_cursor from = term->cursor;
    vt_control(term->vt, &term->cursor, '\n');
    if ((term->modes & TERM_NEWLINE) != 0)
        term->cursor.col = 0;
    term->pending = false;
    moved(term, from);
}

void control_code(struct term *term, uint8_t control)
{
    struct vt_cursor from = term->cursor;
    bool pass = true;
    switch (control) {
    case '\a':
        term->happened |= SAW_BELL;
        break;
    case '\b':
        term->pending = false;
        vt_control(term->vt, &term->cursor, '\b');
        break;
    case '\t':
        tab(term, 'I', 1);
        break;
    case '\n':
    case '\v':
    case '\f':
        line_feed(term);
        break;
    case '\r':
        term->pending = false;
        term->cursor.col = 0;
        break;
    case 0x0e: /* SO */
    case 0x0f: /* SI */
        term->charsets.locked = control == 0x0e ? 1 : 0;
        break;
    default:
        pass = false;
        break;
    }
    if (pass) {
        term_output(term, &control, 1);
        moved(term, from);
    }
}

typedef void escape_handler(struct term *term, char final);

static void esc_move(struct term *term, char final)
{
    struct vt_cursor from = term->cursor;
    term->pending = false;
    vt_escape(term->vt, &term->cursor, final);
    moved(term, from);
}

static void esc_cursor(struct term *term, char final)
{
    if (final == '7')
        term_save_cursor(term);
    else
        term_restore_cursor(term);
}

static void esc_keypad(struct term *term, char final)
{
    mode_set(term, false, 66, final == '=');
}

static void esc_shift(struct term *term, char final)
{
    static const char finals[] = "NOno"; /* SS2, SS3, LS2, LS3 */
    int which = (int)(strchr(finals, final) - finals);
    *(which < 2 ? &term->charsets.single : &term->charsets.locked) = (uint8_t)(2 + which % 2);
}

static void esc_reset(struct term *term, char final)
{
    (void) final;
    term_hard_reset(term);
}

static void esc_identify(struct term *term, char final)
{
    (void) final;
    term_reply(term, "\033[?62;22c");
}

/* DECALN: the screen full of E, no margins, the cursor at home. */
static void esc_align(struct term *term, char final)
{
    static const struct escape_csi margins = {.final = 'r'};
    (void) final;
    mode_origin(term, false);
    csi_margins(term, &margins);
    for (int row = 0; row < term->grid.rows; row++) {
        struct cell *cells = grid_open(&term->grid, row, 0, term->grid.cols, false);
        for (int col = 0; col < term->grid.cols; col++)
            cells[col] = (struct cell){.glyph = 'E'};
    }
    term_dirty(term, 0, term->grid.rows);
}

static const struct {
    char intermediate, final;
    escape_handler *handle;
    bool pass;
} escapes[] = {
    {0, 'D', esc_move, true},   {0, 'E', esc_move, true},      {0, 'H', esc_move, true},
    {0, 'M', esc_move, true},   {0, '7', esc_cursor, true},    {0, '8', esc_cursor, true},
    {0, '=', esc_keypad, true}, {0, '>', esc_keypad, true},    {0, 'N', esc_shift, true},
    {0, 'O', esc_shift, true},  {0, 'n', esc_shift, true},     {0, 'o', esc_shift, true},
    {0, 'c', esc_reset, false}, {0, 'Z', esc_identify, false}, {'#', '8', esc_align, true},
};

/* SCS: what is not the line drawing or the British set counts as ASCII. */
static bool designate(struct term *term, char intermediate, char final)
{
    const char *slot = strchr("()*+", intermediate);
    if (intermediate == 0 || slot == NULL)
        return false;
    enum charset set = final == '0' ? CHARSET_DRAWING : final == 'A' ? CHARSET_UK : CHARSET_ASCII;
    static const char names[] = {'B', '0', 'A'};
    char text[3] = {'\033', intermediate, names[set]};
    term->charsets.g[strlen("()*+") - strlen(slot)] = (uint8_t)set;
    term_output(term, text, sizeof text);
    return true;
}

void control_escape(struct term *term, char intermediate, char final)
{
    if (designate(term, intermediate, final))
        return;
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        if (escapes[i].intermediate != intermediate || escapes[i].final != final)
            continue;
        char text[3] = {'\033', intermediate, final};
        if (intermediate == 0)
            text[1] = final;
        if (escapes[i].pass)
            term_output(term, text, intermediate == 0 ? 2 : 3);
        escapes[i].handle(term, final);
        return;
    }
}
