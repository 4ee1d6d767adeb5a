/*
 * Saved state: all inodes with their content, then all directories' entries. What is loaded is
 * charged like what a guest writes, links are counted anew, and a directory may have one name
 * only, so that a made-up file cannot give a tree that the guest could not have made.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/vfs/memfs_parts.h"
#include "vm/vfs/savefile.h"

#define XATTR_VALUE_MAX 65536u

enum { ATTR_FIELDS = 12 };

static void attr_fields(const struct fuse_attr *attr, uint64_t fields[ATTR_FIELDS])
{
    const uint64_t values[ATTR_FIELDS] = {
        attr->ino,   attr->size,  attr->mode,  attr->uid,       attr->gid,       attr->rdev,
        attr->atime, attr->mtime, attr->ctime, attr->atimensec, attr->mtimensec, attr->ctimensec,
    };
    memcpy(fields, values, sizeof values);
}

static int save_content(FILE *out, const struct inode *inode)
{
    size_t count = 0;
    for (const struct xattr *one = inode->xattrs; one != NULL; one = one->next)
        count++;
    int rc = save_u64(out, count);
    for (const struct xattr *one = inode->xattrs; one != NULL; one = one->next)
        rc |=
            save_bytes(out, one->name, strlen(one->name)) | save_bytes(out, one->value, one->size);
    const char *target = inode->target != NULL ? inode->target : "";
    rc |= save_bytes(out, target, strlen(target));
    for (size_t i = 0; i < inode->chunk_count; i++)
        if (inode->chunks[i].data != NULL)
            rc |= save_u64(out, i + 1) |
                  save_bytes(out, inode->chunks[i].data, inode->chunks[i].length);
    return rc | save_u64(out, 0);
}

static int save_inode(FILE *out, const struct inode *inode)
{
    uint64_t fields[ATTR_FIELDS];
    attr_fields(&inode->attr, fields);
    int rc = 0;
    for (size_t i = 0; i < ATTR_FIELDS; i++)
        rc |= save_u64(out, fields[i]);
    return rc | save_content(out, inode);
}

static int save_entries(FILE *out, const struct inode *dir)
{
    int rc = 0;
    for (size_t i = 0; i < dir->place_count; i++) {
        const struct entry *entry = dir->places[i].entry;
        if (entry != NULL)
            rc |= save_u64(out, dir->attr.ino) | save_u64(out, entry->inode->attr.ino) |
                  save_u64(out, entry->cookie) | save_bytes(out, entry->name, strlen(entry->name));
    }
    return rc;
}

int memfs_save(struct provider *provider, FILE *out)
{
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    int rc = save_u64(out, fs->next_number) | save_u64(out, fs->inode_count);
    for (size_t i = 0; i < fs->buckets; i++)
        for (const struct inode *inode = fs->numbers[i]; inode != NULL; inode = inode->next)
            rc |= save_inode(out, inode);
    for (size_t i = 0; i < fs->buckets; i++)
        for (const struct inode *inode = fs->numbers[i]; inode != NULL; inode = inode->next)
            rc |= save_entries(out, inode);
    rc |= save_u64(out, 0);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

static int load_xattrs(struct memfs *fs, FILE *in, struct inode *inode)
{
    uint64_t count;
    int rc = load_u64(in, &count, MEMFS_XATTRS);
    for (; rc == 0 && count > 0; count--) {
        char *name = NULL, *value = NULL;
        size_t name_size, size;
        rc = load_bytes(in, &name, &name_size, 255);
        rc = rc < 0 ? rc : load_bytes(in, &value, &size, XATTR_VALUE_MAX);
        rc = rc < 0 ? rc : memfs_xattr_set(fs, inode, name, value, size);
        free(name);
        free(value);
    }
    return rc;
}

static int load_chunks(struct memfs *fs, FILE *in, struct inode *inode)
{
    for (;;) {
        uint64_t index;
        int rc = load_u64(in, &index, MEMFS_FILE_MAX / MEMFS_CHUNK);
        if (rc < 0 || index == 0)
            return rc;
        char *data;
        size_t size;
        rc = load_bytes(in, &data, &size, MEMFS_CHUNK);
        rc = rc < 0                      ? rc
             : S_ISREG(inode->attr.mode) ? memfs_chunk(fs, inode, index - 1, (uint32_t)size)
                                         : -EPROTO;
        if (rc == 0 && size > 0)
            memcpy(inode->chunks[index - 1].data, data, size);
        free(data);
        if (rc < 0)
            return rc;
    }
}

static int load_target(struct memfs *fs, FILE *in, struct inode *inode)
{
    size_t size;
    char *target;
    int rc = load_bytes(in, &target, &size, 4095);
    if (rc == 0 && S_ISLNK(inode->attr.mode) && strlen(target) == size && size > 0)
        rc = memfs_charge(fs, size);
    else
        rc = rc < 0 || size > 0 || S_ISLNK(inode->attr.mode) ? -EPROTO : 0;
    if (rc == 0 && size > 0)
        inode->target = target;
    else
        free(target);
    return rc;
}

static int load_inode(struct memfs *fs, FILE *in)
{
    uint64_t f[ATTR_FIELDS];
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ATTR_FIELDS; i++)
        rc = load_u64(in, &f[i],
                      i == 0 || (i >= 6 && i <= 8) ? UINT64_MAX
                      : i == 1                     ? MEMFS_FILE_MAX
                                                   : UINT32_MAX);
    if (rc < 0)
        return rc;
    struct inode *inode = memfs_number(fs, f[0]);
    if (f[0] == 0 || f[0] >= fs->next_number || (inode != NULL && f[0] != MEMFS_ROOT) ||
        (f[0] == MEMFS_ROOT && !S_ISDIR(f[2])))
        return -EPROTO;
    if (inode == NULL)
        inode = memfs_new(fs, f[0], (uint32_t)f[2], &rc);
    if (inode == NULL)
        return rc;
    struct fuse_attr *attr = &inode->attr;
    *attr = (struct fuse_attr){.ino = f[0],
                               .size = f[1],
                               .mode = (uint32_t)f[2],
                               .nlink = attr->nlink,
                               .uid = (uint32_t)f[3],
                               .gid = (uint32_t)f[4],
                               .rdev = (uint32_t)f[5],
                               .atime = f[6],
                               .mtime = f[7],
                               .ctime = f[8],
                               .atimensec = (uint32_t)f[9],
                               .mtimensec = (uint32_t)f[10],
                               .ctimensec = (uint32_t)f[11],
                               .blksize = 4096};
    rc = load_xattrs(fs, in, inode);
    rc = rc < 0 ? rc : load_target(fs, in, inode);
    return rc < 0 ? rc : load_chunks(fs, in, inode);
}

static int load_entry(struct memfs *fs, FILE *in, uint64_t number)
{
    uint64_t to, cookie;
    size_t size;
    char *name = NULL;
    int rc = load_u64(in, &to, UINT64_MAX);
    rc = rc < 0 ? rc : load_u64(in, &cookie, INT64_MAX);
    rc = rc < 0 ? rc : load_bytes(in, &name, &size, 255);
    struct inode *dir = memfs_number(fs, number), *inode = memfs_number(fs, to);
    if (rc == 0 &&
        (dir == NULL || inode == NULL || !S_ISDIR(dir->attr.mode) || cookie < dir->next_cookie ||
         !node_name_valid(name, size) || memfs_entry(fs, dir, name) != NULL ||
         (S_ISDIR(inode->attr.mode) && (inode->parent != NULL || to == MEMFS_ROOT))))
        rc = -EPROTO;
    if (rc == 0)
        rc = memfs_enter(fs, dir, name, inode, cookie);
    free(name);
    return rc;
}

/* Directories without a name were removed while they were in use. */
static void mark_removed(struct memfs *fs)
{
    for (size_t i = 0; i < fs->buckets; i++)
        for (struct inode *inode = fs->numbers[i]; inode != NULL; inode = inode->next)
            if (S_ISDIR(inode->attr.mode) && inode->parent == NULL && inode->attr.ino != MEMFS_ROOT)
                inode->attr.nlink = 0;
}

int memfs_load(struct provider *provider, FILE *in, struct error *err)
{
    struct memfs *fs = memfs_of(provider);
    uint64_t count, number;
    pthread_mutex_lock(&fs->lock);
    int rc = load_u64(in, &fs->next_number, INT64_MAX);
    rc = rc < 0 ? rc : load_u64(in, &count, UINT32_MAX);
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = load_inode(fs, in);
    while (rc == 0 && (rc = load_u64(in, &number, UINT64_MAX)) == 0 && number != 0)
        rc = load_entry(fs, in, number);
    if (fs->next_number <= MEMFS_ROOT)
        rc = -EPROTO;
    mark_removed(fs);
    pthread_mutex_unlock(&fs->lock);
    return rc == 0 ? 0 : error_system(err, -rc, "cannot load a file system in memory");
}
