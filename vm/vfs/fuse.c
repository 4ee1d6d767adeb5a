/*
 * A table of operations, one row each: what runs, how long its argument is at least, what it
 * needs. Rows that are missing are answered ENOSYS, which the kernel remembers: locks, ioctl and
 * poll then stay in the guest. QUICK ones neither change the host's file system nor wait for more
 * than a look at it.
 *
 * INIT decides how the guest's kernel caches. Memory has no other users, so it caches writes too.
 * A host directory has: with FUSE_WRITEBACK_CACHE the kernel would hold its own idea of a file's
 * size against the host's for as long as it has the inode, so writes go through; reads, names and
 * attributes are cached until a notification takes them back (notify.c), which is why the kernel
 * is told not to guess from times (FUSE_EXPLICIT_INVAL_DATA): that would drop what it just wrote.
 *
 * FUSE_READDIRPLUS_AUTO is left out: it lists only the beginning of a directory with attributes,
 * and who looks at all entries, like find and ls -l, has the rest looked up one by one.
 */
#include "vm/vfs/fuse.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vm/vfs/hostfs.h"

enum { NEEDS_NODE = 1, NEEDS_WRITE = 2, SILENT = 4, QUICK = 8, NAME = 16, RENAME = 32 };

#define MAX_BACKGROUND 64u
#define MAX_READAHEAD  RELAY_DATA_MAX
#define PAGE_BYTES     4096u

static int run_init(struct call *call);

static int run_nothing(struct call *call)
{
    return call_answer(call, NULL, 0);
}

struct operation {
    const char *name;
    call_run *run;
    uint16_t least; /* bytes of argument, in front of the names if there are any */
    uint8_t needs;
};

static const struct operation operations[] = {
    [FUSE_LOOKUP] = {"lookup", ops_lookup, 0, NEEDS_NODE | QUICK | NAME},
    [FUSE_FORGET] = {"forget", ops_forget, sizeof(struct fuse_forget_in), SILENT | QUICK},
    [FUSE_GETATTR] = {"getattr", ops_getattr, sizeof(struct fuse_getattr_in), NEEDS_NODE | QUICK},
    [FUSE_SETATTR] = {"setattr", ops_setattr, sizeof(struct fuse_setattr_in),
                      NEEDS_NODE | NEEDS_WRITE},
    [FUSE_READLINK] = {"readlink", ops_readlink, 0, NEEDS_NODE | QUICK},
    [FUSE_SYMLINK] = {"symlink", ops_symlink, 0, NEEDS_NODE | NEEDS_WRITE | NAME},
    [FUSE_MKNOD] = {"mknod", ops_mknod, sizeof(struct fuse_mknod_in),
                    NEEDS_NODE | NEEDS_WRITE | NAME},
    [FUSE_MKDIR] = {"mkdir", ops_mkdir, sizeof(struct fuse_mkdir_in),
                    NEEDS_NODE | NEEDS_WRITE | NAME},
    [FUSE_UNLINK] = {"unlink", ops_unlink, 0, NEEDS_NODE | NEEDS_WRITE | NAME},
    [FUSE_RMDIR] = {"rmdir", ops_rmdir, 0, NEEDS_NODE | NEEDS_WRITE | NAME},
    [FUSE_RENAME] = {"rename", ops_rename, sizeof(struct fuse_rename_in),
                     NEEDS_NODE | NEEDS_WRITE | RENAME},
    [FUSE_LINK] = {"link", ops_link, sizeof(struct fuse_link_in), NEEDS_NODE | NEEDS_WRITE | NAME},
    [FUSE_OPEN] = {"open", ops_open, sizeof(struct fuse_open_in), NEEDS_NODE},
    [FUSE_READ] = {"read", ops_read, sizeof(struct fuse_read_in), NEEDS_NODE},
    [FUSE_WRITE] = {"write", ops_write, sizeof(struct fuse_write_in), NEEDS_NODE | NEEDS_WRITE},
    [FUSE_STATFS] = {"statfs", ops_statfs, 0, NEEDS_NODE | QUICK},
    [FUSE_RELEASE] = {"release", ops_release, sizeof(struct fuse_release_in), QUICK},
    [FUSE_FSYNC] = {"fsync", ops_fsync, sizeof(struct fuse_fsync_in), NEEDS_NODE},
    [FUSE_SETXATTR] = {"setxattr", ops_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE + 2,
                       NEEDS_NODE | NEEDS_WRITE},
    [FUSE_GETXATTR] = {"getxattr", ops_getxattr, sizeof(struct fuse_getxattr_in) + 2,
                       NEEDS_NODE | QUICK},
    [FUSE_LISTXATTR] = {"listxattr", ops_listxattr, sizeof(struct fuse_getxattr_in),
                        NEEDS_NODE | QUICK},
    [FUSE_REMOVEXATTR] = {"removexattr", ops_removexattr, 2, NEEDS_NODE | NEEDS_WRITE},
    [FUSE_FLUSH] = {"flush", ops_flush, sizeof(struct fuse_flush_in), 0},
    [FUSE_INIT] = {"init", run_init, 16, 0},
    [FUSE_OPENDIR] = {"opendir", ops_opendir, sizeof(struct fuse_open_in), NEEDS_NODE | QUICK},
    [FUSE_READDIR] = {"readdir", ops_readdir, sizeof(struct fuse_read_in), NEEDS_NODE},
    [FUSE_RELEASEDIR] = {"releasedir", ops_releasedir, sizeof(struct fuse_release_in), QUICK},
    [FUSE_FSYNCDIR] = {"fsyncdir", ops_fsyncdir, sizeof(struct fuse_fsync_in), NEEDS_NODE},
    [FUSE_ACCESS] = {"access", ops_access, sizeof(struct fuse_access_in), NEEDS_NODE},
    [FUSE_CREATE] = {"create", ops_create, sizeof(struct fuse_create_in),
                     NEEDS_NODE | NEEDS_WRITE | NAME},
    [FUSE_DESTROY] = {"destroy", run_nothing, 0, 0},
    [FUSE_BATCH_FORGET] = {"batch_forget", ops_batch_forget, sizeof(struct fuse_batch_forget_in),
                           SILENT},
    [FUSE_FALLOCATE] = {"fallocate", ops_fallocate, sizeof(struct fuse_fallocate_in),
                        NEEDS_NODE | NEEDS_WRITE},
    [FUSE_READDIRPLUS] = {"readdirplus", ops_readdirplus, sizeof(struct fuse_read_in), NEEDS_NODE},
    [FUSE_RENAME2] = {"rename2", ops_rename, sizeof(struct fuse_rename2_in),
                      NEEDS_NODE | NEEDS_WRITE | RENAME},
    [FUSE_LSEEK] = {"lseek", ops_lseek, sizeof(struct fuse_lseek_in), NEEDS_NODE},
    [FUSE_COPY_FILE_RANGE] = {"copy_file_range", ops_copy, sizeof(struct fuse_copy_file_range_in),
                              NEEDS_NODE | NEEDS_WRITE},
};

static const struct operation *operation(uint32_t opcode)
{
    if (opcode >= sizeof operations / sizeof operations[0] || operations[opcode].run == NULL)
        return NULL;
    return &operations[opcode];
}

bool fuse_quick(struct mount *mount, const struct inbound *frame)
{
    const struct fuse_in_header *header = (const void *)frame->payload;
    const struct operation *op = frame->length >= sizeof *header ? operation(header->opcode) : NULL;
    const struct provider *fs = mount->fs[FS_MAIN];
    return op != NULL && (op->needs & QUICK) && (fs->caches || hostfs_local(fs));
}

static int run_init(struct call *call)
{
    struct fuse_init_in in = {0};
    memcpy(&in, call->argument, call->length < sizeof in ? call->length : sizeof in);
    struct fuse_init_out *out = call_reply(call, sizeof *out);
    if (out == NULL)
        return -ENOMEM;
    if (in.major != FUSE_KERNEL_VERSION || in.minor < FUSE_MINOR_MIN) {
        log_warn(LOG_VFS, "mount %s: the guest's kernel speaks FUSE %u.%u; 7.%u is needed",
                 call->mount->guest, in.major, in.minor, FUSE_MINOR_MIN);
        return -EPROTO;
    }
    static const uint32_t wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
                                   FUSE_DO_READDIRPLUS | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
                                   FUSE_HANDLE_KILLPRIV_V2 | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS |
                                   FUSE_EXPLICIT_INVAL_DATA;
    bool caches = call->mount->fs[FS_MAIN]->caches;
    *out = (struct fuse_init_out){
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = MAX_READAHEAD, /* the kernel has a limit of its own */
        .flags = in.flags & (wanted | (caches ? (uint32_t)FUSE_WRITEBACK_CACHE : 0)),
        .max_background = MAX_BACKGROUND,
        .congestion_threshold = MAX_BACKGROUND * 3 / 4,
        .max_write = RELAY_DATA_MAX,
        .time_gran = 1,
        .max_pages = RELAY_DATA_MAX / PAGE_BYTES,
    };
    atomic_store(&call->mount->greeted, in.minor);
    return 0;
}

void *call_reply(struct call *call, size_t size)
{
    free(call->out);
    call->out_length = size;
    call->out = outbound_new(sizeof(struct fuse_out_header) + size +
                             call->told_count * sizeof call->told[0]);
    if (call->out == NULL)
        return NULL;
    uint8_t *data = call->out->bytes + OUTBOUND_PAYLOAD + sizeof(struct fuse_out_header);
    memset(data, 0, size < 256 ? size : 256);
    return data;
}

int call_answer(struct call *call, const void *data, size_t size)
{
    void *reply = call_reply(call, size);
    if (reply == NULL)
        return -ENOMEM;
    if (size > 0)
        memcpy(reply, data, size);
    return 0;
}

int call_malformed(struct call *call)
{
    call->malformed = true;
    return -EINVAL;
}

const char *call_string(struct call *call, size_t *at, size_t max)
{
    const char *text = (const char *)call->argument + *at;
    size_t left = *at < call->length ? call->length - *at : 0;
    const char *end = left > 0 ? memchr(text, '\0', left) : NULL;
    if (end == NULL || (size_t)(end - text) > max) {
        call->malformed = true;
        return NULL;
    }
    *at += (size_t)(end - text) + 1;
    return text;
}

static void send_reply(struct call *call, int error)
{
    if (error < 0 || call->out == NULL) {
        error = error < 0 ? error : -ENOMEM;
        free(call->out);
        call->out = outbound_new(sizeof(struct fuse_out_header));
        call->out_length = 0;
        if (call->out == NULL) {
            mount_end(call->mount);
            return;
        }
    }
    struct fuse_out_header *header = (void *)(call->out->bytes + OUTBOUND_PAYLOAD);
    *header = (struct fuse_out_header){
        .len = (uint32_t)(sizeof *header + call->out_length),
        .error = error,
        .unique = call->in->unique,
    };
    uint32_t told = error < 0 ? 0 : call->told_count * (uint32_t)sizeof call->told[0];
    memcpy((uint8_t *)header + header->len, call->told, told);
    if (atomic_load(&call->mount->dead))
        free(call->out);
    else
        vfs_port_send(call->mount->port, call->out, RELAY_REPLY, call->mount->id,
                      header->len + told, true);
    call->out = NULL;
}

/* The next name of the argument: one component. */
static int take_name(struct call *call, struct node *dir, struct name *name)
{
    const char *text = call_string(call, &call->at, PATH_MAX);
    size_t length = text != NULL ? strlen(text) : 0;
    if (text == NULL)
        return -EINVAL;
    if (length > NODE_NAME_MAX) /* the kernel sends up to FUSE_NAME_MAX */
        return -ENAMETOOLONG;
    if (!node_name_valid(text, length))
        return call_malformed(call);
    name_in(call->mount, dir, text, name);
    return 0;
}

static int take_names(struct call *call, const struct operation *op)
{
    struct fuse_rename2_in in = {0}; /* fuse_rename_in is the beginning of it */
    call->at = op->least;
    if (!(op->needs & RENAME))
        return take_name(call, call->node, &call->names[0]);
    memcpy(&in, call->argument, op->least);
    call->flags = in.flags;
    call->to = nodes_get(&call->mount->nodes, in.newdir);
    if (call->to == NULL)
        return -ESTALE;
    int rc = take_name(call, call->node, &call->names[0]);
    return rc < 0 ? rc : take_name(call, call->to, &call->names[1]);
}

static int check(struct call *call, const struct operation *op)
{
    bool init = op != NULL && op->run == run_init;
    if (init == (atomic_load(&call->mount->greeted) != 0))
        return call_malformed(call); /* INIT comes first, and once */
    if (op == NULL)
        return -ENOSYS;
    if (call->length < op->least)
        return call_malformed(call);
    if ((op->needs & NEEDS_WRITE) && call->mount->read_only)
        return -EROFS;
    if (op->needs & NEEDS_NODE) {
        call->node = nodes_get(&call->mount->nodes, call->in->nodeid);
        if (call->node == NULL)
            return -ESTALE;
        call->fs = call->mount->fs[call->node->fs];
    }
    return op->needs & (NAME | RENAME) ? take_names(call, op) : 0;
}

static void run_call(struct call *call)
{
    const struct operation *op = operation(call->in->opcode);
    int rc = check(call, op);
    if (rc == 0)
        rc = hooks_want(call->mount->hooks, call->in->opcode) ? call_hooked(call, op->run)
                                                              : op->run(call);
    if (log_wants(LOG_VFS))
        log_debug(LOG_VFS, "mount %u: %s node %llx: %d", call->mount->id,
                  op != NULL ? op->name : "?", (unsigned long long)call->in->nodeid, rc);
    node_put(&call->mount->nodes, call->node);
    node_put(&call->mount->nodes, call->to);
    if (call->malformed) {
        free(call->out);
        if (!atomic_load(&call->mount->dead))
            log_warn(LOG_VFS, "mount %s: a malformed request (%s) from the guest ends it",
                     call->mount->guest, op != NULL ? op->name : "unknown");
        mount_end(call->mount);
    } else if (call->relayed & RELAY_ANSWERED) {
        free(call->out);
    } else if (rc != CALL_SILENT && (op == NULL || !(op->needs & SILENT))) {
        send_reply(call, rc);
    }
}

/* True: it was interrupted before it began. */
static bool begin(struct mount *mount, struct inbound *frame)
{
    pthread_mutex_lock(&mount->lock);
    struct inbound **link = &mount->queued;
    while (*link != frame)
        link = &(*link)->next;
    *link = frame->next;
    bool interrupted = frame->interrupted;
    pthread_mutex_unlock(&mount->lock);
    return interrupted;
}

void fuse_queued(struct mount *mount, struct inbound *frame)
{
    pthread_mutex_lock(&mount->lock);
    frame->next = mount->queued;
    mount->queued = frame;
    pthread_mutex_unlock(&mount->lock);
}

bool fuse_interrupt(struct mount *mount, const struct inbound *frame)
{
    const struct fuse_in_header *header = (const void *)frame->payload;
    const struct fuse_interrupt_in *in = (const void *)(header + 1);
    if (frame->length < sizeof *header || header->opcode != FUSE_INTERRUPT)
        return false;
    if (frame->length < sizeof *header + sizeof *in)
        return true;
    pthread_mutex_lock(&mount->lock);
    for (struct inbound *one = mount->queued; one != NULL; one = one->next) {
        const struct fuse_in_header *queued = (const void *)one->payload;
        if (queued->unique == in->unique)
            one->interrupted = true;
    }
    pthread_mutex_unlock(&mount->lock);
    return true;
}

void fuse_request(struct job *job)
{
    struct inbound *frame = (struct inbound *)job;
    struct mount *mount = frame->owner;
    struct call call = {
        .mount = mount, .in = (const void *)frame->payload, .relayed = frame->flags};
    bool interrupted = begin(mount, frame);
    if (!atomic_load(&mount->dead)) {
        if (frame->length < sizeof *call.in || call.in->len != frame->length) {
            log_warn(LOG_VFS, "mount %s: a malformed request from the guest ends it", mount->guest);
            mount_end(mount);
        } else if (interrupted && call.in->opcode != FUSE_FORGET &&
                   call.in->opcode != FUSE_BATCH_FORGET && call.in->opcode != FUSE_RELEASE &&
                   call.in->opcode != FUSE_RELEASEDIR) {
            send_reply(&call, -EINTR);
        } else {
            call.argument = (const uint8_t *)(call.in + 1);
            call.length = frame->length - sizeof *call.in;
            run_call(&call);
        }
    }
    port_done(mount->port, frame);
    mount_put(mount);
}
