/*
 * Provider: a directory of the host. Files are reached by descriptors beneath the root's only:
 * openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS and RESOLVE_NO_SYMLINKS, or single names
 * relative to a directory's descriptor. Nothing of a name's meaning is left to a second look: a
 * file that is opened again must have the inode and birth time that it had.
 */
#ifndef VMDECK_VM_VFS_HOSTFS_H
#define VMDECK_VM_VFS_HOSTFS_H

#include "vm/vfs/fdcache.h"
#include "vm/vfs/provider.h"

struct hostfs_config {
    const char *path;  /* of the host */
    uint32_t uid, gid; /* in the guest: as which our own files appear */
    bool missing;      /* not being able to open it is no error: everything in it is EIO */
};

/* -ENOTDIR, and what open(2) says. */
int hostfs_open(struct provider **out, const struct hostfs_config *config, struct nodes *nodes,
                struct fdcache *cache, struct error *err);

/* True where inotify(7) sees all changes: not on a network's file system. */
bool hostfs_local(const struct provider *provider);

/* The node's O_PATH descriptor. hostfs_unpin() ends it. */
int hostfs_pin(struct provider *provider, struct node *node, struct pin *pin);
void hostfs_unpin(struct provider *provider, struct pin *pin);

/* What is called `name` in the directory now. */
int hostfs_look(struct provider *provider, int directory, const char *name, struct found *found);

#endif
