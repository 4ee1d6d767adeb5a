/*
 * libvterm, hidden: where the cursor goes and which cells move or are erased. It is used as a
 * machine for positions, margins and tab stops only; it never sees a byte that a guest wrote (see
 * vt.c). Not thread-safe.
 */
#ifndef VMDECK_SESSION_TERM_VT_H
#define VMDECK_SESSION_TERM_VT_H

#include <stdbool.h>

#include "base/error.h"

struct vt;

struct vt_cursor {
    int row, col; /* from 0 */
};

/* What it wants done to the cells; ranges are [from, to). Called from within vt_ functions. */
struct vt_ops {
    /* rows move up by `lines` (down where negative), over the whole width */
    void (*scroll)(void *context, int top, int bottom, int lines);
    void (*erase)(void *context, int top, int bottom, int left, int right);
};

int vt_new(struct vt **out, int rows, int cols, const struct vt_ops *ops, void *context,
           struct error *err);
void vt_free(struct vt *vt);

/* The control function, from and to *cursor. Arguments below 0 are left out. */
void vt_csi(struct vt *vt, struct vt_cursor *cursor, char final, int first, int second);
void vt_control(struct vt *vt, struct vt_cursor *cursor, char control);
void vt_escape(struct vt *vt, struct vt_cursor *cursor, char final);

/* DECOM. Moves the cursor home. */
void vt_origin(struct vt *vt, struct vt_cursor *cursor, bool on);

/* DECSTBM: rows [top, bottom). Moves the cursor home. */
void vt_margins(struct vt *vt, struct vt_cursor *cursor, int top, int bottom);

/* Fills stops[0..cols): true where a tab stop is; those in the first and last column don't show. */
void vt_tabs(struct vt *vt, bool *stops);
void vt_default_tabs(struct vt *vt);

/* Sets a new terminal's tab stops: stops[0..cols) as vt_tabs gives them. */
void vt_set_tabs(struct vt *vt, const bool *stops);

/* Sets a new terminal's tab stops as they were in one of another size. */
void vt_copy_tabs(struct vt *vt, struct vt *from);

#endif
