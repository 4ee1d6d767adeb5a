/*
 * One uv_poll_t. Reading takes at most CONN_READ bytes per wake-up, so that a flooding peer gets
 * its turn and no more. A send writes straight to the descriptor while nothing is queued (header
 * and payload in one sendmsg, no copy); only the rest is queued, and written when it may be.
 *
 * An error seen while sending is kept and reported from the loop (a zero timer), because the
 * caller of conn_send() is usually in the middle of something.
 */
#include "base/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define CONN_READ ((size_t)256 * 1024)

struct conn {
    uv_poll_t poll;
    uv_timer_t failed; /* reports an error of conn_send() */
    int handles;       /* open uv handles: freed with the last */
    int fd;
    const struct frame_rules *rules;
    struct conn_events events;
    void *context;
    size_t queue_max;
    struct buf in, out;
    struct error error;
    bool ended, closed, writable_wanted;
};

static void conn_poll(uv_poll_t *poll, int status, int events);

static void conn_end(struct conn *conn, int code, const char *what)
{
    if (conn->ended || conn->closed)
        return;
    conn->ended = true;
    uv_poll_stop(&conn->poll);
    if (code == 0)
        conn->error = (struct error){0};
    else if (what != NULL)
        error_set(&conn->error, code, "%s", what);
    else
        error_system(&conn->error, code, "connection");
    conn->events.ended(conn->context, &conn->error);
}

static void conn_failed(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    int code = conn->error.code;
    conn_end(conn, code, code == ENOBUFS ? "the peer does not read" : NULL);
}

static void conn_fail_later(struct conn *conn, int code)
{
    if (conn->error.code == 0) {
        conn->error.code = code;
        uv_timer_start(&conn->failed, conn_failed, 0, 0);
    }
}

static void conn_watch(struct conn *conn)
{
    bool writable = buf_len(&conn->out) > 0;
    if (conn->ended || conn->closed || writable == conn->writable_wanted)
        return;
    conn->writable_wanted = writable;
    uv_poll_start(&conn->poll, writable ? UV_READABLE | UV_WRITABLE : UV_READABLE, conn_poll);
}

/* Parses what has come. `in` is only consumed afterwards: frames point into it. */
static void conn_dispatch(struct conn *conn)
{
    size_t used = 0;
    while (!conn->closed && !conn->ended) {
        struct frame frame;
        const char *why = NULL;
        int64_t taken = frame_parse(buf_data(&conn->in) + used, buf_len(&conn->in) - used,
                                    conn->rules, &frame, &why);
        if (taken < 0)
            conn_end(conn, EPROTO, why);
        if (taken <= 0)
            break;
        used += (size_t)taken;
        conn->events.frame(conn->context, &frame);
    }
    if (conn->closed)
        buf_free(&conn->in);
    else
        buf_consume(&conn->in, used);
}

static void conn_readable(struct conn *conn)
{
    uint8_t *room = buf_reserve(&conn->in, CONN_READ);
    if (room == NULL) {
        conn_end(conn, ENOMEM, NULL);
        return;
    }
    ssize_t got = read(conn->fd, room, CONN_READ);
    if (got > 0) {
        buf_added(&conn->in, (size_t)got);
        conn_dispatch(conn);
    } else if (got == 0 || errno == ECONNRESET) {
        conn_end(conn, 0, NULL); /* reset: the peer was killed with bytes of ours unread */
    } else if (errno != EAGAIN && errno != EINTR) {
        conn_end(conn, errno, NULL);
    }
}

static void conn_writable(struct conn *conn)
{
    while (buf_len(&conn->out) > 0) {
        ssize_t put = send(conn->fd, buf_data(&conn->out), buf_len(&conn->out), MSG_NOSIGNAL);
        if (put < 0) {
            if (errno != EAGAIN && errno != EINTR)
                conn_fail_later(conn, errno);
            break;
        }
        buf_consume(&conn->out, (size_t)put);
    }
    conn_watch(conn);
}

static void conn_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *conn = poll->data;
    if (status < 0) {
        conn_end(conn, -status, NULL);
        return;
    }
    if (events & UV_WRITABLE)
        conn_writable(conn);
    if ((events & UV_READABLE) && !conn->closed && !conn->ended)
        conn_readable(conn);
}

static void conn_freed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    if (--conn->handles > 0)
        return;
    close(conn->fd);
    buf_free(&conn->in);
    buf_free(&conn->out);
    free(conn);
}

int conn_open(struct conn **out, uv_loop_t *loop, int fd, const struct frame_rules *rules,
              size_t queue_max, const struct conn_events *events, void *context, struct error *err)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        close(fd);
        return error_set(err, ENOMEM, "out of memory");
    }
    conn->fd = fd;
    conn->rules = rules;
    conn->queue_max = queue_max;
    conn->events = *events;
    conn->context = context;
    conn->poll.data = conn->failed.data = conn;
    int rc = uv_poll_init(loop, &conn->poll, fd); /* also makes it non-blocking */
    if (rc < 0) {
        close(fd);
        free(conn);
        return error_set(err, -rc, "cannot watch a connection: %s", uv_strerror(rc));
    }
    uv_timer_init(loop, &conn->failed);
    conn->handles = 2;
    uv_poll_start(&conn->poll, UV_READABLE, conn_poll);
    *out = conn;
    return 0;
}

void conn_send(struct conn *conn, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
               uint32_t length)
{
    if (conn->ended || conn->closed || conn->error.code != 0)
        return;
    uint8_t header[FRAME_HEADER_SIZE];
    frame_header(header, type, flags, stream, length);
    size_t done = 0, all = sizeof header + (size_t)length;
    if (buf_len(&conn->out) == 0) {
        struct iovec parts[] = {{header, sizeof header}, {(void *)payload, length}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t put = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN && errno != EINTR) {
            conn_fail_later(conn, errno);
            return;
        }
        done = put > 0 ? (size_t)put : 0;
    }
    if (done == all)
        return;
    if (buf_len(&conn->out) + all - done > conn->queue_max) {
        conn_fail_later(conn, ENOBUFS);
        return;
    }
    int rc = 0;
    if (done < sizeof header)
        rc = buf_append(&conn->out, header + done, sizeof header - done);
    size_t skip = done > sizeof header ? done - sizeof header : 0;
    if (rc == 0)
        rc = buf_append(&conn->out, (const uint8_t *)payload + skip, length - skip);
    if (rc < 0)
        conn_fail_later(conn, -rc);
    conn_watch(conn);
}

size_t conn_queued(const struct conn *conn)
{
    return buf_len(&conn->out);
}

int conn_fd(const struct conn *conn)
{
    return conn->fd;
}

void conn_close(struct conn *conn)
{
    if (conn == NULL || conn->closed)
        return;
    conn->closed = true;
    uv_poll_stop(&conn->poll);
    uv_close((uv_handle_t *)&conn->poll, conn_freed);
    uv_close((uv_handle_t *)&conn->failed, conn_freed);
}
