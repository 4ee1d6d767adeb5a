/*
 * One thread with a loop reads the port and hands requests to the workers; they answer straight
 * into the port. A quick request that comes alone is answered by that thread itself, which saves
 * the change of thread: most of the time that it takes here. What the caller asks for is a frame to
 * the agent, sent from the caller's thread; what comes back goes through a queue to the caller's
 * loop. The list of mounts is the only thing that both touch.
 */
#include "vm/vfs/vfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "vm/vfs/memfs.h"
#include "vm/vfs/shadow.h"
#include "vm/vfs/vfs_parts.h"

#define WORKERS   6u
#define QUEUE_MAX 1024u
#define DENIALS_MAX                                                              \
    256u /* beyond, they are counted by nobody: the guest asks as fast as it can \
          */
#define READAHEAD_KB 1024u

enum message_kind {
    MESSAGE_READY,
    MESSAGE_MOUNTED,
    MESSAGE_UNMOUNTED,
    MESSAGE_DENIED,
    MESSAGE_PAUSED,
    MESSAGE_FAILED
};

struct message {
    enum message_kind kind;
    uint32_t id;
    struct error error;
    char path[];
};

static void post(struct vfs *vfs, enum message_kind kind, uint32_t id, const char *path, int code,
                 const char *text)
{
    size_t size = strlen(path) + 1;
    struct message *message = calloc(1, sizeof *message + size);
    if (message == NULL)
        return;
    message->kind = kind;
    message->id = id;
    memcpy(message->path, path, size);
    if (code != 0)
        error_set(&message->error, code, "%s", text);
    if (queue_send(vfs->queue, message) < 0)
        free(message);
}

/* The hook of the `denied` events. */
static void on_hidden(void *context, const struct hook_op *op)
{
    struct vfs *vfs = context;
    if (op->hidden == NULL)
        return;
    if (atomic_fetch_add(&vfs->denials, 1) < DENIALS_MAX)
        post(vfs, MESSAGE_DENIED, 0, op->hidden, 0, NULL);
    else
        atomic_fetch_sub(&vfs->denials, 1);
}

static int add_hooks(struct vfs *vfs, struct error *err)
{
    const struct hook denied = {.after = on_hidden, .context = vfs};
    if (vfs->shadows == NULL)
        return 0;
    struct hook shadow = shadows_hook(vfs->shadows);
    if (hooks_add(&vfs->hooks, &shadow) < 0 || hooks_add(&vfs->hooks, &denied) < 0)
        return error_set(err, ENOSPC, "too many hooks of file systems");
    return 0;
}

static void on_ended(void *context, struct mount *mount)
{
    post(context, MESSAGE_UNMOUNTED, mount->id, "", EPROTO,
         "ended, because the guest sent what no kernel sends");
}

static const struct mount_events mount_events = {on_ended};

/* A use of the mount, or NULL. */
static struct mount *find_id(struct vfs *vfs, uint32_t id)
{
    pthread_mutex_lock(&vfs->lock);
    struct mount *mount = vfs->mounts;
    while (mount != NULL && mount->id != id)
        mount = mount->next;
    if (mount != NULL)
        mount_use(mount);
    pthread_mutex_unlock(&vfs->lock);
    return mount;
}

static struct mount *find_guest(struct vfs *vfs, const char *guest)
{
    pthread_mutex_lock(&vfs->lock);
    struct mount *mount = vfs->mounts;
    while (mount != NULL && strcmp(mount->guest, guest) != 0)
        mount = mount->next;
    if (mount != NULL)
        mount_use(mount);
    pthread_mutex_unlock(&vfs->lock);
    return mount;
}

void vfs_forget(struct vfs *vfs, struct mount *mount)
{
    pthread_mutex_lock(&vfs->lock);
    struct mount **link = &vfs->mounts;
    while (*link != NULL && *link != mount)
        link = &(*link)->next;
    bool listed = *link != NULL;
    if (listed) {
        *link = mount->next;
        vfs->mount_count--;
    }
    pthread_mutex_unlock(&vfs->lock);
    atomic_store(&mount->dead, true);
    if (listed)
        mount_put(mount);
}

/* The agent's errno and text. */
static void post_answer(struct vfs *vfs, enum message_kind kind, const struct inbound *frame)
{
    char text[RELAY_TEXT_MAX + 1];
    uint32_t code = get_u32(frame->payload);
    size_t length = frame->length - 4;
    memcpy(text, frame->payload + 4, length);
    text[length] = '\0';
    code = code <= 4095 ? code : EIO;
    post(vfs, kind, frame->stream, "", (int)code, text[0] != '\0' ? text : strerror((int)code));
}

static void take_request(struct vfs *vfs, struct inbound *frame)
{
    struct mount *mount = find_id(vfs, frame->stream);
    if (mount == NULL || atomic_load(&mount->dead) || fuse_interrupt(mount, frame)) {
        port_done(vfs->port, frame);
        if (mount != NULL)
            mount_put(mount);
        return;
    }
    frame->owner = mount;
    frame->job.run = fuse_request;
    fuse_queued(mount, frame);
    if (port_idle(vfs->port) && fuse_quick(mount, frame))
        fuse_request(&frame->job);
    else
        pool_add(vfs->pool, &frame->job);
}

static void on_frame(void *context, struct inbound *frame)
{
    struct vfs *vfs = context;
    switch (frame->type) {
    case RELAY_REQUEST:
        take_request(vfs, frame);
        return;
    case RELAY_HELLO:
        post(vfs, MESSAGE_READY, 0, "", 0, NULL);
        break;
    case RELAY_MOUNTED:
        post_answer(vfs, MESSAGE_MOUNTED, frame);
        break;
    case RELAY_UNMOUNTED:
        post_answer(vfs, MESSAGE_UNMOUNTED, frame);
        break;
    case RELAY_DETACHED:
        post(vfs, MESSAGE_UNMOUNTED, frame->stream, "", 0, NULL);
        break;
    case RELAY_PAUSED:
        post(vfs, MESSAGE_PAUSED, 0, "", 0, NULL);
        break;
    default: /* the host's own types: nothing is expected, nothing happens */
        log_debug(LOG_VFS, "a frame of type %u from the agent", frame->type);
        break;
    }
    port_done(vfs->port, frame);
}

static void on_port_ended(void *context, const struct error *why)
{
    post(context, MESSAGE_FAILED, 0, "", why->code, why->message);
}

static const struct port_events port_events = {on_frame, on_port_ended};

static void on_mounted(struct vfs *vfs, struct mount *mount, const struct message *message)
{
    bool failed = message->error.code != 0;
    if (mount->mounted) /* an answer to nothing */
        return;
    mount->mounted = !failed;
    if (failed)
        vfs_forget(vfs, mount);
    if (vfs->events->mounted != NULL)
        vfs->events->mounted(vfs->context, mount->guest[0] != '\0' ? mount->guest : "/",
                             failed ? &message->error : NULL);
}

/* EPROTO is ours (on_ended()): the mount is gone with it. Other errors: it stays. */
static void on_unmounted(struct vfs *vfs, struct mount *mount, const struct message *message)
{
    int code = message->error.code;
    mount->leaving = false;
    if (code == 0 || atomic_load(&mount->dead))
        vfs_forget(vfs, mount);
    if (vfs->events->unmounted != NULL)
        vfs->events->unmounted(vfs->context, mount->guest[0] != '\0' ? mount->guest : "/",
                               code != 0 ? &message->error : NULL);
}

static void on_simple(struct vfs *vfs, const struct message *message)
{
    const struct vfs_events *events = vfs->events;
    if (message->kind == MESSAGE_DENIED)
        atomic_fetch_sub(&vfs->denials, 1);
    if (message->kind == MESSAGE_READY && events->ready != NULL)
        events->ready(vfs->context);
    else if (message->kind == MESSAGE_DENIED && events->denied != NULL)
        events->denied(vfs->context, message->path);
    else if (message->kind == MESSAGE_FAILED && events->failed != NULL)
        events->failed(vfs->context, &message->error);
    if (message->kind == MESSAGE_PAUSED && vfs->asked_to_pause && !vfs->paused) {
        vfs->paused = true;
        if (events->paused != NULL)
            events->paused(vfs->context);
    }
}

static void on_message(void *context, void *item)
{
    struct vfs *vfs = context;
    CLEAN_FREE struct message *message = item;
    if (vfs->events == NULL) /* closing */
        return;
    if (message->kind != MESSAGE_MOUNTED && message->kind != MESSAGE_UNMOUNTED) {
        on_simple(vfs, message);
        return;
    }
    struct mount *mount = find_id(vfs, message->id);
    if (mount == NULL)
        return;
    if (message->kind == MESSAGE_MOUNTED)
        on_mounted(vfs, mount, message);
    else
        on_unmounted(vfs, mount, message);
    mount_put(mount);
}

static void on_stop(uv_async_t *stop)
{
    struct vfs *vfs = stop->data;
    port_break(vfs->port);
    pool_close(vfs->pool);
    notifier_close(vfs->notifier);
    vfs_port_close(vfs->port);
    uv_close((uv_handle_t *)&vfs->restart, NULL);
    uv_close((uv_handle_t *)stop, NULL);
}

static void *vfs_thread(void *argument)
{
    struct vfs *vfs = argument;
    uv_run(&vfs->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void free_all(struct vfs *vfs)
{
    while (vfs->mounts != NULL)
        vfs_forget(vfs, vfs->mounts);
    notifier_free(vfs->notifier);
    fdcache_close(vfs->cache);
    shadows_close(vfs->shadows);
    uv_loop_close(&vfs->loop);
    pthread_mutex_destroy(&vfs->lock);
    free(vfs);
}

/* What was opened of the threads' side is closed as the thread itself would do it. */
static int open_loop(struct vfs *vfs, const struct vfs_config *config, int *fd, struct error *err)
{
    int rc = uv_async_init(&vfs->loop, &vfs->stop, on_stop);
    if (rc < 0)
        return error_set(err, -rc, "cannot serve file systems: %s", uv_strerror(rc));
    vfs->stop.data = vfs->restart.data = vfs;
    uv_async_init(&vfs->loop, &vfs->restart, vfs_on_restart);
    rc = pool_open(&vfs->pool, WORKERS, err);
    if (rc == 0) {
        rc = notifier_open(&vfs->notifier, &vfs->loop, vfs->pool, err);
        if (rc == 0) {
            rc = vfs_port_open(&vfs->port, &vfs->loop, take_fd(fd), config->epoch, &port_events,
                               vfs, err);
            if (rc == 0)
                rc = -pthread_create(&vfs->thread, NULL, vfs_thread, vfs);
            if (rc == 0)
                return 0;
            if (vfs->port != NULL)
                vfs_port_close(vfs->port);
            notifier_close(vfs->notifier);
        }
        pool_close(vfs->pool);
    }
    uv_close((uv_handle_t *)&vfs->restart, NULL);
    uv_close((uv_handle_t *)&vfs->stop, NULL);
    uv_run(&vfs->loop, UV_RUN_DEFAULT);
    return error_wrap(err, "cannot serve file systems");
}

int vfs_open(struct vfs **out, const struct vfs_config *config, struct error *err)
{
    CLEAN_FD int fd = config->fd;
    struct vfs *vfs = calloc(1, sizeof *vfs);
    if (vfs == NULL || uv_loop_init(&vfs->loop) < 0) {
        free(vfs);
        return error_set(err, ENOMEM, "out of memory");
    }
    pthread_mutex_init(&vfs->lock, NULL);
    vfs->next_id = 1;
    vfs->uid = config->uid;
    vfs->gid = config->gid;
    vfs->events = config->events;
    vfs->context = config->context;
    int rc = fdcache_open(&vfs->cache, err);
    if (rc == 0)
        rc = shadows_open(&vfs->shadows, config->shadows, config->shadow_count, err);
    if (rc == 0)
        rc = add_hooks(vfs, err);
    if (rc == 0)
        rc = queue_open(&vfs->queue, config->loop, QUEUE_MAX, on_message, vfs, err);
    if (rc == 0) {
        rc = open_loop(vfs, config, &fd, err);
        if (rc < 0)
            queue_close(vfs->queue);
    }
    if (rc < 0)
        free_all(vfs);
    else
        *out = vfs;
    return rc;
}

void vfs_close(struct vfs *vfs)
{
    if (vfs == NULL)
        return;
    uv_async_send(&vfs->stop);
    pthread_join(vfs->thread, NULL);
    vfs->events = NULL;
    vfs->context = NULL;
    queue_close(vfs->queue);
    free_all(vfs);
}

char *vfs_guest_path(const char *path)
{
    char *clean =
        path[0] == '/' && strlen(path) <= RELAY_PATH_MAX ? malloc(strlen(path) + 2) : NULL;
    size_t used = 0;
    while (clean != NULL && *path != '\0') {
        size_t length = strcspn(path, "/");
        if (length > 0) {
            clean[used++] = '/';
            memcpy(clean + used, path, length);
            clean[used + length] = '\0';
            if (!node_name_valid(clean + used, length)) {
                free(clean);
                return NULL;
            }
            used += length;
        }
        path += length + (path[length] == '/');
    }
    if (clean != NULL)
        clean[used] = '\0';
    return clean;
}

void vfs_send(struct vfs *vfs, uint8_t type, uint32_t id, const void *payload, size_t length)
{
    struct outbound *out = outbound_new(length);
    if (out == NULL)
        return;
    if (length > 0)
        memcpy(out->bytes + OUTBOUND_PAYLOAD, payload, length);
    vfs_port_send(vfs->port, out, type, id, (uint32_t)length, false);
}

int vfs_add(struct vfs *vfs, const struct vfs_mount_spec *spec, uint32_t id, bool missing,
            struct mount **out, struct error *err)
{
    struct mount_config config = {
        .id = id,
        .guest = spec->guest,
        .host = spec->host,
        .read_only = spec->read_only,
        .memory = spec->memory != 0 ? spec->memory : MEMFS_DEFAULT_MAX,
        .uid = vfs->uid,
        .gid = vfs->gid,
        .hooks = &vfs->hooks,
        .cache = vfs->cache,
        .notifier = vfs->notifier,
        .port = vfs->port,
        .missing = missing,
        .events = &mount_events,
        .context = vfs,
    };
    int rc = mount_open(out, &config, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&vfs->lock);
    struct mount **link = &vfs->mounts;
    while (*link != NULL)
        link = &(*link)->next;
    *link = *out;
    vfs->mount_count++;
    pthread_mutex_unlock(&vfs->lock);
    return 0;
}

void vfs_send_mount(struct vfs *vfs, const struct mount *mount)
{
    uint8_t payload[8 + RELAY_PATH_MAX];
    const char *path = mount->guest[0] != '\0' ? mount->guest : "/";
    put_u32(payload, mount->read_only ? RELAY_READ_ONLY : 0);
    put_u32(payload + 4, READAHEAD_KB);
    memcpy(payload + 8, path, strlen(path));
    vfs_send(vfs, RELAY_MOUNT, mount->id, payload, 8 + strlen(path));
}

int vfs_mount(struct vfs *vfs, const struct vfs_mount_spec *spec, struct error *err)
{
    CLEAN_FREE char *guest = vfs_guest_path(spec->guest);
    if (guest == NULL)
        return error_set(err, EINVAL,
                         "cannot mount at %s: a path in the guest starts with / and has no . or ..",
                         spec->guest);
    struct mount *mount = find_guest(vfs, guest);
    if (mount != NULL) {
        mount_put(mount);
        return error_set(err, EEXIST, "cannot mount at %s: something is mounted there (umount it)",
                         spec->guest);
    }
    if (vfs->mount_count >= VFS_MOUNTS_MAX)
        return error_set(err, ENOSPC, "cannot mount at %s: there are %u mounts", spec->guest,
                         VFS_MOUNTS_MAX);
    struct vfs_mount_spec clean = *spec;
    clean.guest = guest;
    int rc = vfs_add(vfs, &clean, vfs->next_id, false, &mount, err);
    if (rc < 0)
        return error_wrap(err, "cannot mount at %s", spec->guest);
    vfs->next_id++;
    vfs_send_mount(vfs, mount);
    return 0;
}

int vfs_umount(struct vfs *vfs, const char *guest, struct error *err)
{
    CLEAN_FREE char *clean = vfs_guest_path(guest);
    struct mount *mount = clean != NULL ? find_guest(vfs, clean) : NULL;
    if (mount == NULL)
        return error_set(err, ENOENT, "cannot unmount %s: nothing of ours is mounted there", guest);
    pthread_mutex_lock(&vfs->lock);
    mount->leaving = true;
    pthread_mutex_unlock(&vfs->lock);
    vfs_send(vfs, RELAY_UNMOUNT, mount->id, NULL, 0);
    mount_put(mount);
    return 0;
}

void vfs_list(struct vfs *vfs,
              bool (*visit)(void *context, const struct vfs_mount_spec *spec, bool mounted),
              void *context)
{
    for (const struct mount *mount = vfs->mounts; mount != NULL; mount = mount->next) {
        struct vfs_mount_spec spec = {.host = mount->host,
                                      .guest = mount->guest[0] != '\0' ? mount->guest : "/",
                                      .read_only = mount->read_only};
        if (!visit(context, &spec, mount->mounted))
            return;
    }
}

size_t vfs_nodes(struct vfs *vfs)
{
    size_t count = 0;
    for (struct mount *mount = vfs->mounts; mount != NULL; mount = mount->next) {
        pthread_mutex_lock(&mount->nodes.lock);
        count += mount->nodes.count;
        pthread_mutex_unlock(&mount->nodes.lock);
    }
    return count;
}

void vfs_pause(struct vfs *vfs)
{
    vfs->asked_to_pause = true;
    notifier_pause(vfs->notifier, true);
    vfs_send(vfs, RELAY_PAUSE, 0, NULL, 0);
}

void vfs_resume(struct vfs *vfs)
{
    vfs->asked_to_pause = vfs->paused = false;
    vfs_send(vfs, RELAY_RESUME, 0, NULL, 0);
    notifier_pause(vfs->notifier, false);
    if (vfs->loaded)
        vfs_look(vfs);
    vfs->loaded = false;
}
