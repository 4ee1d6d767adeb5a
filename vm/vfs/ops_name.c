/*
 * Names: each goes to the provider that its call says (names.c). Host
 * directories are watched before they are looked into, or a change between the two would be lost.
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/vfs/memfs.h"
#include "vm/vfs/notify.h"
#include "vm/vfs/ops.h"

static int answer_entry(struct call *call, const struct found *found)
{
    struct fuse_entry_out out;
    const struct name *name = &call->names[0];
    int rc = call_entry(call, call->node, name->text, name->index, found, &out, NULL);
    return rc < 0 ? rc : call_answer(call, &out, sizeof out);
}

int call_absent(struct call *call)
{
    struct fuse_entry_out none = {.entry_valid = VALID_NEGATIVE};
    return call_answer(call, &none, sizeof none);
}

int ops_lookup(struct call *call)
{
    const struct name *name = &call->names[0];
    struct found found;
    unsigned long changes = atomic_load(&call->mount->changes);
    bool watched = dir_watched(call->mount, call->node);
    int rc = name->fs->ops->lookup(name->fs, name->dir, name->text, &found);
    if (rc == 0)
        return answer_entry(call, &found);
    if (rc != -ENOENT || !watched || changes != atomic_load(&call->mount->changes))
        return rc;
    return call_absent(call);
}

int ops_forget(struct call *call)
{
    struct fuse_forget_in in;
    memcpy(&in, call->argument, sizeof in);
    if (call->in->nodeid != FUSE_ROOT_ID)
        nodes_forget(&call->mount->nodes, call->in->nodeid, in.nlookup);
    return CALL_SILENT;
}

int ops_batch_forget(struct call *call)
{
    struct fuse_batch_forget_in in;
    memcpy(&in, call->argument, sizeof in);
    if (in.count > (call->length - sizeof in) / sizeof(struct fuse_forget_one))
        return call_malformed(call);
    for (uint32_t i = 0; i < in.count; i++) {
        struct fuse_forget_one one;
        memcpy(&one, call->argument + sizeof in + i * sizeof one, sizeof one);
        if (one.nodeid != FUSE_ROOT_ID)
            nodes_forget(&call->mount->nodes, one.nodeid, one.nlookup);
    }
    return CALL_SILENT;
}

int ops_readlink(struct call *call)
{
    char *target = call_reply(call, PATH_MAX);
    if (target == NULL)
        return -ENOMEM;
    ssize_t length = call->fs->ops->readlink(call->fs, call->node, target, PATH_MAX - 1);
    if (length < 0)
        return (int)length;
    call->out_length = (size_t)length;
    return 0;
}

static int make(struct call *call, uint32_t mode, uint32_t rdev, const char *target)
{
    const struct name *name = &call->names[0];
    struct make make = {mode, rdev, target, call->in->uid, call->in->gid};
    struct found found;
    change_begin(call->mount, call->node);
    int rc = name->fs->ops->make(name->fs, name->dir, name->text, &make, &found);
    change_told(call, call->node);
    return rc < 0 ? rc : answer_entry(call, &found);
}

int ops_symlink(struct call *call)
{
    const char *target = call_string(call, &call->at, PATH_MAX - 1);
    if (target == NULL || target[0] == '\0')
        return target != NULL ? -ENOENT : -EINVAL;
    return make(call, S_IFLNK | 0777, 0, target);
}

int ops_mknod(struct call *call)
{
    struct fuse_mknod_in in;
    memcpy(&in, call->argument, sizeof in);
    if (S_ISDIR(in.mode) || S_ISLNK(in.mode))
        return call_malformed(call);
    return make(call, in.mode, in.rdev, NULL);
}

int ops_mkdir(struct call *call)
{
    struct fuse_mkdir_in in;
    memcpy(&in, call->argument, sizeof in);
    return make(call, S_IFDIR | (in.mode & 07777), 0, NULL);
}

/* A host directory whose private entries are left is not empty. */
static int private_left(struct call *call, const char *name)
{
    struct node *node = nodes_child(&call->mount->nodes, call->node, name);
    struct node hidden;
    bool left = node != NULL && private_entries(call->mount, node, &hidden, false) &&
                !memfs_is_empty(call->mount->fs[FS_PRIVATE], hidden.key.inode);
    node_put(&call->mount->nodes, node);
    return left ? -ENOTEMPTY : 0;
}

static int remove_name(struct call *call, bool directory)
{
    const struct name *name = &call->names[0];
    int rc = directory && name->index == FS_MAIN ? private_left(call, name->text) : 0;
    if (rc < 0)
        return rc;
    change_begin(call->mount, call->node);
    rc = name->fs->ops->remove(name->fs, name->dir, name->text, directory);
    if (rc == 0)
        nodes_unname(&call->mount->nodes, call->node, name->text);
    change_told(call, call->node);
    return rc < 0 ? rc : call_answer(call, NULL, 0);
}

int ops_unlink(struct call *call)
{
    return remove_name(call, false);
}

int ops_rmdir(struct call *call)
{
    return remove_name(call, true);
}

int ops_rename(struct call *call)
{
    struct mount *mount = call->mount;
    const struct name *from = &call->names[0], *to = &call->names[1];
    bool exchange = (call->flags & RENAME_EXCHANGE) != 0;
    if (call->flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    if (from->fs != to->fs) /* mv(1) copies then */
        return -EXDEV;
    change_begin(mount, call->node);
    change_begin(mount, call->to);
    int rc = from->fs->ops->rename(from->fs, from->dir, from->text, to->dir, to->text, call->flags);
    if (rc == 0)
        nodes_rename(&mount->nodes, call->node, from->text, call->to, to->text, exchange);
    change_told(call, call->to);
    change_told(call, call->node);
    return rc < 0 ? rc : call_answer(call, NULL, 0);
}

int ops_link(struct call *call)
{
    struct fuse_link_in in;
    const struct name *name = &call->names[0];
    struct found found;
    memcpy(&in, call->argument, sizeof in);
    struct node *node = nodes_get(&call->mount->nodes, in.oldnodeid);
    if (node == NULL)
        return -ESTALE;
    int rc = name->index != node->fs ? -EXDEV : 0;
    if (rc == 0) {
        change_begin(call->mount, call->node);
        change_begin(call->mount, node);
        rc = name->fs->ops->link(name->fs, node, name->dir, name->text, &found);
        change_end(call->mount, node, rc == 0 ? &found : NULL);
        change_told(call, call->node);
    }
    node_put(&call->mount->nodes, node);
    return rc < 0 ? rc : answer_entry(call, &found);
}
