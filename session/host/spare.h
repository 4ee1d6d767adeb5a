/*
 * Spares: session hosts with a VM that was forked and then stopped, for the next session of the
 * same shape to begin with. A spare is in no registry until it is claimed; nobody claims it for
 * SPARE_IDLE_MS, and it ends. See session/protocol/spare.h for how one is found. Part of the
 * session host; everything on its loop.
 */
#ifndef VMDECK_SESSION_HOST_SPARE_H
#define VMDECK_SESSION_HOST_SPARE_H

#include "session/host/peer.h"

#define SPARE_IDLE_MS (10u * 60 * 1000)

/* "spare": makes this new host one. */
int spare_request(struct peer *peer, const cJSON *request, struct error *err);

/* "claim": as "start", to a spare, once. */
int spare_request_claim(struct peer *peer, const cJSON *request, struct error *err);

/* The VM of a spare is ready: warms it up and puts it to sleep. */
void spare_ready(struct host *host);

/* Starts as many spares as the session's configuration wants there to be. */
void spare_top_up(const struct host *host);

#endif
