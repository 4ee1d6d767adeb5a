/*
 * Shows a canvas on the user's terminal with ncurses, which finds what changed. The one place that
 * knows what the terminal's colours are. One per process. Loop's thread.
 */
#ifndef VMDECK_TUI_SCREEN_H
#define VMDECK_TUI_SCREEN_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "tui/canvas.h"

struct screen;

/* `colors`: false draws without any (NO_COLOR). -ENOTSUP: $TERM is not known or cannot do it. */
int screen_open(struct screen **out, int rows, int cols, bool colors, struct error *err);

/* How many colours the terminal has; 0 without. */
int screen_colors(const struct screen *screen);

/* Appends what makes the terminal look like the canvas; nothing where nothing changed. */
int screen_show(struct screen *screen, const struct canvas *canvas, struct buf *out,
                struct error *err);

/* The next screen_show() draws everything. */
void screen_forget(struct screen *screen);

/* Appends what gives the terminal back; screen_show() takes it again. */
void screen_leave(struct screen *screen, struct buf *out);
void screen_close(struct screen *screen); /* NULL is fine */

#endif
