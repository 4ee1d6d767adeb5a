/*
 * A reply is written by the thread that made it, as far as the socket takes it, which saves two
 * changes of thread per request; the rest is left to the loop. Reading goes into the frame's own
 * memory directly, so a large write is copied once only.
 */
#include "vm/vfs/port.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define STAGE_SIZE 65536u
#define TURN_BYTES (4u * 1024 * 1024) /* read before others on the loop have their turn */
#define BATCH      16
#define HELLO_SIZE (FRAME_HEADER_SIZE + 4 + RELAY_EPOCH_SIZE)

static const struct frame_rule rows[RELAY_TYPES] = RELAY_RULES;
static const struct frame_rules rules = {rows, RELAY_TYPES};

struct port {
    uv_poll_t poll;
    uv_async_t wake;
    unsigned closing; /* handles that are not closed yet */
    int fd, watched;  /* events that the poll watches */
    const struct port_events *events;
    void *context;
    bool ended, greeted;
    uint8_t hello[HELLO_SIZE]; /* the frame that the agent has to begin with */
    struct inbound *partial;   /* a frame whose payload is not complete */
    size_t have;
    uint8_t stage[STAGE_SIZE];
    size_t stage_start, stage_end;

    pthread_mutex_t lock; /* of what follows */
    pthread_t thread;     /* the loop's, once it has read */
    pthread_cond_t room, idle;
    struct outbound *first, **last;
    size_t out_bytes, in_bytes, in_count;
    int failure;                /* errno of a write */
    bool muted;                 /* what is sent is dropped */
    bool broken, full, blocked; /* full: reading has stopped; blocked: the socket takes no more */
};

static void update_watch(struct port *port);

static void port_end(struct port *port, int code, const char *why)
{
    if (port->ended)
        return;
    port->ended = true;
    uv_poll_stop(&port->poll);
    port_break(port);
    struct error err = {0};
    error_set(&err, code, "file systems: %s", why);
    port->events->ended(port->context, &err);
}

static bool is_full(const struct port *port)
{
    return port->in_bytes >= PORT_BYTES_MAX || port->in_count >= PORT_COUNT_MAX;
}

static void deliver(struct port *port, struct inbound *frame)
{
    pthread_mutex_lock(&port->lock);
    port->thread = pthread_self();
    port->in_bytes += frame->length;
    port->in_count++;
    port->full = is_full(port);
    pthread_mutex_unlock(&port->lock);
    port->events->frame(port->context, frame);
}

void port_done(struct port *port, struct inbound *frame)
{
    pthread_mutex_lock(&port->lock);
    port->in_bytes -= frame->length;
    port->in_count--;
    bool resume =
        port->full && port->in_bytes <= PORT_BYTES_MAX / 2 && port->in_count <= PORT_COUNT_MAX / 2;
    if (resume)
        port->full = false;
    if (port->in_count == 0)
        pthread_cond_broadcast(&port->idle);
    pthread_mutex_unlock(&port->lock);
    if (resume)
        uv_async_send(&port->wake);
    free(frame);
}

bool port_idle(struct port *port)
{
    pthread_mutex_lock(&port->lock);
    bool idle = port->in_count == 1 && port->first == NULL;
    pthread_mutex_unlock(&port->lock);
    return idle;
}

void port_drain(struct port *port)
{
    pthread_mutex_lock(&port->lock);
    while (port->in_count > 0)
        pthread_cond_wait(&port->idle, &port->lock);
    pthread_mutex_unlock(&port->lock);
}

/* Drops what is in front of the agent's HELLO. */
static void find_hello(struct port *port)
{
    size_t there = port->stage_end - port->stage_start;
    const uint8_t *at = port->stage + port->stage_start;
    const uint8_t *hello = memmem(at, there, port->hello, HELLO_SIZE);
    if (hello != NULL) {
        port->greeted = true;
        port->stage_start = (size_t)(hello - port->stage);
    } else if (there >= HELLO_SIZE) {
        port->stage_start = port->stage_end - (HELLO_SIZE - 1);
    }
}

/* Takes frames out of the stage. False: the connection has ended. */
static bool take_frames(struct port *port)
{
    if (!port->greeted)
        find_hello(port);
    if (!port->greeted)
        return true;
    while (!port->ended && port->partial == NULL) {
        struct frame frame;
        const char *why = NULL;
        size_t there = port->stage_end - port->stage_start;
        const uint8_t *at = port->stage + port->stage_start;
        int64_t taken = frame_parse(at, there, &rules, &frame, &why);
        if (taken < 0) {
            port_end(port, EPROTO, why);
            return false;
        }
        if (there < FRAME_HEADER_SIZE)
            break;
        uint32_t length = get_u32(at);
        struct inbound *in = malloc(sizeof *in + length);
        if (in == NULL) {
            port_end(port, ENOMEM, "out of memory for a request");
            return false;
        }
        *in = (struct inbound){
            .type = at[4], .flags = at[5], .stream = get_u32(at + 8), .length = length};
        there -= FRAME_HEADER_SIZE;
        size_t part = there < length ? there : length;
        memcpy(in->payload, at + FRAME_HEADER_SIZE, part);
        port->stage_start += FRAME_HEADER_SIZE + part;
        if (part < length) {
            port->partial = in;
            port->have = part;
        } else {
            deliver(port, in);
        }
    }
    if (port->stage_start == port->stage_end)
        port->stage_start = port->stage_end = 0;
    return !port->ended;
}

static ssize_t read_some(struct port *port)
{
    struct iovec parts[2];
    int count = 0;
    size_t missing = 0;
    if (port->partial != NULL) {
        missing = port->partial->length - port->have;
        parts[count++] = (struct iovec){port->partial->payload + port->have, missing};
    }
    memmove(port->stage, port->stage + port->stage_start, port->stage_end - port->stage_start);
    port->stage_end -= port->stage_start;
    port->stage_start = 0;
    parts[count++] =
        (struct iovec){port->stage + port->stage_end, sizeof port->stage - port->stage_end};
    ssize_t n = readv(port->fd, parts, count);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    size_t part = (size_t)n < missing ? (size_t)n : missing;
    port->have += part;
    port->stage_end += (size_t)n - part;
    if (port->partial != NULL && part == missing) {
        struct inbound *whole = port->partial;
        port->partial = NULL;
        deliver(port, whole);
    }
    return n;
}

static bool may_read(struct port *port)
{
    pthread_mutex_lock(&port->lock);
    bool may = !port->full;
    pthread_mutex_unlock(&port->lock);
    return may;
}

static void port_read(struct port *port)
{
    for (size_t turn = 0; turn < TURN_BYTES && !port->ended && may_read(port);) {
        ssize_t n = read_some(port);
        if (n == -EINTR)
            continue;
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            port_end(port, n < 0 ? (int)-n : EPIPE,
                     n < 0 ? strerror((int)-n) : "the agent has closed the port");
            return;
        }
        turn += (size_t)n;
        if (!take_frames(port))
            return;
    }
}

/* With the lock held: writes what the socket takes. */
static void flush(struct port *port)
{
    while (port->first != NULL && !port->blocked && !port->broken) {
        struct iovec parts[BATCH];
        size_t count = 0;
        for (struct outbound *out = port->first; out != NULL && count < BATCH; out = out->next)
            parts[count++] = (struct iovec){out->bytes + out->start, out->end - out->start};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t n = sendmsg(port->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            port->blocked = errno == EAGAIN;
            port->failure = errno == EAGAIN ? 0 : errno;
            port->broken |= errno != EAGAIN;
            return;
        }
        port->out_bytes -= (size_t)n;
        if (port->out_bytes < PORT_BYTES_MAX)
            pthread_cond_broadcast(&port->room);
        while (n > 0 && port->first != NULL) {
            struct outbound *out = port->first;
            size_t part = out->end - out->start;
            if ((size_t)n < part) {
                out->start += (size_t)n;
                break;
            }
            n -= (ssize_t)part;
            port->first = out->next;
            if (port->first == NULL)
                port->last = &port->first;
            free(out);
        }
    }
}

static void drop_all(struct port *port)
{
    while (port->first != NULL) {
        struct outbound *out = port->first;
        port->first = out->next;
        free(out);
    }
    port->last = &port->first;
    port->out_bytes = 0;
}

struct outbound *outbound_new(size_t payload_size)
{
    return malloc(sizeof(struct outbound) + OUTBOUND_PAYLOAD + payload_size);
}

bool vfs_port_send(struct port *port, struct outbound *frame, uint8_t type, uint32_t stream,
                   uint32_t length, bool wait)
{
    frame->start = OUTBOUND_PAYLOAD - FRAME_HEADER_SIZE;
    frame->end = OUTBOUND_PAYLOAD + length;
    frame->next = NULL;
    frame_header(frame->bytes + frame->start, type, 0, stream, length);
    pthread_mutex_lock(&port->lock);
    wait = wait && !pthread_equal(pthread_self(), port->thread);
    while (wait && port->out_bytes >= PORT_BYTES_MAX && !port->broken && !port->muted)
        pthread_cond_wait(&port->room, &port->lock);
    bool sent = !port->broken && !port->muted && port->out_bytes < 2 * PORT_BYTES_MAX;
    bool call = false;
    if (sent) {
        port->out_bytes += frame->end - frame->start;
        *port->last = frame;
        port->last = &frame->next;
        bool was_blocked = port->blocked;
        flush(port);
        call = (port->blocked && !was_blocked) || port->failure != 0;
    } else {
        free(frame);
    }
    pthread_mutex_unlock(&port->lock);
    if (call)
        uv_async_send(&port->wake);
    return sent;
}

static void port_ready(uv_poll_t *poll, int status, int events)
{
    struct port *port = poll->data;
    if (status < 0) {
        port_end(port, -status, uv_strerror(status));
        return;
    }
    if (events & UV_WRITABLE) {
        pthread_mutex_lock(&port->lock);
        port->blocked = false;
        flush(port);
        pthread_mutex_unlock(&port->lock);
    }
    if (events & UV_READABLE)
        port_read(port);
    update_watch(port);
}

static void update_watch(struct port *port)
{
    pthread_mutex_lock(&port->lock);
    int events = (port->full ? 0 : UV_READABLE) | (port->blocked ? UV_WRITABLE : 0);
    int failure = port->failure;
    pthread_mutex_unlock(&port->lock);
    if (failure != 0)
        port_end(port, failure, strerror(failure));
    if (port->ended || events == port->watched)
        return;
    port->watched = events;
    if (events != 0)
        uv_poll_start(&port->poll, events, port_ready);
    else
        uv_poll_stop(&port->poll);
}

static void port_woken(uv_async_t *wake)
{
    struct port *port = wake->data;
    if (!port->ended)
        update_watch(port);
}

static void port_closed(uv_handle_t *handle)
{
    struct port *port = handle->data;
    if (--port->closing > 0)
        return;
    close(port->fd);
    drop_all(port);
    free(port->partial);
    pthread_cond_destroy(&port->room);
    pthread_cond_destroy(&port->idle);
    pthread_mutex_destroy(&port->lock);
    free(port);
}

static int open_failed(int rc, struct error *err)
{
    return error_set(err, -rc, "cannot watch the port of the file systems: %s", uv_strerror(rc));
}

static bool send_hello(struct port *port, const uint8_t epoch[RELAY_EPOCH_SIZE])
{
    struct outbound *out = outbound_new(4 + RELAY_EPOCH_SIZE);
    if (out == NULL)
        return false;
    put_u32(out->bytes + OUTBOUND_PAYLOAD, RELAY_VERSION);
    memcpy(out->bytes + OUTBOUND_PAYLOAD + 4, epoch, RELAY_EPOCH_SIZE);
    frame_header(port->hello, RELAY_HELLO, 0, 0, 4 + RELAY_EPOCH_SIZE);
    memcpy(port->hello + FRAME_HEADER_SIZE, out->bytes + OUTBOUND_PAYLOAD, 4 + RELAY_EPOCH_SIZE);
    return vfs_port_send(port, out, RELAY_HELLO, 0, 4 + RELAY_EPOCH_SIZE, false);
}

int vfs_port_open(struct port **out, uv_loop_t *loop, int fd, const uint8_t epoch[RELAY_EPOCH_SIZE],
                  const struct port_events *events, void *context, struct error *err)
{
    struct port *port = calloc(1, sizeof *port);
    int rc = port == NULL ? UV_ENOMEM : uv_poll_init(loop, &port->poll, fd);
    if (rc < 0) {
        free(port);
        close(fd);
        return open_failed(rc, err);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    port->fd = fd;
    port->events = events;
    port->context = context;
    port->poll.data = port->wake.data = port;
    port->last = &port->first;
    pthread_mutex_init(&port->lock, NULL);
    pthread_cond_init(&port->room, NULL);
    pthread_cond_init(&port->idle, NULL);
    rc = uv_async_init(loop, &port->wake, port_woken);
    if (rc < 0) {
        port->closing = 1;
        uv_close((uv_handle_t *)&port->poll, port_closed);
        return open_failed(rc, err);
    }
    *out = port;
    send_hello(port, epoch);
    update_watch(port);
    return 0;
}

void port_restart(struct port *port, const uint8_t epoch[RELAY_EPOCH_SIZE])
{
    if (port->ended)
        return;
    pthread_mutex_lock(&port->lock);
    port->muted = true;
    drop_all(port);
    pthread_cond_broadcast(&port->room);
    pthread_mutex_unlock(&port->lock);
    port_drain(port);
    free(port->partial);
    port->partial = NULL;
    port->stage_start = port->stage_end = 0;
    port->greeted = false;
    pthread_mutex_lock(&port->lock);
    port->muted = false;
    pthread_mutex_unlock(&port->lock);
    send_hello(port, epoch);
    update_watch(port);
}

void port_break(struct port *port)
{
    pthread_mutex_lock(&port->lock);
    port->broken = true;
    drop_all(port);
    pthread_cond_broadcast(&port->room);
    pthread_mutex_unlock(&port->lock);
}

void vfs_port_close(struct port *port)
{
    port->closing = 2;
    uv_close((uv_handle_t *)&port->poll, port_closed);
    uv_close((uv_handle_t *)&port->wake, port_closed);
}
