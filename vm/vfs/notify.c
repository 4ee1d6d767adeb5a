/*
 * Events are read 20 ms after the first of them, as a batch on a worker: inotify folds equal ones
 * in the meantime, and the guest's own operations, which cause events too, have recorded what they
 * did by then. What an event means is found out by looking: if the name leads to the file that the
 * guest knows, with the stamp that it was told, the event was its own doing or is old news. So all
 * that a batch says of one name is one look and one notification, however often it changed: the
 * guest's kernel takes them one by one, and each may wait there for a directory's lock.
 * Events of something that the guest is changing just now are looked at again in the next batch.
 *
 * Not seen: writes through a shared mapping on the host (inotify does not report them), which the
 * next open of the file in the guest notices; what happens on a network's file system elsewhere;
 * a file's change under another of its names. Such nodes have short lifetimes in the guest.
 */
#include "vm/vfs/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "vm/vfs/fuse.h"
#include "vm/vfs/hostfs.h"
#include "vm/vfs/ops.h"

#define DELAY_MS    20u
#define BUCKETS     4096u
#define WATCHES_MAX 65536u
#define LATER_MAX   (256u * 1024) /* bytes of events that wait for another look */
#define LOOKS_MAX   4u            /* then an event is taken as it is */
#define SAME_MAX    16            /* mounts that share a directory */
#define EVENTS_SIZE 65536u
#define ROUNDS      8u     /* of EVENTS_SIZE in one batch */
#define NAMES_MAX   65536u /* twice the events of a batch, of which each has 16 bytes at least */

#define WATCHED \
    (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB | IN_ONLYDIR)

struct watch {
    struct watch *next;
    struct mount *mount;
    struct node *node;
    int number;
};

struct notifier {
    struct job job; /* first */
    int fd;         /* -1: no inotify */
    uv_poll_t poll;
    uv_timer_t timer;
    uv_async_t done;
    struct pool *pool;
    struct buf *later, *next_later;
    struct buf waiting[2];
    struct buf batch;  /* events, one for each name */
    uint32_t *offsets; /* hash table of them: offset in the batch plus 1, 0: free */
    unsigned looks;
    bool ending;

    pthread_mutex_t lock; /* of what follows; taken with a node table's lock held */
    pthread_cond_t idle;
    bool paused, running, full_logged;
    size_t count;
    struct watch *buckets[BUCKETS];
};

static void notifier_poll(struct notifier *notifier);

void notify_inode(struct mount *mount, const struct node *node)
{
    struct fuse_notify_inval_inode_out what = {.ino = node->id};
    struct fuse_out_header header = {sizeof header + sizeof what, FUSE_NOTIFY_INVAL_INODE, 0};
    struct outbound *out = outbound_new(header.len);
    if (out == NULL || atomic_load(&mount->dead)) {
        free(out);
        return;
    }
    memcpy(out->bytes + OUTBOUND_PAYLOAD, &header, sizeof header);
    memcpy(out->bytes + OUTBOUND_PAYLOAD + sizeof header, &what, sizeof what);
    vfs_port_send(mount->port, out, RELAY_NOTIFY, mount->id, header.len, true);
}

void notify_entry(struct mount *mount, const struct node *dir, const char *name)
{
    size_t length = strlen(name);
    struct fuse_notify_inval_entry_out what = {.parent = dir->id, .namelen = (uint32_t)length};
    struct fuse_out_header header = {(uint32_t)(sizeof header + sizeof what + length + 1),
                                     FUSE_NOTIFY_INVAL_ENTRY, 0};
    struct outbound *out = outbound_new(header.len);
    if (out == NULL || atomic_load(&mount->dead)) {
        free(out);
        return;
    }
    uint8_t *at = out->bytes + OUTBOUND_PAYLOAD;
    memcpy(at, &header, sizeof header);
    memcpy(at + sizeof header, &what, sizeof what);
    memcpy(at + sizeof header + sizeof what, name, length + 1);
    vfs_port_send(mount->port, out, RELAY_NOTIFY, mount->id, header.len, true);
}

static struct watch **bucket_of(struct notifier *notifier, int number)
{
    return &notifier->buckets[(unsigned)number % BUCKETS];
}

bool notifier_watch(struct notifier *notifier, struct mount *mount, struct node *dir)
{
    struct pin pin;
    struct provider *fs = mount->fs[dir->fs];
    if (notifier->fd < 0 || notifier->count >= WATCHES_MAX)
        return false;
    struct watch *watch = malloc(sizeof *watch);
    if (watch == NULL || hostfs_pin(fs, dir, &pin) < 0) {
        free(watch);
        return false;
    }
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", pin.fd);
    pthread_mutex_lock(&notifier->lock);
    int number = -1;
    if (dir->watch < 0)
        number = inotify_add_watch(notifier->fd, path, WATCHED);
    if (number >= 0) {
        struct watch **bucket = bucket_of(notifier, number);
        *watch = (struct watch){*bucket, mount, dir, number};
        *bucket = watch;
        dir->watch = number;
        notifier->count++;
        watch = NULL;
    } else if (dir->watch < 0 && errno == ENOSPC && !notifier->full_logged) {
        notifier->full_logged = true;
        log_warn(LOG_VFS, "no more inotify watches (fs.inotify.max_user_watches): the guest asks "
                          "more often for what it cannot be told");
    }
    pthread_mutex_unlock(&notifier->lock);
    free(watch);
    hostfs_unpin(fs, &pin);
    return dir->watch >= 0;
}

/* With the lock held. The kernel's watch goes with the last node that has it. */
static void unlink_watch(struct notifier *notifier, int number, const struct node *node)
{
    bool others = false;
    for (struct watch **link = bucket_of(notifier, number); *link != NULL;) {
        struct watch *watch = *link;
        if (watch->number == number && (node == NULL || watch->node == node)) {
            watch->node->watch = -1;
            *link = watch->next;
            notifier->count--;
            free(watch);
            continue;
        }
        others |= watch->number == number;
        link = &watch->next;
    }
    if (!others && node != NULL)
        inotify_rm_watch(notifier->fd, number);
}

void notifier_forget(struct notifier *notifier, struct node *node)
{
    pthread_mutex_lock(&notifier->lock);
    if (node->watch >= 0)
        unlink_watch(notifier, node->watch, node);
    pthread_mutex_unlock(&notifier->lock);
}

/* The directory as a mount knows it. */
struct place {
    struct mount *mount;
    uint64_t id;
};

static size_t places_of(struct notifier *notifier, int number, struct place places[SAME_MAX])
{
    size_t count = 0;
    pthread_mutex_lock(&notifier->lock);
    for (struct watch *watch = *bucket_of(notifier, number); watch != NULL && count < SAME_MAX;
         watch = watch->next)
        if (watch->number == number && mount_use(watch->mount))
            places[count++] = (struct place){watch->mount, watch->node->id};
    pthread_mutex_unlock(&notifier->lock);
    return count;
}

static void look_at(struct mount *mount, struct node *node)
{
    struct provider *fs = mount->fs[node->fs];
    struct found found;
    if (fs->ops->getattr(fs, node, &found) == 0)
        node_saw(mount, node, &found);
}

/* The name leads to something else than the guest may think. */
static void report_name(struct mount *mount, struct node *dir, const char *name, bool known)
{
    atomic_fetch_add(&mount->changes, 1);
    if (known)
        nodes_unname(&mount->nodes, dir, name);
    notify_entry(mount, dir, name);
    notify_inode(mount, dir);
}

static void look_at_name(struct mount *mount, struct node *dir, const char *name, uint32_t mask)
{
    struct provider *fs = mount->fs[dir->fs];
    struct node *child = nodes_child(&mount->nodes, dir, name);
    if (child != NULL && child->fs != dir->fs) { /* a private file has that name */
        node_put(&mount->nodes, child);
        return;
    }
    struct found found = {0}, above;
    int rc = fs->ops->lookup(fs, dir, name, &found);
    bool same = child != NULL && rc == 0 && key_equal(&child->key, &found.key);
    if (same)
        node_saw(mount, child, &found);
    else if (child != NULL || (mask & (IN_CREATE | IN_MOVED_TO)))
        report_name(mount, dir, name, child != NULL);
    else if ((mask & (IN_DELETE | IN_MOVED_FROM)) && fs->ops->getattr(fs, dir, &above) == 0 &&
             above.stamp != dir->stamp)
        report_name(mount, dir, name, false);
    node_put(&mount->nodes, child);
}

static bool is_busy(struct mount *mount, struct node *dir, const char *name)
{
    struct node *child = nodes_child(&mount->nodes, dir, name);
    bool busy = dir->busy > 0 || (child != NULL && child->busy > 0);
    node_put(&mount->nodes, child);
    return busy;
}

/* False: the guest is changing it just now. */
static bool handle_event(struct notifier *notifier, const struct inotify_event *event, bool last)
{
    struct place places[SAME_MAX];
    size_t count = places_of(notifier, event->wd, places);
    bool settled = true;
    for (size_t i = 0; i < count; i++) {
        struct mount *mount = places[i].mount;
        struct node *dir = nodes_get(&mount->nodes, places[i].id);
        if (dir != NULL && event->len > 0 && !name_covered(mount, dir, event->name)) {
            if (!last && is_busy(mount, dir, event->name))
                settled = false;
            else
                look_at_name(mount, dir, event->name, event->mask);
        }
        if (dir != NULL)
            look_at(mount, dir);
        node_put(&mount->nodes, dir);
        mount_put(mount);
    }
    return settled;
}

/* Events were lost: everything is looked at. */
static void look_at_all(struct notifier *notifier)
{
    struct mount *mounts[64];
    size_t count = 0;
    pthread_mutex_lock(&notifier->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct watch *watch = notifier->buckets[i]; watch != NULL; watch = watch->next) {
            size_t at = 0;
            while (at < count && mounts[at] != watch->mount)
                at++;
            if (at == count && count < 64 && mount_use(watch->mount))
                mounts[count++] = watch->mount;
        }
    pthread_mutex_unlock(&notifier->lock);
    for (size_t i = 0; i < count; i++) {
        notify_all(mounts[i]);
        mount_put(mounts[i]);
    }
}

void notify_all(struct mount *mount)
{
    uint32_t at = 0;
    atomic_fetch_add(&mount->changes, 1);
    for (struct node *node; (node = nodes_after(&mount->nodes, &at)) != NULL;) {
        struct provider *fs = mount->fs[node->fs];
        char name[NODE_NAME_MAX + 1];
        struct found found;
        int rc = fs->caches ? 0 : fs->ops->getattr(fs, node, &found);
        struct node *parent = rc < 0 ? nodes_parent(&mount->nodes, node, name) : NULL;
        if (rc < 0)
            notify_inode(mount, node);
        if (parent != NULL)
            report_name(mount, parent, name, true);
        else if (rc == 0 && !fs->caches)
            node_saw(mount, node, &found);
        if (rc == 0 && !fs->caches && node->directory)
            dir_watched(mount, node);
        node_put(&mount->nodes, parent);
        node_put(&mount->nodes, node);
    }
}

/* An event of the batch for this name; NULL: there is none, and *slot is its place. */
static struct inotify_event *same_event(struct notifier *notifier,
                                        const struct inotify_event *event, uint32_t **slot)
{
    size_t length = strnlen(event->name, event->len);
    uint64_t hash = (uint64_t)(unsigned)event->wd;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)event->name[i]) * 0x100000001b3u;
    for (size_t at = vfs_mix(hash, 0) % NAMES_MAX;; at = (at + 1) % NAMES_MAX) {
        *slot = &notifier->offsets[at];
        if (**slot == 0)
            return NULL;
        struct inotify_event *other = (void *)(buf_data(&notifier->batch) + (**slot - 1));
        if (other->wd == event->wd && other->len == event->len &&
            memcmp(other->name, event->name, event->len) == 0)
            return other;
    }
}

static void gather(struct notifier *notifier, const struct inotify_event *event)
{
    uint32_t *slot;
    struct inotify_event *other = same_event(notifier, event, &slot);
    if (other != NULL) {
        other->mask |= event->mask;
        return;
    }
    size_t at = buf_len(&notifier->batch);
    if (buf_append(&notifier->batch, event, sizeof *event + event->len) == 0)
        *slot = (uint32_t)at + 1;
    else
        look_at_all(notifier);
}

static void gather_all(struct notifier *notifier, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        const struct inotify_event *event = (const void *)(data + at);
        if (event->mask & IN_Q_OVERFLOW) {
            look_at_all(notifier);
        } else if (event->mask & IN_IGNORED) {
            pthread_mutex_lock(&notifier->lock);
            unlink_watch(notifier, event->wd, NULL);
            pthread_mutex_unlock(&notifier->lock);
        } else {
            gather(notifier, event);
        }
        at += sizeof *event + event->len;
    }
}

static void handle_events(struct notifier *notifier, const struct buf *events, bool last)
{
    for (size_t at = 0; at < buf_len(events);) {
        const struct inotify_event *event = (const void *)(buf_data(events) + at);
        size_t length = sizeof *event + event->len;
        if (!handle_event(notifier, event, last) && buf_len(notifier->next_later) < LATER_MAX)
            buf_append(notifier->next_later, event, length);
        at += length;
    }
}

static void notifier_run(struct job *job)
{
    struct notifier *notifier = (struct notifier *)job;
    struct buf *later = notifier->later;
    CLEAN_FREE uint8_t *events = malloc(EVENTS_SIZE);
    bool last = notifier->looks >= LOOKS_MAX;
    notifier->looks = buf_len(later) > 0 && !last ? notifier->looks + 1 : 0;
    handle_events(notifier, later, last);
    buf_consume(later, buf_len(later));
    for (unsigned rounds = 0; events != NULL && rounds < ROUNDS; rounds++) {
        ssize_t n = read(notifier->fd, events, EVENTS_SIZE);
        if (n <= 0)
            break;
        gather_all(notifier, events, (size_t)n);
    }
    handle_events(notifier, &notifier->batch, false);
    buf_consume(&notifier->batch, buf_len(&notifier->batch));
    memset(notifier->offsets, 0, NAMES_MAX * sizeof notifier->offsets[0]);
    notifier->later = notifier->next_later;
    notifier->next_later = later;
    pthread_mutex_lock(&notifier->lock);
    notifier->running = false;
    pthread_cond_broadcast(&notifier->idle);
    pthread_mutex_unlock(&notifier->lock);
    uv_async_send(&notifier->done);
}

static void notifier_tick(uv_timer_t *timer)
{
    struct notifier *notifier = timer->data;
    pthread_mutex_lock(&notifier->lock);
    bool run = !notifier->paused && !notifier->running;
    notifier->running |= run;
    pthread_mutex_unlock(&notifier->lock);
    if (run)
        pool_add(notifier->pool, &notifier->job);
}

static void notifier_ready(uv_poll_t *poll, int status, int events)
{
    struct notifier *notifier = poll->data;
    (void)status;
    (void)events;
    uv_poll_stop(poll);
    uv_timer_start(&notifier->timer, notifier_tick, DELAY_MS, 0);
}

static void notifier_poll(struct notifier *notifier)
{
    if (notifier->fd < 0 || notifier->ending)
        return;
    pthread_mutex_lock(&notifier->lock);
    bool idle = !notifier->paused && !notifier->running;
    pthread_mutex_unlock(&notifier->lock);
    if (!idle)
        return;
    if (buf_len(notifier->later) > 0)
        uv_timer_start(&notifier->timer, notifier_tick, DELAY_MS, 0);
    else if (!uv_is_active((uv_handle_t *)&notifier->timer))
        uv_poll_start(&notifier->poll, UV_READABLE, notifier_ready);
}

static void notifier_done(uv_async_t *done)
{
    notifier_poll(done->data);
}

void notifier_pause(struct notifier *notifier, bool paused)
{
    pthread_mutex_lock(&notifier->lock);
    notifier->paused = paused;
    while (paused && notifier->running)
        pthread_cond_wait(&notifier->idle, &notifier->lock);
    pthread_mutex_unlock(&notifier->lock);
    if (!paused)
        uv_async_send(&notifier->done);
}

int notifier_open(struct notifier **out, uv_loop_t *loop, struct pool *pool, struct error *err)
{
    struct notifier *notifier = calloc(1, sizeof *notifier);
    uint32_t *offsets = calloc(NAMES_MAX, sizeof offsets[0]);
    if (notifier == NULL || offsets == NULL) {
        free(notifier);
        free(offsets);
        return error_set(err, ENOMEM, "out of memory");
    }
    notifier->offsets = offsets;
    notifier->job.run = notifier_run;
    notifier->pool = pool;
    notifier->later = &notifier->waiting[0];
    notifier->next_later = &notifier->waiting[1];
    pthread_mutex_init(&notifier->lock, NULL);
    pthread_cond_init(&notifier->idle, NULL);
    int rc = uv_async_init(loop, &notifier->done, notifier_done);
    if (rc < 0) {
        notifier_free(notifier);
        return error_set(err, -rc, "cannot watch file systems: %s", uv_strerror(rc));
    }
    notifier->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (notifier->fd < 0)
        log_warn(LOG_VFS, "inotify: %s: changes on the host are seen by asking", strerror(errno));
    else if (uv_poll_init(loop, &notifier->poll, notifier->fd) < 0) {
        close(notifier->fd);
        notifier->fd = -1;
    }
    uv_timer_init(loop, &notifier->timer);
    notifier->poll.data = notifier->timer.data = notifier->done.data = notifier;
    notifier_poll(notifier);
    *out = notifier;
    return 0;
}

void notifier_close(struct notifier *notifier)
{
    notifier->ending = true;
    if (notifier->fd >= 0)
        uv_close((uv_handle_t *)&notifier->poll, NULL);
    uv_close((uv_handle_t *)&notifier->timer, NULL);
    uv_close((uv_handle_t *)&notifier->done, NULL);
}

void notifier_free(struct notifier *notifier)
{
    if (notifier == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (notifier->buckets[i] != NULL) {
            struct watch *watch = notifier->buckets[i];
            notifier->buckets[i] = watch->next;
            free(watch);
        }
    if (notifier->fd >= 0)
        close(notifier->fd);
    buf_free(&notifier->waiting[0]);
    buf_free(&notifier->waiting[1]);
    buf_free(&notifier->batch);
    free(notifier->offsets);
    pthread_cond_destroy(&notifier->idle);
    pthread_mutex_destroy(&notifier->lock);
    free(notifier);
}
