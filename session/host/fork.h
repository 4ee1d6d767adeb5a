/* A second session from a snapshot of this one: starting its host, and asking it to start. */
#ifndef VMDECK_SESSION_HOST_FORK_H
#define VMDECK_SESSION_HOST_FORK_H

#include "session/host/host.h"

struct forking;

/*
 * Starts a session from the snapshot at `path`, which becomes the new session's own. `name` may be
 * NULL. `done` gets the new host's answer, with its id, when it takes commands, or NULL and the
 * reason why not; *out is gone then.
 */
int fork_session(struct forking **out, struct host *host, const char *path, const char *name,
                 void (*done)(void *context, const cJSON *reply, const struct error *why),
                 void *context, struct error *err);

/* The new session is given up; `done` does not come. NULL is fine. */
void fork_cancel(struct forking *forking);

#endif
