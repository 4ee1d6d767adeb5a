/*
 * Nothing here waits with a time limit of its own but for one, far beyond what any step takes:
 * a frame that does not come in PEER_PATIENCE_MS has been lost.
 */
#include "agent_peer.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/engine.h"

#define PEER_PATIENCE_MS 60000
#define PEER_CHUNK       50000 /* of input: no multiple of anything */

static _Noreturn void run_engine(int fd, pid_t (*greeted)(void))
{
    fcntl(fd, F_SETFL, O_NONBLOCK);
    struct rlimit files; /* as PID 1 has more than it needs */
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* what the test itself was started with */
    int end = engine_run(fd, &(struct engine_hooks){.greeted = greeted});
    exit(end == ENGINE_SHUTDOWN   ? PEER_SHUTDOWN
         : end == ENGINE_PROTOCOL ? PEER_PROTOCOL
                                  : PEER_OTHER);
}

struct peer *peer_start_with(pid_t (*greeted)(void))
{
    struct peer *peer = calloc(1, sizeof *peer);
    uint8_t hello[4 + WIRE_EPOCH_SIZE] = "";
    int ends[2];
    assert_non_null(peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    peer->pid = fork();
    assert_true(peer->pid >= 0);
    if (peer->pid == 0) {
        close(ends[0]);
        run_engine(ends[1], greeted);
    }
    close(ends[1]);
    peer->fd = ends[0];
    fcntl(peer->fd, F_SETFL, O_NONBLOCK);
    memcpy(peer->epoch, "an epoch of 16 b", WIRE_EPOCH_SIZE);
    put_u32(hello, WIRE_VERSION);
    memcpy(hello + 4, peer->epoch, WIRE_EPOCH_SIZE);
    peer_frame(peer, WIRE_HELLO, 0, 0, hello, sizeof hello);
    PEER_UNTIL(peer, peer->greeted);
    return peer;
}

struct peer *peer_start(void)
{
    return peer_start_with(NULL);
}

void peer_stop(struct peer *peer, int expected)
{
    int status = 0;
    if (expected == PEER_SHUTDOWN)
        peer_frame(peer, WIRE_SHUTDOWN, 0, 0, NULL, 0);
    while (buf_len(&peer->out) > 0) {
        ssize_t n = write(peer->fd, buf_data(&peer->out), buf_len(&peer->out));
        if (n < 0 && errno != EAGAIN)
            break;
        if (n > 0)
            buf_consume(&peer->out, (size_t)n);
        struct pollfd poller = {.fd = peer->fd, .events = POLLOUT};
        poll(&poller, 1, PEER_PATIENCE_MS);
    }
    assert_int_equal(waitpid(peer->pid, &status, 0), peer->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
    close(peer->fd);
    for (size_t i = 0; i < PEER_COMMANDS; i++)
        for (int channel = 0; channel < WIRE_CHANNELS; channel++)
            buf_free(&peer->commands[i].output[channel]);
    buf_free(&peer->in);
    buf_free(&peer->out);
    free(peer);
}

void peer_frame(struct peer *peer, uint8_t type, uint8_t flags, uint32_t id, const void *payload,
                size_t size)
{
    assert_int_equal(frame_append(&peer->out, type, flags, id, payload, (uint32_t)size), 0);
}

static void on_data(struct peer *peer, struct command *command, const struct frame *frame)
{
    uint8_t credit[4];
    int channel = frame->flags & WIRE_CHANNEL;
    assert_true(channel == WIRE_STDOUT || channel == WIRE_STDERR);
    assert_false(command->ended[channel]);
    command->ended[channel] = (frame->flags & WIRE_EOF) != 0;
    command->in_flight[channel] += frame->length;
    assert_true(command->in_flight[channel] <= WIRE_WINDOW);
    assert_int_equal(buf_append(&command->output[channel], frame->payload, frame->length), 0);
    if (command->hold || command->in_flight[channel] == 0)
        return;
    put_u32(credit, command->in_flight[channel]);
    peer_frame(peer, WIRE_CREDIT, (uint8_t)channel, frame->stream, credit, sizeof credit);
    command->in_flight[channel] = 0;
}

static void on_command(struct peer *peer, const struct frame *frame)
{
    assert_true(frame->stream < PEER_COMMANDS);
    struct command *command = &peer->commands[frame->stream];
    assert_true(command->used && !command->exited && !command->failed);
    assert_true(command->spawned || frame->type == WIRE_SPAWNED || frame->type == WIRE_FAILED);
    switch (frame->type) {
    case WIRE_SPAWNED:
        assert_false(command->spawned);
        command->spawned = true;
        command->pid = get_u32(frame->payload);
        break;
    case WIRE_FAILED:
        command->failed = true;
        command->error = get_u32(frame->payload);
        command->stage = get_u32(frame->payload + 4);
        break;
    case WIRE_DATA:
        on_data(peer, command, frame);
        break;
    case WIRE_CREDIT:
        assert_int_equal(frame->flags, WIRE_STDIN);
        command->window += get_u32(frame->payload);
        assert_true(command->window <= WIRE_WINDOW);
        break;
    default:
        assert_int_equal(frame->type, WIRE_EXIT);
        command->exited = true;
        command->code = get_u32(frame->payload);
        command->signal = get_u32(frame->payload + 4);
        break;
    }
}

static void on_frame(struct peer *peer, const struct frame *frame)
{
    assert_true(wire_from_agent(frame->type));
    if (frame->type == WIRE_HELLO) {
        assert_int_equal(get_u32(frame->payload), WIRE_VERSION);
        assert_memory_equal(frame->payload + 4, peer->epoch, WIRE_EPOCH_SIZE);
        peer->greeted = true;
        peer->hellos++;
    } else if (frame->type == WIRE_QUIET) {
        peer->answer = get_u32(frame->payload);
        peer->quiets++;
    } else if (frame->type == WIRE_OWNER) {
        peer->owners++;
        peer->owner_id = frame->stream;
        peer->owner_pid = get_u32(frame->payload);
        memcpy(peer->owner_name, frame->payload + 4, frame->length - 4);
        peer->owner_name[frame->length - 4] = '\0';
    } else if (frame->type == WIRE_CONFIGURED) {
        peer->configured = true;
        peer->answer = get_u32(frame->payload);
    } else if (frame->type != WIRE_LOG) {
        on_command(peer, frame);
    }
}

/* Queues what the windows allow of every command's input. */
static void feed(struct peer *peer)
{
    for (uint32_t id = 1; id < PEER_COMMANDS && buf_len(&peer->out) < WIRE_WINDOW; id++) {
        struct command *command = &peer->commands[id];
        if (!command->spawned || command->exited ||
            (command->input_size == 0 && !command->input_end))
            continue;
        size_t size = command->input_size < PEER_CHUNK ? command->input_size : PEER_CHUNK;
        size = size < command->window ? size : command->window;
        bool end = command->input_end && size == command->input_size;
        if (size == 0 && !end)
            continue;
        peer_frame(peer, WIRE_DATA, end ? WIRE_EOF : 0, id, command->input, size);
        command->window -= (uint32_t)size;
        command->input_size -= size;
        if (size > 0)
            command->input += size;
        if (end)
            command->input_end = false;
    }
}

static void receive(struct peer *peer)
{
    struct frame frame;
    const char *why = "";
    int64_t taken;
    uint8_t *room = buf_reserve(&peer->in, 1 << 16);
    assert_non_null(room);
    ssize_t n = read(peer->fd, room, 1 << 16);
    if (n == 0)
        fail_msg("the agent has ended");
    if (n > 0)
        buf_added(&peer->in, (size_t)n);
    while ((taken = frame_parse(buf_data(&peer->in), buf_len(&peer->in), &wire_rules, &frame,
                                &why)) > 0) {
        on_frame(peer, &frame);
        buf_consume(&peer->in, (size_t)taken);
    }
    if (taken < 0)
        fail_msg("the agent sent %s", why);
}

void peer_step(struct peer *peer)
{
    feed(peer);
    struct pollfd poller = {.fd = peer->fd, .events = POLLIN};
    if (buf_len(&peer->out) > 0)
        poller.events |= POLLOUT;
    if (poll(&poller, 1, PEER_PATIENCE_MS) <= 0)
        fail_msg("the agent is silent");
    if (poller.revents & POLLOUT) {
        size_t size = buf_len(&peer->out);
        if (peer->slice != 0 && peer->slice < size)
            size = peer->slice;
        ssize_t n = send(peer->fd, buf_data(&peer->out), size, MSG_NOSIGNAL);
        if (n > 0)
            buf_consume(&peer->out, (size_t)n);
    }
    if (poller.revents & (POLLIN | POLLHUP))
        receive(peer);
}

void peer_text_field(struct buf *fields, uint8_t tag, const char *text)
{
    assert_int_equal(wire_field_append(fields, tag, text, (uint32_t)strlen(text)), 0);
}

void peer_pty_field(struct buf *fields, uint16_t rows, uint16_t columns)
{
    uint8_t size[4];
    put_u16(size, rows);
    put_u16(size + 2, columns);
    assert_int_equal(wire_field_append(fields, WIRE_SPAWN_PTY, size, sizeof size), 0);
}

/* Without privileges a command can only be its starter's own. */
static void add_user(struct buf *fields)
{
    char user[32];
    struct wire_field field;
    const uint8_t *data = buf_data(fields);
    uint32_t left = (uint32_t)buf_len(fields);
    while (wire_field_next(&data, &left, UINT8_MAX, &field) == 1)
        if (field.tag == WIRE_SPAWN_USER)
            return;
    snprintf(user, sizeof user, "%u:%u", (unsigned)geteuid(), (unsigned)getegid());
    if (geteuid() != 0)
        peer_text_field(fields, WIRE_SPAWN_USER, user);
}

struct command *peer_spawn(struct peer *peer, uint32_t id, const char *const *argv,
                           const struct buf *more)
{
    struct buf fields = {0};
    assert_true(id < PEER_COMMANDS);
    struct command *command = &peer->commands[id];
    for (int channel = 0; channel < WIRE_CHANNELS; channel++)
        buf_free(&command->output[channel]);
    *command = (struct command){.used = true, .window = WIRE_WINDOW};
    for (; *argv != NULL; argv++)
        peer_text_field(&fields, WIRE_SPAWN_ARG, *argv);
    if (more != NULL)
        assert_int_equal(buf_append(&fields, buf_data(more), buf_len(more)), 0);
    add_user(&fields);
    peer_frame(peer, WIRE_SPAWN, 0, id, buf_data(&fields), buf_len(&fields));
    buf_free(&fields);
    return command;
}

void peer_input(struct command *command, const void *data, size_t size, bool end)
{
    command->input = data;
    command->input_size = size;
    command->input_end = end;
}

const char *peer_text(struct command *command, int channel)
{
    const char *text = buf_string(&command->output[channel]);
    assert_non_null(text);
    return text;
}
