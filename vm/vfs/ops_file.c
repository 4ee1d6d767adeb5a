/*
 * Open files. A handle belongs to one node; a request that names another is one that no kernel
 * sends. FOPEN_KEEP_CACHE lets the kernel keep the pages of an earlier opening unless somebody
 * changed the file meanwhile; FOPEN_NOFLUSH saves the round trip of close(2) where closing cannot
 * fail, which is everywhere but on a network's file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/vfs/hostfs.h"
#include "vm/vfs/ops.h"

#define FALLOCATE_MODES 0x13 /* KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE */

/* The handle, if it is this node's and of the right kind. */
static struct handle *own_handle(struct call *call, uint64_t id, bool directory, int *error)
{
    struct handle *handle = handle_get(call->mount, id);
    *error = -EBADF;
    if (handle == NULL)
        return NULL;
    if (handle->directory == directory && (call->node == NULL || handle->node == call->node)) {
        /* one that could not be opened again after a restore */
        bool lost = handle->fd < 0 && !call->mount->fs[handle->node->fs]->caches;
        *error = lost ? -ESTALE : 0;
        if (!lost)
            return handle;
    }
    handle_put(call->mount, handle);
    return NULL;
}

static uint32_t open_answer_flags(struct call *call, const struct handle *handle, bool keep)
{
    struct provider *fs = call->mount->fs[handle->node->fs];
    bool no_flush = fs->caches || hostfs_local(fs);
    return (keep ? (uint32_t)FOPEN_KEEP_CACHE : 0) | (no_flush ? (uint32_t)FOPEN_NOFLUSH : 0);
}

/* Opens the call's node; the caller gets a use of the handle. */
static int open_node(struct call *call, uint32_t flags, bool directory, struct handle **out)
{
    struct node *node = nodes_get(&call->mount->nodes, call->in->nodeid);
    if (node == NULL)
        return -ESTALE;
    struct handle *handle = handle_new(node, flags, directory);
    if (handle == NULL) {
        node_put(&call->mount->nodes, node);
        return -ENOMEM;
    }
    int rc = call->fs->ops->open(call->fs, node, handle);
    rc = rc < 0 ? rc : handle_add(call->mount, handle);
    if (rc < 0)
        handle_put(call->mount, handle);
    else
        *out = handle;
    return rc;
}

int ops_open(struct call *call)
{
    struct fuse_open_in in;
    struct handle *handle = NULL;
    struct found found;
    memcpy(&in, call->argument, sizeof in);
    bool writes = (in.flags & O_ACCMODE) != O_RDONLY || (in.flags & O_TRUNC);
    if (writes && call->mount->read_only)
        return -EROFS;
    if (call->fs->caches) { /* the kernel reads to fill pages, and places appended data itself */
        in.flags &= ~(uint32_t)O_APPEND;
    }
    bool truncates = (in.flags & O_TRUNC) != 0;
    if (truncates)
        change_begin(call->mount, call->node);
    int rc = open_node(call, in.flags, false, &handle);
    if (truncates)
        change_done(call->mount, call->node);
    if (rc < 0)
        return rc;
    bool foreign = !truncates && !call->fs->caches &&
                   call->fs->ops->getattr(call->fs, call->node, &found) == 0 &&
                   node_saw(call->mount, call->node, &found);
    struct fuse_open_out out = {.fh = handle->id,
                                .open_flags = open_answer_flags(call, handle, !foreign)};
    handle_put(call->mount, handle);
    return call_answer(call, &out, sizeof out);
}

static int create(struct call *call, const struct fuse_create_in *in, struct handle *handle,
                  struct fuse_entry_out *entry)
{
    const struct name *name = &call->names[0];
    struct provider *fs = name->fs;
    struct found found;
    struct make make = {
        .mode = S_IFREG | (in->mode & 07777), .uid = call->in->uid, .gid = call->in->gid};
    if (fs->caches)
        handle->flags &= ~(uint32_t)O_APPEND;
    change_begin(call->mount, call->node);
    int rc = fs->ops->create(fs, name->dir, name->text, &make, handle, &found);
    change_told(call, call->node);
    if (rc < 0)
        return rc;
    rc = call_entry(call, call->node, name->text, name->index, &found, entry, &handle->node);
    if (rc < 0)
        fs->ops->release(fs, handle);
    return rc;
}

int ops_create(struct call *call)
{
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out = {0};
    struct fuse_create_in in;
    memcpy(&in, call->argument, sizeof in);
    struct handle *handle = handle_new(NULL, in.flags, false);
    if (handle == NULL)
        return -ENOMEM;
    int rc = create(call, &in, handle, &out.entry);
    if (rc == 0) {
        rc = handle_add(call->mount, handle);
        if (rc < 0)
            nodes_forget(&call->mount->nodes, out.entry.nodeid, 1);
    }
    if (rc < 0) {
        handle_put(call->mount, handle);
        return rc;
    }
    out.open.fh = handle->id;
    out.open.open_flags = open_answer_flags(call, handle, true);
    handle_put(call->mount, handle);
    return call_answer(call, &out, sizeof out);
}

int ops_read(struct call *call)
{
    struct fuse_read_in in;
    int rc;
    memcpy(&in, call->argument, sizeof in);
    if (in.size > RELAY_DATA_MAX)
        return call_malformed(call);
    struct handle *handle = own_handle(call, in.fh, false, &rc);
    if (handle == NULL)
        return rc;
    void *data = call_reply(call, in.size);
    ssize_t n =
        data != NULL ? call->fs->ops->read(call->fs, handle, data, in.size, in.offset) : -ENOMEM;
    handle_put(call->mount, handle);
    if (n < 0)
        return (int)n;
    call->out_length = (size_t)n;
    return 0;
}

int ops_write(struct call *call)
{
    struct fuse_write_in in;
    int rc;
    memcpy(&in, call->argument, sizeof in);
    if (in.size > RELAY_DATA_MAX || in.size != call->length - sizeof in)
        return call_malformed(call);
    struct handle *handle = own_handle(call, in.fh, false, &rc);
    if (handle == NULL)
        return rc;
    change_begin(call->mount, call->node);
    ssize_t n = call->fs->ops->write(call->fs, handle, call->argument + sizeof in, in.size,
                                     in.offset, in.write_flags);
    change_done(call->mount, call->node);
    handle_put(call->mount, handle);
    if (n < 0)
        return (int)n;
    struct fuse_write_out out = {.size = (uint32_t)n};
    return call_answer(call, &out, sizeof out);
}

/* Errors of written data that close(2) reports: a network's file system has sent it by then. */
int ops_flush(struct call *call)
{
    struct fuse_flush_in in;
    int rc;
    if (call->mount->fs[FS_MAIN]->caches)
        return -ENOSYS; /* asked once only */
    memcpy(&in, call->argument, sizeof in);
    struct handle *handle = own_handle(call, in.fh, false, &rc);
    if (handle == NULL)
        return rc;
    int copy = handle->fd >= 0 ? dup(handle->fd) : -1;
    rc = copy >= 0 && close(copy) < 0 ? -errno : 0;
    handle_put(call->mount, handle);
    return rc < 0 ? rc : call_answer(call, NULL, 0);
}

int ops_release(struct call *call)
{
    struct fuse_release_in in;
    memcpy(&in, call->argument, sizeof in);
    handle_release(call->mount, in.fh);
    return call_answer(call, NULL, 0);
}

int ops_opendir(struct call *call)
{
    struct fuse_open_in in;
    struct handle *handle = NULL;
    memcpy(&in, call->argument, sizeof in);
    bool watched = dir_watched(call->mount, call->node);
    int rc = open_node(call, O_RDONLY | O_DIRECTORY, true, &handle);
    if (rc < 0)
        return rc;
    uint32_t cached = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
    struct fuse_open_out out = {.fh = handle->id, .open_flags = watched ? cached : 0};
    handle_put(call->mount, handle);
    return call_answer(call, &out, sizeof out);
}

int ops_releasedir(struct call *call)
{
    return ops_release(call);
}

static int sync_handle(struct call *call, bool directory)
{
    struct fuse_fsync_in in;
    int rc;
    memcpy(&in, call->argument, sizeof in);
    struct handle *handle = own_handle(call, in.fh, directory, &rc);
    if (handle == NULL)
        return rc;
    rc = call->fs->ops->fsync(call->fs, handle, (in.fsync_flags & FUSE_FSYNC_FDATASYNC) != 0);
    handle_put(call->mount, handle);
    return rc < 0 ? rc : call_answer(call, NULL, 0);
}

int ops_fsync(struct call *call)
{
    return sync_handle(call, false);
}

int ops_fsyncdir(struct call *call)
{
    return sync_handle(call, true);
}

int ops_fallocate(struct call *call)
{
    struct fuse_fallocate_in in;
    int rc;
    memcpy(&in, call->argument, sizeof in);
    if (in.mode & ~(uint32_t)FALLOCATE_MODES)
        return -EOPNOTSUPP;
    struct handle *handle = own_handle(call, in.fh, false, &rc);
    if (handle == NULL)
        return rc;
    change_begin(call->mount, call->node);
    rc = call->fs->ops->fallocate(call->fs, handle, (int)in.mode, in.offset, in.length);
    change_done(call->mount, call->node);
    handle_put(call->mount, handle);
    return rc < 0 ? rc : call_answer(call, NULL, 0);
}

int ops_lseek(struct call *call)
{
    struct fuse_lseek_in in;
    int rc;
    memcpy(&in, call->argument, sizeof in);
    struct handle *handle = own_handle(call, in.fh, false, &rc);
    if (handle == NULL)
        return rc;
    int64_t at = in.offset <= INT64_MAX
                     ? call->fs->ops->seek(call->fs, handle, in.offset, (int)in.whence)
                     : -EINVAL;
    handle_put(call->mount, handle);
    if (at < 0)
        return (int)at;
    struct fuse_lseek_out out = {.offset = (uint64_t)at};
    return call_answer(call, &out, sizeof out);
}

static int copy(struct call *call, const struct fuse_copy_file_range_in *in, struct handle *from,
                struct node *target)
{
    struct handle *to = handle_get(call->mount, in->fh_out);
    ssize_t n = -EBADF;
    if (to != NULL && to->node == target && !to->directory && to->fd >= 0) {
        change_begin(call->mount, target);
        n = call->fs->ops->copy(call->fs, from, in->off_in, to, in->off_out,
                                in->len < INT32_MAX ? (size_t)in->len : INT32_MAX);
        change_done(call->mount, target);
    }
    handle_put(call->mount, to);
    if (n < 0)
        return (int)n;
    struct fuse_write_out out = {.size = (uint32_t)n};
    return call_answer(call, &out, sizeof out);
}

int ops_copy(struct call *call)
{
    struct fuse_copy_file_range_in in;
    int rc;
    memcpy(&in, call->argument, sizeof in);
    if (call->fs->ops->copy == NULL || in.off_in > INT64_MAX || in.off_out > INT64_MAX)
        return -EOPNOTSUPP; /* the kernel copies through its cache */
    struct node *target = nodes_get(&call->mount->nodes, in.nodeid_out);
    struct handle *from = own_handle(call, in.fh_in, false, &rc);
    if (from != NULL)
        rc = target == NULL                 ? -ESTALE
             : target->fs != call->node->fs ? -EXDEV
                                            : copy(call, &in, from, target);
    handle_put(call->mount, from);
    node_put(&call->mount->nodes, target);
    return rc;
}
