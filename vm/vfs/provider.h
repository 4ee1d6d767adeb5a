/*
 * What stands behind a mount: a host directory (hostfs.h) or memory (memfs.h). The FUSE side
 * (fuse.c and ops_*.c) has checked names (one component, not "." or "..") and sizes, and routes by
 * the node's `fs`. All operations return 0 or a negative errno for the guest, never a text, and
 * are called from several threads at once.
 */
#ifndef VMDECK_VM_VFS_PROVIDER_H
#define VMDECK_VM_VFS_PROVIDER_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"
#include "vm/vfs/node.h"

struct provider;

/* An open file or directory. fuse's `fh` is `id`. */
struct handle {
    uint64_t id;
    struct node *node; /* a use */
    uint32_t uses;
    uint32_t flags; /* open(2)'s */
    int fd;         /* hostfs; -1: it could not be opened again after a restore */
    bool directory;
    void *listing; /* of a directory; the provider's, under `lock` */
    pthread_mutex_t lock;
};

/* A new file of mkdir, mknod, symlink and create. */
struct make {
    uint32_t mode, rdev; /* mode with the type */
    const char *target;  /* of a symlink */
    uint32_t uid, gid;   /* who asks */
};

/* Gets one entry of a directory; false: no room, stop in front of it. */
typedef bool provider_entry(void *context, const char *name, uint64_t inode, uint32_t type,
                            uint64_t next);

struct provider_ops {
    int (*lookup)(struct provider *, struct node *dir, const char *name, struct found *);
    int (*getattr)(struct provider *, struct node *, struct found *);
    /* `handle` may be NULL. `in->valid` has only bits that mean a change. */
    int (*setattr)(struct provider *, struct node *, struct handle *,
                   const struct fuse_setattr_in *in, struct found *);
    ssize_t (*readlink)(struct provider *, struct node *, char *target, size_t size);
    int (*make)(struct provider *, struct node *dir, const char *name, const struct make *,
                struct found *);
    int (*link)(struct provider *, struct node *, struct node *dir, const char *name,
                struct found *);
    int (*remove)(struct provider *, struct node *dir, const char *name, bool directory);
    int (*rename)(struct provider *, struct node *from, const char *name, struct node *to,
                  const char *new_name, uint32_t flags);
    /* The caller sets node and flags of the handle. */
    int (*open)(struct provider *, struct node *, struct handle *);
    int (*create)(struct provider *, struct node *dir, const char *name, const struct make *,
                  struct handle *, struct found *);
    void (*release)(struct provider *, struct handle *);
    /* From the entry behind `offset` on, with "." and "..". */
    int (*readdir)(struct provider *, struct handle *, uint64_t offset, provider_entry *,
                   void *context);
    ssize_t (*read)(struct provider *, struct handle *, void *data, size_t size, uint64_t offset);
    ssize_t (*write)(struct provider *, struct handle *, const void *data, size_t size,
                     uint64_t offset, uint32_t write_flags);
    int (*fsync)(struct provider *, struct handle *, bool data_only);
    int (*fallocate)(struct provider *, struct handle *, int mode, uint64_t offset,
                     uint64_t length);
    int64_t (*seek)(struct provider *, struct handle *, uint64_t offset, int whence);
    ssize_t (*copy)(struct provider *, struct handle *from, uint64_t from_offset, struct handle *to,
                    uint64_t to_offset, size_t length);
    int (*statfs)(struct provider *, struct fuse_kstatfs *);
    /* Sizes as getxattr(2): with size 0 the length that is needed. */
    ssize_t (*getxattr)(struct provider *, struct node *, const char *name, void *, size_t);
    ssize_t (*listxattr)(struct provider *, struct node *, char *, size_t);
    int (*setxattr)(struct provider *, struct node *, const char *name, const void *, size_t,
                    int flags);
    int (*removexattr)(struct provider *, struct node *, const char *name);
    void (*forget)(struct provider *, struct node *); /* may be NULL; the node table is locked */
    int (*save)(struct provider *, FILE *);
    int (*load)(struct provider *, FILE *, struct error *);
    void (*close)(struct provider *);
};

struct provider {
    const struct provider_ops *ops;
    bool caches; /* nobody else changes its files: the guest may cache writes */
};

#endif
