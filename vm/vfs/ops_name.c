/*
 * Names: each goes where the shadow rules send it (route_name()), then to that provider. Host
 * directories are watched before they are looked into, or a change between the two would be lost.
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/vfs/memfs.h"
#include "vm/vfs/notify.h"
#include "vm/vfs/ops.h"

static int answer_entry(struct call *call, const char *name, uint8_t index,
                        const struct found *found)
{
    struct fuse_entry_out out;
    int rc = call_entry(call, call->node, name, index, found, &out, NULL);
    return rc < 0 ? rc : call_answer(call, &out, sizeof out);
}

int ops_lookup(struct call *call)
{
    struct place_of_name place;
    struct found found;
    size_t at = 0;
    const char *name = call_name(call, &at);
    if (name == NULL)
        return call_no_name(call);
    unsigned long changes = atomic_load(&call->mount->changes);
    bool watched = dir_watched(call->mount, call->node);
    int rc = route_name(call->mount, call->node, name, INTENT_FIND, &place);
    if (rc == 0)
        rc = place.fs->ops->lookup(place.fs, place.dir, name, &found);
    if (rc == 0)
        return answer_entry(call, name, place.index, &found);
    if (rc != -ENOENT || !watched || changes != atomic_load(&call->mount->changes))
        return rc;
    struct fuse_entry_out none = {.entry_valid = VALID_NEGATIVE};
    return call_answer(call, &none, sizeof none);
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

static int make(struct call *call, const char *name, const struct make *make)
{
    struct place_of_name place;
    struct found found;
    int rc = route_name(call->mount, call->node, name, INTENT_MAKE, &place);
    if (rc < 0)
        return rc;
    change_begin(call->mount, call->node);
    rc = place.fs->ops->make(place.fs, place.dir, name, make, &found);
    change_done(call->mount, call->node);
    return rc < 0 ? rc : answer_entry(call, name, place.index, &found);
}

int ops_symlink(struct call *call)
{
    size_t at = 0;
    const char *name = call_name(call, &at);
    const char *target = name != NULL ? call_string(call, &at, PATH_MAX - 1) : NULL;
    if (target == NULL || target[0] == '\0')
        return target != NULL ? -ENOENT : call_no_name(call);
    struct make what = {
        .mode = S_IFLNK | 0777, .target = target, .uid = call->in->uid, .gid = call->in->gid};
    return make(call, name, &what);
}

int ops_mknod(struct call *call)
{
    struct fuse_mknod_in in;
    memcpy(&in, call->argument, sizeof in);
    size_t at = sizeof in;
    const char *name = call_name(call, &at);
    if (name == NULL)
        return call_no_name(call);
    if (S_ISDIR(in.mode) || S_ISLNK(in.mode))
        return call_malformed(call);
    struct make what = {
        .mode = in.mode, .rdev = in.rdev, .uid = call->in->uid, .gid = call->in->gid};
    return make(call, name, &what);
}

int ops_mkdir(struct call *call)
{
    struct fuse_mkdir_in in;
    memcpy(&in, call->argument, sizeof in);
    size_t at = sizeof in;
    const char *name = call_name(call, &at);
    if (name == NULL)
        return call_no_name(call);
    struct make what = {
        .mode = S_IFDIR | (in.mode & 07777), .uid = call->in->uid, .gid = call->in->gid};
    return make(call, name, &what);
}

/* A host directory whose private entries are left is not empty. */
static int private_left(struct call *call, const char *name)
{
    struct node *node = nodes_child(&call->mount->nodes, call->node, name);
    struct node hidden;
    bool left = node != NULL && route_private(call->mount, node, &hidden, false) &&
                !memfs_is_empty(call->mount->fs[FS_PRIVATE], hidden.key.inode);
    node_put(&call->mount->nodes, node);
    return left ? -ENOTEMPTY : 0;
}

static int remove_name(struct call *call, bool directory)
{
    struct place_of_name place;
    size_t at = 0;
    const char *name = call_name(call, &at);
    if (name == NULL)
        return call_no_name(call);
    int rc = route_name(call->mount, call->node, name, INTENT_REMOVE, &place);
    if (rc == 0 && directory && place.index == FS_MAIN)
        rc = private_left(call, name);
    if (rc < 0)
        return rc;
    change_begin(call->mount, call->node);
    rc = place.fs->ops->remove(place.fs, place.dir, name, directory);
    if (rc == 0)
        nodes_unname(&call->mount->nodes, call->node, name);
    change_done(call->mount, call->node);
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

static int move(struct call *call, struct node *to, const char *name, const char *new_name,
                uint32_t flags)
{
    struct mount *mount = call->mount;
    struct place_of_name from_place, to_place;
    bool exchange = (flags & RENAME_EXCHANGE) != 0;
    int rc =
        route_name(mount, call->node, name, exchange ? INTENT_MAKE : INTENT_REMOVE, &from_place);
    rc = rc < 0 ? rc : route_name(mount, to, new_name, INTENT_MAKE, &to_place);
    if (rc < 0)
        return rc;
    /* mv(1) copies then, and what is hidden stays where it is */
    if (from_place.fs != to_place.fs)
        return -EXDEV;
    if (from_place.index == FS_MAIN &&
        (!route_may_move(mount, call->node, name, to, new_name) ||
         (exchange && !route_may_move(mount, to, new_name, call->node, name))))
        return -EXDEV;
    change_begin(mount, call->node);
    change_begin(mount, to);
    rc = from_place.fs->ops->rename(from_place.fs, from_place.dir, name, to_place.dir, new_name,
                                    flags);
    if (rc == 0)
        nodes_rename(&mount->nodes, call->node, name, to, new_name, exchange);
    change_done(mount, to);
    change_done(mount, call->node);
    return rc < 0 ? rc : call_answer(call, NULL, 0);
}

static int rename_names(struct call *call, uint64_t directory, uint32_t flags, size_t at)
{
    const char *name = call_name(call, &at);
    const char *new_name = name != NULL ? call_name(call, &at) : NULL;
    if (new_name == NULL)
        return call_no_name(call);
    if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    struct node *to = nodes_get(&call->mount->nodes, directory);
    if (to == NULL)
        return -ESTALE;
    int rc = move(call, to, name, new_name, flags);
    node_put(&call->mount->nodes, to);
    return rc;
}

int ops_rename(struct call *call)
{
    struct fuse_rename_in in;
    memcpy(&in, call->argument, sizeof in);
    return rename_names(call, in.newdir, 0, sizeof in);
}

int ops_rename2(struct call *call)
{
    struct fuse_rename2_in in;
    memcpy(&in, call->argument, sizeof in);
    return rename_names(call, in.newdir, in.flags, sizeof in);
}

int ops_link(struct call *call)
{
    struct fuse_link_in in;
    struct place_of_name place;
    struct found found;
    memcpy(&in, call->argument, sizeof in);
    size_t at = sizeof in;
    const char *name = call_name(call, &at);
    if (name == NULL)
        return call_no_name(call);
    struct node *node = nodes_get(&call->mount->nodes, in.oldnodeid);
    if (node == NULL)
        return -ESTALE;
    int rc = route_name(call->mount, call->node, name, INTENT_MAKE, &place);
    if (rc == 0 && place.index != node->fs)
        rc = -EXDEV;
    if (rc == 0) {
        change_begin(call->mount, call->node);
        change_begin(call->mount, node);
        rc = place.fs->ops->link(place.fs, node, place.dir, name, &found);
        change_end(call->mount, node, rc == 0 ? &found : NULL);
        change_done(call->mount, call->node);
    }
    node_put(&call->mount->nodes, node);
    return rc < 0 ? rc : answer_entry(call, name, place.index, &found);
}
