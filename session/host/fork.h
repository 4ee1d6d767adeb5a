/* A second session from a snapshot of this one: starting its host, and asking it to start. */
#ifndef VMDECK_SESSION_HOST_FORK_H
#define VMDECK_SESSION_HOST_FORK_H

#include "session/host/host.h"

/*
 * Starts a session from the snapshot at `path`, which becomes the new session's own. `name` may be
 * NULL. `done` gets its id when it takes commands, or NULL and the reason why not.
 */
int fork_session(struct host *host, const char *path, const char *name,
                 void (*done)(void *context, const char *session, const struct error *why),
                 void *context, struct error *err);

#endif
