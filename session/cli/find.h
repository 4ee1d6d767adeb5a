/*
 * From the user's word for a session (id, prefix, name) to the session. Leftovers of killed hosts
 * are removed on the way, so what is found had a living host a moment ago, or is suspended.
 */
#ifndef VMDECK_SESSION_CLI_FIND_H
#define VMDECK_SESSION_CLI_FIND_H

#include <uv.h>

#include "session/protocol/client.h"
#include "session/store/registry.h"

/* Opens the user's registry with the sessions of killed hosts cleaned up and ended in it. */
int find_registry(struct registry **out, struct error *err);

/*
 * The live session that the word means. -ENOENT: none, or it has ended; -ENOTUNIQ: several. The
 * caller frees the record; it is zeroed on failure.
 */
int find_session(const char *word, struct session_record *out, struct error *err);

/*
 * Why there is no socket of a live session: it is suspended (-EBUSY), or only just starting or
 * ending (-EAGAIN).
 */
int find_no_host(const struct session_record *record, struct error *err);

/*
 * find_session() and client_connect() in one. `record` may be NULL; else the caller frees it, on
 * success only. The client is the caller's.
 */
int find_client(struct client **out, uv_loop_t *loop, const char *word,
                const struct client_events *events, void *context, struct session_record *record,
                struct error *err);

#endif
