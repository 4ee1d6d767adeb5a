/* What vfs.c and vfs_state.c share; nobody else includes this. */
#ifndef VMDECK_VM_VFS_VFS_PARTS_H
#define VMDECK_VM_VFS_VFS_PARTS_H

#include "base/queue.h"
#include "vm/vfs/mount.h"
#include "vm/vfs/notify.h"
#include "vm/vfs/vfs.h"

struct vfs {
    uv_loop_t loop; /* of the thread */
    uv_async_t stop, restart;
    pthread_t thread;
    struct port *port;
    struct pool *pool;
    struct notifier *notifier;
    struct fdcache *cache;
    struct shadows *shadows; /* NULL: none */
    struct hooks hooks;      /* of all mounts */
    struct queue *queue;     /* to the caller's loop */
    uint32_t uid, gid;
    const struct vfs_events *events;
    void *context;
    bool paused, asked_to_pause, loaded; /* caller's thread */
    bool pause_again;                    /* by restart */
    uint8_t epoch[RELAY_EPOCH_SIZE];     /* for restart */
    atomic_uint denials;                 /* that wait in the queue */

    pthread_mutex_t lock; /* of what follows */
    struct mount *mounts; /* in the order of mounting */
    uint32_t next_id, mount_count;
};

/* Adds a mount with this id to the list. */
int vfs_add(struct vfs *vfs, const struct vfs_mount_spec *spec, uint32_t id, bool missing,
            struct mount **out, struct error *err);

/* The path without slashes at its end or several in a row. NULL: not absolute, or has "..". */
char *vfs_guest_path(const char *path);

/* Has all nodes looked at, and directories watched again: after a load. */
void vfs_look(struct vfs *vfs);

/* Asks the agent to mount it. */
void vfs_send_mount(struct vfs *vfs, const struct mount *mount);

/* A mount that was forgotten is not found any more. */
void vfs_forget(struct vfs *vfs, struct mount *mount);

/* restart's callback, on the thread. */
void vfs_on_restart(uv_async_t *restart);

void vfs_send(struct vfs *vfs, uint8_t type, uint32_t id, const void *payload, size_t length);

#endif
