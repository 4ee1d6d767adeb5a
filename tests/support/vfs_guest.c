/*
 * A thread per FUSE connection reads requests; one reads the port and writes replies; one writes
 * notifications, which may have to wait for a reply (relay.h says why).
 */
#include "vfs_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/shortcut.h"
#include "base/path.h"
#include "vm/vfs/relay.h"

#define MOUNTS  64
#define TIMEOUT 115 /* seconds, less than a test has */

struct connection {
    struct guest *guest;
    uint32_t id;
    int fuse, wake;
    char path[RELAY_PATH_MAX + 1];
    pthread_t thread;
    unsigned open; /* requests that are not answered */
    bool used, ended;
};

struct note {
    struct note *next;
    int fuse;
    uint32_t length;
    uint8_t data[];
};

struct guest {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int port;
    bool paused, pause_answered, stopping;
    uint64_t requests, notes;
    struct connection connections[MOUNTS];
    struct note *first, **last;
    pthread_t reader, notifier;
};

static struct guest *living; /* for the end of a test that failed */

/* Without this a file of ours that is open in a mount of ours keeps the process from ending. */
static void abort_mounts(void)
{
    for (int i = 0; living != NULL && i < MOUNTS; i++)
        if (living->connections[i].used)
            umount2(living->connections[i].path, MNT_FORCE | MNT_DETACH);
}

static void on_alarm(int number)
{
    (void)number;
    abort_mounts();
    _exit(1);
}

bool guest_possible(const char **why)
{
    static int possible = -1;
    static const char *reason;
    if (possible < 0) {
        int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        possible = 0;
        if (fd < 0)
            reason = "/dev/fuse cannot be opened";
        else if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
                 mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            reason = "no mount namespace of our own (root is needed)";
        else
            possible = 1;
        if (possible == 1) {
            atexit(abort_mounts);
            signal(SIGALRM, on_alarm);
            alarm(TIMEOUT);
        }
        if (fd >= 0)
            close(fd);
    }
    *why = reason;
    return possible == 1;
}

static void send_flagged(struct guest *guest, uint8_t type, uint8_t flags, uint32_t id,
                         const void *data, size_t length)
{
    uint8_t header[FRAME_HEADER_SIZE];
    frame_header(header, type, flags, id, (uint32_t)length);
    if (fd_write_all(guest->port, header, sizeof header) == 0)
        fd_write_all(guest->port, data, length);
}

static void send_frame(struct guest *guest, uint8_t type, uint32_t id, const void *data,
                       size_t length)
{
    send_flagged(guest, type, 0, id, data, length);
}

static bool expects_reply(uint32_t opcode)
{
    return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

static void answer_pause(struct guest *guest)
{
    unsigned open = 0;
    for (int i = 0; i < MOUNTS; i++)
        open += guest->connections[i].used ? guest->connections[i].open : 0;
    if (guest->paused && !guest->pause_answered && open == 0) {
        guest->pause_answered = true;
        send_frame(guest, RELAY_PAUSED, 0, NULL, 0);
    }
}

/* As the agent does. With the lock held. */
static void pass(struct connection *connection, const uint8_t *request, size_t length)
{
    struct guest *guest = connection->guest;
    const struct fuse_in_header *header = (const void *)request;
    struct shortcut near;
    enum shortcut_kind kind = shortcut_take(connection->id, request, length, &near);
    uint8_t flags = RELAY_TAKES_ATTR | (kind == SHORTCUT_TOLD ? RELAY_ANSWERED : 0);
    if (kind != SHORTCUT_NONE && write(connection->fuse, &near, near.header.len) < 0 &&
        errno != ENOENT)
        fprintf(stderr, "a shortcut was refused: %s\n", strerror(errno));
    if (kind == SHORTCUT_DONE)
        return;
    connection->open += kind == SHORTCUT_NONE && expects_reply(header->opcode);
    guest->requests++;
    send_flagged(guest, RELAY_REQUEST, flags, connection->id, request, length);
}

/* False: the connection has ended. */
static bool pass_request(struct connection *connection, uint8_t *buffer)
{
    struct guest *guest = connection->guest;
    struct pollfd fds[2] = {{connection->fuse, POLLIN, 0}, {connection->wake, POLLIN, 0}};
    pthread_mutex_lock(&guest->lock);
    while (guest->paused && !guest->stopping && !connection->ended)
        pthread_cond_wait(&guest->changed, &guest->lock);
    bool ended = guest->stopping || connection->ended;
    pthread_mutex_unlock(&guest->lock);
    if (ended || poll(fds, 2, -1) < 0)
        return !ended;
    if (fds[1].revents != 0) {
        uint64_t count;
        return read(connection->wake, &count, sizeof count) > 0;
    }
    pthread_mutex_lock(&guest->lock);
    ssize_t n = guest->paused ? -1 : read(connection->fuse, buffer, RELAY_FUSE_MAX);
    bool gone = n < 0 && !guest->paused && errno == ENODEV;
    if (n > 0) {
        pass(connection, buffer, (size_t)n);
    }
    pthread_mutex_unlock(&guest->lock);
    return !gone;
}

static void *connection_thread(void *argument)
{
    struct connection *connection = argument;
    uint8_t *buffer = malloc(RELAY_FUSE_MAX);
    while (buffer != NULL && pass_request(connection, buffer))
        ;
    free(buffer);
    return NULL;
}

static void *notify_thread(void *argument)
{
    struct guest *guest = argument;
    pthread_mutex_lock(&guest->lock);
    for (;;) {
        while (guest->first == NULL && !guest->stopping)
            pthread_cond_wait(&guest->changed, &guest->lock);
        struct note *note = guest->first;
        if (note == NULL)
            break;
        guest->first = note->next;
        if (guest->first == NULL)
            guest->last = &guest->first;
        pthread_mutex_unlock(&guest->lock);
        ssize_t n = write(note->fuse, note->data, note->length);
        (void)n;
        free(note);
        pthread_mutex_lock(&guest->lock);
    }
    pthread_mutex_unlock(&guest->lock);
    return NULL;
}

static struct connection *find(struct guest *guest, uint32_t id)
{
    for (int i = 0; i < MOUNTS; i++)
        if (guest->connections[i].used && guest->connections[i].id == id)
            return &guest->connections[i];
    return NULL;
}

static void set_readahead(const char *path, uint32_t kilobytes)
{
    struct stat st;
    char name[128];
    if (stat(path, &st) < 0)
        return;
    snprintf(name, sizeof name, "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev),
             minor(st.st_dev));
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        dprintf(fd, "%u\n", kilobytes);
        close(fd);
    }
}

static int do_mount(struct guest *guest, uint32_t id, const uint8_t *payload, uint32_t length)
{
    int slot = 0;
    while (slot < MOUNTS && guest->connections[slot].used)
        slot++;
    if (slot == MOUNTS)
        return ENOSPC;
    struct connection *connection = &guest->connections[slot];
    *connection = (struct connection){.guest = guest, .id = id};
    memcpy(connection->path, payload + 8, length - 8);
    if (path_mkdirs(connection->path, 0755, NULL) < 0)
        return errno;
    connection->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    connection->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    char options[256];
    snprintf(options, sizeof options, "fd=%d,%s", connection->fuse, RELAY_MOUNT_OPTIONS);
    unsigned long flags = MS_NODEV | (get_u32(payload) & RELAY_READ_ONLY ? MS_RDONLY : 0);
    if (mount("vmdeck", connection->path, "fuse", flags, options) < 0) {
        int code = errno;
        close(connection->fuse);
        close(connection->wake);
        return code;
    }
    connection->used = true;
    pthread_create(&connection->thread, NULL, connection_thread, connection);
    set_readahead(connection->path, get_u32(payload + 4));
    return 0;
}

static void end_connection(struct connection *connection)
{
    struct guest *guest = connection->guest;
    uint64_t one = 1;
    pthread_mutex_lock(&guest->lock);
    connection->ended = true;
    pthread_cond_broadcast(&guest->changed);
    pthread_mutex_unlock(&guest->lock);
    ssize_t n = write(connection->wake, &one, sizeof one);
    (void)n;
    pthread_join(connection->thread, NULL);
    close(connection->fuse);
    close(connection->wake);
    connection->used = false;
}

static void answer(struct guest *guest, uint8_t type, uint32_t id, int code, const char *text)
{
    uint8_t payload[4 + RELAY_TEXT_MAX];
    put_u32(payload, (uint32_t)code);
    memcpy(payload + 4, text, strlen(text));
    pthread_mutex_lock(&guest->lock);
    send_frame(guest, type, id, payload, 4 + strlen(text));
    pthread_mutex_unlock(&guest->lock);
}

/* MOUNT and UNMOUNT, on a thread of their own: a path can lead through another of the mounts. */
struct task {
    struct guest *guest;
    uint8_t type;
    uint32_t id, length;
    uint8_t payload[8 + RELAY_PATH_MAX];
};

static void *task_thread(void *argument)
{
    struct task *task = argument;
    struct guest *guest = task->guest;
    struct connection *connection = find(guest, task->id);
    if (task->type == RELAY_MOUNT) {
        int code = do_mount(guest, task->id, task->payload, task->length);
        answer(guest, RELAY_MOUNTED, task->id, code, "");
    } else if (connection != NULL) {
        int code = umount2(connection->path, 0) < 0 ? errno : 0;
        if (code == 0)
            end_connection(connection);
        answer(guest, RELAY_UNMOUNTED, task->id, code, code != 0 ? "sh (pid 7)" : "");
    }
    free(task);
    return NULL;
}

static void start_task(struct guest *guest, const struct frame *frame)
{
    struct task *task = calloc(1, sizeof *task);
    pthread_t thread;
    if (task == NULL)
        abort();
    task->guest = guest;
    task->type = frame->type;
    task->id = frame->stream;
    task->length = frame->length;
    memcpy(task->payload, frame->payload, frame->length);
    if (pthread_create(&thread, NULL, task_thread, task) == 0)
        pthread_detach(thread);
}

static void take_frame(struct guest *guest, const struct frame *frame)
{
    struct connection *connection = find(guest, frame->stream);
    if (frame->type == RELAY_HELLO) {
        pthread_mutex_lock(&guest->lock);
        send_frame(guest, RELAY_HELLO, 0, frame->payload, frame->length);
        pthread_mutex_unlock(&guest->lock);
    } else if (frame->type == RELAY_MOUNT || frame->type == RELAY_UNMOUNT) {
        start_task(guest, frame);
    } else if (frame->type == RELAY_DETACHED && connection != NULL) {
        umount2(connection->path, MNT_DETACH);
        end_connection(connection);
    } else if (frame->type == RELAY_REPLY && connection != NULL) {
        pthread_mutex_lock(&guest->lock);
        size_t length = shortcut_pass(frame->stream, frame->payload, frame->length);
        pthread_mutex_unlock(&guest->lock);
        ssize_t n = write(connection->fuse, frame->payload, length);
        pthread_mutex_lock(&guest->lock);
        connection->open -= n >= 0 || errno == ENOENT;
        answer_pause(guest);
        pthread_mutex_unlock(&guest->lock);
    } else if (frame->type == RELAY_NOTIFY && connection != NULL) {
        struct note *note = malloc(sizeof *note + frame->length);
        __atomic_fetch_add(&guest->notes, 1, __ATOMIC_RELAXED);
        *note = (struct note){.fuse = connection->fuse, .length = frame->length};
        memcpy(note->data, frame->payload, frame->length);
        pthread_mutex_lock(&guest->lock);
        shortcut_pass(frame->stream, frame->payload, frame->length);
        *guest->last = note;
        guest->last = &note->next;
        pthread_cond_broadcast(&guest->changed);
        pthread_mutex_unlock(&guest->lock);
    } else if (frame->type == RELAY_PAUSE || frame->type == RELAY_RESUME) {
        pthread_mutex_lock(&guest->lock);
        guest->paused = frame->type == RELAY_PAUSE;
        shortcut_forget();
        guest->pause_answered = false;
        answer_pause(guest);
        pthread_cond_broadcast(&guest->changed);
        pthread_mutex_unlock(&guest->lock);
    }
}

static void *port_thread(void *argument)
{
    static const struct frame_rule rows[RELAY_TYPES] = RELAY_RULES;
    static const struct frame_rules rules = {rows, RELAY_TYPES};
    struct guest *guest = argument;
    struct buf in = {0};
    for (;;) {
        uint8_t *room = buf_reserve(&in, 1 << 20);
        ssize_t n = room != NULL ? read(guest->port, room, 1 << 20) : -1;
        if (n <= 0)
            break;
        buf_added(&in, (size_t)n);
        struct frame frame;
        const char *why;
        int64_t taken;
        while ((taken = frame_parse(buf_data(&in), buf_len(&in), &rules, &frame, &why)) > 0) {
            take_frame(guest, &frame);
            buf_consume(&in, (size_t)taken);
        }
        if (taken < 0) {
            fprintf(stderr, "the server broke the protocol: %s\n", why);
            break;
        }
    }
    buf_free(&in);
    return NULL;
}

struct guest *guest_start(int fd)
{
    struct guest *guest = calloc(1, sizeof *guest);
    if (guest == NULL)
        abort();
    living = guest;
    guest->port = fd;
    guest->last = &guest->first;
    pthread_mutex_init(&guest->lock, NULL);
    pthread_cond_init(&guest->changed, NULL);
    pthread_create(&guest->reader, NULL, port_thread, guest);
    pthread_create(&guest->notifier, NULL, notify_thread, guest);
    return guest;
}

void guest_reconnect(struct guest *guest, int fd)
{
    shutdown(guest->port, SHUT_RDWR);
    pthread_join(guest->reader, NULL);
    close(guest->port);
    guest->port = fd;
    pthread_create(&guest->reader, NULL, port_thread, guest);
}

uint64_t guest_requests(const struct guest *guest)
{
    return __atomic_load_n(&guest->requests, __ATOMIC_RELAXED);
}

uint64_t guest_notes(const struct guest *guest)
{
    return __atomic_load_n(&guest->notes, __ATOMIC_RELAXED);
}

void guest_stop(struct guest *guest)
{
    for (int i = MOUNTS - 1; i >= 0; i--)
        if (guest->connections[i].used)
            umount2(guest->connections[i].path, MNT_DETACH);
    shutdown(guest->port, SHUT_RDWR);
    pthread_join(guest->reader, NULL);
    pthread_mutex_lock(&guest->lock);
    guest->stopping = true;
    pthread_cond_broadcast(&guest->changed);
    pthread_mutex_unlock(&guest->lock);
    for (int i = 0; i < MOUNTS; i++)
        if (guest->connections[i].used)
            end_connection(&guest->connections[i]);
    pthread_join(guest->notifier, NULL);
    living = NULL;
    close(guest->port);
    pthread_cond_destroy(&guest->changed);
    pthread_mutex_destroy(&guest->lock);
    free(guest);
}
