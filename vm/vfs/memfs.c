/*
 * Inodes with numbers that are never used again, in a hash table; one lock for everything, since
 * all there is to do under it is copying. A file whose last name is gone lives on as long as its
 * node does: memfs_forget() then frees it.
 */
#include "vm/vfs/memfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vm/vfs/memfs_parts.h"

#define BUCKETS_MIN 64u

struct inode *memfs_number(const struct memfs *fs, uint64_t number)
{
    struct inode *inode = fs->numbers[vfs_mix(number, 0) & (fs->buckets - 1)];
    while (inode != NULL && inode->attr.ino != number)
        inode = inode->next;
    return inode;
}

struct inode *memfs_inode(const struct memfs *fs, const struct node *node)
{
    return memfs_number(fs, node->id == FUSE_ROOT_ID ? MEMFS_ROOT : node->key.inode);
}

int memfs_charge(struct memfs *fs, uint64_t bytes)
{
    if (bytes > fs->max - fs->used)
        return -ENOSPC;
    fs->used += bytes;
    return 0;
}

void memfs_refund(struct memfs *fs, uint64_t bytes)
{
    fs->used -= bytes;
}

void memfs_touch(struct inode *inode, int times)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct fuse_attr *attr = &inode->attr;
    if (times & MEMFS_ATIME) {
        attr->atime = (uint64_t)now.tv_sec;
        attr->atimensec = (uint32_t)now.tv_nsec;
    }
    if (times & MEMFS_MTIME) {
        attr->mtime = (uint64_t)now.tv_sec;
        attr->mtimensec = (uint32_t)now.tv_nsec;
    }
    if (times & MEMFS_CTIME) {
        attr->ctime = (uint64_t)now.tv_sec;
        attr->ctimensec = (uint32_t)now.tv_nsec;
    }
}

static int grow(struct memfs *fs)
{
    if (fs->inode_count < fs->buckets)
        return 0;
    size_t buckets = fs->buckets != 0 ? fs->buckets * 2 : BUCKETS_MIN;
    struct inode **numbers = calloc(buckets, sizeof(struct inode *));
    struct entry **names = calloc(buckets, sizeof(struct entry *));
    if (numbers == NULL || names == NULL) {
        free(numbers);
        free(names);
        return -ENOMEM;
    }
    for (size_t i = 0; i < fs->buckets; i++) {
        for (struct inode *inode = fs->numbers[i], *next; inode != NULL; inode = next) {
            next = inode->next;
            struct inode **bucket = &numbers[vfs_mix(inode->attr.ino, 0) & (buckets - 1)];
            inode->next = *bucket;
            *bucket = inode;
        }
    }
    free(fs->numbers);
    free(fs->names);
    fs->numbers = numbers;
    fs->names = names;
    fs->buckets = buckets;
    memfs_names_fill(fs);
    return 0;
}

struct inode *memfs_new(struct memfs *fs, uint64_t number, uint32_t mode, int *error)
{
    *error = memfs_charge(fs, MEMFS_COST);
    if (*error < 0)
        return NULL;
    struct inode *inode = grow(fs) == 0 ? calloc(1, sizeof *inode) : NULL;
    if (inode == NULL) {
        memfs_refund(fs, MEMFS_COST);
        *error = -ENOMEM;
        return NULL;
    }
    inode->attr = (struct fuse_attr){.ino = number,
                                     .mode = mode,
                                     .nlink = S_ISDIR(mode) ? 2 : 0,
                                     .uid = fs->uid,
                                     .gid = fs->gid,
                                     .blksize = 4096};
    inode->next_cookie = 3; /* 1 and 2 are "." and ".." */
    memfs_touch(inode, MEMFS_ATIME | MEMFS_MTIME | MEMFS_CTIME);
    struct inode **bucket = &fs->numbers[vfs_mix(number, 0) & (fs->buckets - 1)];
    inode->next = *bucket;
    *bucket = inode;
    fs->inode_count++;
    return inode;
}

void memfs_free(struct memfs *fs, struct inode *inode)
{
    struct inode **link = &fs->numbers[vfs_mix(inode->attr.ino, 0) & (fs->buckets - 1)];
    while (*link != inode)
        link = &(*link)->next;
    *link = inode->next;
    fs->inode_count--;
    memfs_resize(fs, inode, 0);
    memfs_xattrs_free(fs, inode);
    memfs_dir_free(fs, inode);
    memfs_refund(fs, MEMFS_COST);
    free(inode->target);
    free(inode);
}

void memfs_found(const struct inode *inode, struct found *found)
{
    *found = (struct found){.attr = inode->attr, .key.inode = inode->attr.ino, .stamp = 1};
}

static int memfs_getattr(struct provider *provider, struct node *node, struct found *found)
{
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    const struct inode *inode = memfs_inode(fs, node);
    if (inode != NULL)
        memfs_found(inode, found);
    pthread_mutex_unlock(&fs->lock);
    return inode != NULL ? 0 : -ESTALE;
}

static void set_attr(struct inode *inode, const struct fuse_setattr_in *in)
{
    struct fuse_attr *attr = &inode->attr;
    if (in->valid & FATTR_MODE)
        attr->mode = (attr->mode & S_IFMT) | (in->mode & 07777);
    if (in->valid & FATTR_UID)
        attr->uid = in->uid;
    if (in->valid & FATTR_GID)
        attr->gid = in->gid;
    if (in->valid & FATTR_KILL_SUIDGID)
        attr->mode &= ~06000u;
    memfs_touch(inode, MEMFS_CTIME | (in->valid & FATTR_ATIME_NOW ? MEMFS_ATIME : 0) |
                           (in->valid & FATTR_MTIME_NOW ? MEMFS_MTIME : 0));
    if ((in->valid & FATTR_ATIME) && !(in->valid & FATTR_ATIME_NOW)) {
        attr->atime = in->atime;
        attr->atimensec = in->atimensec % 1000000000u;
    }
    if ((in->valid & FATTR_MTIME) && !(in->valid & FATTR_MTIME_NOW)) {
        attr->mtime = in->mtime;
        attr->mtimensec = in->mtimensec % 1000000000u;
    }
    if (in->valid & FATTR_CTIME) {
        attr->ctime = in->ctime;
        attr->ctimensec = in->ctimensec % 1000000000u;
    }
}

static int memfs_setattr(struct provider *provider, struct node *node, struct handle *handle,
                         const struct fuse_setattr_in *in, struct found *found)
{
    (void)handle;
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    struct inode *inode = memfs_inode(fs, node);
    int rc = inode == NULL ? -ESTALE : 0;
    if (rc == 0 && (in->valid & FATTR_SIZE)) {
        rc = S_ISREG(inode->attr.mode) ? memfs_resize(fs, inode, in->size) : -EINVAL;
        if (rc == 0)
            memfs_touch(inode, MEMFS_MTIME);
    }
    if (rc == 0) {
        set_attr(inode, in);
        memfs_found(inode, found);
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

static ssize_t memfs_readlink(struct provider *provider, struct node *node, char *target,
                              size_t size)
{
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    const struct inode *inode = memfs_inode(fs, node);
    ssize_t rc = inode == NULL ? -ESTALE : -EINVAL;
    if (inode != NULL && inode->target != NULL) {
        size_t length = strlen(inode->target);
        rc = (ssize_t)(length < size ? length : size);
        memcpy(target, inode->target, (size_t)rc);
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

static int memfs_open_file(struct provider *provider, struct node *node, struct handle *handle)
{
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    struct inode *inode = memfs_inode(fs, node);
    int rc = inode == NULL ? -ESTALE : 0;
    if (rc == 0 && handle->directory != S_ISDIR(inode->attr.mode))
        rc = handle->directory ? -ENOTDIR : -EISDIR;
    if (rc == 0 && !handle->directory && !S_ISREG(inode->attr.mode))
        rc = -ENXIO;
    if (rc == 0 && (handle->flags & O_TRUNC)) {
        rc = memfs_resize(fs, inode, 0);
        memfs_touch(inode, MEMFS_MTIME | MEMFS_CTIME);
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

static void memfs_release(struct provider *provider, struct handle *handle)
{
    (void)provider;
    (void)handle;
}

static int memfs_fsync(struct provider *provider, struct handle *handle, bool data_only)
{
    (void)provider;
    (void)handle;
    (void)data_only;
    return 0;
}

static int memfs_statfs(struct provider *provider, struct fuse_kstatfs *out)
{
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    uint64_t left = fs->max - fs->used;
    *out = (struct fuse_kstatfs){.blocks = fs->max / 4096,
                                 .bfree = left / 4096,
                                 .bavail = left / 4096,
                                 .files = fs->inode_count + left / MEMFS_COST,
                                 .ffree = left / MEMFS_COST,
                                 .bsize = 4096,
                                 .frsize = 4096,
                                 .namelen = 255};
    pthread_mutex_unlock(&fs->lock);
    return 0;
}

static void memfs_forget(struct provider *provider, struct node *node)
{
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    struct inode *inode = memfs_inode(fs, node);
    if (inode != NULL && inode->attr.nlink == 0)
        memfs_free(fs, inode);
    pthread_mutex_unlock(&fs->lock);
}

static void memfs_close(struct provider *provider)
{
    struct memfs *fs = memfs_of(provider);
    for (size_t i = 0; i < fs->buckets; i++)
        while (fs->numbers[i] != NULL)
            memfs_free(fs, fs->numbers[i]);
    free(fs->numbers);
    free(fs->names);
    pthread_mutex_destroy(&fs->lock);
    free(fs);
}

static const struct provider_ops memfs_ops = {
    .lookup = memfs_lookup,
    .getattr = memfs_getattr,
    .setattr = memfs_setattr,
    .readlink = memfs_readlink,
    .make = memfs_make,
    .link = memfs_link,
    .remove = memfs_remove,
    .rename = memfs_rename,
    .open = memfs_open_file,
    .create = memfs_create,
    .release = memfs_release,
    .readdir = memfs_readdir,
    .read = memfs_read,
    .write = memfs_write,
    .fsync = memfs_fsync,
    .fallocate = memfs_fallocate,
    .seek = memfs_seek,
    .statfs = memfs_statfs,
    .getxattr = memfs_getxattr,
    .listxattr = memfs_listxattr,
    .setxattr = memfs_setxattr,
    .removexattr = memfs_removexattr,
    .forget = memfs_forget,
    .save = memfs_save,
    .load = memfs_load,
    .close = memfs_close,
};

int memfs_open(struct provider **out, struct nodes *nodes, uint8_t index, uint64_t bytes,
               uint32_t uid, uint32_t gid, struct error *err)
{
    struct memfs *fs = calloc(1, sizeof *fs);
    if (fs == NULL)
        return error_set(err, ENOMEM, "out of memory");
    *fs = (struct memfs){.base = {.ops = &memfs_ops, .caches = true},
                         .nodes = nodes,
                         .index = index,
                         .next_number = MEMFS_ROOT + 1,
                         .max = bytes,
                         .uid = uid,
                         .gid = gid};
    pthread_mutex_init(&fs->lock, NULL);
    int rc;
    if (memfs_new(fs, MEMFS_ROOT, S_IFDIR | 0755, &rc) == NULL) {
        memfs_close(&fs->base);
        return error_system(err, -rc, "cannot make a file system in memory");
    }
    *out = &fs->base;
    return 0;
}
