/*
 * Modes: ANSI and DEC private ones, each a row. A sequence that names several is taken one by one
 * (ncurses switches the mouse on with two at once). Mouse modes exclude each other, as do the
 * mouse's encodings, as in xterm. A mode without a row is unknown: DECRQM says so, and nothing
 * about it reaches a viewer.
 */
#include "session/term/engine.h"

enum mode_kind {
    BIT,    /* of term->modes */
    MOUSE,  /* `value` is the mode */
    CODE,   /* `value` is the encoding */
    BLINK,  /* of the cursor: the parity of its shape */
    SCREEN, /* the alternate screen, `value`: SCREEN_… */
    SAVE,   /* the cursor */
};

#define SCREEN_CLEAR_LEAVING  1U
#define SCREEN_CLEAR_ENTERING 2U
#define SCREEN_SAVE           4U

struct mode {
    uint16_t number;
    bool ansi;
    uint8_t kind; /* enum mode_kind */
    uint32_t value;
};

static const struct mode table[] = {
    {4, true, BIT, TERM_INSERT},
    {20, true, BIT, TERM_NEWLINE},
    {1, false, BIT, TERM_APP_CURSOR},
    {5, false, BIT, TERM_REVERSE},
    {6, false, BIT, TERM_ORIGIN},
    {7, false, BIT, TERM_WRAP},
    {9, false, MOUSE, TERM_MOUSE_X10},
    {12, false, BLINK, 0},
    {25, false, BIT, TERM_CURSOR},
    {47, false, SCREEN, 0},
    {66, false, BIT, TERM_APP_KEYPAD},
    {1000, false, MOUSE, TERM_MOUSE_CLICK},
    {1002, false, MOUSE, TERM_MOUSE_DRAG},
    {1003, false, MOUSE, TERM_MOUSE_MOVE},
    {1004, false, BIT, TERM_FOCUS},
    {1005, false, CODE, TERM_CODE_UTF8},
    {1006, false, CODE, TERM_CODE_SGR},
    {1007, false, BIT, TERM_WHEEL_KEYS},
    {1015, false, CODE, TERM_CODE_URXVT},
    {1047, false, SCREEN, SCREEN_CLEAR_LEAVING},
    {1048, false, SAVE, 0},
    {1049, false, SCREEN, SCREEN_CLEAR_ENTERING | SCREEN_SAVE},
    {2004, false, BIT, TERM_PASTE},
    {2026, false, BIT, TERM_SYNC},
};

static const struct mode *find(bool ansi, int number)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].number == number && table[i].ansi == ansi)
            return &table[i];
    return NULL;
}

static void erase_screen(struct term *term)
{
    grid_erase(&term->grid, 0, term->grid.rows, 0, term->grid.cols, &term->pen);
}

static void set_screen(struct term *term, uint32_t how, bool alternate)
{
    bool is = term->grid.active == 1;
    if (alternate && !is) {
        if ((how & SCREEN_SAVE) != 0)
            term_save_cursor(term);
        if (grid_show(&term->grid, true) != 0)
            return;
        term->pending = false;
        if ((how & SCREEN_CLEAR_ENTERING) != 0)
            erase_screen(term);
    } else if (!alternate) {
        if (is && (how & SCREEN_CLEAR_LEAVING) != 0)
            erase_screen(term);
        grid_show(&term->grid, false);
        term->pending = term->pending && !is;
        if ((how & SCREEN_SAVE) != 0 && is)
            term_restore_cursor(term);
    }
    term->modes = (term->modes & ~TERM_ALTERNATE) | (term->grid.active == 1 ? TERM_ALTERNATE : 0);
    term_dirty(term, 0, term->grid.rows);
}

void mode_origin(struct term *term, bool on)
{
    term->modes = on ? term->modes | TERM_ORIGIN : term->modes & ~TERM_ORIGIN;
    term->pending = false;
    vt_origin(term->vt, &term->cursor, on);
}

static void set_bit(struct term *term, uint32_t bit, bool on)
{
    if (bit == TERM_ORIGIN) {
        mode_origin(term, on);
        return;
    }
    term->modes = on ? term->modes | bit : term->modes & ~bit;
    if (bit == TERM_WRAP && !on)
        term->pending = false;
    if (bit == TERM_SYNC)
        term->frame_bytes = 0;
    if (bit == TERM_REVERSE)
        term_dirty(term, 0, term->grid.rows);
    if (bit == TERM_CURSOR)
        term_dirty(term, term->cursor.row, term->cursor.row + 1);
}

void mode_set(struct term *term, bool ansi, int number, bool on)
{
    const struct mode *mode = find(ansi, number);
    if (mode == NULL)
        return;
    term->happened |= SAW_MODES;
    switch (mode->kind) {
    case BIT:
        set_bit(term, mode->value, on);
        break;
    case MOUSE:
        term->mouse = on ? (enum term_mouse)mode->value : TERM_MOUSE_OFF;
        break;
    case CODE:
        if (on || term->mouse_code == (enum term_mouse_code)mode->value)
            term->mouse_code = on ? (enum term_mouse_code)mode->value : TERM_CODE_DEFAULT;
        break;
    case BLINK:
        if (term->cursor_shape == 0)
            term->cursor_shape = 1;
        term->cursor_shape = (uint8_t)(((term->cursor_shape - 1) & ~1) + (on ? 1 : 2));
        break;
    case SCREEN:
        set_screen(term, mode->value, on);
        break;
    default:
        if (on)
            term_save_cursor(term);
        else
            term_restore_cursor(term);
        break;
    }
}

int mode_report(const struct term *term, bool ansi, int number)
{
    const struct mode *mode = find(ansi, number);
    if (mode == NULL)
        return 0;
    bool on;
    switch (mode->kind) {
    case BIT:
        on = (term->modes & mode->value) != 0;
        break;
    case MOUSE:
        on = term->mouse == (enum term_mouse)mode->value;
        break;
    case CODE:
        on = term->mouse_code == (enum term_mouse_code)mode->value;
        break;
    case BLINK:
        on = term->cursor_shape <= 1 || term->cursor_shape % 2 == 1;
        break;
    case SCREEN:
        on = term->grid.active == 1;
        break;
    default:
        on = term->saved[term->grid.active].set;
        break;
    }
    return on ? 1 : 2;
}

static bool differs(const struct mode *mode, const struct term_modes *from,
                    const struct term_modes *to, bool *on)
{
    switch (mode->kind) {
    case BIT:
        *on = (to->bits & mode->value) != 0;
        /* the keypad has sequences that more terminals know; frames and origin are not for here */
        return ((from->bits ^ to->bits) & mode->value & ~(TERM_SYNC | TERM_ORIGIN)) != 0;
    case MOUSE:
        *on = to->mouse == (enum term_mouse)mode->value;
        return from->mouse != to->mouse && (*on || from->mouse == (enum term_mouse)mode->value);
    case CODE:
        *on = to->mouse_code == (enum term_mouse_code)mode->value;
        return from->mouse_code != to->mouse_code &&
               (*on || from->mouse_code == (enum term_mouse_code)mode->value);
    default:
        return false;
    }
}

/* Switching one mouse mode off switches all off: that comes first, then what is on. */
int modes_text(const struct term_modes *from, const struct term_modes *to, struct buf *out)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            bool on;
            if (!differs(&table[i], from, to, &on) || on != (pass == 1))
                continue;
            int status = table[i].value == TERM_APP_KEYPAD && table[i].kind == BIT
                             ? buf_printf(out, "\033%c", on ? '=' : '>')
                             : buf_printf(out, "\033[%s%u%c", table[i].ansi ? "" : "?",
                                          table[i].number, on ? 'h' : 'l');
            if (status != 0)
                return status;
        }
    return 0;
}
