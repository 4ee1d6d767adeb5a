/*
 * Output is one buffer of whole frames. Answers are appended at any time; data only when it is
 * empty (port_idle), so an answer never waits behind more than one DATA frame, and EXIT, which is
 * appended after a command's last data, comes after it. The first frame is kept until all of it
 * is out: a host that connects anew gets it from its beginning, behind the answer to its HELLO.
 *
 * The port is watched edge-triggered. While the host's end is closed read() returns 0 at once
 * and the port reports POLLHUP: nothing more happens until the host's coming back wakes us.
 * "Writable" is watched only after a write was refused, and no longer once nobody was waiting
 * for it: otherwise each buffer that the host takes would wake us.
 *
 * Linux passes on at most 32 KiB per write and 4 KiB per read of such a port; a socket more.
 */
#include "agent/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/console.h"

#define PORT_READ    (64u * 1024)  /* room for one read */
#define PORT_TURN    (256u * 1024) /* bytes read before others have their turn */
#define PORT_IN_SIZE (FRAME_HEADER_SIZE + WIRE_SPAWN_MAX + PORT_READ)
#define PORT_STUFFED (1024u * 1024)

static void port_ready(struct watch *watch, uint32_t events)
{
    struct port *port = WATCH_OWNER(watch, struct port, watch);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        port->readable = true;
    if ((events & EPOLLOUT) == 0)
        return;
    if (port->writable && port->armed) {
        port->armed = false;
        loop_change(port->loop, &port->watch, EPOLLIN | EPOLLET);
    }
    port->writable = true;
}

int port_open(struct port *port, struct loop *loop, int fd)
{
    *port = (struct port){.watch = {.fd = fd, .ready = port_ready}, .loop = loop, .writable = true};
    port->in = malloc(PORT_IN_SIZE);
    int rc = port->in != NULL ? loop_add(loop, &port->watch, EPOLLIN | EPOLLET) : -ENOMEM;
    if (rc < 0)
        port_close(port);
    return rc;
}

void port_close(struct port *port)
{
    loop_close(port->loop, &port->watch);
    free(port->in);
    port->in = NULL;
    buf_free(&port->out);
}

bool port_stuffed(const struct port *port)
{
    return buf_len(&port->out) > PORT_STUFFED;
}

static int take_frames(struct port *port, port_receive *receive, void *context, const char **why)
{
    struct frame frame;
    int64_t taken = 0;
    int rc = 0;
    while (rc == 0 && (taken = frame_parse(port->in + port->start, port->end - port->start,
                                           &wire_rules, &frame, why)) > 0) {
        port->start += (size_t)taken;
        if (wire_from_host(frame.type))
            rc = receive(context, &frame, why);
        else {
            *why = "a frame that only the agent may send";
            rc = -EPROTO;
        }
    }
    if (port->start == port->end) {
        port->start = port->end = 0;
    } else if (port->end > PORT_IN_SIZE - PORT_READ || port->end > PORT_TURN) {
        memmove(port->in, port->in + port->start, port->end - port->start);
        port->end -= port->start;
        port->start = 0;
    }
    return rc < 0 ? rc : taken < 0 ? (int)taken : 0;
}

/* The host's end is closed: half a frame will never be completed. */
static void disconnected(struct port *port)
{
    port->start = port->end = 0;
    port->greeted = false;
    port->readable = false;
}

int port_read(struct port *port, port_receive *receive, void *context, const char **why)
{
    size_t turn = 0;
    while (port->readable && turn < PORT_TURN && !port_stuffed(port)) {
        ssize_t n = read(port->watch.fd, port->in + port->end, PORT_READ);
        if (n == 0) {
            disconnected(port);
        } else if (n < 0) {
            port->readable = errno == EINTR;
            port->failed = errno != EINTR && errno != EAGAIN;
        } else {
            turn += (size_t)n;
            port->end += (size_t)n;
            int rc = take_frames(port, receive, context, why);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

void port_send(struct port *port, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
               uint32_t length)
{
    if (frame_append(&port->out, type, flags, stream, payload, length) < 0) {
        console_log("out of memory for a frame to the host");
        port->failed = true;
    }
}

void port_greet(struct port *port, const uint8_t epoch[WIRE_EPOCH_SIZE], bool restart)
{
    uint8_t hello[4 + WIRE_EPOCH_SIZE];
    put_u32(hello, WIRE_VERSION);
    memcpy(hello + 4, epoch, WIRE_EPOCH_SIZE);
    struct buf waiting = {0};
    port->quiet = false;
    if (restart && buf_len(&port->out) > 0) {
        waiting = port->out;
        port->out = (struct buf){0};
        port->sent = 0;
    }
    port_send(port, WIRE_HELLO, 0, 0, hello, sizeof hello);
    if (buf_append(&port->out, buf_data(&waiting), buf_len(&waiting)) < 0)
        port->failed = true;
    buf_free(&waiting);
    port->greeted = true;
}

void port_quiesce(struct port *port)
{
    port->quiet = true;
    port->last = buf_len(&port->out);
}

/* Forgets the frames that are out as a whole. */
static void frames_sent(struct port *port, size_t bytes)
{
    size_t whole = 0;
    port->sent += bytes;
    while (whole < buf_len(&port->out)) {
        size_t frame = FRAME_HEADER_SIZE + (size_t)get_u32(buf_data(&port->out) + whole);
        if (port->sent < frame)
            break;
        port->sent -= frame;
        whole += frame;
    }
    buf_consume(&port->out, whole);
    port->last -= whole < port->last ? whole : port->last;
}

/* How many bytes may be written now. */
static size_t sendable(const struct port *port)
{
    size_t size = port->quiet ? port->last : buf_len(&port->out);
    return port->greeted && port->writable && size > port->sent ? size - port->sent : 0;
}

void port_flush(struct port *port)
{
    struct buf *lines = console_frames();
    size_t size;
    if (port->greeted && buf_len(lines) > 0) {
        if (buf_append(&port->out, buf_data(lines), buf_len(lines)) == 0)
            buf_consume(lines, buf_len(lines));
    }
    while ((size = sendable(port)) > 0) {
        ssize_t n = write(port->watch.fd, buf_data(&port->out) + port->sent, size);
        if (n > 0) {
            frames_sent(port, (size_t)n);
        } else if (n < 0 && errno != EINTR) {
            /* refused, or the host has just gone: both end with an event */
            port->writable = false;
            if (!port->armed)
                loop_change(port->loop, &port->watch, EPOLLIN | EPOLLOUT | EPOLLET);
            port->armed = true;
        }
    }
}
