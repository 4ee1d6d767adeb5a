/*
 * Names: each is used relative to its directory's descriptor, alone, and not followed. The names
 * of removed and replaced files' nodes are pinned first, since nothing but a descriptor leads to
 * them afterwards.
 *
 * umask(2) does not get in the way: the workers have one of their own, which is 0 (pool.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/vfs/hostfs_parts.h"

int hostfs_lookup(struct provider *provider, struct node *dir, const char *name,
                  struct found *found)
{
    struct pin pin;
    int rc = hostfs_pin(provider, dir, &pin);
    if (rc == 0)
        rc = hostfs_look(provider, pin.fd, name, found);
    hostfs_unpin(provider, &pin);
    return rc;
}

ssize_t hostfs_readlink(struct provider *provider, struct node *node, char *target, size_t size)
{
    struct pin pin;
    ssize_t rc = hostfs_pin(provider, node, &pin);
    if (rc == 0) {
        rc = readlinkat(pin.fd, "", target, size);
        rc = rc < 0 ? -errno : rc;
    }
    hostfs_unpin(provider, &pin);
    return rc;
}

int hostfs_made(struct hostfs *fs, int directory, const char *name, const struct make *make,
                struct found *found)
{
    int rc = hostfs_look(&fs->base, directory, name, found);
    if (rc < 0)
        return rc;
    struct owner owner = {.uid = make->uid,
                          .gid = make->gid,
                          .bits = (uint16_t)(make->mode & 06000),
                          .valid = (uint16_t)((make->uid != found->attr.uid ? OWNER_UID : 0) |
                                              (make->gid != found->attr.gid ? OWNER_GID : 0) |
                                              (make->mode & 06000 ? OWNER_BITS : 0))};
    if (owner.valid != 0 && owners_set(fs->owners, &found->key, owner) == 0)
        rc = hostfs_look(&fs->base, directory, name, found);
    return rc;
}

static int make_at(int directory, const char *name, const struct make *make)
{
    mode_t mode = make->mode & (S_IFMT | 01777);
    switch (make->mode & S_IFMT) {
    case S_IFDIR:
        return mkdirat(directory, name, mode & 01777);
    case S_IFLNK:
        return symlinkat(make->target, directory, name);
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        return mknodat(directory, name, mode, 0);
    default: /* devices: what they would mean is the host's, not the guest's */
        errno = EPERM;
        return -1;
    }
}

int hostfs_make(struct provider *provider, struct node *dir, const char *name,
                const struct make *make, struct found *found)
{
    struct pin pin;
    int rc = hostfs_pin(provider, dir, &pin);
    if (rc == 0)
        rc = make_at(pin.fd, name, make) < 0
                 ? -errno
                 : hostfs_made(hostfs_of(provider), pin.fd, name, make, found);
    hostfs_unpin(provider, &pin);
    return rc;
}

int hostfs_link(struct provider *provider, struct node *node, struct node *dir, const char *name,
                struct found *found)
{
    struct hostfs *fs = hostfs_of(provider);
    struct pin from, to = {-1, -2};
    int rc = hostfs_pin(provider, node, &from);
    if (rc == 0)
        rc = hostfs_pin(provider, dir, &to);
    if (rc == 0 && linkat(fs->proc, proc_name(from.fd).text, to.fd, name, AT_SYMLINK_FOLLOW) < 0)
        rc = -errno;
    if (rc == 0)
        rc = hostfs_look(provider, to.fd, name, found);
    hostfs_unpin(provider, &from);
    hostfs_unpin(provider, &to);
    return rc;
}

/* A file that the guest still knows and that loses its name; NULL: it does not know it. */
static struct node *keep(struct provider *provider, struct node *dir, const char *name,
                         struct pin *pin)
{
    struct hostfs *fs = hostfs_of(provider);
    *pin = (struct pin){-1, -2};
    struct node *node = nodes_child(fs->nodes, dir, name);
    if (node != NULL && hostfs_pin(provider, node, pin) == 0)
        fdcache_keep(fs->cache, pin);
    return node;
}

/* `gone`: the name is. With the last one goes, once the node does, what was remembered of it. */
static void kept(struct provider *provider, struct node *node, struct pin *pin, bool gone)
{
    struct stat st;
    if (gone && node != NULL && pin->fd >= 0 && fstat(pin->fd, &st) == 0 &&
        (st.st_nlink == 0 || S_ISDIR(st.st_mode)))
        node->deleted = true;
    hostfs_unpin(provider, pin);
    node_put(hostfs_of(provider)->nodes, node);
}

int hostfs_remove(struct provider *provider, struct node *dir, const char *name, bool directory)
{
    struct pin pin, lost;
    int rc = hostfs_pin(provider, dir, &pin);
    if (rc < 0)
        return rc;
    struct node *node = keep(provider, dir, name, &lost);
    rc = unlinkat(pin.fd, name, directory ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
    kept(provider, node, &lost, rc == 0);
    hostfs_unpin(provider, &pin);
    return rc;
}

int hostfs_rename(struct provider *provider, struct node *from, const char *name, struct node *to,
                  const char *new_name, uint32_t flags)
{
    struct pin old_pin, new_pin = {-1, -2}, lost;
    int rc = hostfs_pin(provider, from, &old_pin);
    if (rc == 0)
        rc = hostfs_pin(provider, to, &new_pin);
    if (rc == 0) {
        bool replaces = (flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)) == 0;
        struct node *node = NULL;
        lost = (struct pin){-1, -2};
        if (replaces)
            node = keep(provider, to, new_name, &lost);
        rc = renameat2(old_pin.fd, name, new_pin.fd, new_name, flags) < 0 ? -errno : 0;
        kept(provider, node, &lost, rc == 0);
    }
    hostfs_unpin(provider, &old_pin);
    hostfs_unpin(provider, &new_pin);
    return rc;
}
