/* The agent's data: exact bytes both ways, credit, frames that arrive in pieces. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_peer.h"

#define BULK (8u * 1024 * 1024)

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

/* Bytes that do not repeat with any power of two. */
static uint8_t *pattern(size_t size)
{
    uint8_t *bytes = malloc(size);
    uint32_t x = 2463534242u;
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        bytes[i] = (uint8_t)x;
    }
    return bytes;
}

static void test_both_ways(void **state)
{
    struct peer *peer = *state;
    uint8_t *bytes = pattern(BULK);
    struct command *command = PEER_SPAWN(peer, 1, NULL, "cat");
    peer_input(command, bytes, BULK, true);
    PEER_UNTIL(peer, command->exited);
    assert_int_equal(command->code, 0);
    assert_int_equal(buf_len(&command->output[WIRE_STDOUT]), BULK);
    assert_memory_equal(buf_data(&command->output[WIRE_STDOUT]), bytes, BULK);
    assert_int_equal(buf_len(&command->output[WIRE_STDERR]), 0);
    free(bytes);
}

/* Several at once, one of them with a reader that takes nothing: the others do not notice. */
static void test_slow_reader(void **state)
{
    struct peer *peer = *state;
    struct command *slow = PEER_SHELL(peer, 1, "head -c 3000000 /dev/zero; echo >&2 done");
    slow->hold = true;
    PEER_UNTIL(peer, slow->in_flight[WIRE_STDOUT] == WIRE_WINDOW);
    for (uint32_t id = 2; id < 6; id++)
        PEER_SHELL(peer, id, "head -c 2000000 /dev/zero; head -c 1000000 /dev/zero >&2");
    for (uint32_t id = 2; id < 6; id++) {
        PEER_UNTIL(peer, peer->commands[id].exited);
        assert_int_equal(buf_len(&peer->commands[id].output[WIRE_STDOUT]), 2000000);
        assert_int_equal(buf_len(&peer->commands[id].output[WIRE_STDERR]), 1000000);
    }
    assert_int_equal(buf_len(&slow->output[WIRE_STDOUT]), WIRE_WINDOW);
    assert_false(slow->exited);
    /* a command that has ended keeps its last bytes until there is credit for them */
    uint8_t credit[4];
    while (buf_len(&slow->output[WIRE_STDOUT]) < 3000000) {
        PEER_UNTIL(peer, slow->in_flight[WIRE_STDOUT] == WIRE_WINDOW ||
                             buf_len(&slow->output[WIRE_STDOUT]) == 3000000);
        put_u32(credit, slow->in_flight[WIRE_STDOUT]);
        slow->in_flight[WIRE_STDOUT] = 0;
        peer_frame(peer, WIRE_CREDIT, WIRE_STDOUT, 1, credit, sizeof credit);
    }
    PEER_UNTIL(peer, slow->exited);
    assert_string_equal(peer_text(slow, WIRE_STDERR), "done\n");
}

/* More than a pipe holds, written by a command that has ended when we read it. */
static void test_rest_after_exit(void **state)
{
    struct peer *peer = *state;
    struct command *command = PEER_SHELL(peer, 1, "head -c 560000 /dev/zero; exit 4");
    command->hold = true;
    PEER_UNTIL(peer, command->in_flight[WIRE_STDOUT] == WIRE_WINDOW);
    struct command *other = PEER_SHELL(peer, 2, "exit 0");
    PEER_UNTIL(peer, other->exited);
    assert_false(command->exited);
    uint8_t credit[4];
    put_u32(credit, 100000);
    command->in_flight[WIRE_STDOUT] -= 100000;
    peer_frame(peer, WIRE_CREDIT, WIRE_STDOUT, 1, credit, sizeof credit);
    PEER_UNTIL(peer, command->exited);
    assert_int_equal(buf_len(&command->output[WIRE_STDOUT]), 560000);
    assert_int_equal(command->code, 4);
}

/* Input that nobody reads is swallowed, and its credit comes back. */
static void test_unread_input(void **state)
{
    struct peer *peer = *state;
    uint8_t *bytes = pattern(BULK);
    struct buf no_stdin = {0};
    struct command *closed = PEER_SHELL(peer, 1, "exec <&-; echo ready; read x < /dev/zero");
    peer_text_field(&no_stdin, WIRE_SPAWN_NO_STDIN, "");
    struct command *none =
        PEER_SPAWN(peer, 2, &no_stdin, "sh", "-c", "cat; echo empty; exec sleep 1000");
    buf_free(&no_stdin);
    PEER_UNTIL(peer, buf_len(&closed->output[WIRE_STDOUT]) > 0 &&
                         buf_len(&none->output[WIRE_STDOUT]) > 0);
    assert_string_equal(peer_text(none, WIRE_STDOUT), "empty\n");
    peer_input(closed, bytes, BULK, true);
    peer_input(none, bytes, BULK, true);
    PEER_UNTIL(peer, !closed->input_end && !none->input_end);
    peer_frame(peer, WIRE_ABANDON, 0, 1, NULL, 0);
    peer_frame(peer, WIRE_ABANDON, 0, 2, NULL, 0);
    PEER_UNTIL(peer, closed->exited && none->exited);
    free(bytes);
}

static void test_beyond_credit(void **state)
{
    static uint8_t bytes[WIRE_DATA_MAX];
    struct peer *peer = peer_start();
    (void)state;
    struct command *command = PEER_SPAWN(peer, 1, NULL, "sleep", "1000");
    PEER_UNTIL(peer, command->spawned);
    for (uint32_t sent = 0; sent <= WIRE_WINDOW + WIRE_WINDOW / 2; sent += WIRE_DATA_MAX)
        peer_frame(peer, WIRE_DATA, 0, 1, bytes, sizeof bytes);
    peer_stop(peer, PEER_PROTOCOL);
    peer = peer_start();
    PEER_SPAWN(peer, 1, NULL, "cat");
    peer_frame(peer, WIRE_DATA, WIRE_EOF, 1, bytes, 1);
    peer_frame(peer, WIRE_DATA, 0, 1, bytes, 1);
    peer_stop(peer, PEER_PROTOCOL);
}

/* Every split of the stream is the same: one byte per write, and every size up to 40. */
static void test_pieces(void **state)
{
    struct peer *peer = *state;
    for (size_t slice = 1; slice <= 40; slice++) {
        char text[64];
        int size = snprintf(text, sizeof text, "in %zu pieces", slice);
        peer->slice = slice;
        struct command *command = PEER_SPAWN(peer, (uint32_t)slice, NULL, "cat");
        peer_input(command, text, (size_t)size, true);
        PEER_UNTIL(peer, command->exited);
        assert_string_equal(peer_text(command, WIRE_STDOUT), text);
    }
}

/* The largest request: refused by the kernel (E2BIG) and not by us; then one that fits. */
static void test_large_request(void **state)
{
    struct peer *peer = *state;
    struct buf more = {0};
    static char text[100001];
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 19; i++)
        peer_text_field(&more, WIRE_SPAWN_ARG, text);
    struct command *command = PEER_SPAWN(peer, 1, &more, "sh", "-c", "echo $# ${#9}", "sh");
    PEER_UNTIL(peer, command->failed || command->exited);
    if (command->failed)
        assert_int_equal(command->error, E2BIG);
    else
        assert_string_equal(peer_text(command, WIRE_STDOUT), "19 100000\n");
    buf_free(&more);
    for (int i = 0; i < 65537; i++)
        peer_text_field(&more, WIRE_SPAWN_ENV, "A=b");
    command = PEER_SPAWN(peer, 1, &more, "true");
    PEER_UNTIL(peer, command->failed);
    assert_int_equal(command->error, EINVAL);
    assert_int_equal(command->stage, WIRE_STAGE_REQUEST);
    buf_free(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ways, start, stop),
        cmocka_unit_test_setup_teardown(test_slow_reader, start, stop),
        cmocka_unit_test_setup_teardown(test_rest_after_exit, start, stop),
        cmocka_unit_test_setup_teardown(test_unread_input, start, stop),
        cmocka_unit_test_setup_teardown(test_pieces, start, stop),
        cmocka_unit_test_setup_teardown(test_large_request, start, stop),
        cmocka_unit_test(test_beyond_credit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
