/*
 * The whole state of a terminal as escape sequences: what a viewer's terminal must be sent so that
 * it shows what the guest's does, and that the guest's further output (term_events.output) goes on
 * from there. Fed to a new terminal of the same size it makes an equal one, but for what cannot be
 * seen (save.h keeps that too).
 *
 * The viewer's terminal should have the size of the guest's (the smallest viewer decides). A taller
 * one is confined by margins; in a wider one wrapped lines are separate lines.
 */
#ifndef VMDECK_SESSION_TERM_REPAINT_H
#define VMDECK_SESSION_TERM_REPAINT_H

#include "session/term/term.h"

enum repaint_colors { REPAINT_MONO, REPAINT_256, REPAINT_TRUECOLOR };

struct repaint_options {
    int rows, cols; /* of the viewer; 0: as the terminal */
    size_t history; /* lines of scrollback, the newest; they scroll off the viewer's top */
    enum repaint_colors colors;
    bool strings; /* the viewer understands OSC: title and hyperlinks */
    bool scroll;  /* what the viewer shows now is scrolled off first, not erased */
    bool partial; /* also what came of an unfinished sequence: to save, not to view */
};

/* Makes no mode, margin or style of before survive. Only sequences that xterm's heirs share. */
#define REPAINT_RESET                                                                        \
    "\033[?1049l\033[r\033[?6l\033[?7h\033[4l\033[20l\033[?1l\033>\033[?5l\033[?25h\033[0 q" \
    "\033[?9l\033[?1000l\033[?1002l\033[?1003l\033[?1005l\033[?1006l\033[?1015l\033[?1004l"  \
    "\033[?2004l\033(B\033)B\017\033[m\033[H\033[2J"

/* Appends to *out. Returns 0 or -ENOMEM, *out then as long as before. */
int repaint(const struct term *term, const struct repaint_options *options, struct buf *out,
            struct error *err);

/*
 * Appends what gives the viewer's terminal back, the cursor below what is shown: for a detaching
 * viewer that got a repaint and the live stream.
 */
int repaint_leave(const struct term *term, struct buf *out, struct error *err);

#endif
