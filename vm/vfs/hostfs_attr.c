/*
 * Attributes. chmod(2) and the xattr calls take no O_PATH descriptor, so they go through
 * /proc/self/fd, which names exactly that file. Only user.* attributes pass: ACLs, capabilities
 * and labels mean users and policies that the host does not share with the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "vm/vfs/hostfs_parts.h"

struct proc_path {
    char text[32];
};

static struct proc_path proc_path(int fd)
{
    struct proc_path path;
    snprintf(path.text, sizeof path.text, "/proc/self/fd/%d", fd);
    return path;
}

int hostfs_getattr(struct provider *provider, struct node *node, struct found *found)
{
    struct pin pin;
    int rc = hostfs_pin(provider, node, &pin);
    if (rc == 0)
        rc = hostfs_stat(hostfs_of(provider), pin.fd, found);
    hostfs_unpin(provider, &pin);
    return rc;
}

static int set_mode(struct hostfs *fs, const struct node *node, int fd, uint32_t mode)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    /* a setgid directory on the host hands its group down: that stays as the host has it */
    mode_t kept = S_ISDIR(st.st_mode) ? st.st_mode & S_ISGID : 0;
    if (fchmodat(fs->proc, proc_name(fd).text, (mode & 01777) | kept, 0) < 0)
        return -errno;
    struct owner owner = {.bits = (uint16_t)(mode & 06000), .valid = OWNER_BITS};
    if (owner.bits == 0 && owners_get(fs->owners, &node->key).bits == 0)
        return 0;
    return owners_set(fs->owners, &node->key, owner);
}

/* Our own files can be given to anybody, in the guest's eyes; others' only to who has them. */
static int set_owner(struct hostfs *fs, const struct node *node, int fd,
                     const struct fuse_setattr_in *in)
{
    struct found found;
    int rc = hostfs_stat(fs, fd, &found);
    if (rc < 0)
        return rc;
    struct owner owner = {.uid = in->uid, .gid = in->gid};
    if ((in->valid & FATTR_UID) && in->uid != found.attr.uid)
        owner.valid |= OWNER_UID;
    if ((in->valid & FATTR_GID) && in->gid != found.attr.gid)
        owner.valid |= OWNER_GID;
    struct stat st;
    if (owner.valid != 0 && fs->host_uid != 0 && (fstat(fd, &st) < 0 || st.st_uid != fs->host_uid))
        return -EPERM;
    if (found.attr.mode & 06000 && !node->directory) {
        owner.valid |= OWNER_BITS; /* as chown(2) does */
        owner.bits = 0;
    }
    return owners_set(fs->owners, &node->key, owner);
}

static int set_size(struct hostfs *fs, int fd, const struct handle *handle, uint64_t size)
{
    if (size > INT64_MAX)
        return -EFBIG;
    if (handle != NULL && handle->fd >= 0 && (handle->flags & O_ACCMODE) != O_RDONLY)
        return ftruncate(handle->fd, (off_t)size) < 0 ? -errno : 0;
    CLEAN_FD int file =
        openat(fs->proc, proc_name(fd).text, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return file < 0 || ftruncate(file, (off_t)size) < 0 ? -errno : 0;
}

static struct timespec set_time(const struct fuse_setattr_in *in, uint32_t set, uint32_t now,
                                uint64_t seconds, uint32_t nanoseconds)
{
    if (in->valid & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    if (!(in->valid & set))
        return (struct timespec){.tv_nsec = UTIME_OMIT};
    return (struct timespec){(time_t)seconds, (long)(nanoseconds % 1000000000u)};
}

static int set_times(int fd, const struct fuse_setattr_in *in)
{
    struct timespec times[2] = {
        set_time(in, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
        set_time(in, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
    };
    return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int hostfs_setattr(struct provider *provider, struct node *node, struct handle *handle,
                   const struct fuse_setattr_in *in, struct found *found)
{
    struct hostfs *fs = hostfs_of(provider);
    struct pin pin;
    int rc = hostfs_pin(provider, node, &pin);
    struct stat st;
    if (rc == 0 &&
        (fstat(pin.fd, &st) < 0 || ((in->valid & FATTR_SIZE) != 0 && !S_ISREG(st.st_mode))))
        rc = -EINVAL;
    if (rc == 0 && (in->valid & FATTR_SIZE))
        rc = set_size(fs, pin.fd, handle, in->size);
    if (rc == 0 && (in->valid & (FATTR_UID | FATTR_GID)))
        rc = set_owner(fs, node, pin.fd, in);
    if (rc == 0 && (in->valid & FATTR_MODE))
        rc = set_mode(fs, node, pin.fd, in->mode);
    if (rc == 0 && (in->valid & FATTR_KILL_SUIDGID) && owners_get(fs->owners, &node->key).bits != 0)
        rc = owners_set(fs->owners, &node->key, (struct owner){.valid = OWNER_BITS});
    if (rc == 0 && (in->valid & (FATTR_ATIME | FATTR_MTIME)))
        rc = set_times(pin.fd, in);
    if (rc == 0)
        rc = hostfs_stat(fs, pin.fd, found);
    hostfs_unpin(provider, &pin);
    return rc;
}

int hostfs_statfs(struct provider *provider, struct fuse_kstatfs *out)
{
    struct statfs st;
    int rc = hostfs_check_root(hostfs_of(provider));
    if (rc < 0 || fstatfs(hostfs_of(provider)->root, &st) < 0)
        return rc < 0 ? rc : -errno;
    *out = (struct fuse_kstatfs){
        .blocks = st.f_blocks,
        .bfree = st.f_bfree,
        .bavail = st.f_bavail,
        .files = st.f_files,
        .ffree = st.f_ffree,
        .bsize = (uint32_t)st.f_bsize,
        .namelen = (uint32_t)st.f_namelen,
        .frsize = (uint32_t)st.f_frsize,
    };
    return 0;
}

enum xattr_what { XATTR_GET, XATTR_LIST, XATTR_SET, XATTR_REMOVE };

static ssize_t xattr_call(enum xattr_what what, const char *path, const char *name, void *value,
                          size_t size, int flags)
{
    switch (what) {
    case XATTR_GET:
        return getxattr(path, name, value, size);
    case XATTR_LIST:
        return listxattr(path, value, size);
    case XATTR_SET:
        return setxattr(path, name, value, size, flags);
    default:
        return removexattr(path, name);
    }
}

static ssize_t xattr(struct provider *provider, struct node *node, enum xattr_what what,
                     const char *name, void *value, size_t size, int flags)
{
    if (name != NULL && !str_starts(name, "user."))
        return -EOPNOTSUPP;
    struct pin pin;
    ssize_t rc = hostfs_pin(provider, node, &pin);
    if (rc == 0) {
        rc = xattr_call(what, proc_path(pin.fd).text, name, value, size, flags);
        rc = rc < 0 ? -errno : rc;
    }
    hostfs_unpin(provider, &pin);
    return rc;
}

ssize_t hostfs_getxattr(struct provider *provider, struct node *node, const char *name, void *value,
                        size_t size)
{
    return xattr(provider, node, XATTR_GET, name, value, size, 0);
}

ssize_t hostfs_listxattr(struct provider *provider, struct node *node, char *list, size_t size)
{
    static const size_t most = 65536; /* XATTR_LIST_MAX */
    CLEAN_FREE char *all = malloc(most);
    if (all == NULL)
        return -ENOMEM;
    ssize_t length = xattr(provider, node, XATTR_LIST, NULL, all, most, 0);
    size_t used = 0;
    for (ssize_t at = 0; at < length;) {
        size_t one = strlen(all + at) + 1;
        if (str_starts(all + at, "user.")) {
            if (size != 0 && used + one > size)
                return -ERANGE;
            if (size != 0)
                memcpy(list + used, all + at, one);
            used += one;
        }
        at += (ssize_t)one;
    }
    return length < 0 ? length : (ssize_t)used;
}

int hostfs_setxattr(struct provider *provider, struct node *node, const char *name,
                    const void *value, size_t size, int flags)
{
    return (int)xattr(provider, node, XATTR_SET, name, (void *)value, size, flags);
}

int hostfs_removexattr(struct provider *provider, struct node *node, const char *name)
{
    return (int)xattr(provider, node, XATTR_REMOVE, name, NULL, 0, 0);
}
