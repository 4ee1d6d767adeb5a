/*
 * Where a name belongs: to what is mounted, to the mount's private files, or nowhere. The hooks
 * (hook.h) say it; without any that want the operation a name belongs where its directory does. A
 * host directory's private entries lie in a directory of the private file system that is named
 * after the host directory's key. What is in a private directory stays there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vm/vfs/fuse.h"
#include "vm/vfs/memfs.h"

#define GUEST_PATH_MAX (RELAY_PATH_MAX + PATH_MAX + NODE_NAME_MAX + 2)

/* The path in the guest of a name, or (NULL) of the node itself. */
static int guest_path(struct mount *mount, const struct node *node, const char *name,
                      char path[GUEST_PATH_MAX])
{
    char below[PATH_MAX];
    int rc = nodes_path(&mount->nodes, node, below, sizeof below);
    if (rc == 0)
        snprintf(path, GUEST_PATH_MAX, "%s%s%s%s%s", mount->guest, below[0] != '\0' ? "/" : "",
                 below, name != NULL ? "/" : "", name != NULL ? name : "");
    return rc;
}

bool private_entries(struct mount *mount, const struct node *dir, struct node *hidden, bool make)
{
    struct provider *fs = mount->fs[FS_PRIVATE];
    if (fs == NULL || dir->fs != FS_MAIN)
        return false;
    char name[64];
    snprintf(name, sizeof name, "%" PRIx32 "-%" PRIx64 "-%" PRIx64, dir->key.device, dir->key.inode,
             dir->key.birth);
    *hidden = (struct node){.fs = FS_PRIVATE, .directory = true, .watch = -1, .cached = -1};
    hidden->key.inode = memfs_directory(fs, name, make);
    return hidden->key.inode != 0;
}

void name_in(struct mount *mount, struct node *dir, const char *name, struct name *out)
{
    out->text = name;
    out->dir = dir;
    out->index = dir->fs;
    out->fs = mount->fs[dir->fs];
}

/* As a hook has said. */
static int redirect(struct mount *mount, struct name *name, uint8_t fs, bool make)
{
    if (fs == name->index)
        return 0;
    if (!private_entries(mount, name->dir, &name->hidden, make))
        return make ? -ENOSPC : -ENOENT;
    name->dir = &name->hidden;
    name->index = FS_PRIVATE;
    name->fs = mount->fs[FS_PRIVATE];
    return 0;
}

/* What hooks decide about one name, without its operation. */
static int judge(struct mount *mount, uint32_t code, struct node *dir, const char *name,
                 uint8_t *fs)
{
    char path[GUEST_PATH_MAX];
    int rc = guest_path(mount, dir, name, path);
    struct hook_op op = {.code = code, .path = path, .fs = {dir->fs}};
    if (rc == 0)
        rc = hooks_before(mount->hooks, &op);
    *fs = op.fs[0];
    return rc;
}

int name_find(struct mount *mount, struct node *dir, const char *name, struct name *out)
{
    uint8_t fs = dir->fs;
    name_in(mount, dir, name, out);
    int rc = hooks_want(mount->hooks, FUSE_LOOKUP) ? judge(mount, FUSE_LOOKUP, dir, name, &fs) : 0;
    return rc < 0 ? rc : redirect(mount, out, fs, false);
}

bool name_covered(struct mount *mount, struct node *dir, const char *name)
{
    uint8_t fs;
    return hooks_want(mount->hooks, FUSE_READDIR) &&
           (judge(mount, FUSE_READDIR, dir, name, &fs) < 0 || fs != dir->fs);
}

int call_hooked(struct call *call, call_run *run)
{
    char path[GUEST_PATH_MAX], to[GUEST_PATH_MAX];
    struct mount *mount = call->mount;
    struct hook_op op = {.code = call->in->opcode, .path = path, .flags = call->flags};
    struct name *names = call->names;
    int rc = call->node != NULL ? guest_path(mount, call->node, names[0].text, path) : -ESTALE;
    op.fs[0] = names[0].index;
    if (rc == 0 && call->to != NULL) {
        op.to = to;
        op.fs[1] = names[1].index;
        rc = guest_path(mount, call->to, names[1].text, to);
    }
    if (rc < 0) /* nothing that has lost its name is found below it, but what is open is used */
        return names[0].text == NULL ? run(call) : op.code == FUSE_LOOKUP ? -ENOENT : rc;
    rc = hooks_before(mount->hooks, &op);
    bool refused = rc < 0;
    if (rc == 0 && names[0].text != NULL)
        rc = redirect(mount, &names[0], op.fs[0], (HOOK_OP(op.code) & HOOK_MAKES) != 0);
    if (rc == 0 && op.to != NULL)
        rc = redirect(mount, &names[1], op.fs[1], true);
    bool done = rc == 0;
    if (done)
        rc = run(call);
    hooks_after(mount->hooks, &op, rc < 0 ? rc : 0, refused);
    return !done && rc == -ENOENT && op.code == FUSE_LOOKUP ? call_absent(call) : rc;
}
