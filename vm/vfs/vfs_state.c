/*
 * Saved state: for each mount what it is, its nodes in the order of their ids, their names, its
 * providers' own, its open files. Written and read on the caller's thread while nothing is in
 * flight. Files of a host directory are opened again by name and must be the same files (node.h's
 * key); one that is not stays as a handle that answers ESTALE, because the guest's kernel holds
 * its number.
 *
 * After a load every node is looked at once, on a worker: what changed meanwhile is reported to
 * the guest like any change, and directories are watched again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "vm/vfs/memfs.h"
#include "vm/vfs/savefile.h"
#include "vm/vfs/vfs_parts.h"

#define STATE_MAGIC 0x31736676u /* "vfs1" */

enum { SAVED_DIRECTORY = 1, SAVED_DELETED = 2 };

static int save_nodes(struct mount *mount, FILE *out)
{
    struct node *node;
    uint32_t at = 1; /* not the root */
    int rc = 0;
    while (rc == 0 && (node = slots_next(&mount->nodes.ids, &at)) != NULL)
        rc = save_u64(out, node->id) | save_key(out, &node->key) | save_u64(out, node->lookups) |
             save_u64(out, node->stamp) | save_u64(out, node->fs) |
             save_u64(out, (node->directory ? SAVED_DIRECTORY : 0u) |
                               (node->deleted ? SAVED_DELETED : 0u));
    rc |= save_u64(out, 0);
    at = 1;
    while (rc == 0 && (node = slots_next(&mount->nodes.ids, &at)) != NULL)
        if (node->parent != NULL)
            rc = save_u64(out, node->id) | save_u64(out, node->parent->id) |
                 save_bytes(out, node->name, strlen(node->name));
    return rc | save_u64(out, 0);
}

int mount_save(struct mount *mount, FILE *out)
{
    int rc = save_u64(out, atomic_load(&mount->greeted)) | save_nodes(mount, out);
    for (int i = 0; rc == 0 && i < FS_COUNT; i++) {
        rc = save_u64(out, mount->fs[i] != NULL);
        if (rc == 0 && mount->fs[i] != NULL)
            rc = mount->fs[i]->ops->save(mount->fs[i], out);
    }
    uint32_t at = 0;
    for (struct handle *handle; rc == 0 && (handle = slots_next(&mount->handles, &at)) != NULL;)
        rc = save_u64(out, handle->id) | save_u64(out, handle->node->id) |
             save_u64(out, handle->flags) | save_u64(out, handle->directory);
    return rc | save_u64(out, 0);
}

static int load_nodes(struct mount *mount, FILE *in)
{
    uint64_t id, parent, fs, flags;
    int rc;
    while ((rc = load_u64(in, &id, UINT64_MAX)) == 0 && id != 0) {
        struct node node = {.id = id, .watch = -1, .cached = -1};
        rc = load_key(in, &node.key);
        rc = rc < 0 ? rc : load_u64(in, &node.lookups, UINT64_MAX);
        rc = rc < 0 ? rc : load_u64(in, &node.stamp, UINT64_MAX);
        rc = rc < 0 ? rc : load_u64(in, &fs, FS_COUNT - 1);
        rc = rc < 0 ? rc : load_u64(in, &flags, SAVED_DIRECTORY | SAVED_DELETED);
        if (rc == 0) {
            node.fs = (uint8_t)fs;
            node.directory = (flags & SAVED_DIRECTORY) != 0;
            node.deleted = (flags & SAVED_DELETED) != 0;
            rc = nodes_restore(&mount->nodes, &node);
        }
        if (rc < 0)
            return rc;
    }
    while (rc == 0 && (rc = load_u64(in, &id, UINT64_MAX)) == 0 && id != 0) {
        char *name = NULL;
        size_t length;
        rc = load_u64(in, &parent, UINT64_MAX);
        rc = rc < 0 ? rc : load_bytes(in, &name, &length, NODE_NAME_MAX);
        if (rc == 0)
            rc = node_name_valid(name, length) ? nodes_bind(&mount->nodes, id, parent, name)
                                               : -EPROTO;
        free(name);
    }
    return rc;
}

static int load_providers(struct mount *mount, FILE *in, struct error *err)
{
    for (int i = 0; i < FS_COUNT; i++) {
        uint64_t there;
        int rc = load_u64(in, &there, 1);
        if (rc < 0 || (i == FS_MAIN && !there))
            return error_set(err, EPROTO, "it is damaged");
        if (there && mount->fs[i] == NULL)
            rc = memfs_open(&mount->fs[i], &mount->nodes, (uint8_t)i, MEMFS_DEFAULT_MAX, 0, 0, err);
        if (rc == 0 && there)
            rc = mount->fs[i]->ops->load(mount->fs[i], in, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int load_handle(struct mount *mount, uint64_t id, uint64_t node_id, uint32_t flags,
                       bool directory)
{
    struct node *node = nodes_get(&mount->nodes, node_id);
    if (node == NULL || mount->fs[node->fs] == NULL) {
        node_put(&mount->nodes, node);
        return -EPROTO;
    }
    struct handle *handle =
        handle_new(node, flags & ~(uint32_t)(O_TRUNC | O_CREAT | O_EXCL), directory);
    if (handle == NULL) {
        node_put(&mount->nodes, node);
        return -ENOMEM;
    }
    handle->id = id;
    struct provider *fs = mount->fs[node->fs];
    if (!mount->read_only || (flags & O_ACCMODE) == O_RDONLY) {
        int rc = fs->ops->open(fs, node, handle);
        if (rc < 0)
            log_warn(LOG_VFS, "mount %s: an open file is not there any more: %s", mount->guest,
                     strerror(-rc));
    }
    int rc = slots_restore(&mount->handles, id, handle);
    if (rc < 0)
        handle_put(mount, handle);
    return rc;
}

int mount_load(struct mount *mount, FILE *in, struct error *err)
{
    uint64_t greeted, id, node, flags, directory;
    int rc = load_u64(in, &greeted, UINT32_MAX);
    if (rc == 0)
        rc = load_nodes(mount, in);
    if (rc < 0)
        return error_set(err, -rc, "it is damaged");
    rc = load_providers(mount, in, err);
    if (rc < 0)
        return rc;
    uint32_t at = 0;
    for (const struct node *one; (one = slots_next(&mount->nodes.ids, &at)) != NULL;)
        if (mount->fs[one->fs] == NULL)
            return error_set(err, EPROTO, "it is damaged");
    while ((rc = load_u64(in, &id, UINT64_MAX)) == 0 && id != 0) {
        rc = load_u64(in, &node, UINT64_MAX);
        rc = rc < 0 ? rc : load_u64(in, &flags, UINT32_MAX);
        rc = rc < 0 ? rc : load_u64(in, &directory, 1);
        rc = rc < 0 ? rc : load_handle(mount, id, node, (uint32_t)flags, directory);
        if (rc < 0)
            break;
    }
    atomic_store(&mount->greeted, (unsigned)greeted);
    mount->mounted = true;
    return rc == 0 ? 0 : error_set(err, -rc, "it is damaged");
}

int vfs_save(struct vfs *vfs, FILE *out, struct error *err)
{
    if (!vfs->paused)
        return error_set(err, EBUSY, "the file systems are not paused");
    port_drain(vfs->port); /* what needs no answer is not waited for by the guest */
    int rc = save_u64(out, STATE_MAGIC) | save_u64(out, vfs->next_id);
    for (struct mount *mount = vfs->mounts; rc == 0 && mount != NULL; mount = mount->next) {
        if (!mount->mounted || atomic_load(&mount->dead))
            continue;
        const char *host = mount->host != NULL ? mount->host : "";
        rc = save_u64(out, mount->id) | save_bytes(out, mount->guest, strlen(mount->guest)) |
             save_bytes(out, host, strlen(host)) | save_u64(out, mount->read_only);
        rc = rc < 0 ? rc : mount_save(mount, out);
    }
    rc |= save_u64(out, 0);
    if (rc == 0 && fflush(out) != 0)
        rc = -EIO;
    return rc == 0 ? 0 : error_set(err, EIO, "cannot write the state of the file systems");
}

/* The next mount's description. 0: *id is 0 at the end. */
static int load_mount(struct vfs *vfs, FILE *in, uint64_t *id,
                      const char *(*hosts)(void *, const char *, const char *, bool *),
                      void *context, struct error *err)
{
    CLEAN_FREE char *guest = NULL, *host = NULL, *clean = NULL;
    size_t size;
    uint64_t read_only;
    int rc = load_u64(in, id, UINT32_MAX);
    if (rc == 0 && *id == 0)
        return 0;
    rc = rc < 0 ? rc : load_bytes(in, &guest, &size, RELAY_PATH_MAX);
    rc = rc < 0 ? rc : load_bytes(in, &host, &size, PATH_MAX);
    rc = rc < 0 ? rc : load_u64(in, &read_only, 1);
    clean = rc == 0 ? vfs_guest_path(guest[0] != '\0' ? guest : "/") : NULL;
    if (clean == NULL || *id >= vfs->next_id || vfs->mount_count >= VFS_MOUNTS_MAX)
        return error_set(err, EPROTO, "it is damaged");
    struct vfs_mount_spec spec = {.guest = clean, .read_only = read_only};
    if (host[0] != '\0') {
        spec.host = hosts(context, clean[0] != '\0' ? clean : "/", host, &spec.read_only);
        if (spec.host == NULL)
            return error_set(err, EPERM, "%s is not to be mounted at %s", host, guest);
    }
    struct mount *mount;
    rc = vfs_add(vfs, &spec, (uint32_t)*id, true, &mount, err);
    return rc < 0 ? rc : mount_load(mount, in, err);
}

struct look {
    struct job job; /* first */
    struct mount *mount;
};

static void look_run(struct job *job)
{
    struct look *look = (struct look *)job;
    notify_all(look->mount);
    mount_put(look->mount);
    free(look);
}

int vfs_load(struct vfs *vfs, FILE *in,
             const char *(*hosts)(void *context, const char *guest, const char *host,
                                  bool *read_only),
             void *context, struct error *err)
{
    uint64_t magic, next_id, id = 0;
    if (load_u64(in, &magic, UINT32_MAX) < 0 || magic != STATE_MAGIC ||
        load_u64(in, &next_id, UINT32_MAX) < 0 || vfs->mounts != NULL)
        return error_set(err, EPROTO, "this is no state of file systems");
    vfs->next_id = (uint32_t)next_id;
    vfs->paused = vfs->asked_to_pause = vfs->loaded = true;
    notifier_pause(vfs->notifier, true);
    int rc;
    do
        rc = load_mount(vfs, in, &id, hosts, context, err);
    while (rc == 0 && id != 0);
    return rc < 0 ? error_wrap(err, "cannot take up the state of the file systems") : 0;
}

void vfs_look(struct vfs *vfs)
{
    for (struct mount *mount = vfs->mounts; mount != NULL; mount = mount->next) {
        struct look *look = malloc(sizeof *look);
        if (look == NULL || !mount_use(mount)) {
            free(look);
            continue;
        }
        *look = (struct look){.job.run = look_run, .mount = mount};
        pool_add(vfs->pool, &look->job);
    }
}
