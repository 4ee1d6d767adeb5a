/*
 * Bytes for a command are written straight from the port's buffer; what its pipe or terminal does
 * not take at once is kept, at most a window of it. Credit goes back for bytes that were written
 * or that nobody will ever read, in steps of a quarter window: a host that has used up its credit
 * is owed at least a step, so it is never left without.
 *
 * A pipe is put into the loop when it first refuses bytes. The end of the input closes the pipe; a
 * terminal gets its end-of-file character once everything before it was taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "agent/pty.h"
#include "agent/stream.h"

#define CREDIT_STEP (WIRE_WINDOW / 4)
#define PIPE_SIZE   (256 * 1024)

static void input_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    input_advance(WATCH_OWNER(WATCH_OWNER(watch, struct input, watch), struct stream, input));
}

void input_open(struct stream *stream, int fd)
{
    stream->input =
        (struct input){.watch = {.fd = fd, .ready = input_ready}, .window = WIRE_WINDOW};
    stream->input.closed = fd < 0 && !stream->pty;
}

static void got_rid(struct stream *stream, size_t bytes)
{
    struct input *input = &stream->input;
    uint8_t credit[4];
    input->owed += (uint32_t)bytes;
    if (input->owed < CREDIT_STEP || stream->closed)
        return;
    put_u32(credit, input->owed);
    port_send(stream->streams->port, WIRE_CREDIT, WIRE_STDIN, stream->id, credit, sizeof credit);
    input->window += input->owed;
    input->owed = 0;
}

void input_close(struct stream *stream)
{
    struct input *input = &stream->input;
    input->closed = true;
    loop_close(stream->streams->loop, &input->watch);
    got_rid(stream, buf_len(&input->queue));
    buf_free(&input->queue);
}

/* Asks to be told when the command has read something. */
static void await_room(struct stream *stream)
{
    struct input *input = &stream->input;
    struct loop *loop = stream->streams->loop;
    if (stream->pty && !input->watched) {
        loop_change(loop, &stream->outputs[0].watch, EPOLLIN | EPOLLOUT | EPOLLET);
    } else if (!input->watched) {
        fcntl(input->watch.fd, F_SETPIPE_SZ, PIPE_SIZE); /* a busy one */
        if (loop_add(loop, &input->watch, EPOLLOUT | EPOLLET) < 0)
            input_close(stream);
    }
    input->watched = true;
}

/* Writes what the command takes now. Bytes written; fewer than `size` if it takes no more. */
static size_t write_some(struct stream *stream, const uint8_t *data, size_t size)
{
    struct input *input = &stream->input;
    int fd = stream->pty ? stream->outputs[0].watch.fd : input->watch.fd;
    size_t done = 0;
    while (done < size && !input->closed) {
        ssize_t n = write(fd, data + done, size - done);
        if (n > 0)
            done += (size_t)n;
        else if (n < 0 && errno == EAGAIN && input->watched)
            break;
        else if (n < 0 && errno == EAGAIN)
            await_room(stream); /* and once more: it may have become free, or larger */
        else if (n == 0 || errno != EINTR)
            input_close(stream);
    }
    return done;
}

void input_advance(struct stream *stream)
{
    struct input *input = &stream->input;
    if (input->closed)
        return;
    if (buf_len(&input->queue) > 0) {
        size_t done = write_some(stream, buf_data(&input->queue), buf_len(&input->queue));
        if (input->closed)
            return; /* its queue is gone, and its credit returned */
        buf_consume(&input->queue, done);
        got_rid(stream, done);
    }
    if (!input->end || buf_len(&input->queue) > 0)
        return;
    if (stream->pty) {
        uint8_t mark = pty_eof_character(stream->outputs[0].watch.fd);
        if (write_some(stream, &mark, 1) == 0)
            return;
    }
    input_close(stream);
}

int stream_data(struct stream *stream, const struct frame *frame, const char **why)
{
    struct input *input = &stream->input;
    if ((frame->flags & ~WIRE_EOF) != WIRE_STDIN) {
        *why = "data for a channel that the agent does not read";
        return -EPROTO;
    }
    if (input->end || frame->length > input->window) {
        *why = input->end ? "data behind the end of the input" : "data beyond the credit";
        return -EPROTO;
    }
    input->window -= frame->length;
    input->end = (frame->flags & WIRE_EOF) != 0;
    size_t done = 0;
    if (buf_len(&input->queue) == 0)
        done = write_some(stream, frame->payload, frame->length);
    if (input->closed)
        done = frame->length;
    got_rid(stream, done);
    if (buf_append(&input->queue, frame->payload + done, frame->length - done) < 0)
        input_close(stream); /* no memory: the command sees an end, the host its credit */
    if (input->end)
        input_advance(stream);
    return 0;
}
