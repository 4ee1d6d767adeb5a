/*
 * Where the fleet's rows come from: the registry, looked at again whenever something was appended
 * to the event log, and a connection to every session that lives. Loop's thread; callbacks come
 * from the loop.
 */
#ifndef VMDECK_TUI_LINK_H
#define VMDECK_TUI_LINK_H

#include <uv.h>

#include "session/protocol/client.h"
#include "session/store/registry.h"
#include "tui/fleet.h"

struct links;
struct link;

struct links_events {
    void (*changed)(void *context); /* rows came, went or say something else */
    void (*log)(void *context);     /* the event log has grown */
    /* A session's connection is there, or gone (client NULL; `why` is for the user, or NULL). */
    void (*connected)(void *context, struct fleet_row *row, struct client *client, const char *why);
    void (*event)(void *context, struct fleet_row *row, const char *name, const cJSON *event);
};

/* Knows the sessions from the registry at once; links_refresh() connects to them. */
int links_open(struct links **out, uv_loop_t *loop, struct fleet *fleet,
               const struct links_events *events, void *context, struct error *err);
void links_close(struct links *links); /* NULL is fine */

struct registry *links_registry(const struct links *links);

/* The registry again: what has ended goes, what is new comes and is connected to. */
void links_refresh(struct links *links);

/* Asks the host how it is; `stats` too costs it some milliseconds. Nothing where nobody answers. */
void links_ask(struct fleet_row *row, bool stats);

/* Every session that is connected to has answered what it was asked. */
bool links_answered(const struct links *links);

/* NULL: not connected. */
struct client *links_client(const struct fleet_row *row);

/* The terminal that was used last, as the host said; 0: none. */
struct link_terminal {
    unsigned id;
    uint16_t rows, columns;
};
struct link_terminal links_terminal(const struct fleet_row *row);

#endif
