/*
 * The file systems that the session serves to its guest: those of its configuration, of the
 * snapshot that it is resumed from, and what "mount" and "umount" ask for. The server (vm/vfs/) is
 * there once one of these needs it. Everything on the loop's thread.
 */
#ifndef VMDECK_SESSION_HOST_FILES_H
#define VMDECK_SESSION_HOST_FILES_H

#include <stdio.h>

#include "session/host/peer.h"
#include "vm/snapfile.h"

/*
 * Before the guest runs: takes up the mounts of the snapshot, if it is restored with its memory
 * (else NULL), and asks the guest for the others.
 */
int files_start(struct host *host, const struct snapfile *snapshot, struct error *err);

/* Whether all these are mounted. If not, host->vm->ready() is called again when they are. */
bool files_settled(struct host *host);

int files_request_mount(struct peer *peer, const cJSON *request, struct error *err);
int files_request_umount(struct peer *peer, const cJSON *request, struct error *err);
void files_remove_peer(const struct peer *peer);

/* Adds {guest, host (null: in memory), read_only} for each mount. */
void files_report(const struct host *host, cJSON *array);

/* The guest's relay was killed. 0: another one runs, and all is mounted anew; else an errno. */
void files_relay_ended(struct host *host, uint32_t code);

/* Whether something is being mounted or unmounted: no time for a snapshot. */
bool files_busy(const struct host *host);

/*
 * Lets no request be half done: `done` is called when that is so, perhaps at once. Then
 * files_save(), which another thread may call while this one leaves the session alone (without a
 * server it writes nothing), and files_resume().
 */
void files_pause(struct host *host, void (*done)(void *context), void *context);
int files_save(const struct host *host, FILE *out, struct error *err);
void files_resume(struct host *host);

/* Ends the server; may be started again. */
void files_close(struct host *host);

#endif
