/*
 * Pipes are watched edge-triggered: an event only notes that there are bytes, and they are read
 * when the port has room and the channel has credit, straight behind a frame header in the port's
 * buffer. A read that brings less than was asked for has emptied a pipe (the next byte is a new
 * edge), unless its writers are gone and the end is still to be read; a terminal is read until it
 * says EAGAIN, because it hands out its buffers piecemeal.
 *
 * After the command has ended, what it wrote is what is in its pipe now: that many bytes are
 * still sent. A terminal cannot say how much it holds; it is read until it is empty, at most
 * PTY_DRAIN bytes, so that a background process cannot keep the command open. Then the
 * descriptor stays open, level-triggered, and its bytes are dropped until the last writer goes.
 *
 * EIO from a terminal means that no process has it open at the moment. The command may open
 * /dev/tty again, so this is an end only once the command has ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/stream.h"

#define CHUNK     (WIRE_DATA_MAX - FRAME_HEADER_SIZE) /* with its header two writes of the port */
#define PIPE_SIZE (256 * 1024)
#define PTY_DRAIN (256u * 1024)

static uint8_t dropped[WIRE_DATA_MAX];

static void queue_remove(struct channel *channel)
{
    struct streams *streams = channel->stream->streams;
    if (!channel->queued)
        return;
    channel->queued = false;
    if (channel->next == channel) {
        streams->ready = NULL;
        return;
    }
    channel->next->previous = channel->previous;
    channel->previous->next = channel->next;
    if (streams->ready == channel)
        streams->ready = channel->next;
}

/* Puts the channel on the list, last, where it has something to send and may. */
static void queue_add(struct channel *channel)
{
    struct streams *streams = channel->stream->streams;
    if (channel->queued || channel->finished || !channel->readable || channel->credit == 0)
        return;
    channel->queued = true;
    if (streams->ready == NULL) {
        streams->ready = channel->next = channel->previous = channel;
        return;
    }
    channel->next = streams->ready;
    channel->previous = streams->ready->previous;
    channel->previous->next = channel->next->previous = channel;
}

void output_close(struct channel *channel)
{
    queue_remove(channel);
    channel->finished = true;
    loop_close(channel->stream->streams->loop, &channel->watch);
}

/* One read of a channel whose bytes nobody wants. */
static void drop_some(struct channel *channel)
{
    ssize_t n = read(channel->watch.fd, dropped, sizeof dropped);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        output_close(channel);
}

void output_discard(struct channel *channel)
{
    if (channel->watch.fd < 0 || channel->discarding)
        return;
    queue_remove(channel);
    channel->finished = channel->discarding = true;
    drop_some(channel);
    if (channel->watch.fd >= 0)
        loop_change(channel->stream->streams->loop, &channel->watch, EPOLLIN);
}

static void output_ready(struct watch *watch, uint32_t events)
{
    struct channel *channel = WATCH_OWNER(watch, struct channel, watch);
    struct stream *stream = channel->stream;
    if (stream->pty && (events & EPOLLOUT))
        input_advance(stream);
    if (channel->discarding) {
        drop_some(channel);
        stream_settle(stream);
        return;
    }
    if (events & (EPOLLHUP | EPOLLERR))
        channel->hung_up = true;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        channel->readable = true;
        queue_add(channel);
    }
}

int output_open(struct stream *stream, struct channel *channel, uint8_t number, int fd)
{
    *channel = (struct channel){.watch = {.fd = fd, .ready = output_ready},
                                .stream = stream,
                                .number = number,
                                .credit = WIRE_WINDOW};
    channel->finished = fd < 0;
    return fd < 0 ? 0 : loop_add(stream->streams->loop, &channel->watch, EPOLLIN | EPOLLET);
}

void output_ended(struct channel *channel)
{
    int waiting = 0;
    if (channel->finished)
        return;
    if (channel->stream->pty)
        channel->left = PTY_DRAIN;
    else if (channel->hung_up)
        channel->left = UINT32_MAX; /* until its end */
    else if (ioctl(channel->watch.fd, FIONREAD, &waiting) == 0)
        channel->left = (uint32_t)waiting;
    if (channel->left == 0) {
        output_discard(channel);
        return;
    }
    channel->readable = true;
    queue_add(channel);
}

/* The end of a channel, or of what the command itself wrote. */
static void output_end(struct channel *channel, bool closed)
{
    struct stream *stream = channel->stream;
    if (!closed) {
        output_discard(channel);
    } else if (stream->ended) {
        output_close(channel);
    } else if (!stream->pty) {
        port_send(stream->streams->port, WIRE_DATA, channel->number | WIRE_EOF, stream->id, NULL,
                  0);
        output_close(channel);
    }
}

/* Reads one frame's worth into the port's buffer. */
static void output_send(struct channel *channel)
{
    struct stream *stream = channel->stream;
    struct port *port = stream->streams->port;
    uint32_t want = channel->credit < CHUNK ? channel->credit : CHUNK;
    uint8_t *room = buf_reserve(&port->out, FRAME_HEADER_SIZE + CHUNK);
    if (room == NULL) {
        port->failed = true;
        return;
    }
    if (stream->ended && channel->left < want)
        want = channel->left;
    ssize_t n = read(channel->watch.fd, room + FRAME_HEADER_SIZE, want);
    if (n <= 0) {
        channel->readable = n < 0 && errno == EINTR;
        bool closed = n == 0 || (errno != EINTR && errno != EAGAIN);
        if (!channel->readable && (closed || stream->ended))
            output_end(channel, closed);
        return;
    }
    uint32_t size = (uint32_t)n;
    frame_header(room, WIRE_DATA, channel->number, stream->id, size);
    buf_added(&port->out, FRAME_HEADER_SIZE + size);
    channel->credit -= size;
    channel->readable = size == want || channel->hung_up || stream->pty;
    if (size == CHUNK && !channel->grown && !stream->pty) {
        channel->grown = true; /* a busy one: fewer turns between us and its writer */
        fcntl(channel->watch.fd, F_SETPIPE_SZ, PIPE_SIZE);
    }
    if (!stream->ended)
        return;
    channel->left -= size;
    if (channel->left == 0 || !channel->readable)
        output_end(channel, false);
}

void streams_pump(struct streams *streams)
{
    while (streams->ready != NULL && port_idle(streams->port) && !streams->port->failed) {
        struct channel *channel = streams->ready;
        queue_remove(channel);
        output_send(channel);
        queue_add(channel);
        stream_settle(channel->stream);
        port_flush(streams->port);
    }
}

int stream_credit(struct stream *stream, const struct frame *frame, const char **why)
{
    uint8_t number = frame->flags;
    uint32_t bytes = get_u32(frame->payload);
    if (number != WIRE_STDOUT && number != WIRE_STDERR) {
        *why = "credit for a channel that the agent does not send";
        return -EPROTO;
    }
    struct channel *channel = &stream->outputs[number - WIRE_STDOUT];
    if (bytes > WIRE_WINDOW - channel->credit) {
        *why = "more credit than was used";
        return -EPROTO;
    }
    channel->credit += bytes;
    queue_add(channel);
    return 0;
}
