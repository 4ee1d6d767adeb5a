/*
 * The session in the registry and its events: in the log, and live to the peers that subscribed.
 * Everything on the loop's thread. After record_add() the database is only touched by a worker
 * thread, in batches: a slow disk or a busy writer delays no terminal. What cannot be written is
 * logged and dropped: a session does not fail for its record.
 */
#ifndef VMDECK_SESSION_HOST_RECORD_H
#define VMDECK_SESSION_HOST_RECORD_H

#include <cjson/cJSON.h>

#include "session/host/host.h"
#include "session/store/events.h"
#include "session/store/registry.h"

struct record;

/*
 * Opens the registry, removes what killed hosts left, and adds the session with host->config and
 * host->image: host->id is set. Blocks. The caller holds leftover_lock(). -EEXIST: the name is
 * taken; also every failure to open the registry.
 */
int record_add(struct host *host, struct error *err);

/* The session has another (live) state; accelerator and directory are written with it. */
void record_state(struct host *host, enum session_state state);

/* Ms since 1970; 0 before record_add(). */
int64_t record_created(const struct host *host);

/*
 * Logs an event. `fields` (taken over) is an object with the members of its type; time, session
 * and type are put in front. Dropped before record_add() and after record_end().
 */
void record_event(struct host *host, enum event_type type, cJSON *fields);

/* An event of type session; `detail` may be NULL. */
void record_session(struct host *host, const char *action, const char *detail);

/*
 * Logs how the session ended (host->reason), ends it in the registry, frees everything, and calls
 * `done`: from the loop, or at once where nothing was added.
 */
void record_end(struct host *host, void (*done)(struct host *host));

#endif
