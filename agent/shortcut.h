/*
 * What the relay of file systems answers without asking the host: the round trip is nearly all that
 * a small request costs. Nothing here knows more than the host has said, or always says:
 *
 * - RELEASE, RELEASEDIR: nobody waits for more than the answer; the host is told (RELAY_ANSWERED).
 * - IOCTL: the host has none. The kernel does not remember that, and programs ask with every file
 *   that they open (is this a terminal?).
 * - GETXATTR of all but user.*, which no mount has: the kernel asks for security.capability before
 *   each first write, ls and tar for ACLs.
 * - GETATTR of a directory, once after a change in it: the kernel forgets what it knew and asks at
 *   the next name. The host sends it with the answer to the change (relay.h); it holds for as short
 *   as where the host is not watched.
 *
 * Only libc and the relay's protocol: the tests' stand-in for a guest uses it too. The caller sees
 * to it that one thread at a time is in here.
 */
#ifndef VMDECK_AGENT_SHORTCUT_H
#define VMDECK_AGENT_SHORTCUT_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message for /dev/fuse. */
struct shortcut {
    struct fuse_out_header header; /* its `len` bytes, from here on */
    struct fuse_attr_out attr;
};

enum shortcut_kind {
    SHORTCUT_NONE, /* the host answers */
    SHORTCUT_TOLD, /* the host is told: RELAY_ANSWERED */
    SHORTCUT_DONE, /* the host need not know */
};

/* A request that was read from the mount's /dev/fuse; `answer` is filled unless it is NONE. */
enum shortcut_kind shortcut_take(uint32_t mount, const uint8_t *request, size_t length,
                                 struct shortcut *answer);

/*
 * A REPLY or NOTIFY from the host, before the kernel gets it. Returns how many bytes of it are the
 * kernel's.
 */
size_t shortcut_pass(uint32_t mount, const uint8_t *message, size_t length);

void shortcut_forget(void); /* all: the connection to the host or to a kernel is another one */

#endif
