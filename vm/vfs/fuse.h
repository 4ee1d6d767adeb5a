/*
 * A FUSE request while it is worked on, and what the files of operations (ops_*.c) share. The
 * protocol is that of linux/fuse.h; the kernel's is at least 7.31. A message that no kernel would
 * send (cut short, no NUL behind a name, sizes that don't fit) ends the mount's connection.
 */
#ifndef VMDECK_VM_VFS_FUSE_H
#define VMDECK_VM_VFS_FUSE_H

#include "vm/vfs/mount.h"

#define FUSE_MINOR_MIN 31u

struct call {
    struct mount *mount;
    const struct fuse_in_header *in;
    const uint8_t *argument; /* behind the header */
    size_t length;
    struct node *node;    /* of in->nodeid; a use */
    struct provider *fs;  /* of the node */
    struct outbound *out; /* the reply, once there is one */
    size_t out_length;    /* of its payload behind fuse_out_header */
    bool malformed;
};

/* 0: out is the answer. Negative errno: that is the answer. CALL_SILENT: there is none. */
#define CALL_SILENT 1
typedef int call_run(struct call *call);

/* Room for `size` bytes of answer (8-aligned), zeroed up to 256; NULL without memory. */
void *call_reply(struct call *call, size_t size);
/* Answers with exactly these bytes. 0 or -ENOMEM. */
int call_answer(struct call *call, const void *data, size_t size);

/* The next name behind `at` bytes of the argument, checked; *at goes behind it. NULL: too long, or
 * malformed; call_no_name() is the answer then. */
const char *call_name(struct call *call, size_t *at);
int call_no_name(const struct call *call);
const char *call_string(struct call *call, size_t *at, size_t max); /* any text with a NUL */
int call_malformed(struct call *call);

/* Which file system a name of the call's directory belongs to, by the shadow rules. */
enum intent { INTENT_FIND, INTENT_MAKE, INTENT_REMOVE };
struct place_of_name {
    struct provider *fs;
    struct node *dir; /* of that file system: the call's, or `hidden` */
    struct node hidden;
    uint8_t index;
};
int route_name(struct mount *mount, struct node *dir, const char *name, enum intent intent,
               struct place_of_name *place);
/* A directory's private entries: false if it has none. */
bool route_private(struct mount *mount, const struct node *dir, struct node *hidden, bool make);
/* Hidden or private: not shown as an entry of the host's directory. */
bool route_covers(struct mount *mount, struct node *dir, const char *name);
bool route_may_move(struct mount *mount, struct node *from, const char *name, struct node *to,
                    const char *new_name);

/* The kernel is told of a file (and counts a lookup). 0 or -errno. */
int call_entry(struct call *call, struct node *dir, const char *name, uint8_t index,
               const struct found *found, struct fuse_entry_out *out, struct node **node);

/* A change of the node by the guest: between the two its stamp is not compared. */
void change_begin(struct mount *mount, struct node *node);
void change_end(struct mount *mount, struct node *node, const struct found *found);
/* The same, where the new stamp must be asked for. */
void change_done(struct mount *mount, struct node *node);

call_run ops_lookup, ops_forget, ops_batch_forget, ops_getattr, ops_setattr, ops_readlink,
    ops_symlink, ops_mknod, ops_mkdir, ops_unlink, ops_rmdir, ops_rename, ops_rename2, ops_link,
    ops_open, ops_create, ops_read, ops_write, ops_flush, ops_release, ops_fsync, ops_opendir,
    ops_readdir, ops_readdirplus, ops_releasedir, ops_fsyncdir, ops_statfs, ops_setxattr,
    ops_getxattr, ops_listxattr, ops_removexattr, ops_fallocate, ops_lseek, ops_copy, ops_access;

#endif
