/*
 * The session's VM: from configuration to a guest that answers, and its files on the host. Part
 * of the session host; everything on its loop.
 */
#ifndef VMDECK_SESSION_HOST_VM_H
#define VMDECK_SESSION_HOST_VM_H

#include "session/host/host.h"

/* Makes the session's directory, overlay and QEMU; `ready` and `ended` are called later. */
int vm_start(struct host *host, void (*ready)(struct host *host),
             void (*ended)(struct host *host, const struct error *why), struct error *err);

/* Removes QEMU and every file of the session. */
void vm_clean(struct host *host);

#endif
