/* The panes on the screen: which there are, where, and which one has the keyboard. Loop's thread.
 */
#ifndef VMDECK_TUI_DECK_H
#define VMDECK_TUI_DECK_H

#include "tui/layout.h"
#include "tui/link.h"
#include "tui/pane.h"

struct deck {
    struct pane panes[LAYOUT_PANES];
    bool used[LAYOUT_PANES];
    struct layout layout;
    struct fleet *fleet;
    int focus; /* valid if layout.count > 0 */
    bool zoom;
    int border; /* the one that the mouse moves; -1: none */
    struct pane_events events;
    void *context;
    struct streams streams; /* of the panes; the preview's too */
};

void deck_init(struct deck *deck, struct fleet *fleet, const struct pane_events *events,
               void *context);
void deck_free(struct deck *deck);

enum deck_place { DECK_REPLACE, DECK_BESIDE, DECK_BELOW };

/*
 * A pane for a terminal of the session (0: the one last used), which gets the keyboard. A pane that
 * shows it already is taken where it is DECK_REPLACE. False: no room for one more.
 */
bool deck_open(struct deck *deck, const char *session, unsigned terminal, enum deck_place place);
bool deck_shows(const struct deck *deck, const char *session);
void deck_close(struct deck *deck, const struct pane *pane);
struct pane *deck_focused(struct deck *deck); /* NULL: there are no panes */

/* Lays the panes out in the area, attaches what can be seen and detaches the rest. */
void deck_show(struct deck *deck, struct rect area);

/* Detaches all panes: nothing comes from their hosts any more. */
void deck_hide(struct deck *deck);
bool deck_visible(const struct deck *deck, const struct pane *pane);

void deck_next(struct deck *deck);
void deck_go(struct deck *deck, int number); /* the number in a pane's title */
void deck_focus(struct deck *deck, enum layout_direction direction);
void deck_move(struct deck *deck, enum layout_direction direction); /* the pane itself */
void deck_tiled(struct deck *deck);
void deck_main(struct deck *deck);

/* A mouse report. True: it changed how the panes look. */
bool deck_mouse(struct deck *deck, const struct input_event *event);

void deck_draw(struct deck *deck, struct canvas *canvas, const struct theme *theme);

#endif
