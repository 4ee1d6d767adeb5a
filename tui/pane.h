/*
 * A view of a session's terminal: a viewer's stream into an engine of our own, drawn from there.
 * It costs something only while it is attached; one that is out of sight is detached, and shows
 * the host's repaint when it comes back. Loop's thread.
 */
#ifndef VMDECK_TUI_PANE_H
#define VMDECK_TUI_PANE_H

#include <stdbool.h>

#include "session/protocol/client.h"
#include "session/term/term.h"
#include "tui/canvas.h"
#include "tui/fleet.h"
#include "tui/input.h"
#include "tui/theme.h"

struct pane;

struct pane_events {
    void (*damage)(void *context, struct pane *pane);
    void (*bell)(void *context, struct pane *pane);
    void (*ended)(void *context, struct pane *pane); /* pane->why says why */
};

struct stream;

/* All streams, also those that panes have let go of and whose hosts have not said so yet. */
struct streams {
    struct stream *first;
};

/* What came has been drawn: there may come more. */
void streams_settle(const struct streams *streams);

/* Frees them all: for the end, when no connection is left that could call back. */
void streams_free(struct streams *streams);

struct pane {
    char session[SESSION_ID_SIZE];
    unsigned terminal; /* 0: the one last used */
    bool preview;
    struct stream *stream; /* NULL: not attached */
    struct client *client; /* of the stream */
    struct term *term;     /* NULL: nothing to show yet */
    int rows, cols;        /* as the host was told */
    bool skipped;          /* there are gaps in what scrolled off */
    bool ended;
    char why[FLEET_TEXT + 1];
    const struct pane_events *events;
    void *context;
    struct streams *streams;
    /* looking back */
    bool scrolling, selecting;
    long offset; /* lines that the view is above the live screen */
    long cursor; /* the chosen line: index as in term_line() */
    long anchor; /* where selecting began */
    char search[FLEET_TEXT + 1];
};

/* Shows the terminal at this size; `client` stays the caller's. On failure pane->why says why. */
void pane_attach(struct pane *pane, struct client *client, int rows, int cols);

/* Lets go. Nothing comes from the host any more; what was shown stays until the next attach. */
void pane_detach(struct pane *pane);

/* Where output was skipped: the whole scrollback from the host, in place of what is there. */
void pane_complete(struct pane *pane);

/* detach, and frees what it holds. */
void pane_free(struct pane *pane);

/* Another size, for the guest too if it is not a preview. */
void pane_resize(struct pane *pane, int rows, int cols);

/* A key, mouse report (row and column within the pane) or paste, as the guest's modes want it. */
void pane_input(struct pane *pane, const struct input_event *event);

/* True if the guest wants mouse reports. */
bool pane_wants_mouse(const struct pane *pane);

/* Draws the screen, or what was scrolled to, into the area; the cursor if `focused`. */
void pane_draw(const struct pane *pane, struct canvas *canvas, struct rect area, bool focused,
               const struct theme *theme);

/* Looking back through the scrollback. */
void pane_scroll(struct pane *pane, bool on);
void pane_move(struct pane *pane, long lines);         /* the chosen line; negative: up */
void pane_page(struct pane *pane, long lines);         /* the view */
bool pane_search(struct pane *pane, const char *text); /* further back; false: not found */
void pane_select(struct pane *pane);

/* The selected lines, or the chosen one, as text. 0 or -ENOMEM. */
int pane_copy(const struct pane *pane, struct buf *out);

#endif
