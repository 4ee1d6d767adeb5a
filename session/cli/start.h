/* Starting a session from the command line: what exec and bash have in common. */
#ifndef VMDECK_SESSION_CLI_START_H
#define VMDECK_SESSION_CLI_START_H

#include <uv.h>

#include "session/protocol/client.h"
#include "session/protocol/config.h"

/*
 * Makes sure the image is there, starts a session host, and asks it to start the session; `done`
 * gets the host's answer. The client is the caller's; the values of secrets are wiped.
 */
int start_session(struct client **out, uv_loop_t *loop, struct session_config *config,
                  const struct client_events *events, client_done *done, void *context,
                  struct error *err);

/*
 * Starts a session of the image as options and settings leave it, and ends it: what later ones fork
 * from is then there. Blocks.
 */
int start_once(const char *image, struct error *err);

/*
 * Tells the user what the answer to "start" says: once since the host booted, why there is no KVM;
 * what a snapshot could not bring along.
 */
void start_notice(const char *verb, const cJSON *reply);

#endif
