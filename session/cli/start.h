/* Starting a session from the command line: what exec and bash have in common. */
#ifndef VMDECK_SESSION_CLI_START_H
#define VMDECK_SESSION_CLI_START_H

#include <uv.h>

#include "session/protocol/client.h"
#include "session/protocol/config.h"

/*
 * Makes sure the image is there, starts a session host, and asks it to start the session; `done`
 * gets the host's answer. The client is the caller's.
 */
int start_session(struct client **out, uv_loop_t *loop, const struct session_config *config,
                  const struct client_events *events, client_done *done, void *context,
                  struct error *err);

/*
 * Starts a session of the image as options and settings leave it, and ends it: what later ones fork
 * from is then there. Blocks.
 */
int start_once(const char *image, struct error *err);

/* Tells the user, once since the host booted, why there is no KVM (from the answer to "start"). */
void start_notice(const char *verb, const cJSON *reply);

#endif
