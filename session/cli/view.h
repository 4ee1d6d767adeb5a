/*
 * The user's terminal as a viewer of a session's: what `bash` and `attach` do once the session is
 * there. Runs its own loop until the command has ended, the user left with Ctrl-], or the session
 * is gone; the user's terminal is as it was afterwards, whatever happened.
 */
#ifndef VMDECK_SESSION_CLI_VIEW_H
#define VMDECK_SESSION_CLI_VIEW_H

#include <stdbool.h>
#include <uv.h>

#include "session/protocol/client.h"

struct view {
    const char *verb; /* for messages */
    uv_loop_t loop;
    struct client *client; /* of the session, made on `loop` with view_events and this context */
    char *id;
    unsigned terminal; /* 0: the one last used */
    bool read_only;
    void *run;          /* view.c's own */
    struct error ended; /* why the session ended, where it did by itself */
    char *console;
    bool gone;
};

extern const struct client_events view_events;

/* Prepares the loop. */
int view_init(struct view *view, const char *verb, struct error *err);

/*
 * Attaches. The exit status: the command's (128+n), 0 after Ctrl-] (with a hint how to come back
 * on stderr), or a negative errno. Needs a terminal on standard input.
 */
int view_run(struct view *view, struct error *err);

#endif
