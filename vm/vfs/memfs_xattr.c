/* Extended attributes: a short list a file, paid from the same budget. Only user.* ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/str.h"
#include "vm/vfs/memfs_parts.h"

static struct xattr **find(struct inode *inode, const char *name)
{
    struct xattr **link = &inode->xattrs;
    while (*link != NULL && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    return link;
}

static void drop(struct memfs *fs, struct xattr **link)
{
    struct xattr *xattr = *link;
    *link = xattr->next;
    memfs_refund(fs, MEMFS_COST + xattr->size);
    free(xattr->name);
    free(xattr->value);
    free(xattr);
}

void memfs_xattrs_free(struct memfs *fs, struct inode *inode)
{
    while (inode->xattrs != NULL)
        drop(fs, &inode->xattrs);
}

int memfs_xattr_set(struct memfs *fs, struct inode *inode, const char *name, const void *value,
                    size_t size)
{
    size_t count = 0;
    for (const struct xattr *one = inode->xattrs; one != NULL; one = one->next)
        count++;
    if (count >= MEMFS_XATTRS || memfs_charge(fs, MEMFS_COST + size) < 0)
        return -ENOSPC;
    struct xattr *xattr = calloc(1, sizeof *xattr);
    char *copy = strdup(name);
    void *bytes = malloc(size + 1);
    if (xattr == NULL || copy == NULL || bytes == NULL) {
        free(xattr);
        free(copy);
        free(bytes);
        memfs_refund(fs, MEMFS_COST + size);
        return -ENOMEM;
    }
    memcpy(bytes, value, size);
    struct xattr **link = find(inode, name);
    if (*link != NULL)
        drop(fs, link);
    *xattr = (struct xattr){inode->xattrs, copy, bytes, size};
    inode->xattrs = xattr;
    return 0;
}

int memfs_setxattr(struct provider *provider, struct node *node, const char *name,
                   const void *value, size_t size, int flags)
{
    struct memfs *fs = memfs_of(provider);
    if (!str_starts(name, "user."))
        return -EOPNOTSUPP;
    pthread_mutex_lock(&fs->lock);
    struct inode *inode = memfs_inode(fs, node);
    int rc = inode == NULL ? -ESTALE : 0;
    bool there = inode != NULL && *find(inode, name) != NULL;
    if (rc == 0 && there && (flags & XATTR_CREATE))
        rc = -EEXIST;
    if (rc == 0 && !there && (flags & XATTR_REPLACE))
        rc = -ENODATA;
    if (rc == 0)
        rc = memfs_xattr_set(fs, inode, name, value, size);
    if (rc == 0)
        memfs_touch(inode, MEMFS_CTIME);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

ssize_t memfs_getxattr(struct provider *provider, struct node *node, const char *name, void *value,
                       size_t size)
{
    struct memfs *fs = memfs_of(provider);
    if (!str_starts(name, "user."))
        return -EOPNOTSUPP;
    pthread_mutex_lock(&fs->lock);
    struct inode *inode = memfs_inode(fs, node);
    const struct xattr *xattr = inode != NULL ? *find(inode, name) : NULL;
    ssize_t rc = inode == NULL ? -ESTALE : xattr == NULL ? -ENODATA : (ssize_t)xattr->size;
    if (rc > 0 && size != 0) {
        if (xattr->size > size)
            rc = -ERANGE;
        else
            memcpy(value, xattr->value, xattr->size);
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

ssize_t memfs_listxattr(struct provider *provider, struct node *node, char *list, size_t size)
{
    struct memfs *fs = memfs_of(provider);
    size_t used = 0;
    pthread_mutex_lock(&fs->lock);
    const struct inode *inode = memfs_inode(fs, node);
    ssize_t rc = inode == NULL ? -ESTALE : 0;
    for (const struct xattr *one = inode != NULL ? inode->xattrs : NULL; one != NULL && rc == 0;
         one = one->next) {
        size_t length = strlen(one->name) + 1;
        if (size != 0 && used + length > size)
            rc = -ERANGE;
        else if (size != 0)
            memcpy(list + used, one->name, length);
        used += length;
    }
    pthread_mutex_unlock(&fs->lock);
    return rc < 0 ? rc : (ssize_t)used;
}

int memfs_removexattr(struct provider *provider, struct node *node, const char *name)
{
    struct memfs *fs = memfs_of(provider);
    if (!str_starts(name, "user."))
        return -EOPNOTSUPP;
    pthread_mutex_lock(&fs->lock);
    struct inode *inode = memfs_inode(fs, node);
    struct xattr **link = inode != NULL ? find(inode, name) : NULL;
    int rc = inode == NULL ? -ESTALE : *link == NULL ? -ENODATA : 0;
    if (rc == 0) {
        drop(fs, link);
        memfs_touch(inode, MEMFS_CTIME);
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}
