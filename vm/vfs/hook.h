/*
 * Hooks: who has a say in what the guest asks of its mounts, and who is told what came of it.
 * Shadow rules are one (shadow.h), the `denied` events another (vfs.c). A hook names the operations
 * that it wants by their FUSE codes; one that nobody wants costs a look at a bit mask.
 *
 * Added before the first mount, then only read. Hooks are called by the threads that run requests,
 * also by the one that reads the port: they must not wait.
 */
#ifndef VMDECK_VM_VFS_HOOK_H
#define VMDECK_VM_VFS_HOOK_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOOKS_MAX     4u
#define HOOK_OP(code) (1ull << (code))

/* What makes a new name of `path`, and what has names at all. */
#define HOOK_MAKES                                                                            \
    (HOOK_OP(FUSE_MKNOD) | HOOK_OP(FUSE_MKDIR) | HOOK_OP(FUSE_SYMLINK) | HOOK_OP(FUSE_LINK) | \
     HOOK_OP(FUSE_CREATE))
#define HOOK_NAMES                                                                    \
    (HOOK_MAKES | HOOK_OP(FUSE_LOOKUP) | HOOK_OP(FUSE_UNLINK) | HOOK_OP(FUSE_RMDIR) | \
     HOOK_OP(FUSE_RENAME) | HOOK_OP(FUSE_RENAME2) | HOOK_OP(FUSE_READDIR))

/* Where a file lies: in what is mounted, or among the mount's private files in memory. */
enum { FS_MAIN, FS_PRIVATE, FS_COUNT };

struct hook_op {
    uint32_t code;      /* FUSE_…; each entry of a listing is one FUSE_READDIR */
    uint32_t flags;     /* of renameat2(2) */
    const char *path;   /* in the guest: of the name, or of the file if the operation has no name */
    const char *to;     /* of a rename; NULL: it is none */
    uint8_t fs[2];      /* of both: before() may send a name from FS_MAIN to FS_PRIVATE */
    const char *hidden; /* before() refused because of this one of the two */
    int result;         /* after(): 0 or a negative errno */
};

struct hook {
    uint64_t before_ops, after_ops; /* HOOK_OP() of each */
    bool redirects;                 /* uses FS_PRIVATE */
    /* 0, or the negative errno that the guest gets: then the operation is not done. */
    int (*before)(void *context, struct hook_op *op);
    /* It was done, failed, or (whatever after_ops says) a hook refused it. Not for FUSE_READDIR. */
    void (*after)(void *context, const struct hook_op *op);
    void *context;
};

struct hooks {
    uint64_t before_ops, after_ops;
    bool redirects;
    size_t count;
    struct hook items[HOOKS_MAX];
};

int hooks_add(struct hooks *hooks, const struct hook *hook); /* -ENOSPC */

/* In the order of adding, until one refuses. */
int hooks_before(const struct hooks *hooks, struct hook_op *op);
void hooks_after(const struct hooks *hooks, struct hook_op *op, int result, bool refused);

static inline bool hooks_want(const struct hooks *hooks, uint32_t code)
{
    return code < 64 && ((hooks->before_ops | hooks->after_ops) & HOOK_OP(code));
}

#endif
