/*
 * The guest's side of the relay (vm/vfs/relay.h), with this machine's kernel as the guest's: what
 * the agent does, on threads of the test, in a mount namespace of its own. Needs root and
 * /dev/fuse.
 */
#ifndef VMDECK_TESTS_VFS_GUEST_H
#define VMDECK_TESTS_VFS_GUEST_H

#include <stdbool.h>
#include <stdint.h>

struct guest;

/* Moves the process into its own mount namespace. False: not allowed here; *why says what. */
bool guest_possible(const char **why);

/* Takes the socket over. */
struct guest *guest_start(int fd);

/* Another server on another socket takes the same connections to the kernel over. */
void guest_reconnect(struct guest *guest, int fd);

/* Requests that were passed on so far. */
uint64_t guest_requests(const struct guest *guest);

/* Notifications that came so far. */
uint64_t guest_notes(const struct guest *guest);

/* Ends all: mounts that are left are taken down. */
void guest_stop(struct guest *guest);

#endif
