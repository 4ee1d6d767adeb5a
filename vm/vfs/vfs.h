/*
 * The file systems of one session, served to the guest through the agent's relay port (relay.h).
 * Runs on threads of its own; every function here is called on one thread, that of `loop`, where
 * the events come back too.
 */
#ifndef VMDECK_VM_VFS_VFS_H
#define VMDECK_VM_VFS_VFS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <uv.h>

#include "base/error.h"
#include "vm/vfs/relay.h"

#define VFS_MOUNTS_MAX 256u

struct vfs;

/* Not called any more once vfs_close() has been. Texts are valid during the call. */
struct vfs_events {
    void (*ready)(void *context); /* the agent has answered HELLO */
    /* The answer to vfs_mount(): NULL, or why not; then the mount is gone again. */
    void (*mounted)(void *context, const char *guest, const struct error *why);
    /* The answer to vfs_umount(): NULL, or why not (EBUSY: the text says who). Also when the guest
     * unmounted it itself, or its connection was ended because of what it sent. */
    void (*unmounted)(void *context, const char *guest, const struct error *why);
    void (*denied)(void *context, const char *path);        /* a shadow rule hid it */
    void (*paused)(void *context);                          /* the answer to vfs_pause() */
    void (*failed)(void *context, const struct error *why); /* the port is lost; all I/O fails */
};

struct vfs_config {
    uv_loop_t *loop;
    int fd; /* the port's stream socket; taken over, also on failure */
    uint8_t epoch[RELAY_EPOCH_SIZE];
    uint32_t uid, gid;          /* in the guest: as which our own files appear */
    const char *const *shadows; /* patterns of shadow.h */
    size_t shadow_count;
    const struct vfs_events *events; /* rows may be NULL */
    void *context;
};

struct vfs_mount_spec {
    const char *host;  /* a directory; NULL: memory */
    const char *guest; /* absolute, without "." or ".." */
    bool read_only;
    uint64_t memory; /* bytes; 0: the default */
};

int vfs_open(struct vfs **out, const struct vfs_config *config, struct error *err);

/*
 * Opens the directory and has the guest mount it; `mounted` follows. -ENOTDIR, -EEXIST (something
 * of ours is mounted there), -EINVAL, and what opening says.
 */
int vfs_mount(struct vfs *vfs, const struct vfs_mount_spec *spec, struct error *err);

/* `unmounted` follows. -ENOENT: nothing of ours is mounted there. */
int vfs_umount(struct vfs *vfs, const char *guest, struct error *err);

/* The mounts, in the order of mounting: false ends it. */
void vfs_list(struct vfs *vfs,
              bool (*visit)(void *context, const struct vfs_mount_spec *spec, bool mounted),
              void *context);

/* Bytes that nodes and open files take, for `stats`. */
size_t vfs_nodes(struct vfs *vfs);

/*
 * Snapshots. vfs_pause(), then `paused`, then nothing is in flight and vfs_save() may be called;
 * vfs_resume() goes on. The state holds what the guest's kernel knows (nodes, open files), the
 * content of memory, and owners; of a host directory what it was called there, no content.
 */
void vfs_pause(struct vfs *vfs);
int vfs_save(struct vfs *vfs, FILE *out, struct error *err);
void vfs_resume(struct vfs *vfs);

/*
 * Right after vfs_open(), instead of vfs_mount(): takes the mounts of a saved state up again,
 * paused. `hosts` says which directory now serves a guest path (NULL: refuse), and may make it
 * read-only; a directory that cannot be opened gives the guest EIO and a line in the log. A file
 * that is not the same any more is ESTALE. The file is treated as hostile.
 */
int vfs_load(struct vfs *vfs, FILE *in,
             const char *(*hosts)(void *context, const char *guest, const char *host,
                                  bool *read_only),
             void *context, struct error *err);

/*
 * The guest has another relay now, which waits for a HELLO, and has lost its mounts and what was
 * open there: they are mounted anew, `mounted` comes for each. Memory keeps its files.
 */
void vfs_restart(struct vfs *vfs, const uint8_t epoch[RELAY_EPOCH_SIZE]);

void vfs_close(struct vfs *vfs); /* waits for the threads */

#endif
