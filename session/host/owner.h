/*
 * Which of the guest's processes has a flow of the network: asked when the flow opens, told with
 * its events. An event waits until that is known, or for OWNER_WAIT_MS; none overtakes another. No
 * decision ever waits for it. Part of the session host; everything on its loop.
 */
#ifndef VMDECK_SESSION_HOST_OWNER_H
#define VMDECK_SESSION_HOST_OWNER_H

#include <cjson/cJSON.h>

#include "net/net.h"
#include "session/host/host.h"
#include "session/store/events.h"

#define OWNER_WAIT_MS   2000
#define OWNERS_KEPT_MAX 4096 /* flows: of more, the newest are remembered */
#define OWNERS_HELD_MAX 4096 /* events that wait: of more, the oldest go on as they are */

struct owners;

/* `known`: the owner of the flow is known, or will not be. NULL without memory. */
struct owners *owners_new(struct host *host, void (*known)(struct host *host, uint32_t flow));

/* Nothing waits any longer. NULL is fine. */
void owners_settle(struct owners *owners);

/* Settles. Memory goes when the loop has run. The guest is closed. NULL is fine. */
void owners_free(struct owners *owners);

void owners_opened(struct owners *owners, const struct net_flow *flow);

/* Records the event (taken over), with `process` if it has a `flow` whose owner is known. */
void owners_record(struct owners *owners, enum event_type type, cJSON *fields);

/* Adds `process` {pid, name} to the object of a `flow`, if it is known. */
void owners_describe(const struct owners *owners, cJSON *fields);

/* Calls `then`, at once or later, when the owners of these objects' flows are known or waited for
 * in vain. */
void owners_await(struct owners *owners, const cJSON *list, void (*then)(void *context),
                  void *context);

#endif
