/* What the files of hostfs share; nobody else includes this. */
#ifndef VMDECK_VM_VFS_HOSTFS_PARTS_H
#define VMDECK_VM_VFS_HOSTFS_PARTS_H

#include <sys/stat.h>

#include "vm/vfs/hostfs.h"
#include "vm/vfs/owners.h"

#define DEVICES_MAX 256

struct hostfs {
    struct provider base;
    struct nodes *nodes;
    struct fdcache *cache;
    struct owners *owners;
    char *path; /* for the log only */
    int root, proc;
    uint32_t uid, gid, host_uid, host_gid;
    bool local, gone_logged;
    pthread_mutex_t lock;          /* of what follows */
    uint64_t devices[DEVICES_MAX]; /* st_dev of the file systems beneath the root; [0]: its own */
    uint32_t device_count;
};

struct proc_name {
    char text[16];
};

static inline struct hostfs *hostfs_of(struct provider *provider)
{
    return (struct hostfs *)provider;
}

/* The descriptor's name in /proc/self/fd. */
struct proc_name proc_name(int fd);

/* openat2() beneath the directory, no link is followed. A descriptor or -errno. */
int hostfs_beneath(int directory, const char *path, uint64_t flags, uint32_t mode);

/* 0, or -EIO: the directory is gone. */
int hostfs_check_root(struct hostfs *fs);

/* As the guest sees it. -EOVERFLOW: too many file systems beneath the root. */
int hostfs_found(struct hostfs *fs, const struct statx *sx, struct found *found);
int hostfs_stat(struct hostfs *fs, int fd, struct found *found);

/* Remembers who made a file, and shows it. */
int hostfs_made(struct hostfs *fs, int directory, const char *name, const struct make *make,
                struct found *found);

#define HOSTFS_STATX (STATX_BASIC_STATS | STATX_BTIME)

/* hostfs_name.c */
int hostfs_lookup(struct provider *, struct node *, const char *, struct found *);
int hostfs_make(struct provider *, struct node *, const char *, const struct make *,
                struct found *);
int hostfs_link(struct provider *, struct node *, struct node *, const char *, struct found *);
int hostfs_remove(struct provider *, struct node *, const char *, bool);
int hostfs_rename(struct provider *, struct node *, const char *, struct node *, const char *,
                  uint32_t);
ssize_t hostfs_readlink(struct provider *, struct node *, char *, size_t);

/* hostfs_attr.c */
int hostfs_getattr(struct provider *, struct node *, struct found *);
int hostfs_setattr(struct provider *, struct node *, struct handle *,
                   const struct fuse_setattr_in *, struct found *);
int hostfs_statfs(struct provider *, struct fuse_kstatfs *);
ssize_t hostfs_getxattr(struct provider *, struct node *, const char *, void *, size_t);
ssize_t hostfs_listxattr(struct provider *, struct node *, char *, size_t);
int hostfs_setxattr(struct provider *, struct node *, const char *, const void *, size_t, int);
int hostfs_removexattr(struct provider *, struct node *, const char *);

/* hostfs_file.c */
int hostfs_open_file(struct provider *, struct node *, struct handle *);
int hostfs_create(struct provider *, struct node *, const char *, const struct make *,
                  struct handle *, struct found *);
void hostfs_release(struct provider *, struct handle *);
ssize_t hostfs_read(struct provider *, struct handle *, void *, size_t, uint64_t);
ssize_t hostfs_write(struct provider *, struct handle *, const void *, size_t, uint64_t, uint32_t);
int hostfs_fsync(struct provider *, struct handle *, bool);
int hostfs_fallocate(struct provider *, struct handle *, int, uint64_t, uint64_t);
int64_t hostfs_seek(struct provider *, struct handle *, uint64_t, int);
ssize_t hostfs_copy(struct provider *, struct handle *, uint64_t, struct handle *, uint64_t,
                    size_t);

/* hostfs_dir.c */
int hostfs_readdir(struct provider *, struct handle *, uint64_t, provider_entry *, void *);

#endif
