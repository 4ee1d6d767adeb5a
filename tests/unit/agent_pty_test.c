/* The agent's terminals. */
#include "unit.h"

#include <signal.h>
#include <string.h>

#include "agent_peer.h"

static int start(void **state)
{
    *state = peer_start();
    return 0;
}

static int stop(void **state)
{
    peer_stop(*state, PEER_SHUTDOWN);
    return 0;
}

static struct command *spawn_pty(struct peer *peer, uint32_t id, const char *script)
{
    struct buf more = {0};
    peer_pty_field(&more, 30, 100);
    struct command *command = PEER_SPAWN(peer, id, &more, "sh", "-c", script);
    buf_free(&more);
    return command;
}

static bool shows(struct command *command, const char *text)
{
    return strstr(peer_text(command, WIRE_STDOUT), text) != NULL;
}

static void test_terminal(void **state)
{
    struct peer *peer = *state;
    struct command *command =
        spawn_pty(peer, 1,
                  "test -t 0 && test -t 1 && test -t 2 && stty size && echo $TERM && "
                  "stty -a | grep -o ' iutf8' && exit 5 < /dev/tty");
    PEER_UNTIL(peer, command->exited);
    assert_string_equal(peer_text(command, WIRE_STDOUT), "30 100\r\nxterm-256color\r\n iutf8\r\n");
    assert_int_equal(command->code, 5);
}

static void test_resize(void **state)
{
    struct peer *peer = *state;
    uint8_t size[4];
    struct command *command =
        spawn_pty(peer, 1, "trap 'stty size; exit' WINCH; echo ready; while :; do read x; done");
    PEER_UNTIL(peer, shows(command, "ready"));
    put_u16(size, 50);
    put_u16(size + 2, 132);
    peer_frame(peer, WIRE_RESIZE, 0, 1, size, sizeof size);
    PEER_UNTIL(peer, command->exited || shows(command, "50 132"));
    assert_true(shows(command, "50 132"));
    peer_frame(peer, WIRE_ABANDON, 0, 1, NULL, 0);
    PEER_UNTIL(peer, command->exited);
}

/* Ctrl-C as the line discipline makes it, and as a signal frame. */
static void test_interrupt(void **state)
{
    struct peer *peer = *state;
    uint8_t number[4];
    struct command *byte = spawn_pty(peer, 1, "echo ready; exec cat");
    struct command *frame = spawn_pty(peer, 2, "echo ready; exec cat");
    PEER_UNTIL(peer, shows(byte, "ready") && shows(frame, "ready"));
    peer_input(byte, "\003", 1, false);
    put_u32(number, SIGINT);
    peer_frame(peer, WIRE_SIGNAL, 0, 2, number, sizeof number);
    PEER_UNTIL(peer, byte->exited && frame->exited);
    assert_int_equal(byte->signal, SIGINT);
    assert_int_equal(frame->signal, SIGINT);
}

/* A shell with job control puts its job into a group of its own: the signal reaches it. */
static void test_foreground(void **state)
{
    struct peer *peer = *state;
    uint8_t number[4];
    struct command *command = spawn_pty(
        peer, 1, "set -m; trap '' INT; sh -c 'trap - INT; echo ready; exec sleep 1000'; echo $?");
    PEER_UNTIL(peer, shows(command, "ready"));
    put_u32(number, SIGTERM);
    peer_frame(peer, WIRE_SIGNAL, 0, 1, number, sizeof number);
    PEER_UNTIL(peer, command->exited);
}

static void test_end_of_input(void **state)
{
    struct peer *peer = *state;
    struct command *command = spawn_pty(peer, 1, "stty -echo; echo ready; cat; echo over");
    PEER_UNTIL(peer, shows(command, "ready"));
    peer_input(command, "line\n", 5, true);
    PEER_UNTIL(peer, command->exited);
    assert_string_equal(peer_text(command, WIRE_STDOUT), "ready\r\nline\r\nover\r\n");
}

/* All that was written before the end comes, however much the terminal held. */
static void test_last_output(void **state)
{
    struct peer *peer = *state;
    for (uint32_t id = 1; id <= 20; id++) {
        struct command *command = spawn_pty(peer, id, "seq 1 20000; echo last");
        PEER_UNTIL(peer, command->exited);
        const char *text = peer_text(command, WIRE_STDOUT);
        assert_int_equal(strlen(text), 108894 + 20000 + 6);
        assert_string_equal(text + strlen(text) - 6, "last\r\n");
    }
}

/* More input than a terminal takes at once. */
static void test_bulk_input(void **state)
{
    struct peer *peer = *state;
    static char lines[1024 * 1024];
    memset(lines, 'x', sizeof lines);
    for (size_t i = 63; i < sizeof lines; i += 64)
        lines[i] = '\n';
    struct command *command = spawn_pty(peer, 1, "stty -echo; echo ready; wc -c");
    PEER_UNTIL(peer, shows(command, "ready"));
    peer_input(command, lines, sizeof lines, true);
    PEER_UNTIL(peer, command->exited);
    assert_true(shows(command, "1048576"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_terminal, start, stop),
        cmocka_unit_test_setup_teardown(test_resize, start, stop),
        cmocka_unit_test_setup_teardown(test_interrupt, start, stop),
        cmocka_unit_test_setup_teardown(test_foreground, start, stop),
        cmocka_unit_test_setup_teardown(test_end_of_input, start, stop),
        cmocka_unit_test_setup_teardown(test_last_output, start, stop),
        cmocka_unit_test_setup_teardown(test_bulk_input, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
