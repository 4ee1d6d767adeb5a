/*
 * A command is open from SPAWN to EXIT. EXIT is due when it was reaped and each output is
 * finished. Then its id is free, but the structure stays for as long as processes that it left
 * behind hold its pipes, which output.c empties.
 *
 * Signals go to the command's process group, which is its own by setsid(), and with a terminal
 * also to the foreground group, which a shell makes for each of its jobs. A group is never
 * signalled after its leader was reaped: its number may then belong to somebody else.
 */
#include "agent/stream.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/pty.h"

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct stream *stream_find(const struct streams *streams, uint32_t id)
{
    struct stream *stream = streams->by_id[id % STREAM_BUCKETS];
    while (stream != NULL && stream->id != id)
        stream = stream->next_by_id;
    return stream;
}

static void forget_id(struct stream *stream)
{
    struct stream **link = &stream->streams->by_id[stream->id % STREAM_BUCKETS];
    while (*link != stream)
        link = &(*link)->next_by_id;
    *link = stream->next_by_id;
    stream->streams->count--;
}

static void stream_free(struct stream *stream)
{
    struct streams *streams = stream->streams;
    if (!stream->closed)
        forget_id(stream);
    stream->closed = true;
    input_close(stream);
    for (size_t i = 0; i < STREAM_OUTPUTS; i++)
        output_close(&stream->outputs[i]);
    if (stream->next != NULL)
        stream->next->previous = stream->previous;
    if (stream->previous != NULL)
        stream->previous->next = stream->next;
    else
        streams->first = stream->next;
    free(stream);
}

int stream_add(struct streams *streams, uint32_t id, bool pty, const struct spawn_result *command)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        close(command->in); /* -1 is refused, harmlessly */
        close(command->out);
        close(command->err);
        return -ENOMEM;
    }
    stream->streams = streams;
    stream->id = id;
    stream->pid = command->pid;
    stream->pty = pty;
    stream->next = streams->first;
    if (stream->next != NULL)
        stream->next->previous = stream;
    streams->first = stream;
    stream->next_by_id = streams->by_id[id % STREAM_BUCKETS];
    streams->by_id[id % STREAM_BUCKETS] = stream;
    streams->count++;
    input_open(stream, command->in);
    int rc = output_open(stream, &stream->outputs[0], WIRE_STDOUT, command->out);
    int also = output_open(stream, &stream->outputs[1], WIRE_STDERR, command->err);
    if (rc < 0 || also < 0) {
        stream_free(stream);
        return rc < 0 ? rc : also;
    }
    return 0;
}

static void send_exit(struct stream *stream)
{
    uint8_t payload[8];
    bool killed = WIFSIGNALED(stream->status);
    put_u32(payload, killed ? 0 : (uint32_t)WEXITSTATUS(stream->status));
    put_u32(payload + 4, killed ? (uint32_t)WTERMSIG(stream->status) : 0);
    port_send(stream->streams->port, WIRE_EXIT, 0, stream->id, payload, sizeof payload);
}

void stream_settle(struct stream *stream)
{
    bool open = false;
    for (size_t i = 0; i < STREAM_OUTPUTS; i++) {
        if (!stream->outputs[i].finished)
            return;
        open = open || stream->outputs[i].watch.fd >= 0;
    }
    if (!stream->ended)
        return;
    if (!stream->closed) {
        send_exit(stream);
        forget_id(stream);
        stream->closed = true;
        input_close(stream);
    }
    if (!open)
        stream_free(stream);
}

void streams_reaped(struct streams *streams, pid_t pid, int status)
{
    struct stream *stream = streams->first;
    while (stream != NULL && (stream->pid != pid || stream->ended))
        stream = stream->next;
    if (stream == NULL)
        return;
    stream->ended = true;
    stream->status = status;
    for (size_t i = 0; i < STREAM_OUTPUTS; i++)
        output_ended(&stream->outputs[i]);
    stream_settle(stream);
}

void stream_resize(const struct stream *stream, uint16_t rows, uint16_t columns)
{
    if (stream->pty && stream->outputs[0].watch.fd >= 0)
        pty_resize(stream->outputs[0].watch.fd, rows, columns);
}

void stream_signal(const struct stream *stream, int number)
{
    if (stream->ended)
        return;
    kill(-stream->pid, number);
    if (!stream->pty || stream->outputs[0].watch.fd < 0)
        return;
    pid_t foreground = pty_foreground(stream->outputs[0].watch.fd);
    if (foreground > 1 && foreground != stream->pid)
        kill(-foreground, number);
}

static void arm_timer(struct streams *streams, int64_t at)
{
    struct itimerspec when = {.it_value = {at / 1000, (at % 1000) * 1000000}};
    timerfd_settime(streams->timer.fd, TFD_TIMER_ABSTIME, &when, NULL);
    streams->armed = true;
}

/* Kills the abandoned commands whose time has come, and waits for the next of them. */
static void timer_ready(struct watch *watch, uint32_t events)
{
    struct streams *streams = WATCH_OWNER(watch, struct streams, timer);
    uint64_t expired;
    int64_t now = now_ms(), next = 0;
    (void)events;
    if (read(watch->fd, &expired, sizeof expired) < 0)
        return;
    streams->armed = false;
    for (struct stream *stream = streams->first; stream != NULL; stream = stream->next) {
        if (!stream->abandoned || stream->ended || stream->kill_at == 0)
            continue;
        if (stream->kill_at <= now) {
            stream_signal(stream, SIGKILL);
            stream->kill_at = 0;
        } else if (next == 0 || stream->kill_at < next) {
            next = stream->kill_at;
        }
    }
    if (next != 0)
        arm_timer(streams, next);
}

void stream_abandon(struct stream *stream)
{
    struct streams *streams = stream->streams;
    if (stream->abandoned)
        return;
    stream->abandoned = true;
    if (!stream->ended) {
        stream_signal(stream, SIGHUP);
        stream_signal(stream, SIGCONT); /* a stopped process acts on nothing else */
        stream->kill_at = now_ms() + STREAM_GRACE_SECONDS * INT64_C(1000);
        if (!streams->armed) /* all have the same grace: the first is the next */
            arm_timer(streams, stream->kill_at);
    }
    input_close(stream);
    for (size_t i = 0; i < STREAM_OUTPUTS; i++)
        output_discard(&stream->outputs[i]);
    stream_settle(stream);
}

int streams_open(struct streams *streams, struct loop *loop, struct port *port)
{
    *streams =
        (struct streams){.loop = loop, .port = port, .timer = {.fd = -1, .ready = timer_ready}};
    streams->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return streams->timer.fd < 0 ? -errno : loop_add(loop, &streams->timer, EPOLLIN);
}

void streams_close(struct streams *streams)
{
    while (streams->first != NULL)
        stream_free(streams->first);
    loop_close(streams->loop, &streams->timer);
}
