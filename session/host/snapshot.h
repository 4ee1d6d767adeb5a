/*
 * Snapshots of the session: taking them (the requests "snapshot", "suspend" and "fork", see
 * vmdeck-protocol(7)), and what a session that is resumed from one needs to know. Part of the
 * session host; everything on its loop, the long parts in worker threads.
 */
#ifndef VMDECK_SESSION_HOST_SNAPSHOT_H
#define VMDECK_SESSION_HOST_SNAPSHOT_H

#include <cjson/cJSON.h>

#include "session/host/peer.h"
#include "vm/machine.h"
#include "vm/snapfile.h"
#include "vm/template.h"

int snapshot_request(struct peer *peer, const cJSON *request, struct error *err);
int snapshot_request_suspend(struct peer *peer, const cJSON *request, struct error *err);
int snapshot_request_fork(struct peer *peer, const cJSON *request, struct error *err);

/* The peer is going: what it asked for and nobody else wants is given up. */
void snapshot_remove_peer(struct peer *peer);

/*
 * True while worker threads still have to do with the VM: it must not be freed. They are told to
 * hurry; `host->finish` is started again when they are through.
 */
bool snapshot_busy(struct host *host);

/* The VM goes: a snapshot that waits for it is given up. */
void snapshot_cancel(struct host *host);

/* The manifest. */
bool snapshot_has_memory(const cJSON *manifest);
/*
 * Was the snapshot that is resumed made by this user on this host: of a session that goes on, or in
 * the index under this very path?
 */
bool snapshot_ours(const struct host *host);
const char *snapshot_qemu(const struct snapfile *file); /* version; may be NULL */

/*
 * Opens the snapshot's image and takes over what must be as it was: memory, processors, disk size;
 * the environment as far as the configuration does not say otherwise. -ENOENT: the image is not
 * here (which).
 */
int snapshot_apply(const struct snapfile *file, struct host *host, struct error *err);

/* The key of the snapshot's memory in the cache. -ENOTSUP: it is of another machine. */
int snapshot_key(const struct snapfile *file, const char *shape, const char *path,
                 char key[TEMPLATE_KEY_SIZE], struct error *err);

#endif
