/* A line that the user edits: UTF-8, of bounded length, the cursor between characters. Pure. */
#ifndef VMDECK_TUI_EDIT_H
#define VMDECK_TUI_EDIT_H

#include <stdbool.h>

#include "tui/canvas.h"
#include "tui/input.h"

#define EDIT_MAX 1024 /* bytes; further input is dropped */

struct edit {
    char text[EDIT_MAX + 1];
    size_t length, cursor;
};

void edit_set(struct edit *edit, const char *text);

/* A key or a part of a paste. False: it is none of the line's. */
bool edit_event(struct edit *edit, const struct input_event *event);

/* Draws what fits around the cursor; with `focused`, the canvas's cursor goes there. */
void edit_draw(const struct edit *edit, struct canvas *canvas, int row, int col, int cols,
               struct style style, bool focused);

#endif
