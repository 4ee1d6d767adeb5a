/*
 * vm/guest.c while its guest stands still, and with commands of a VM that was saved. The agent is
 * played from the other end of a socket pair: what it is sent is read frame by frame.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/frame.h"
#include "base/path.h"
#include "vm/guest.h"

struct fixture {
    uv_loop_t loop;
    struct guest *guest;
    struct buf in; /* what the agent got and has not looked at */
    int fd;        /* the agent's */
    bool ready, ended;
    int code;
    unsigned quiet;
    uint32_t quiet_code;
    uint64_t bytes;
    unsigned exited;
    unsigned owners; /* that were found, and the last of them */
    uint32_t tag, pid;
    char name[32];
};

static void on_ready(void *context)
{
    ((struct fixture *)context)->ready = true;
}

static void on_ended(void *context, const struct error *why)
{
    struct fixture *f = context;
    f->ended = true;
    f->code = why->code;
}

static void on_quiet(void *context, uint32_t code)
{
    struct fixture *f = context;
    f->quiet++;
    f->quiet_code = code;
}

static void on_number(void *context, uint32_t value)
{
    (void)context;
    (void)value;
}

static void on_failed(void *context, uint32_t code, enum wire_stage stage, const char *text)
{
    (void)context;
    (void)code;
    (void)stage;
    (void)text;
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    (void)channel;
    (void)data;
    (void)last;
    ((struct fixture *)context)->bytes += size;
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    (void)code;
    (void)signal;
    ((struct fixture *)context)->exited++;
}

static const struct guest_command_events command_events = {on_number, on_failed, on_output,
                                                           on_number, on_exited};

/* As the agent: sends a frame. */
static void say(struct fixture *f, uint8_t type, uint8_t flags, uint32_t stream,
                const void *payload, uint32_t length)
{
    CLEAN_BUF struct buf frame = {0};
    assert_int_equal(frame_append(&frame, type, flags, stream, payload, length), 0);
    assert_int_equal(fd_write_all(f->fd, buf_data(&frame), buf_len(&frame)), 0);
}

static void say_u32(struct fixture *f, uint8_t type, uint32_t stream, uint32_t value)
{
    uint8_t payload[4];
    put_u32(payload, value);
    say(f, type, 0, stream, payload, sizeof payload);
}

static void fill(struct fixture *f)
{
    uint8_t bytes[65536];
    uv_run(&f->loop, UV_RUN_NOWAIT);
    ssize_t got;
    while ((got = recv(f->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        assert_int_equal(buf_append(&f->in, bytes, (size_t)got), 0);
}

/* As the agent: the type of the next frame, or -1 if there is none. Small ones are sent at once. */
static int next(struct fixture *f, uint32_t *value)
{
    struct frame frame;
    const char *why = "";
    fill(f);
    int64_t size = frame_parse(buf_data(&f->in), buf_len(&f->in), &wire_rules, &frame, &why);
    assert_true(size >= 0);
    if (size == 0)
        return -1;
    if (value != NULL)
        *value = frame.type == WIRE_CREDIT ? get_u32(frame.payload) : frame.length;
    int type = frame.type;
    if (type == WIRE_HELLO) /* answered, as the agent does */
        say(f, WIRE_HELLO, 0, 0, frame.payload, frame.length);
    buf_consume(&f->in, (size_t)size);
    return type;
}

#define UNTIL(f, condition) \
    while (!(condition))    \
    uv_run(&(f)->loop, UV_RUN_ONCE)

/* The types of all that the agent was sent. */
static void expect(struct fixture *f, const int *types, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(next(f, NULL), types[i]);
    assert_int_equal(next(f, NULL), -1);
}
#define EXPECT(f, ...) \
    expect(f, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static int setup(void **state)
{
    static const struct guest_events events = {.ready = on_ready, .ended = on_ended};
    static const struct guest_settings settings = {.hostname = "h", .eager = true};
    struct fixture *f = calloc(1, sizeof *f);
    struct error err = {0};
    int fds[2];
    assert_non_null(f);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    f->fd = fds[1];
    assert_int_equal(guest_open(&f->guest, &f->loop, fds[0], &settings, &events, f, &err), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    guest_close(f->guest);
    close(f->fd);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    buf_free(&f->in);
    free(f);
    return 0;
}

/* The handshake, and a command (stream 1) that runs. */
static struct guest_command *begin(struct fixture *f)
{
    struct guest_command *command;
    struct error err = {0};
    CLEAN_STRV struct strv argv = {0};
    EXPECT(f, WIRE_HELLO, WIRE_CONFIGURE);
    say_u32(f, WIRE_CONFIGURED, 0, 0);
    UNTIL(f, f->ready);
    assert_int_equal(strv_add(&argv, "true"), 0);
    const struct guest_spawn spawn = {.argv = &argv};
    assert_int_equal(guest_spawn(f->guest, &spawn, &command_events, f, &command, &err), 0);
    EXPECT(f, WIRE_CONFIGURE, WIRE_SPAWN); /* the clock once more */
    say_u32(f, WIRE_SPAWNED, 1, 17);
    return command;
}

/* What is sent to a guest that stands still waits, and comes in its order when it goes on. */
static void test_held(void **state)
{
    struct fixture *f = *state;
    struct guest_command *command = begin(f);
    guest_quiesce(f->guest, false, on_quiet, f);
    EXPECT(f, WIRE_QUIESCE);
    say(f, WIRE_DATA, WIRE_STDOUT, 1, "abc", 3); /* was on its way */
    say_u32(f, WIRE_QUIET, 0, 0);
    UNTIL(f, f->quiet > 0);
    assert_int_equal(f->bytes, 3);
    assert_int_equal(f->quiet_code, 0);
    assert_int_equal(guest_input(command, "x", 1, false), 0);
    guest_resize(command, 10, 20);
    guest_consumed(command, WIRE_STDOUT, 3);
    assert_int_equal(next(f, NULL), -1);
    guest_resume(f->guest);
    EXPECT(f, WIRE_HELLO, WIRE_DATA, WIRE_RESIZE, WIRE_CREDIT, WIRE_CONFIGURE); /* the clock */
    guest_signal(command, 1);                                                   /* at once again */
    EXPECT(f, WIRE_SIGNAL);
    assert_int_equal(f->quiet, 1);
    assert_false(f->ended);
}

/* The clock is set again as long as the answers are late, but not for ever. */
static void test_clock(void **state)
{
    struct fixture *f = *state;
    unsigned times = 1; /* that of begin() */
    begin(f);
    do {
        uv_sleep(6); /* a way of more than 5 ms */
        say_u32(f, WIRE_CONFIGURED, 0, 0);
        uv_run(&f->loop, UV_RUN_ONCE);
    } while (next(f, NULL) == WIRE_CONFIGURE && ++times < 100);
    assert_int_equal(times, 10);
    assert_false(f->ended);
    say_u32(f, WIRE_CONFIGURED, 0, 0); /* to nothing */
    UNTIL(f, f->ended);
    assert_int_equal(f->code, EPROTO);
}

/* A guest that could not freeze its file system says so. */
static void test_not_frozen(void **state)
{
    struct fixture *f = *state;
    begin(f);
    guest_quiesce(f->guest, true, on_quiet, f);
    EXPECT(f, WIRE_QUIESCE);
    say_u32(f, WIRE_QUIET, 0, EIO);
    UNTIL(f, f->quiet > 0);
    assert_int_equal(f->quiet_code, EIO);
    guest_resume(f->guest);
}

/* The answer to a question that was given up is not one to the next question. */
static void test_late_quiet(void **state)
{
    struct fixture *f = *state;
    struct guest_command *command = begin(f);
    guest_quiesce(f->guest, false, on_quiet, f);
    guest_resume(f->guest);
    guest_quiesce(f->guest, false, on_quiet, f);
    EXPECT(f, WIRE_QUIESCE, WIRE_HELLO, WIRE_CONFIGURE, WIRE_QUIESCE);
    say_u32(f, WIRE_QUIET, 0, 0);
    say(f, WIRE_DATA, WIRE_STDOUT, 1, "abc", 3);
    UNTIL(f, f->bytes == 3);
    assert_int_equal(f->quiet, 0);
    say_u32(f, WIRE_QUIET, 0, 0);
    UNTIL(f, f->quiet > 0);
    guest_resume(f->guest);
    guest_quiesce(f->guest, false, on_quiet, f);
    guest_resume(f->guest);
    say_u32(f, WIRE_QUIET, 0, 0); /* nobody waits for it any more */
    say(f, WIRE_DATA, WIRE_STDOUT, 1, "d", 1);
    UNTIL(f, f->bytes == 4);
    assert_int_equal(f->quiet, 1);
    (void)command;
    say_u32(f, WIRE_QUIET, 0, 0); /* and this one was never asked for */
    UNTIL(f, f->ended);
    assert_int_equal(f->code, EPROTO);
}

/*
 * The state is what the guest knows: credit that waits to be told to it, or input that it has not
 * got, would be lost for good in whatever is restored from it.
 */
static void test_state(void **state)
{
    struct fixture *f = *state;
    static const uint8_t bytes[5000];
    struct guest_command *command = begin(f);
    struct guest_command_state told, now;
    assert_int_equal(guest_input(command, bytes, 100, false), 0);
    say(f, WIRE_DATA, WIRE_STDOUT, 1, bytes, 5000);
    say(f, WIRE_DATA, WIRE_STDERR, 1, bytes, 70);
    say(f, WIRE_DATA, WIRE_STDERR | WIRE_EOF, 1, bytes, 0);
    UNTIL(f, f->bytes == 5070);
    guest_consumed(command, WIRE_STDOUT, 1000);
    guest_command_state(command, &told);
    assert_int_equal(told.stream, 1);
    assert_int_equal(told.input_credit, WIRE_WINDOW - 100);
    assert_int_equal(told.output_credit[WIRE_STDOUT], WIRE_WINDOW - 4000);
    assert_int_equal(told.output_credit[WIRE_STDERR], WIRE_WINDOW - 70);
    assert_false(told.ended[WIRE_STDOUT]);
    assert_true(told.ended[WIRE_STDERR]);

    guest_quiesce(f->guest, false, on_quiet, f);
    guest_consumed(command, WIRE_STDOUT, 4000);
    guest_consumed(command, WIRE_STDERR, 70);
    assert_int_equal(guest_input(command, bytes, 3, false), 0);
    assert_int_equal(guest_input(command, bytes, 4, false), 0);
    guest_command_state(command, &now);
    assert_memory_equal(&now, &told, sizeof now);
    guest_resume(f->guest);
    guest_command_state(command, &now);
    assert_int_equal(now.input_credit, WIRE_WINDOW - 107);
    assert_int_equal(now.output_credit[WIRE_STDOUT], WIRE_WINDOW);
}

static void on_owner(void *context, uint32_t tag, uint32_t pid, const char *name)
{
    struct fixture *f = context;
    f->owners++;
    f->tag = tag;
    f->pid = pid;
    snprintf(f->name, sizeof f->name, "%s", name);
}

/* Who has a socket is asked, within bounds, and what the guest says is made fit to be shown. */
static void test_owner(void **state)
{
    struct fixture *f = *state;
    const struct guest_socket socket = {.local_port = 40000, .remote_port = 443};
    assert_int_equal(guest_find_owner(f->guest, &socket, on_owner, f, 1), -EAGAIN); /* not ready */
    begin(f);
    assert_int_equal(guest_find_owner(f->guest, &socket, on_owner, f, 77), 0);
    EXPECT(f, WIRE_SOCKET);
    say(f, WIRE_OWNER, 0, 2, "\5\0\0\0never asked", 15); /* dropped, as one for no id is */
    say(f, WIRE_OWNER, 0, 0, "\5\0\0\0", 4);
    say(f, WIRE_OWNER, 0, 1, "\1\2\0\0a\033[2J\303\244\0b", 13);
    say(f, WIRE_OWNER, 0, 1, "\6\0\0\0again", 9);
    UNTIL(f, f->owners > 0);
    say(f, WIRE_DATA, WIRE_STDOUT, 1, "x", 1);
    UNTIL(f, f->bytes == 1);
    assert_int_equal(f->owners, 1);
    assert_int_equal(f->tag, 77);
    assert_int_equal(f->pid, 0x201);
    assert_string_equal(f->name, "a?[2J???b");
    for (uint32_t i = 0; i < GUEST_LOOKUPS_MAX; i++)
        assert_int_equal(guest_find_owner(f->guest, &socket, on_owner, f, i), 0);
    assert_int_equal(guest_find_owner(f->guest, &socket, on_owner, f, 1), -EAGAIN);
    say(f, WIRE_OWNER, 0, 2, "\0\0\0\0", 4);
    UNTIL(f, f->owners == 2);
    assert_int_equal(guest_find_owner(f->guest, &socket, on_owner, f, 1), 0);
    guest_quiesce(f->guest, false, on_quiet, f);
    say(f, WIRE_OWNER, 0, 3, "\0\0\0\0", 4);
    UNTIL(f, f->owners == 3);
    assert_int_equal(guest_find_owner(f->guest, &socket, on_owner, f, 1), -EAGAIN);
    say(f, WIRE_OWNER, 0, 4, "\0\0\0\0sixteen bytes!!!", 20); /* more than a name has */
    UNTIL(f, f->ended);
}

/* A command is taken up: its outputs get what they lack of a window, and its bytes arrive. */
static void test_adopt(void **state)
{
    struct fixture *f = *state;
    struct guest_command_state saved = {
        .stream = 3, .input_credit = 10, .ended = {[WIRE_STDERR] = true}};
    saved.output_credit[WIRE_STDOUT] = 7;
    saved.output_credit[WIRE_STDERR] = WIRE_WINDOW;
    struct guest_command *command;
    struct error err = {0};
    uint32_t given = 0;
    assert_int_equal(guest_adopt(f->guest, &saved, &command_events, f, &command, &err), 0);
    assert_int_equal(next(f, NULL), WIRE_HELLO);
    assert_int_equal(next(f, NULL), WIRE_CONFIGURE);
    assert_int_equal(next(f, &given), WIRE_CREDIT);
    assert_int_equal(given, WIRE_WINDOW - 7);
    assert_int_equal(next(f, NULL), -1);
    say(f, WIRE_DATA, WIRE_STDOUT, 3, "ab", 2);
    say_u32(f, WIRE_CONFIGURED, 0, 0);
    UNTIL(f, f->ready);
    assert_int_equal(f->bytes, 2);
    uint8_t input[11] = {0};
    assert_int_equal(guest_input(command, input, 11, false), -ENOBUFS);
    assert_int_equal(guest_input(command, input, 10, false), 0);
    say(f, WIRE_EXIT, 0, 3, "\1\0\0\0\0\0\0\0", 8);
    UNTIL(f, f->exited == 1);
    assert_false(f->ended);
}

static void test_adopt_bad(void **state)
{
    struct fixture *f = *state;
    static const struct guest_command_state rows[] = {
        {.stream = 0},
        {.stream = WIRE_STREAMS_MAX + 1},
        {.stream = UINT32_MAX},
        {.stream = 1, .input_credit = WIRE_WINDOW + 1},
        {.stream = 1, .output_credit = {[WIRE_STDOUT] = WIRE_WINDOW + 1}},
        {.stream = 1, .output_credit = {[WIRE_STDERR] = UINT32_MAX}},
    };
    struct guest_command_state fine = {.stream = WIRE_STREAMS_MAX};
    struct guest_command *command;
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(guest_adopt(f->guest, &rows[i], &command_events, f, &command, &err),
                         -EINVAL);
    assert_int_equal(guest_adopt(f->guest, &fine, &command_events, f, &command, &err), 0);
    assert_int_equal(guest_adopt(f->guest, &fine, &command_events, f, &command, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_held, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_frozen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_quiet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt_bad, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
