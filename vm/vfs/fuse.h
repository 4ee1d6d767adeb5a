/*
 * A FUSE request while it is worked on, and what the files of operations (ops_*.c) share. The
 * protocol is that of linux/fuse.h; the kernel's is at least 7.31. A message that no kernel would
 * send (cut short, no NUL behind a name, sizes that don't fit) ends the mount's connection.
 */
#ifndef VMDECK_VM_VFS_FUSE_H
#define VMDECK_VM_VFS_FUSE_H

#include "vm/vfs/mount.h"

#define FUSE_MINOR_MIN 31u

/* A name that an operation is about, and where it belongs by the hooks (hook.h). */
struct name {
    const char *text; /* NULL: the operation has none */
    struct provider *fs;
    struct node *dir; /* of that file system: the one that was asked for, or `hidden` */
    struct node hidden;
    uint8_t index; /* FS_… */
};

struct call {
    struct mount *mount;
    const struct fuse_in_header *in;
    const uint8_t *argument; /* behind the header */
    size_t length;
    struct node *node;    /* of in->nodeid; a use */
    struct provider *fs;  /* of the node */
    struct name names[2]; /* in `node` and in `to` */
    struct node *to;      /* where a rename goes; a use */
    uint32_t flags;       /* of a rename */
    size_t at;            /* of the argument: behind the names */
    struct outbound *out; /* the reply, once there is one */
    size_t out_length;    /* of its payload behind fuse_out_header */
    uint8_t relayed;      /* flags of its frame (relay.h) */
    bool malformed;
    unsigned told_count;
    struct relay_attr told[2]; /* directories that it changed, for RELAY_TAKES_ATTR */
};

/* 0: out is the answer. Negative errno: that is the answer. CALL_SILENT: there is none. */
#define CALL_SILENT 1
typedef int call_run(struct call *call);

/* Room for `size` bytes of answer (8-aligned), zeroed up to 256; NULL without memory. */
void *call_reply(struct call *call, size_t size);
/* Answers with exactly these bytes. 0 or -ENOMEM. */
int call_answer(struct call *call, const void *data, size_t size);

/* The text behind `at` bytes of the argument; *at goes behind it. NULL: too long or malformed. */
const char *call_string(struct call *call, size_t *at, size_t max);
int call_malformed(struct call *call);

/* The name where its directory is. */
void name_in(struct mount *mount, struct node *dir, const char *name, struct name *out);
/* Where a lookup finds it. 0, or why it doesn't. */
int name_find(struct mount *mount, struct node *dir, const char *name, struct name *out);
/* Hidden or private: not shown as an entry of the host's directory. */
bool name_covered(struct mount *mount, struct node *dir, const char *name);
/* A directory's private entries: false if it has none. */
bool private_entries(struct mount *mount, const struct node *dir, struct node *hidden, bool make);

/* A lookup's answer that the kernel keeps: there is no such name. */
int call_absent(struct call *call);

/* Runs an operation between its hooks. */
int call_hooked(struct call *call, call_run *run);

/* The kernel is told of a file (and counts a lookup). 0 or -errno. */
int call_entry(struct call *call, struct node *dir, const char *name, uint8_t index,
               const struct found *found, struct fuse_entry_out *out, struct node **node);

/* A change of the node by the guest: between the two its stamp is not compared. */
void change_begin(struct mount *mount, struct node *node);
void change_end(struct mount *mount, struct node *node, const struct found *found);
/* The same, where the new stamp must be asked for. */
void change_done(struct mount *mount, struct node *node);
/* The same for a directory; its new attributes go with the answer. */
void change_told(struct call *call, struct node *dir);

call_run ops_lookup, ops_forget, ops_batch_forget, ops_getattr, ops_setattr, ops_readlink,
    ops_symlink, ops_mknod, ops_mkdir, ops_unlink, ops_rmdir, ops_rename, ops_link, ops_open,
    ops_create, ops_read, ops_write, ops_flush, ops_release, ops_fsync, ops_opendir, ops_readdir,
    ops_readdirplus, ops_releasedir, ops_fsyncdir, ops_statfs, ops_setxattr, ops_getxattr,
    ops_listxattr, ops_removexattr, ops_fallocate, ops_lseek, ops_copy, ops_access;

#endif
