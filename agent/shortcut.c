/*
 * The attributes that the host has sent are kept in a few places, the oldest gives way. They are
 * used once, and not after anything else was asked of the directory or said about it: what the
 * guest does itself is never answered with what was before it.
 */
#include "agent/shortcut.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "vm/vfs/relay.h"

#define PLACES    16
#define FRESH_NS  100000000 /* 0.1 s */
#define PREFIX    "user."
#define SECOND_NS 1000000000

static struct place {
    uint32_t mount;
    int64_t until; /* 0: free */
    struct relay_attr told;
} places[PLACES];
static unsigned next;

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * SECOND_NS + at.tv_nsec;
}

static struct place *find(uint32_t mount, uint64_t node)
{
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].until != 0 && places[i].mount == mount && places[i].told.node == node)
            return &places[i];
    return NULL;
}

static void drop(uint32_t mount, uint64_t node)
{
    struct place *place = find(mount, node);
    if (place != NULL)
        place->until = 0;
}

static bool take_attr(uint32_t mount, uint64_t node, struct fuse_attr_out *attr)
{
    struct place *place = find(mount, node);
    if (place == NULL || place->until < now())
        return false;
    *attr = place->told.attr;
    return true;
}

/* Of another namespace than the one that mounts have. */
static bool foreign_xattr(const uint8_t *request, size_t length)
{
    size_t at = sizeof(struct fuse_in_header) + sizeof(struct fuse_getxattr_in);
    return length > at + strlen(PREFIX) && memcmp(request + at, PREFIX, strlen(PREFIX)) != 0;
}

enum shortcut_kind shortcut_take(uint32_t mount, const uint8_t *request, size_t length,
                                 struct shortcut *answer)
{
    struct fuse_in_header in;
    memcpy(&in, request, sizeof in);
    *answer = (struct shortcut){.header = {.len = sizeof answer->header, .unique = in.unique}};
    enum shortcut_kind kind = SHORTCUT_NONE;
    if (in.opcode == FUSE_RELEASE || in.opcode == FUSE_RELEASEDIR) {
        kind = SHORTCUT_TOLD;
    } else if (in.opcode == FUSE_IOCTL) {
        answer->header.error = -ENOSYS;
        kind = SHORTCUT_DONE;
    } else if (in.opcode == FUSE_GETXATTR && foreign_xattr(request, length)) {
        answer->header.error = -EOPNOTSUPP;
        kind = SHORTCUT_DONE;
    } else if (in.opcode == FUSE_GETATTR && take_attr(mount, in.nodeid, &answer->attr)) {
        answer->header.len = sizeof *answer;
        kind = SHORTCUT_DONE;
    }
    drop(mount, in.nodeid);
    return kind;
}

size_t shortcut_pass(uint32_t mount, const uint8_t *message, size_t length)
{
    struct fuse_out_header out;
    struct fuse_notify_inval_inode_out inode;
    memcpy(&out, message, sizeof out);
    size_t at = out.len <= length ? out.len : length;
    if (out.unique == 0 && out.error == FUSE_NOTIFY_INVAL_INODE &&
        length >= sizeof out + sizeof inode) {
        memcpy(&inode, message + sizeof out, sizeof inode);
        drop(mount, inode.ino);
    }
    for (; out.unique != 0 && length - at >= sizeof(struct relay_attr);
         length -= sizeof(struct relay_attr)) {
        struct relay_attr told;
        memcpy(&told, message + length - sizeof told, sizeof told);
        drop(mount, told.node);
        places[next] = (struct place){mount, now() + FRESH_NS, told};
        next = (next + 1) % PLACES;
    }
    return at;
}

void shortcut_forget(void)
{
    memset(places, 0, sizeof places);
}
