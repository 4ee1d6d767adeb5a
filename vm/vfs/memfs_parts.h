/* What the files of memfs share; nobody else includes this. */
#ifndef VMDECK_VM_VFS_MEMFS_PARTS_H
#define VMDECK_VM_VFS_MEMFS_PARTS_H

#include "vm/vfs/memfs.h"

#define MEMFS_ROOT   1
#define MEMFS_CHUNK  65536u
#define MEMFS_COST   512u /* of an inode or an entry, names and bookkeeping included */
#define MEMFS_XATTRS 64u  /* of one file */

/* A part of a file; behind `length` it is zeros. Without data it is a hole. */
struct chunk {
    uint8_t *data;
    uint32_t length;
};

struct xattr {
    struct xattr *next;
    char *name;
    void *value;
    size_t size;
};

struct entry {
    struct entry *next; /* in the table of names */
    struct inode *dir, *inode;
    uint64_t cookie; /* its offset for readdir */
    char name[];
};

/* An entry's place in its directory, in the order of cookies; without entry it was removed. */
struct place {
    uint64_t cookie;
    struct entry *entry;
};

struct inode {
    struct inode *next;    /* in the table of numbers */
    struct fuse_attr attr; /* ino is the number */
    struct xattr *xattrs;
    char *target; /* symlink */
    struct chunk *chunks;
    size_t chunk_count;
    struct inode *parent; /* directory */
    struct place *places;
    size_t place_count, place_capacity, entry_count;
    uint64_t next_cookie;
};

struct memfs {
    struct provider base;
    struct nodes *nodes;
    uint8_t index;
    pthread_mutex_t lock;
    struct inode **numbers;
    struct entry **names;
    size_t buckets, inode_count, entry_count;
    uint64_t next_number;
    uint64_t used, max; /* bytes */
    uint32_t uid, gid;
};

static inline struct memfs *memfs_of(struct provider *provider)
{
    return (struct memfs *)provider;
}

/* All below: the lock is held. */

struct inode *memfs_number(const struct memfs *fs, uint64_t number);
struct inode *memfs_inode(const struct memfs *fs, const struct node *node); /* NULL: ESTALE */
struct inode *memfs_new(struct memfs *fs, uint64_t number, uint32_t mode, int *error);
void memfs_free(struct memfs *fs, struct inode *inode);
void memfs_found(const struct inode *inode, struct found *found);
enum { MEMFS_ATIME = 1, MEMFS_MTIME = 2, MEMFS_CTIME = 4 };
void memfs_touch(struct inode *inode, int times);

/* Takes bytes from the budget. 0 or -ENOSPC. */
int memfs_charge(struct memfs *fs, uint64_t bytes);
void memfs_refund(struct memfs *fs, uint64_t bytes);

/* memfs_dir.c */
struct entry *memfs_entry(const struct memfs *fs, const struct inode *dir, const char *name);
int memfs_enter(struct memfs *fs, struct inode *dir, const char *name, struct inode *inode,
                uint64_t cookie);
void memfs_names_fill(struct memfs *fs); /* the table is new and empty */
void memfs_dir_free(struct memfs *fs, struct inode *dir);
int memfs_lookup(struct provider *, struct node *, const char *, struct found *);
int memfs_make(struct provider *, struct node *, const char *, const struct make *, struct found *);
int memfs_link(struct provider *, struct node *, struct node *, const char *, struct found *);
int memfs_remove(struct provider *, struct node *, const char *, bool);
int memfs_rename(struct provider *, struct node *, const char *, struct node *, const char *,
                 uint32_t);
int memfs_create(struct provider *, struct node *, const char *, const struct make *,
                 struct handle *, struct found *);
int memfs_readdir(struct provider *, struct handle *, uint64_t, provider_entry *, void *);

/* memfs_data.c */
int memfs_resize(struct memfs *fs, struct inode *inode, uint64_t size);
int memfs_chunk(struct memfs *fs, struct inode *inode, size_t at, uint32_t length);
ssize_t memfs_read(struct provider *, struct handle *, void *, size_t, uint64_t);
ssize_t memfs_write(struct provider *, struct handle *, const void *, size_t, uint64_t, uint32_t);
int memfs_fallocate(struct provider *, struct handle *, int, uint64_t, uint64_t);
int64_t memfs_seek(struct provider *, struct handle *, uint64_t, int);

/* memfs_xattr.c */
void memfs_xattrs_free(struct memfs *fs, struct inode *inode);
int memfs_xattr_set(struct memfs *fs, struct inode *inode, const char *name, const void *value,
                    size_t size);
ssize_t memfs_getxattr(struct provider *, struct node *, const char *, void *, size_t);
ssize_t memfs_listxattr(struct provider *, struct node *, char *, size_t);
int memfs_setxattr(struct provider *, struct node *, const char *, const void *, size_t, int);
int memfs_removexattr(struct provider *, struct node *, const char *);

/* memfs_save.c */
int memfs_save(struct provider *, FILE *);
int memfs_load(struct provider *, FILE *, struct error *);

#endif
