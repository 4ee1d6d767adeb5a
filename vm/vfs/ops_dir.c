/*
 * Listing directories. The reply is filled by the provider first and then, for READDIRPLUS, each
 * record gets what a lookup of its name says; a name that is gone by then is passed on as a plain
 * one. Private entries come behind the host's; their offsets are negative, which no file system
 * of the host uses.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/vfs/ops.h"

#define PRIVATE_OFFSET (1ull << 63)
#define LISTING_MAX    65536u

struct list {
    struct call *call;
    struct node *dir;
    uint8_t *data;
    size_t size, used;
    bool plus, private, full;
};

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool add_entry(void *context, const char *name, uint64_t inode, uint32_t type, uint64_t next)
{
    struct list *list = context;
    size_t length = strlen(name);
    size_t head = list->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
    size_t size = FUSE_DIRENT_ALIGN(head + length);
    if (list->private && is_dots(name))
        return true;
    if (!list->private && !is_dots(name) && name_covered(list->call->mount, list->dir, name))
        return true;
    if (length > NODE_NAME_MAX)
        return true;
    if (list->used + size > list->size) {
        list->full = true;
        return false;
    }
    uint8_t *at = list->data + list->used;
    memset(at, 0, size);
    struct fuse_dirent entry = {.ino = inode,
                                .off = list->private ? next | PRIVATE_OFFSET : next,
                                .namelen = (uint32_t)length,
                                .type = type};
    memcpy(at + head - FUSE_NAME_OFFSET, &entry, FUSE_NAME_OFFSET);
    memcpy(at + head, name, length);
    list->used += size;
    return true;
}

static int list_private(struct list *list, uint64_t offset)
{
    struct node hidden;
    struct provider *fs = list->call->mount->fs[FS_PRIVATE];
    if (!private_entries(list->call->mount, list->dir, &hidden, false))
        return 0;
    struct handle stand_in = {.node = &hidden, .fd = -1, .directory = true};
    list->private = true;
    return fs->ops->readdir(fs, &stand_in, offset, add_entry, list);
}

static int list_entries(struct list *list, struct handle *handle, uint64_t offset)
{
    struct call *call = list->call;
    int rc = 0;
    if (!(offset & PRIVATE_OFFSET)) {
        pthread_mutex_lock(&handle->lock);
        rc = call->fs->ops->readdir(call->fs, handle, offset, add_entry, list);
        pthread_mutex_unlock(&handle->lock);
    }
    if (rc == 0 && !list->full)
        rc = list_private(list, offset & PRIVATE_OFFSET ? offset & ~PRIVATE_OFFSET : 0);
    return rc;
}

/* What a lookup would say of the name. */
static void look_up(struct list *list, const char *name, struct fuse_entry_out *out)
{
    struct call *call = list->call;
    struct name place;
    struct found found;
    if (name_find(call->mount, list->dir, name, &place) < 0 ||
        place.fs->ops->lookup(place.fs, place.dir, name, &found) < 0 ||
        call_entry(call, list->dir, name, place.index, &found, out, NULL) < 0)
        *out = (struct fuse_entry_out){0};
}

static void look_up_all(struct list *list)
{
    for (size_t at = 0; at < list->used;) {
        struct fuse_direntplus *record = (void *)(list->data + at);
        char name[NODE_NAME_MAX + 1];
        memcpy(name, record->dirent.name, record->dirent.namelen);
        name[record->dirent.namelen] = '\0';
        if (!is_dots(name))
            look_up(list, name, &record->entry_out);
        at += FUSE_DIRENTPLUS_SIZE(record);
    }
}

static int list_directory(struct call *call, bool plus)
{
    struct fuse_read_in in;
    memcpy(&in, call->argument, sizeof in);
    struct handle *handle = handle_get(call->mount, in.fh);
    if (handle == NULL || !handle->directory || handle->node != call->node) {
        handle_put(call->mount, handle);
        return -EBADF;
    }
    struct list list = {.call = call,
                        .dir = call->node,
                        .size = in.size < LISTING_MAX ? in.size : LISTING_MAX,
                        .plus = plus};
    bool lost = handle->fd < 0 && !call->fs->caches;
    list.data = lost ? NULL : call_reply(call, list.size);
    int rc = lost ? -ESTALE : list.data == NULL ? -ENOMEM : 0;
    if (rc == 0)
        rc = list_entries(&list, handle, in.offset);
    handle_put(call->mount, handle);
    if (rc < 0)
        return rc;
    if (plus)
        look_up_all(&list);
    call->out_length = list.used;
    return 0;
}

int ops_readdir(struct call *call)
{
    return list_directory(call, false);
}

int ops_readdirplus(struct call *call)
{
    return list_directory(call, true);
}
