/* Commands of a client in the guest: requests and streams. See peer.c for the credit. */
#ifndef VMDECK_SESSION_HOST_EXEC_H
#define VMDECK_SESSION_HOST_EXEC_H

#include <cjson/cJSON.h>

#include "session/host/peer.h"

int exec_request(struct peer *peer, const cJSON *request, struct error *err);
int exec_signal(struct peer *peer, const cJSON *request, struct error *err);
int exec_resize(struct peer *peer, const cJSON *request, struct error *err);
void exec_data(struct peer *peer, const struct frame *frame);
void exec_credit(struct peer *peer, const struct frame *frame);

/* The peer is going: its commands are ended in the guest. */
void exec_abandon_all(struct peer *peer);

#endif
