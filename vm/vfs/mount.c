/* Mounts and their open files. */
#include "vm/vfs/mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/vfs/fuse.h"
#include "vm/vfs/hostfs.h"
#include "vm/vfs/memfs.h"
#include "vm/vfs/notify.h"

static void node_gone(void *context, struct node *node)
{
    struct mount *mount = context;
    struct provider *fs = mount->fs[node->fs];
    if (node->watch >= 0)
        notifier_forget(mount->notifier, node);
    if (fs != NULL && fs->ops->forget != NULL)
        fs->ops->forget(fs, node);
}

static int open_providers(struct mount *mount, const struct mount_config *config, struct error *err)
{
    int rc;
    if (config->host != NULL) {
        struct hostfs_config host = {config->host, config->uid, config->gid, config->missing};
        rc = hostfs_open(&mount->fs[FS_MAIN], &host, &mount->nodes, config->cache, err);
    } else {
        rc = memfs_open(&mount->fs[FS_MAIN], &mount->nodes, FS_MAIN, config->memory, config->uid,
                        config->gid, err);
    }
    if (rc == 0 && config->hooks->redirects)
        rc = memfs_open(&mount->fs[FS_PRIVATE], &mount->nodes, FS_PRIVATE, config->memory,
                        config->uid, config->gid, err);
    return rc;
}

int mount_open(struct mount **out, const struct mount_config *config, struct error *err)
{
    struct mount *mount = calloc(1, sizeof *mount);
    if (mount == NULL)
        return error_set(err, ENOMEM, "out of memory");
    atomic_init(&mount->uses, 1);
    pthread_mutex_init(&mount->lock, NULL);
    mount->handles.max = HANDLES_MAX;
    mount->id = config->id;
    mount->read_only = config->read_only;
    mount->hooks = config->hooks;
    mount->cache = config->cache;
    mount->notifier = config->notifier;
    mount->port = config->port;
    mount->events = config->events;
    mount->context = config->context;
    mount->guest = strdup(strcmp(config->guest, "/") == 0 ? "" : config->guest);
    mount->host = config->host != NULL ? strdup(config->host) : NULL;
    int rc = nodes_open(&mount->nodes, node_gone, mount);
    if (rc < 0 || mount->guest == NULL || (config->host != NULL && mount->host == NULL))
        rc = error_set(err, ENOMEM, "out of memory");
    if (rc == 0)
        rc = open_providers(mount, config, err);
    if (rc < 0)
        mount_put(mount);
    else
        *out = mount;
    return rc;
}

bool mount_use(struct mount *mount)
{
    unsigned uses = atomic_load(&mount->uses);
    while (uses > 0 && !atomic_compare_exchange_weak(&mount->uses, &uses, uses + 1))
        ;
    return uses > 0;
}

void mount_put(struct mount *mount)
{
    if (atomic_fetch_sub(&mount->uses, 1) > 1)
        return;
    uint32_t at = 0;
    for (struct handle *handle; (handle = slots_next(&mount->handles, &at)) != NULL;) {
        struct provider *fs = mount->fs[handle->node->fs];
        fs->ops->release(fs, handle);
        pthread_mutex_destroy(&handle->lock);
        free(handle);
    }
    slots_free(&mount->handles);
    nodes_close(&mount->nodes);
    for (int i = 0; i < FS_COUNT; i++)
        if (mount->fs[i] != NULL)
            mount->fs[i]->ops->close(mount->fs[i]);
    pthread_mutex_destroy(&mount->lock);
    free(mount->guest);
    free(mount->host);
    free(mount);
}

void mount_end(struct mount *mount)
{
    if (atomic_exchange(&mount->dead, true))
        return;
    struct outbound *out = outbound_new(0);
    if (out != NULL)
        vfs_port_send(mount->port, out, RELAY_DETACHED, mount->id, 0, false);
    mount->events->ended(mount->context, mount);
}

void mount_reset(struct mount *mount)
{
    uint32_t at = 0;
    for (const struct handle *handle; (handle = slots_next(&mount->handles, &at)) != NULL;)
        handle_release(mount, handle->id);
    at = 0;
    for (struct node *node; (node = nodes_after(&mount->nodes, &at)) != NULL;) {
        if (node->id != FUSE_ROOT_ID)
            nodes_forget(&mount->nodes, node->id, node->lookups);
        node_put(&mount->nodes, node);
    }
    atomic_store(&mount->greeted, 0);
}

struct handle *handle_new(struct node *node, uint32_t flags, bool directory)
{
    struct handle *handle = calloc(1, sizeof *handle);
    if (handle == NULL)
        return NULL;
    *handle =
        (struct handle){.node = node, .uses = 1, .flags = flags, .fd = -1, .directory = directory};
    pthread_mutex_init(&handle->lock, NULL);
    return handle;
}

int handle_add(struct mount *mount, struct handle *handle)
{
    pthread_mutex_lock(&mount->lock);
    uint64_t id = slots_add(&mount->handles, handle);
    handle->id = id;
    handle->uses += id != 0;
    pthread_mutex_unlock(&mount->lock);
    return id != 0 ? 0 : -ENFILE;
}

struct handle *handle_get(struct mount *mount, uint64_t id)
{
    pthread_mutex_lock(&mount->lock);
    struct handle *handle = slots_get(&mount->handles, id);
    if (handle != NULL)
        handle->uses++;
    pthread_mutex_unlock(&mount->lock);
    return handle;
}

void handle_put(struct mount *mount, struct handle *handle)
{
    if (handle == NULL)
        return;
    pthread_mutex_lock(&mount->lock);
    bool last = --handle->uses == 0;
    pthread_mutex_unlock(&mount->lock);
    if (!last)
        return;
    struct provider *fs = handle->node != NULL ? mount->fs[handle->node->fs] : NULL;
    if (fs != NULL)
        fs->ops->release(fs, handle);
    node_put(&mount->nodes, handle->node);
    pthread_mutex_destroy(&handle->lock);
    free(handle);
}

void handle_release(struct mount *mount, uint64_t id)
{
    pthread_mutex_lock(&mount->lock);
    struct handle *handle = slots_get(&mount->handles, id);
    slots_remove(&mount->handles, id);
    pthread_mutex_unlock(&mount->lock);
    handle_put(mount, handle);
}
