/*
 * Attributes, and how long the kernel may believe them: as long as changes are reported. Each time
 * a file is looked at here, its stamp is compared with the one that the guest was told; if it is
 * another and no request of the guest's was the cause, somebody on the host changed the file, and
 * the guest's pages of it are taken back, whether or not inotify has said so.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/vfs/fuse.h"
#include "vm/vfs/hostfs.h"
#include "vm/vfs/notify.h"
#include "vm/vfs/ops.h"

void change_begin(struct mount *mount, struct node *node)
{
    pthread_mutex_lock(&mount->nodes.lock);
    node->busy++;
    pthread_mutex_unlock(&mount->nodes.lock);
}

void change_end(struct mount *mount, struct node *node, const struct found *found)
{
    pthread_mutex_lock(&mount->nodes.lock);
    node->busy--;
    if (found != NULL)
        node->stamp = found->stamp;
    pthread_mutex_unlock(&mount->nodes.lock);
}

void change_done(struct mount *mount, struct node *node)
{
    struct provider *fs = mount->fs[node->fs];
    struct found found;
    bool known = !fs->caches && fs->ops->getattr(fs, node, &found) == 0;
    change_end(mount, node, known ? &found : NULL);
}

void change_told(struct call *call, struct node *dir)
{
    struct provider *fs = call->mount->fs[dir->fs];
    struct found found;
    bool wanted = (call->relayed & RELAY_TAKES_ATTR) != 0;
    bool known = (wanted || !fs->caches) && fs->ops->getattr(fs, dir, &found) == 0;
    change_end(call->mount, dir, known && !fs->caches ? &found : NULL);
    if (known && wanted)
        call->told[call->told_count++] =
            (struct relay_attr){dir->id, {.attr_valid_nsec = VALID_SHORT_NS, .attr = found.attr}};
}

bool node_saw(struct mount *mount, struct node *node, const struct found *found)
{
    pthread_mutex_lock(&mount->nodes.lock);
    bool foreign = node->stamp != 0 && node->stamp != found->stamp && node->busy == 0;
    if (node->busy == 0)
        node->stamp = found->stamp;
    node->shared = !node->directory && found->attr.nlink > 1;
    pthread_mutex_unlock(&mount->nodes.lock);
    if (foreign)
        notify_inode(mount, node);
    return foreign;
}

bool dir_watched(struct mount *mount, struct node *dir)
{
    struct provider *fs = mount->fs[dir->fs];
    if (fs->caches)
        return true;
    return hostfs_local(fs) && (dir->watch >= 0 || notifier_watch(mount->notifier, mount, dir));
}

/* What is known of the node's attributes is reported when it changes. */
static bool attr_watched(struct mount *mount, struct node *node)
{
    if (mount->fs[node->fs]->caches)
        return true;
    if (node->directory)
        return dir_watched(mount, node);
    pthread_mutex_lock(&mount->nodes.lock);
    bool watched = node->parent != NULL && node->parent->watch >= 0 && !node->shared;
    pthread_mutex_unlock(&mount->nodes.lock);
    return watched;
}

static void set_valid(bool watched, uint64_t *seconds, uint32_t *nanoseconds)
{
    *seconds = watched ? VALID_WATCHED : 0;
    *nanoseconds = watched ? 0 : VALID_SHORT_NS;
}

int call_entry(struct call *call, struct node *dir, const char *name, uint8_t index,
               const struct found *found, struct fuse_entry_out *out, struct node **entered)
{
    struct mount *mount = call->mount;
    unsigned long changes = atomic_load(&mount->changes);
    struct found now = *found;
    struct node *node;
    int rc = nodes_enter(&mount->nodes, dir, name, index, found, 1, &node);
    if (rc < 0)
        return rc;
    struct provider *fs = mount->fs[index];
    if (node->directory && node->watch < 0 && attr_watched(mount, node) && !fs->caches &&
        fs->ops->getattr(fs, node, &now) < 0) /* from before the watch it could be old */
        now = *found;
    node_saw(mount, node, &now);
    bool quiet = changes == atomic_load(&mount->changes);
    *out = (struct fuse_entry_out){.nodeid = node->id, .attr = now.attr};
    set_valid(quiet && (index != dir->fs || dir_watched(mount, dir)), &out->entry_valid,
              &out->entry_valid_nsec);
    set_valid(quiet && attr_watched(mount, node), &out->attr_valid, &out->attr_valid_nsec);
    if (entered != NULL)
        *entered = node;
    else
        node_put(&mount->nodes, node);
    return 0;
}

int ops_getattr(struct call *call)
{
    struct found found;
    unsigned long changes = atomic_load(&call->mount->changes);
    bool watched = attr_watched(call->mount, call->node); /* before it is looked at */
    int rc = call->fs->ops->getattr(call->fs, call->node, &found);
    if (rc < 0)
        return rc;
    node_saw(call->mount, call->node, &found);
    struct fuse_attr_out out = {.attr = found.attr};
    set_valid(watched && changes == atomic_load(&call->mount->changes), &out.attr_valid,
              &out.attr_valid_nsec);
    return call_answer(call, &out, sizeof out);
}

int ops_setattr(struct call *call)
{
    struct fuse_setattr_in in;
    struct found found;
    struct fuse_attr_out out = {0};
    memcpy(&in, call->argument, sizeof in);
    struct handle *handle = in.valid & FATTR_FH ? handle_get(call->mount, in.fh) : NULL;
    if (handle != NULL && handle->node != call->node) {
        handle_put(call->mount, handle);
        return call_malformed(call);
    }
    change_begin(call->mount, call->node);
    int rc = call->fs->ops->setattr(call->fs, call->node, handle, &in, &found);
    change_end(call->mount, call->node, rc == 0 ? &found : NULL);
    handle_put(call->mount, handle);
    if (rc < 0)
        return rc;
    out.attr = found.attr;
    set_valid(attr_watched(call->mount, call->node), &out.attr_valid, &out.attr_valid_nsec);
    return call_answer(call, &out, sizeof out);
}

/* default_permissions: the kernel asks only when it has been told not to judge itself. */
int ops_access(struct call *call)
{
    (void)call;
    return -ENOSYS;
}

int ops_statfs(struct call *call)
{
    struct fuse_statfs_out out = {0};
    int rc = call->fs->ops->statfs(call->fs, &out.st);
    return rc < 0 ? rc : call_answer(call, &out, sizeof out);
}

int ops_setxattr(struct call *call)
{
    struct fuse_setxattr_in in = {0};
    memcpy(&in, call->argument, FUSE_COMPAT_SETXATTR_IN_SIZE);
    size_t at = FUSE_COMPAT_SETXATTR_IN_SIZE;
    const char *name = call_string(call, &at, NODE_NAME_MAX);
    if (name == NULL || call->length - at != in.size || in.size > OPS_XATTR_MAX)
        return call_malformed(call);
    change_begin(call->mount, call->node);
    int rc = call->fs->ops->setxattr(call->fs, call->node, name, call->argument + at, in.size,
                                     (int)(in.flags & 3));
    change_done(call->mount, call->node);
    return rc < 0 ? rc : call_answer(call, NULL, 0);
}

/* The answer is the value, or with size 0 its length. */
static int answer_xattr(struct call *call, const char *name, uint32_t size)
{
    size = size < OPS_XATTR_MAX ? size : OPS_XATTR_MAX;
    void *value = size > 0 ? call_reply(call, size) : NULL;
    if (size > 0 && value == NULL)
        return -ENOMEM;
    ssize_t length = name != NULL ? call->fs->ops->getxattr(call->fs, call->node, name, value, size)
                                  : call->fs->ops->listxattr(call->fs, call->node, value, size);
    if (length < 0)
        return (int)length;
    if (size > 0) {
        call->out_length = (size_t)length;
        return 0;
    }
    struct fuse_getxattr_out out = {.size = (uint32_t)length};
    return call_answer(call, &out, sizeof out);
}

int ops_getxattr(struct call *call)
{
    struct fuse_getxattr_in in;
    memcpy(&in, call->argument, sizeof in);
    size_t at = sizeof in;
    const char *name = call_string(call, &at, NODE_NAME_MAX);
    return name != NULL ? answer_xattr(call, name, in.size) : call_malformed(call);
}

int ops_listxattr(struct call *call)
{
    struct fuse_getxattr_in in;
    memcpy(&in, call->argument, sizeof in);
    return answer_xattr(call, NULL, in.size);
}

int ops_removexattr(struct call *call)
{
    size_t at = 0;
    const char *name = call_string(call, &at, NODE_NAME_MAX);
    if (name == NULL)
        return call_malformed(call);
    change_begin(call->mount, call->node);
    int rc = call->fs->ops->removexattr(call->fs, call->node, name);
    change_done(call->mount, call->node);
    return rc < 0 ? rc : call_answer(call, NULL, 0);
}
