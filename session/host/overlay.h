/*
 * The disk of a running VM frozen, and put together again. vm->layers says of which files it is
 * made up; the guest notices nothing. One at a time.
 */
#ifndef VMDECK_SESSION_HOST_OVERLAY_H
#define VMDECK_SESSION_HOST_OVERLAY_H

#include "session/host/vm.h"

/* `why` has code 0, or says why not; then everything is as it was. */
typedef void overlay_done(void *context, const struct error *why);

/* From now on the guest writes into a new file; what there was does not change any more. */
void overlay_add(struct vm *vm, overlay_done *done, void *context);

/* Puts what is in the added files into the first of the session's own. */
void overlay_commit(struct vm *vm, overlay_done *done, void *context);

/* QEMU's events, for the job. */
void overlay_event(struct vm *vm, const char *name, const cJSON *data);

#endif
