/*
 * Four threads, because what each waits for is another's work:
 *
 *     port    reads the port; writes replies; never waits for anything else
 *     pump    reads requests; writes them and all answers to the port
 *     notify  writes notifications, which wait for locks that a reply releases
 *     chores  mounts and unmounts, which may be below a mount of ours
 *
 * The kernel's queues are the only long ones: a request is read when the port has taken the one
 * before. Small requests that wait are sent in one write. Answers have room for far more than a
 * host asks for; one that does not fit is dropped with a line on the console. Notifications come as
 * fast as somebody changes files on the host, and wait for locks: when some did not fit, the kernel
 * is made to forget what it can of everything once it has taken the others.
 *
 * Who kills this process (root in the guest can) ends all connections by that, unless a thread
 * waits in the kernel for an answer that only another thread could have written: then the process
 * stays, half dead, and everybody waits for ever. So a guard, which the kernel tells of the death
 * of the thread that started it, ends the connections. PID 1 then starts another relay, whose first
 * frame is a HELLO: what the host had sent to the old one lies in front of it and is skipped.
 *
 * No thread but `chores` allocates: the agent's allocator (memory.c) is not thread-safe. A mount's
 * descriptor is closed by `chores` when nobody uses it.
 */
#include "agent/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/mountpoint.h"
#include "agent/shortcut.h"
#include "vm/vfs/relay.h"

#define MOUNTS_MAX     256
#define CHORES_MAX     (2 * MOUNTS_MAX)
#define ANSWERS_SIZE   (256u * 1024)
#define NOTES_SIZE     (4u * 1024 * 1024)
#define READ_SIZE      (64u * 1024)
#define IN_SIZE        (2 * (FRAME_HEADER_SIZE + RELAY_FUSE_MAX) + READ_SIZE)
#define OUT_SIZE       (2 * (FRAME_HEADER_SIZE + RELAY_FUSE_MAX))
#define READY_MAX      32
#define COMPLAINTS_MAX 32u
#define STACK_SIZE     (128u * 1024)
#ifndef PR_SET_IO_FLUSHER /* musl has only what it knew of */
#define PR_SET_IO_FLUSHER 57
#endif
#define WAKE UINT32_MAX /* epoll's data of the eventfd */

struct mount {
    bool used, gone, leaving; /* gone: its connection has ended */
    uint32_t id;
    int fuse;
    unsigned users; /* threads that have the descriptor */
    uint32_t open;  /* requests that were passed on and not answered */
};

struct chore {
    uint8_t type; /* RELAY_MOUNT, RELAY_UNMOUNT, RELAY_DETACHED */
    uint32_t id, flags, readahead;
    char path[RELAY_PATH_MAX + 1];
};

/* In the ring of notifications, in front of the message. */
struct note {
    uint32_t slot, id, length;
};

/* Memory that is not used is not there. */
static uint8_t input[IN_SIZE], output[OUT_SIZE], notes[NOTES_SIZE], answers[ANSWERS_SIZE];
static struct mount mounts[MOUNTS_MAX];
static char paths[MOUNTS_MAX][RELAY_PATH_MAX + 1];
static struct chore chores[CHORES_MAX];

static struct {
    int port, epoll, wake;
    bool greeted;         /* of the port's thread */
    pthread_mutex_t lock; /* of what follows, and of the arrays but input and output */
    pthread_cond_t changed;
    bool paused, pause_answered;
    size_t chore_first, chore_count;
    size_t answers_length;
    uint64_t notes_put, notes_taken; /* bytes, ever */
    struct note last_note;           /* of an inode, and where it was put */
    uint64_t last_inode, last_put;
    bool notes_lost;
} relay = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/*
 * console_log() keeps its lines for PID 1, and allocates. The console is slow, and whoever writes
 * there holds everybody up: what has been said often is not said again.
 */
static void complain(const char *what, int code)
{
    static atomic_uint lines;
    if (atomic_fetch_add(&lines, 1) < COMPLAINTS_MAX)
        dprintf(STDERR_FILENO, "vmdeck-agent: file systems: %s: %s\n", what, strerror(code));
}

/* --- with the lock held */

static struct mount *find(uint32_t id)
{
    for (size_t i = 0; i < MOUNTS_MAX; i++)
        if (mounts[i].used && mounts[i].id == id)
            return &mounts[i];
    return NULL;
}

/* A frame to the host, sent by `pump`. */
static void answer(uint8_t type, uint32_t id, const void *payload, size_t length)
{
    static const uint64_t one = 1;
    uint8_t *room = answers + relay.answers_length;
    if (ANSWERS_SIZE - relay.answers_length < FRAME_HEADER_SIZE + length) {
        complain("the relay", ENOBUFS);
        return;
    }
    frame_header(room, type, 0, id, (uint32_t)length);
    if (length > 0)
        memcpy(room + FRAME_HEADER_SIZE, payload, length);
    relay.answers_length += FRAME_HEADER_SIZE + length;
    pthread_cond_broadcast(&relay.changed);
    if (write(relay.wake, &one, sizeof one) < 0)
        return; /* it is awake */
}

static void answer_code(uint8_t type, uint32_t id, int code, const char *text)
{
    uint8_t payload[4 + RELAY_TEXT_MAX];
    size_t length = strnlen(text, RELAY_TEXT_MAX);
    put_u32(payload, (uint32_t)code);
    memcpy(payload + 4, text, length);
    answer(type, id, payload, 4 + length);
}

static void answer_pause(void)
{
    if (!relay.paused || relay.pause_answered)
        return;
    for (size_t i = 0; i < MOUNTS_MAX; i++)
        if (mounts[i].used && !mounts[i].gone && mounts[i].open > 0)
            return;
    relay.pause_answered = true;
    answer(RELAY_PAUSED, 0, NULL, 0);
}

static void add_chore(uint8_t type, uint32_t id, const struct frame *frame)
{
    if (relay.chore_count == CHORES_MAX) {
        complain("the relay", ENOBUFS);
        return;
    }
    struct chore *chore = &chores[(relay.chore_first + relay.chore_count++) % CHORES_MAX];
    chore->type = type;
    chore->id = id;
    if (type == RELAY_MOUNT) {
        size_t length = frame->length - 8;
        chore->flags = get_u32(frame->payload);
        chore->readahead = get_u32(frame->payload + 4);
        memcpy(chore->path, frame->payload + 8, length);
        chore->path[length] = '\0';
    }
    pthread_cond_broadcast(&relay.changed);
}

/* Without the lock meanwhile: an answer wakes the process that waits for it. */
static void reply(struct mount *mount, const void *message, size_t length)
{
    mount->users++;
    pthread_mutex_unlock(&relay.lock);
    ssize_t n = write(mount->fuse, message, length);
    int code = n < 0 ? errno : 0;
    pthread_mutex_lock(&relay.lock);
    mount->users--;
    if (code != 0 && code != ENOENT && code != ENODEV)
        complain("a reply was refused", code);
    if (mount->gone)
        pthread_cond_broadcast(&relay.changed);
}

/* The connection is no more: nothing of it is open. */
static void set_gone(struct mount *mount)
{
    mount->gone = true;
    epoll_ctl(relay.epoll, EPOLL_CTL_DEL, mount->fuse, NULL);
    answer_pause();
}

/* --- chores */

static int mount_in(size_t slot, const struct chore *chore)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)slot};
    int fuse = mountpoint_device();
    int rc = fuse < 0 ? fuse
                      : mountpoint_mount(chore->path, fuse, (chore->flags & RELAY_READ_ONLY) != 0);
    if (rc < 0) {
        if (fuse >= 0)
            close(fuse);
        return rc;
    }
    pthread_mutex_lock(&relay.lock);
    memcpy(paths[slot], chore->path, sizeof paths[slot]);
    mounts[slot] = (struct mount){.used = true, .id = chore->id, .fuse = fuse};
    if (epoll_ctl(relay.epoll, EPOLL_CTL_ADD, fuse, &event) < 0)
        complain("cannot watch /dev/fuse", errno);
    pthread_mutex_unlock(&relay.lock);
    mountpoint_tune(chore->path, chore->readahead);
    return 0;
}

static void do_mount(const struct chore *chore)
{
    size_t slot = 0;
    while (slot < MOUNTS_MAX && mounts[slot].used) /* changed by this thread only */
        slot++;
    int rc = slot < MOUNTS_MAX ? mount_in(slot, chore) : -ENOSPC;
    pthread_mutex_lock(&relay.lock);
    answer_code(RELAY_MOUNTED, chore->id, -rc, "");
    pthread_mutex_unlock(&relay.lock);
}

/* Ends the connection, if the unmounting has not, and forgets the mount. With the lock held. */
static void forget(struct mount *mount)
{
    shortcut_forget();
    if (!mount->gone)
        set_gone(mount);
    while (mount->users > 0)
        pthread_cond_wait(&relay.changed, &relay.lock);
    close(mount->fuse);
    mount->used = false;
    answer_pause();
}

static void do_unmount(const struct chore *chore)
{
    static char path[RELAY_PATH_MAX + 1];
    char holders[RELAY_TEXT_MAX] = "";
    pthread_mutex_lock(&relay.lock);
    struct mount *mount = find(chore->id);
    if (mount == NULL) {
        answer_code(RELAY_UNMOUNTED, chore->id, ENOENT, "");
        pthread_mutex_unlock(&relay.lock);
        return;
    }
    mount->leaving = true;
    memcpy(path, paths[mount - mounts], sizeof path);
    pthread_mutex_unlock(&relay.lock);
    int code = -mountpoint_unmount(path, holders, sizeof holders);
    pthread_mutex_lock(&relay.lock);
    if (mount->gone)
        code = 0; /* the guest did it itself meanwhile */
    if (code == 0)
        forget(mount);
    mount->leaving = false;
    answer_code(RELAY_UNMOUNTED, chore->id, code, code != 0 ? holders : "");
    pthread_mutex_unlock(&relay.lock);
}

/* The host has given it up (what is open there gets ENOTCONN), or the guest has unmounted it. */
static void do_detach(const struct chore *chore)
{
    bool there = false;
    size_t slot = 0;
    pthread_mutex_lock(&relay.lock);
    struct mount *mount = find(chore->id);
    if (mount != NULL) {
        slot = (size_t)(mount - mounts);
        there = !mount->gone;
        forget(mount);
    }
    pthread_mutex_unlock(&relay.lock);
    if (there)
        mountpoint_detach(paths[slot]);
}

static _Noreturn void *chores_thread(void *argument)
{
    static struct chore chore;
    (void)argument;
    for (;;) {
        pthread_mutex_lock(&relay.lock);
        while (relay.chore_count == 0)
            pthread_cond_wait(&relay.changed, &relay.lock);
        chore = chores[relay.chore_first];
        relay.chore_first = (relay.chore_first + 1) % CHORES_MAX;
        relay.chore_count--;
        pthread_mutex_unlock(&relay.lock);
        if (chore.type == RELAY_MOUNT)
            do_mount(&chore);
        else if (chore.type == RELAY_UNMOUNT)
            do_unmount(&chore);
        else
            do_detach(&chore);
    }
}

/* --- notify */

static void ring_put(uint64_t where, const void *from, size_t size)
{
    size_t at = where % NOTES_SIZE;
    size_t first = NOTES_SIZE - at < size ? NOTES_SIZE - at : size;
    memcpy(notes + at, from, first);
    memcpy(notes, (const uint8_t *)from + first, size - first);
}

static void ring_get(uint64_t where, void *to, size_t size)
{
    size_t at = where % NOTES_SIZE;
    size_t first = NOTES_SIZE - at < size ? NOTES_SIZE - at : size;
    memcpy(to, notes + at, first);
    memcpy((uint8_t *)to + first, notes, size - first);
}

/* The inode that the kernel is to forget; 0: it is another notification. */
static uint64_t noted_inode(const struct frame *frame)
{
    struct fuse_out_header out;
    struct fuse_notify_inval_inode_out what;
    if (frame->length < sizeof out + sizeof what)
        return 0;
    memcpy(&out, frame->payload, sizeof out);
    memcpy(&what, frame->payload + sizeof out, sizeof what);
    return out.error == FUSE_NOTIFY_INVAL_INODE ? what.ino : 0;
}

static void add_note(const struct mount *mount, const struct frame *frame)
{
    const struct note note = {(uint32_t)(mount - mounts), mount->id, frame->length};
    uint64_t inode = noted_inode(frame);
    bool waits = inode != 0 && inode == relay.last_inode && relay.last_put >= relay.notes_taken &&
                 memcmp(&note, &relay.last_note, sizeof note) == 0;
    bool fits = NOTES_SIZE - (relay.notes_put - relay.notes_taken) >= sizeof note + frame->length;
    relay.notes_lost = relay.notes_lost || !(waits || fits);
    if (waits || !fits)
        return;
    if (inode != 0) {
        relay.last_note = note;
        relay.last_inode = inode;
        relay.last_put = relay.notes_put;
    }
    ring_put(relay.notes_put, &note, sizeof note);
    ring_put(relay.notes_put + sizeof note, frame->payload, frame->length);
    relay.notes_put += sizeof note + frame->length;
    pthread_cond_broadcast(&relay.changed);
}

/*
 * Notifications did not fit: the kernel forgets all names and files that nobody has open just now,
 * of every file system; it has no way to name those of one. With the lock held on both ends.
 */
static void drop_caches(void)
{
    relay.notes_lost = false;
    pthread_mutex_unlock(&relay.lock);
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "2", 1) < 0)
        complain("notifications were lost", errno);
    if (fd >= 0)
        close(fd);
    pthread_mutex_lock(&relay.lock);
}

static _Noreturn void *notify_thread(void *argument)
{
    static uint8_t message[RELAY_FUSE_MAX];
    struct note note;
    (void)argument;
    pthread_mutex_lock(&relay.lock);
    for (;;) {
        while (relay.notes_put == relay.notes_taken) {
            if (relay.notes_lost)
                drop_caches();
            else
                pthread_cond_wait(&relay.changed, &relay.lock);
        }
        ring_get(relay.notes_taken, &note, sizeof note);
        ring_get(relay.notes_taken + sizeof note, message, note.length);
        relay.notes_taken += sizeof note + note.length;
        struct mount *mount = &mounts[note.slot];
        if (!mount->used || mount->gone || mount->id != note.id)
            continue;
        mount->users++;
        pthread_mutex_unlock(&relay.lock);
        ssize_t n = write(mount->fuse, message, note.length);
        (void)n; /* what is not cached cannot be forgotten */
        pthread_mutex_lock(&relay.lock);
        mount->users--;
        pthread_cond_broadcast(&relay.changed);
    }
}

/* --- pump */

static void send_all(const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(relay.port, data, size);
        if (n < 0 && errno != EINTR) {
            complain("the port is lost", errno);
            _exit(1);
        }
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}

static bool expects_reply(const uint8_t *request)
{
    struct fuse_in_header header;
    memcpy(&header, request, sizeof header);
    return header.opcode != FUSE_FORGET && header.opcode != FUSE_BATCH_FORGET &&
           header.opcode != FUSE_INTERRUPT;
}

/* A request that was read into its frame: answers what needs no host. Returns the frame's length,
 * 0 if there is nothing to send. */
static size_t take_request(struct mount *mount, uint8_t *frame, size_t size)
{
    struct shortcut near;
    const uint8_t *request = frame + FRAME_HEADER_SIZE;
    enum shortcut_kind kind = shortcut_take(mount->id, request, size, &near);
    uint8_t flags = RELAY_TAKES_ATTR | (kind == SHORTCUT_TOLD ? RELAY_ANSWERED : 0);
    if (kind != SHORTCUT_NONE)
        reply(mount, &near, near.header.len);
    else
        mount->open += expects_reply(request);
    if (kind == SHORTCUT_DONE)
        return 0;
    frame_header(frame, RELAY_REQUEST, flags, mount->id, (uint32_t)size);
    return FRAME_HEADER_SIZE + size;
}

/* Appends the requests that wait and fit; returns the new length. */
static size_t take_requests(struct mount *mount, size_t length)
{
    while (OUT_SIZE - length >= FRAME_HEADER_SIZE + RELAY_FUSE_MAX) {
        uint8_t *frame = output + length;
        ssize_t n = -1;
        pthread_mutex_lock(&relay.lock);
        bool may = mount->used && !mount->gone && !relay.paused;
        if (may)
            n = read(mount->fuse, frame + FRAME_HEADER_SIZE, RELAY_FUSE_MAX);
        if (n > 0) {
            length += take_request(mount, frame, (size_t)n);
        } else if (may && n < 0 && (errno == ENODEV || errno == ECONNABORTED)) {
            set_gone(mount);
            if (!mount->leaving) {
                answer(RELAY_DETACHED, mount->id, NULL, 0);
                add_chore(RELAY_DETACHED, mount->id, NULL);
            }
        }
        bool more = n > 0 || (may && n < 0 && (errno == EINTR || errno == ENOENT || errno == EIO));
        pthread_mutex_unlock(&relay.lock);
        if (!more)
            break;
    }
    return length;
}

static void send_answers(void)
{
    pthread_mutex_lock(&relay.lock);
    size_t length = relay.answers_length;
    memcpy(output, answers, length);
    relay.answers_length = 0;
    pthread_mutex_unlock(&relay.lock);
    send_all(output, length);
}

/*
 * A HELLO that came with the RESUME, or with a MOUNT, is answered in front of all requests: the
 * host drops others.
 */
static void wait_for_resume(void)
{
    for (;;) {
        send_answers();
        pthread_mutex_lock(&relay.lock);
        while (relay.paused && relay.answers_length == 0)
            pthread_cond_wait(&relay.changed, &relay.lock);
        bool done = !relay.paused && relay.answers_length == 0;
        pthread_mutex_unlock(&relay.lock);
        if (done)
            return;
    }
}

static _Noreturn void *pump_thread(void *argument)
{
    struct epoll_event events[READY_MAX];
    (void)argument;
    for (;;) {
        int count = epoll_wait(relay.epoll, events, READY_MAX, -1);
        wait_for_resume(); /* sends what these requests came of: the HELLO in front of a MOUNT */
        size_t length = 0;
        for (int i = 0; i < count; i++) {
            uint64_t drained;
            if (events[i].data.u32 != WAKE)
                length = take_requests(&mounts[events[i].data.u32], length);
            else if (read(relay.wake, &drained, sizeof drained) < 0)
                continue;
        }
        send_all(output, length);
    }
}

/* --- port */

static void on_hello(const struct frame *frame)
{
    answer(RELAY_HELLO, 0, frame->payload, frame->length);
}

static void on_mount(const struct frame *frame)
{
    if (memchr(frame->payload + 8, '\0', frame->length - 8) != NULL || frame->payload[8] != '/')
        answer_code(RELAY_MOUNTED, frame->stream, EINVAL, "");
    else
        add_chore(RELAY_MOUNT, frame->stream, frame);
}

static void on_chore(const struct frame *frame)
{
    add_chore(frame->type, frame->stream, frame);
}

static void on_reply(const struct frame *frame)
{
    struct mount *mount = find(frame->stream);
    if (mount == NULL || mount->gone)
        return;
    reply(mount, frame->payload, shortcut_pass(mount->id, frame->payload, frame->length));
    mount->open -= mount->open > 0;
    answer_pause();
}

static void on_notify(const struct frame *frame)
{
    const struct mount *mount = find(frame->stream);
    if (mount == NULL || mount->gone)
        return;
    shortcut_pass(mount->id, frame->payload, frame->length);
    add_note(mount, frame);
}

static void on_pause(const struct frame *frame)
{
    relay.paused = frame->type == RELAY_PAUSE;
    relay.pause_answered = false;
    shortcut_forget();
    answer_pause();
    pthread_cond_broadcast(&relay.changed);
    if (relay.paused)
        return;
    static const uint64_t one = 1;
    if (write(relay.wake, &one, sizeof one) < 0)
        return; /* it is awake */
}

static void (*const handlers[RELAY_TYPES])(const struct frame *frame) = {
    [RELAY_HELLO] = on_hello,    [RELAY_MOUNT] = on_mount,  [RELAY_UNMOUNT] = on_chore,
    [RELAY_DETACHED] = on_chore, [RELAY_REPLY] = on_reply,  [RELAY_NOTIFY] = on_notify,
    [RELAY_PAUSE] = on_pause,    [RELAY_RESUME] = on_pause,
};

/* How many bytes are in front of the host's HELLO. */
static size_t skip_to_hello(const uint8_t *data, size_t size)
{
    uint8_t hello[FRAME_HEADER_SIZE + 4];
    frame_header(hello, RELAY_HELLO, 0, 0, 4 + RELAY_EPOCH_SIZE);
    put_u32(hello + FRAME_HEADER_SIZE, RELAY_VERSION);
    const uint8_t *at = memmem(data, size, hello, sizeof hello);
    relay.greeted = at != NULL;
    if (at != NULL)
        return (size_t)(at - data);
    return size < sizeof hello ? 0 : size - (sizeof hello - 1);
}

/* Takes the frames off; returns how many bytes they were. */
static size_t take_frames(const uint8_t *data, size_t size)
{
    static const struct frame_rule rows[RELAY_TYPES] = RELAY_RULES;
    static const struct frame_rules rules = {rows, RELAY_TYPES};
    struct frame frame;
    const char *why = "";
    size_t start = relay.greeted ? 0 : skip_to_hello(data, size);
    int64_t taken = 0;
    if (!relay.greeted)
        return start;
    pthread_mutex_lock(&relay.lock);
    while ((taken = frame_parse(data + start, size - start, &rules, &frame, &why)) > 0) {
        start += (size_t)taken;
        if (handlers[frame.type] != NULL)
            handlers[frame.type](&frame);
    }
    pthread_mutex_unlock(&relay.lock);
    if (taken < 0) {
        complain(why, EPROTO);
        _exit(1);
    }
    return start;
}

/* While the host's end is closed read() returns 0 at once: its coming back is an edge. */
static void wait_for_host(int port_epoll)
{
    struct epoll_event event;
    epoll_wait(port_epoll, &event, 1, -1);
}

static _Noreturn void port_thread(void)
{
    struct epoll_event edge = {.events = EPOLLIN | EPOLLET};
    size_t start = 0, end = 0;
    int port_epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(port_epoll, EPOLL_CTL_ADD, relay.port, &edge);
    for (;;) {
        ssize_t n = read(relay.port, input + end, READ_SIZE);
        if (n == 0) {
            start = end = 0; /* half a frame will never be completed */
            relay.greeted = false;
            wait_for_host(port_epoll);
            continue;
        }
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            _exit(1);
        end += n > 0 ? (size_t)n : 0;
        start += take_frames(input + start, end - start);
        if (start == end) {
            start = end = 0;
        } else if (IN_SIZE - end < READ_SIZE) {
            memmove(input, input + start, end - start);
            end -= start;
            start = 0;
        }
    }
}

static int start_thread(void *(*run)(void *))
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    return pthread_create(&thread, &attributes, run, NULL);
}

/*
 * Memory that is reclaimed may have to be written to a file system of ours: never wait for that.
 * The agent yields to everybody (main.c); here somebody waits for each answer.
 */
static void become_indispensable(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    static const struct sched_param usual;
    syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &usual);
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    prctl(PR_SET_NAME, "vmdeck-vfs", 0, 0, 0);
    if (fd < 0 || write(fd, "-1000", 5) < 0)
        complain("cannot be kept from the OOM killer", errno);
    if (fd >= 0)
        close(fd);
}

/* All signals are blocked, as in PID 1. */
static void start_guard(int alive)
{
    pid_t relay_pid = getpid();
    pid_t pid = fork();
    if (pid != 0) {
        if (pid < 0)
            complain("no guard", errno);
        close(alive);
        return;
    }
    int number;
    sigset_t death;
    sigemptyset(&death);
    sigaddset(&death, SIGUSR1);
    close(relay.port);
    prctl(PR_SET_NAME, "vmdeck-vfs-end", 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    while (getppid() == relay_pid && sigwait(&death, &number) != 0)
        ;
    mountpoint_abort_all();
    _exit(0);
}

void relay_run(int port, int alive)
{
    struct epoll_event wake = {.events = EPOLLIN, .data.u32 = WAKE};
    become_indispensable();
    signal(SIGCHLD, SIG_IGN); /* the guard's, if it should be killed alone */
    relay.port = port;
    start_guard(alive);
    relay.epoll = epoll_create1(EPOLL_CLOEXEC);
    relay.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fcntl(port, F_SETFL, fcntl(port, F_GETFL) & ~O_NONBLOCK) == 0 &&
        epoll_ctl(relay.epoll, EPOLL_CTL_ADD, relay.wake, &wake) == 0 &&
        start_thread(pump_thread) == 0 && start_thread(notify_thread) == 0 &&
        start_thread(chores_thread) == 0)
        port_thread();
    complain("the relay cannot run", errno);
    _exit(1);
}
