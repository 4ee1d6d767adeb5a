/*
 * The protocol between the session host's FUSE server and the agent, which relays /dev/fuse over
 * the virtio-serial port `vmdeck.vfs`. Frames are those of base/frame.h; the stream id is the
 * mount's number, 0 where a frame concerns no mount. Only libc and base/frame.h below this line:
 * the agent includes this header.
 *
 * Order. The host sends HELLO; the agent answers with a HELLO that repeats version and epoch.
 * Until it has seen a HELLO with its own epoch the host drops every byte, because a port that is
 * reconnected (a restored VM) can still carry bytes of an earlier connection.
 *
 * Mounts. One FUSE connection per mount. MOUNT makes the agent create what is missing of the
 * directory, open /dev/fuse and mount(2) it with RELAY_MOUNT_OPTIONS (and MS_RDONLY), then answer
 * MOUNTED. From then on every message read from that descriptor is a REQUEST (but for what
 * agent/shortcut.h answers), every REPLY and NOTIFY is written to it, one write(2) each; a write
 * that fails with ENOENT (the request was interrupted, the inode is not cached) is no error.
 * UNMOUNT is answered UNMOUNTED; with EBUSY the text names who is in the way. DETACHED ends a
 * connection without asking: from the host, the server has given it up (the guest gets ENOTCONN);
 * from the agent, the guest has unmounted it.
 *
 * NOTIFY must be written by another thread than the one that writes replies: the kernel takes the
 * directory's lock for it, which a lookup holds that waits for its reply. When they come faster
 * than the kernel takes them, those that the agent has no room for are made up for: it has the
 * kernel forget all that is not in use. An inode's that still waits in the agent stands for the
 * same again.
 *
 * MOUNT and UNMOUNT name paths that can lead through other mounts of ours (a mount in a mount), so
 * they too must not be carried out by a thread that relays, or it waits for itself.
 *
 * Flags of a REQUEST, which save round trips (agent/shortcut.h); an agent that knows nothing of
 * them sets none. RELAY_ANSWERED: the kernel has its answer, the host sends none. RELAY_TAKES_ATTR:
 * the answer may have struct relay_attr behind the message, as many as fit into the frame: new
 * attributes of directories that the request has changed. The kernel gets the message alone.
 *
 * Flow control. The host stops reading while it has too much to do, so the agent's writes to the
 * port may have to wait; the agent must go on reading the port meanwhile. It needs no buffer of
 * its own beyond one frame each way per connection.
 *
 * Snapshots. PAUSE makes the agent stop reading from every /dev/fuse (the guest's kernel keeps
 * what comes) and answer PAUSED once every request that it had passed on is answered: nothing is
 * in flight then. The host sends nothing until RESUME. After a restore: HELLO, HELLO, RESUME.
 */
#ifndef VMDECK_VM_VFS_RELAY_H
#define VMDECK_VM_VFS_RELAY_H

#include <linux/fuse.h>

#include "base/frame.h"

#define RELAY_VERSION    1
#define RELAY_PORT       "vmdeck.vfs"
#define RELAY_EPOCH_SIZE 16
#define RELAY_DATA_MAX   (1024u * 1024)           /* of one READ or WRITE */
#define RELAY_FUSE_MAX   (RELAY_DATA_MAX + 4096u) /* a FUSE message; FUSE_BUFFER_HEADER_SIZE */
#define RELAY_PATH_MAX   4095u                    /* of a mount's directory in the guest */
#define RELAY_TEXT_MAX   512u

/* Behind "fd=%d,"; the source is "vmdeck", the type "fuse", the flags MS_NODEV (and MS_RDONLY). */
#define RELAY_MOUNT_OPTIONS \
    "rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=1048576"

enum relay_type {
    RELAY_HELLO = 1, /* both: u32 version, epoch */
    RELAY_MOUNT,     /* host: u32 flags (RELAY_READ_ONLY), u32 readahead in KiB, path.
                        readahead goes to /sys/class/bdi/MAJOR:MINOR/read_ahead_kb */
    RELAY_MOUNTED,   /* agent: u32 errno (0: done), text */
    RELAY_UNMOUNT,   /* host: empty */
    RELAY_UNMOUNTED, /* agent: u32 errno (0: done), text */
    RELAY_DETACHED,  /* both: empty */
    RELAY_REQUEST,   /* agent: struct fuse_in_header and what follows */
    RELAY_REPLY,     /* host: struct fuse_out_header and what follows */
    RELAY_NOTIFY,    /* host: the same with unique 0 */
    RELAY_PAUSE,     /* host: empty */
    RELAY_PAUSED,    /* agent: empty */
    RELAY_RESUME,    /* host: empty */
    RELAY_TYPES
};

enum { RELAY_READ_ONLY = 1 };
enum { RELAY_ANSWERED = 1, RELAY_TAKES_ATTR = 2 };

struct relay_attr {
    uint64_t node;
    struct fuse_attr_out attr; /* as the answer to GETATTR */
};

/* Name, shortest and longest payload of each type. */
#define RELAY_RULES                                                                                \
    {                                                                                              \
        [RELAY_HELLO] = {"HELLO", 4 + RELAY_EPOCH_SIZE, 4 + RELAY_EPOCH_SIZE},                     \
        [RELAY_MOUNT] = {"MOUNT", 9, 8 + RELAY_PATH_MAX},                                          \
        [RELAY_MOUNTED] = {"MOUNTED", 4, 4 + RELAY_TEXT_MAX}, [RELAY_UNMOUNT] = {"UNMOUNT", 0, 0}, \
        [RELAY_UNMOUNTED] = {"UNMOUNTED", 4, 4 + RELAY_TEXT_MAX},                                  \
        [RELAY_DETACHED] = {"DETACHED", 0, 0}, [RELAY_REQUEST] = {"REQUEST", 40, RELAY_FUSE_MAX},  \
        [RELAY_REPLY] = {"REPLY", 16, RELAY_FUSE_MAX},                                             \
        [RELAY_NOTIFY] = {"NOTIFY", 16, RELAY_FUSE_MAX}, [RELAY_PAUSE] = {"PAUSE", 0, 0},          \
        [RELAY_PAUSED] = {"PAUSED", 0, 0}, [RELAY_RESUME] = {"RESUME", 0, 0},                      \
    }

#endif
