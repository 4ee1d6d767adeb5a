/* A session through the client library: many commands at once, streams of their own, bad requests.
 */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"
#include "session/protocol/control.h"

#define COMMANDS 200

static struct test_session session;

struct command {
    struct client_command *handle;
    struct buf out;
    uint32_t code;
    bool over;
    int failed_status;
};

static unsigned over_count;

static void on_started(void *context, uint32_t pid)
{
    (void)context;
    assert_true(pid > 1);
}

static void on_failed(void *context, const struct error *why, int status)
{
    struct command *command = context;
    (void)why;
    command->over = true;
    command->failed_status = status;
    over_count++;
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    struct command *command = context;
    (void)last;
    buf_append(&command->out, data, size);
    client_consumed(command->handle, channel, size);
}

static void on_accepted(void *context, uint32_t bytes)
{
    (void)context;
    (void)bytes;
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    struct command *command = context;
    command->code = signal != 0 ? 128 + signal : code;
    command->over = true;
    over_count++;
}

static const struct client_command_events events = {on_started, on_failed, on_output, on_accepted,
                                                    .exited = on_exited};

static void start(struct command *command, const char *script, const char *argument, bool input)
{
    struct error err = {0};
    CLEAN_STRV struct strv argv = {0};
    const char *const words[] = {"sh", "-c", script, "sh", argument};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        strv_add(&argv, words[i]);
    const struct client_exec exec = {.argv = &argv, .no_stdin = !input};
    *command = (struct command){0};
    assert_int_equal(client_exec(session.client, &exec, &events, command, &command->handle, &err),
                     0);
}

/* Two hundred commands that all wait for their input: they can only end if all run at once. */
static void test_many_at_once(void **state)
{
    (void)state;
    static struct command commands[COMMANDS];
    over_count = 0;
    for (unsigned i = 0; i < COMMANDS; i++) {
        char number[8];
        snprintf(number, sizeof number, "%u", i);
        start(&commands[i], "read x; echo \"$1 $x\"; exit $(($1 % 100))", number, true);
    }
    for (unsigned i = COMMANDS; i-- > 0;) {
        char line[32];
        int len = snprintf(line, sizeof line, "input-%u\n", i);
        assert_int_equal(client_input(commands[i].handle, line, (uint32_t)len, true), 0);
    }
    while (over_count < COMMANDS && !session.ended)
        uv_run(&session.loop, UV_RUN_ONCE);
    assert_false(session.ended);
    for (unsigned i = 0; i < COMMANDS; i++) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "%u input-%u\n", i, i);
        assert_string_equal(buf_string(&commands[i].out), wanted);
        assert_int_equal(commands[i].code, i % 100);
        buf_free(&commands[i].out);
    }
}

static void test_input_limits(void **state)
{
    (void)state;
    static uint8_t block[CONTROL_DATA_MAX];
    struct command command;
    start(&command, "sleep 1000", "", true);
    for (uint32_t sent = 0; sent < CONTROL_WINDOW; sent += sizeof block)
        assert_int_equal(client_input(command.handle, block, sizeof block, false), 0);
    assert_int_equal(client_input_room(command.handle), 0);
    assert_int_equal(client_input(command.handle, block, 1, false), -ENOBUFS);
    client_signal(command.handle, SIGKILL);
    while (!command.over)
        uv_run(&session.loop, UV_RUN_ONCE);
    assert_int_equal(command.code, 137);
}

struct answer {
    bool over;
    struct error why;
};

static void on_answer(void *context, const cJSON *reply, const struct error *why)
{
    struct answer *answer = context;
    answer->over = true;
    if (reply == NULL)
        answer->why = *why;
}

static void test_bad_requests(void **state)
{
    (void)state;
    static const struct {
        const char *name, *json;
        int code;
    } rows[] = {
        {"nonsense", "{}", ENOSYS},
        {"start", "{\"session\":{}}", EALREADY},
        {"exec", "{\"stream\":0,\"argv\":[\"true\"]}", EINVAL},
        {"exec", "{\"stream\":1025,\"argv\":[\"true\"]}", EINVAL},
        {"signal", "{\"stream\":1,\"signal\":65}", EINVAL},
        {"signal", "{\"stream\":1,\"signal\":\"KILL\"}", EINVAL},
        {"resize", "{\"stream\":1,\"rows\":0,\"columns\":1}", EINVAL},
        {"resize", "{\"stream\":1,\"rows\":1,\"columns\":65536}", EINVAL},
        {"signal", "{\"stream\":99,\"signal\":9}", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct answer answer = {0};
        client_request(session.client, rows[i].name, cJSON_Parse(rows[i].json), on_answer, &answer);
        while (!answer.over)
            uv_run(&session.loop, UV_RUN_ONCE);
        if (answer.why.code != rows[i].code)
            fail_msg("%s %s: %d %s", rows[i].name, rows[i].json, answer.why.code,
                     answer.why.message);
    }
}

/* A second connection sees the same VM, and its end costs the session nothing. */
static void test_second_client(void **state)
{
    (void)state;
    static const struct client_events none = {NULL, NULL};
    struct error err = {0};
    struct client *other = NULL, *first = session.client;
    struct command command;
    assert_int_equal(client_connect(&other, &session.loop, session.id, &none, NULL, &err), 0);
    session.client = other;
    start(&command, "echo $PPID", "", false);
    session.client = first;
    while (!command.over)
        uv_run(&session.loop, UV_RUN_ONCE);
    assert_string_equal(buf_string(&command.out), "1\n");
    buf_free(&command.out);
    client_close(other);
    start(&command, "exit 5", "", false);
    while (!command.over)
        uv_run(&session.loop, UV_RUN_ONCE);
    assert_int_equal(command.code, 5);
    assert_int_equal(client_connect(&other, &session.loop, "00000000", &none, NULL, &err), -ENOENT);
}

static int open_session(void **state)
{
    (void)state;
    if (test_session_start(&session))
        return 0;
    fprintf(stderr, "%s\n", session.why.message);
    return -1;
}

static int close_session(void **state)
{
    (void)state;
    test_session_stop(&session);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_input_limits),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_second_client),
    };
    return cmocka_run_group_tests(tests, open_session, close_session);
}
