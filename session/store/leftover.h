/*
 * What killed session hosts leave behind: a directory with the guest's disk, a socket, a row in
 * the registry that says the session lives. Whoever notices removes it, once.
 *
 * A host lives while the file "lock" in its session's directory is locked (flock). Making that
 * directory and testing the locks happens under one lock for all sessions, so that nobody takes
 * a session that is being made for one that has died.
 */
#ifndef VMDECK_SESSION_STORE_LEFTOVER_H
#define VMDECK_SESSION_STORE_LEFTOVER_H

#include "session/store/registry.h"

#define LEFTOVER_REASON "its session host was killed"
#define SUSPENDED_FILE  "suspended.qcow2" /* in the directory of a suspended session */

/* Waits for the lock of all sessions; close the descriptor to release it. Hold it for moments. */
int leftover_lock(int *lock, struct error *err);

/*
 * The caller holds the lock. Removes the files of every session whose host has died and ends it
 * in the registry (SESSION_DEAD) and the event log. A session that was suspended before is so
 * again: its file outlives the hosts that take it up. Failures with single sessions are logged; a
 * registry that cannot be used is an error.
 */
int leftover_collect(struct registry *registry, struct error *err);

/*
 * Ends a suspended session, which has no host, and removes its files. Takes the lock of all
 * sessions. -EAGAIN: a host has just taken it up again.
 */
int leftover_discard(struct registry *registry, const char *id, struct error *err);

#endif
