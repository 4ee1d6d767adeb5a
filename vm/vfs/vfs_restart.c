/*
 * A guest whose relay was killed has lost its mounts; the nodes and handles that its kernel had are
 * gone with them, the files are not. On the thread that reads the port, so that nothing comes
 * meanwhile: no mount answers any more, what is being worked on ends, each mount forgets what the
 * guest knew, and the new relay is asked for them all, in the order in which they were mounted.
 */
#include <string.h>

#include "vm/vfs/vfs_parts.h"

/* Uses of the mounts that are served. */
static size_t take_mounts(struct vfs *vfs, struct mount *mounts[VFS_MOUNTS_MAX])
{
    size_t count = 0;
    pthread_mutex_lock(&vfs->lock);
    for (struct mount *mount = vfs->mounts; mount != NULL && count < VFS_MOUNTS_MAX;
         mount = mount->next)
        if (!atomic_exchange(&mount->dead, true) && mount_use(mount))
            mounts[count++] = mount;
    pthread_mutex_unlock(&vfs->lock);
    return count;
}

void vfs_on_restart(uv_async_t *restart)
{
    struct vfs *vfs = restart->data;
    struct mount *mounts[VFS_MOUNTS_MAX];
    uint8_t epoch[RELAY_EPOCH_SIZE];
    size_t count = take_mounts(vfs, mounts);
    pthread_mutex_lock(&vfs->lock);
    memcpy(epoch, vfs->epoch, sizeof epoch);
    bool pause = vfs->pause_again;
    pthread_mutex_unlock(&vfs->lock);
    port_restart(vfs->port, epoch);
    for (size_t i = 0; i < count; i++) {
        mount_reset(mounts[i]);
        atomic_store(&mounts[i]->dead, false);
        vfs_send_mount(vfs, mounts[i]);
        pthread_mutex_lock(&vfs->lock);
        bool leaving = mounts[i]->leaving; /* asked for meanwhile: the old relay has not seen it */
        pthread_mutex_unlock(&vfs->lock);
        if (leaving)
            vfs_send(vfs, RELAY_UNMOUNT, mounts[i]->id, NULL, 0);
        mount_put(mounts[i]);
    }
    if (pause)
        vfs_send(vfs, RELAY_PAUSE, 0, NULL, 0);
}

void vfs_restart(struct vfs *vfs, const uint8_t epoch[RELAY_EPOCH_SIZE])
{
    for (struct mount *mount = vfs->mounts, *next; mount != NULL; mount = next) {
        next = mount->next;
        mount->mounted = false;
        if (!mount->leaving)
            continue;
        mount_use(mount); /* as was asked for */
        vfs_forget(vfs, mount);
        if (vfs->events->unmounted != NULL)
            vfs->events->unmounted(vfs->context, mount->guest[0] != '\0' ? mount->guest : "/",
                                   NULL);
        mount_put(mount);
    }
    pthread_mutex_lock(&vfs->lock);
    memcpy(vfs->epoch, epoch, sizeof vfs->epoch);
    vfs->pause_again = vfs->asked_to_pause && !vfs->paused;
    pthread_mutex_unlock(&vfs->lock);
    uv_async_send(&vfs->restart);
}
