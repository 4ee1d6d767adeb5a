/*
 * The only file that knows libvterm; works with 0.1.4 and 0.3.
 *
 * What of libvterm is used: the state layer's cursor movement, margins, tab stops, and the
 * rectangles that IL, DL, SU, SD, ED, EL, ECH and line feeds scroll or erase. What is not: its
 * text path (a combining character that comes in a write of its own lands in the wrong cell, the
 * array it decodes to is as long as the text and on the stack), its pen, its modes, its strings
 * and its replies, all of which lack what programs ask for today (terminal.c says what). The
 * price is that text is placed by text.c; the gain is that each position has one owner and
 * libvterm's input is written here alone: at most one short sequence with numbers that we bounded.
 *
 * The caller holds the cursor. libvterm's own is set to it by CUP where they differ, and read back
 * after each function. Since libvterm is never sent text, its autowrap and phantom column play no
 * part. Its resizing plays none either: 0.1.4 keeps a top margin below the new last row, and the
 * next line feed moves a negative number of rows; 0.3.3 does not grow what it keeps for each row
 * unless the caller does. A terminal of another size gets a new one.
 */
#include "session/term/vt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <vterm.h>

#define VT_ARG_MAX  9999
#define TAB_COLUMNS 1000 /* TERM_COLS_MAX */

struct vt {
    VTerm *vterm;
    VTermState *state;
    const struct vt_ops *ops;
    void *context;
    int rows, cols;
    int top, bottom; /* the margins */
    bool origin;
};

static int on_scroll(VTermRect rect, int downward, int rightward, void *user)
{
    const struct vt *vt = user;
    if (rightward == 0)
        vt->ops->scroll(vt->context, rect.start_row, rect.end_row, downward);
    return 1;
}

static int on_erase(VTermRect rect, int selective, void *user)
{
    const struct vt *vt = user;
    (void)selective; /* no cell is ever protected */
    vt->ops->erase(vt->context, rect.start_row, rect.end_row, rect.start_col, rect.end_col);
    return 1;
}

static const VTermStateCallbacks callbacks = {
    .scrollrect = on_scroll,
    .erase = on_erase,
};

int vt_new(struct vt **out, int rows, int cols, const struct vt_ops *ops, void *context,
           struct error *err)
{
    *out = NULL;
    struct vt *vt = calloc(1, sizeof *vt);
    VTerm *vterm = vt != NULL ? vterm_new(rows, cols) : NULL;
    if (vterm == NULL) {
        free(vt);
        return error_set(err, ENOMEM, "no memory for a terminal");
    }
    *vt = (struct vt){.vterm = vterm, .ops = ops, .context = context, .rows = rows, .cols = cols};
    vt->bottom = rows;
    vt->state = vterm_obtain_state(vterm);
    vterm_set_utf8(vterm, 1);
    vterm_state_reset(vt->state, 1);
    vterm_state_set_callbacks(vt->state, &callbacks, vt);
    *out = vt;
    return 0;
}

void vt_free(struct vt *vt)
{
    if (vt != NULL)
        vterm_free(vt->vterm);
    free(vt);
}

static void send(struct vt *vt, struct vt_cursor *cursor, const char *text, size_t size)
{
    VTermPos at;
    vterm_state_get_cursorpos(vt->state, &at);
    if (at.row != cursor->row || at.col != cursor->col) {
        char jump[32];
        int row = cursor->row + 1 - (vt->origin ? vt->top : 0);
        int len = snprintf(jump, sizeof jump, "\033[%d;%dH", row < 1 ? 1 : row, cursor->col + 1);
        vterm_input_write(vt->vterm, jump, (size_t)len);
    }
    vterm_input_write(vt->vterm, text, size);
    vterm_state_get_cursorpos(vt->state, &at);
    *cursor = (struct vt_cursor){.row = at.row, .col = at.col};
}

static int bounded(int value)
{
    return value > VT_ARG_MAX ? VT_ARG_MAX : value;
}

void vt_csi(struct vt *vt, struct vt_cursor *cursor, char final, int first, int second)
{
    char text[32];
    int len;
    if (second >= 0)
        len = snprintf(text, sizeof text, "\033[%d;%d%c", bounded(first < 0 ? 0 : first),
                       bounded(second), final);
    else if (first >= 0)
        len = snprintf(text, sizeof text, "\033[%d%c", bounded(first), final);
    else
        len = snprintf(text, sizeof text, "\033[%c", final);
    send(vt, cursor, text, (size_t)len);
}

void vt_control(struct vt *vt, struct vt_cursor *cursor, char control)
{
    send(vt, cursor, &control, 1);
}

void vt_escape(struct vt *vt, struct vt_cursor *cursor, char final)
{
    char text[2] = {'\033', final};
    send(vt, cursor, text, sizeof text);
}

void vt_origin(struct vt *vt, struct vt_cursor *cursor, bool on)
{
    const char *text = on ? "\033[?6h" : "\033[?6l";
    send(vt, cursor, text, 5);
    vt->origin = on;
}

void vt_margins(struct vt *vt, struct vt_cursor *cursor, int top, int bottom)
{
    vt_csi(vt, cursor, 'r', top + 1, bottom);
    vt->top = top;
    vt->bottom = bottom;
}

void vt_tabs(struct vt *vt, bool *stops)
{
    struct vt_cursor at = {.row = vt->origin ? vt->top : 0, .col = 0};
    for (int i = 0; i < vt->cols; i++)
        stops[i] = false;
    for (int before = -1; at.col != before;) {
        before = at.col;
        vt_control(vt, &at, '\t');
        if (at.col > before && at.col < vt->cols - 1)
            stops[at.col] = true;
    }
}

void vt_set_tabs(struct vt *vt, const bool *stops)
{
    struct vt_cursor at = {0};
    for (at.col = 0; at.col < vt->cols; at.col++) {
        if (stops[at.col] && at.col % 8 != 0)
            vt_escape(vt, &at, 'H');
        else if (!stops[at.col] && at.col % 8 == 0)
            vt_csi(vt, &at, 'g', 0, -1);
    }
}

void vt_copy_tabs(struct vt *vt, struct vt *from)
{
    bool stops[TAB_COLUMNS] = {false};
    vt_tabs(from, stops);
    for (int col = 0; col < vt->cols; col++)
        if (col == 0 || col >= from->cols - 1)
            stops[col] = col % 8 == 0;
    vt_set_tabs(vt, stops);
}

void vt_default_tabs(struct vt *vt)
{
    struct vt_cursor at = {.row = vt->origin ? vt->top : 0, .col = 0};
    vt_csi(vt, &at, 'g', 3, -1);
    for (at.col = 0; at.col < vt->cols; at.col += 8)
        vt_escape(vt, &at, 'H');
}
