/*
 * A terminal without a screen: takes what a guest writes to its pty, keeps screen, scrollback and
 * modes, and answers what programs ask a terminal for. What it understands is xterm's repertoire
 * as far as programs use it (ctlseqs.txt, ECMA-48), seen through control.c's and strings.c's
 * tables. All input is hostile: everything that it makes us keep is bounded by the limits below.
 *
 * One thread (the owner's loop). Callbacks are made at the end of term_write, except where said;
 * they may read the terminal, but not write to, resize or free it.
 */
#ifndef VMDECK_SESSION_TERM_TERM_H
#define VMDECK_SESSION_TERM_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "session/term/cell.h"

#define TERM_ROWS_MAX    500
#define TERM_COLS_MAX    1000
#define TERM_HISTORY     10000   /* lines of scrollback by default */
#define TERM_HISTORY_MAX 1000000 /* larger wishes count as this */
#define TERM_TITLE_MAX   255     /* bytes */
#define TERM_PATH_MAX    4096
#define TERM_LINK_MAX    2083
#define TERM_LINKS       1024 /* different ones at a time; further text is not linked */
#define TERM_CLUSTERS    8192 /* different combinations; further combining characters are dropped */
#define TERM_REPLY_MAX   4096 /* bytes of answers that wait; further answers are dropped */
#define TERM_FRAME_MAX   (1 << 20) /* bytes after which a held frame is let go */

struct term;

/* Bits of term_modes(). */
#define TERM_APP_CURSOR 0x0001U /* DECCKM: cursor keys send SS3 */
#define TERM_APP_KEYPAD 0x0002U /* DECKPAM */
#define TERM_REVERSE    0x0004U /* DECSCNM: the whole screen in reverse video */
#define TERM_ORIGIN     0x0008U /* DECOM */
#define TERM_WRAP       0x0010U /* DECAWM */
#define TERM_CURSOR     0x0020U /* DECTCEM: the cursor is visible */
#define TERM_FOCUS      0x0040U /* 1004: wants focus reports */
#define TERM_WHEEL_KEYS 0x0080U /* 1007: wheel as cursor keys on the alternate screen */
#define TERM_PASTE      0x0100U /* 2004: bracketed paste */
#define TERM_SYNC       0x0200U /* 2026: a frame is being drawn */
#define TERM_INSERT     0x0400U /* IRM */
#define TERM_NEWLINE    0x0800U /* LNM */
#define TERM_ALTERNATE  0x1000U /* the alternate screen is shown */

enum term_mouse {
    TERM_MOUSE_OFF,
    TERM_MOUSE_X10 = 9, /* presses */
    TERM_MOUSE_CLICK = 1000,
    TERM_MOUSE_DRAG = 1002,
    TERM_MOUSE_MOVE = 1003,
};

enum term_mouse_code {
    TERM_CODE_DEFAULT, /* CSI M and three bytes */
    TERM_CODE_UTF8 = 1005,
    TERM_CODE_SGR = 1006,
    TERM_CODE_URXVT = 1015,
};

struct term_modes {
    uint32_t bits;
    enum term_mouse mouse;
    enum term_mouse_code mouse_code;
};

struct term_cursor {
    int row, col; /* from 0 */
    bool visible;
    int shape; /* DECSCUSR's parameter: 0 or 1 blinking block … 6 steady bar */
};

/* What happened. Unwanted ones are NULL. */
struct term_events {
    /* rows [first, last) look different, or the cursor is elsewhere; not while a frame is held */
    void (*damage)(void *context, int first, int last);
    void (*title)(void *context, const char *title);
    void (*bell)(void *context); /* once for any number of bells of one write */
    void (*cwd)(void *context, const char *path);
    void (*modes)(void *context);   /* term_modes() says something else */
    void (*replies)(void *context); /* there are bytes in term_replies() */
    /* At once. The guest sets the clipboard; base64 of RFC 4648, checked to be nothing else. */
    void (*clipboard)(void *context, const char *base64, size_t size);
    /*
     * At once. The live stream for viewers that got a repaint: what the guest wrote, cut into
     * whole characters and sequences, without everything unknown, everything a terminal would
     * answer, and the clipboard.
     */
    void (*output)(void *context, const uint8_t *bytes, size_t size);
};

struct term_options {
    int rows, cols;                   /* clamped to 1…TERM_ROWS_MAX, 1…TERM_COLS_MAX */
    size_t history;                   /* lines */
    const struct term_events *events; /* NULL: none */
    void *context;
};

int term_new(struct term **out, const struct term_options *options, struct error *err);
void term_free(struct term *term);

/* Takes output of the guest, split anywhere. Works in time linear in `size`. */
void term_write(struct term *term, const void *bytes, size_t size);

/* Failure leaves the terminal as it was. */
int term_resize(struct term *term, int rows, int cols, struct error *err);
void term_size(const struct term *term, int *rows, int *cols);

/* What must be written to the guest's pty; the caller consumes it. */
struct buf *term_replies(struct term *term);

/*
 * Line `index` of the active screen (0…rows-1) or, below 0, of the scrollback (-1 the newest, as
 * far as -term_history). Returns *length cells (blank behind them) valid until the next write.
 */
const struct cell *term_line(const struct term *term, int index, int *length, bool *wrapped);
size_t term_history(const struct term *term);

/* How many lines ever left the scrollback's end: makes an index stable while lines come. */
uint64_t term_evicted(const struct term *term);

/* The code points of a cell: 0 for a blank or a tail. `points` has room for CELL_POINTS. */
int term_glyph(const struct term *term, const struct cell *cell, uint32_t *points);

/* The URI of cell.link, NULL for none; *id is its id parameter, "" without. */
const char *term_link(const struct term *term, unsigned link, const char **id);

void term_cursor(const struct term *term, struct term_cursor *cursor);
struct term_modes term_modes(const struct term *term);
const char *term_title(const struct term *term);
const char *term_cwd(const struct term *term); /* "" until the guest says */

/*
 * True while the guest draws a frame (mode 2026): what is drawn should stay as it is. The owner
 * bounds that in time and lets it go; TERM_FRAME_MAX bounds it in bytes.
 */
bool term_frame_held(const struct term *term);
void term_release_frame(struct term *term);

/* Bytes of memory that cells and tables take. */
size_t term_memory(const struct term *term);

#endif
