/*
 * What a session says about itself: the requests "info", "stats" and "subscribe", see
 * vmdeck-protocol(7). Part of the session host; everything on its loop.
 */
#ifndef VMDECK_SESSION_HOST_REPORT_H
#define VMDECK_SESSION_HOST_REPORT_H

#include <cjson/cJSON.h>

#include "session/host/peer.h"

int report_info(struct peer *peer, const cJSON *request, struct error *err);
int report_stats(struct peer *peer, const cJSON *request, struct error *err);
int report_subscribe(struct peer *peer, const cJSON *request, struct error *err);

#endif
