/*
 * The agent that stands still: everything before QUIET arrives, nothing comes after it until the
 * next HELLO, and then nothing is missing, whoever says it.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void hello(struct peer *peer, const char epoch[WIRE_EPOCH_SIZE])
{
    uint8_t payload[4 + WIRE_EPOCH_SIZE];
    memcpy(peer->epoch, epoch, WIRE_EPOCH_SIZE);
    put_u32(payload, WIRE_VERSION);
    memcpy(payload + 4, epoch, WIRE_EPOCH_SIZE);
    peer_frame(peer, WIRE_HELLO, 0, 0, payload, sizeof payload);
}

static void quiesce(struct peer *peer)
{
    unsigned before = peer->quiets;
    peer_frame(peer, WIRE_QUIESCE, 0, 0, NULL, 0);
    PEER_UNTIL(peer, peer->quiets > before);
    assert_int_equal(peer->answer, 0);
    assert_int_equal(buf_len(&peer->in), 0); /* QUIET was the last, and no frame is in pieces */
}

/* The command has written all it has to (it opens the FIFO then), and still no byte has come. */
static void expect_silence(struct peer *peer, const char *fifo)
{
    char byte;
    while (buf_len(&peer->out) > 0)
        peer_step(peer);
    int fd = open(fifo, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(recv(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void make_fifo(char directory[64], char path[80])
{
    snprintf(directory, 64, "/tmp/vmdeck-quiesce-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, 80, "%s/fifo", directory);
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(mkfifo(path, 0666), 0);
}

/* Output, ends and credit that come about meanwhile wait for HELLO, of the same host or another. */
static void test_silence(void **state)
{
    struct peer *peer = *state;
    static const char *const epochs[] = {"an epoch of 16 b", "another, of 16 b"};
    for (size_t i = 0; i < ARRAY_SIZE(epochs); i++) {
        char directory[64], path[80], script[160];
        make_fifo(directory, path);
        snprintf(script, sizeof script, "read x; echo got $x; echo >&2 err; : >%s; exit 9", path);
        struct command *command = PEER_SHELL(peer, 1, script);
        PEER_UNTIL(peer, command->spawned);
        quiesce(peer);
        peer_frame(peer, WIRE_DATA, 0, 1, "word\n", 5);
        command->window -= 5;
        expect_silence(peer, path);
        unsigned hellos = peer->hellos;
        hello(peer, epochs[i]);
        PEER_UNTIL(peer, command->exited);
        assert_int_equal(peer->hellos, hellos + 1);
        assert_int_equal(command->code, 9);
        assert_string_equal(peer_text(command, WIRE_STDOUT), "got word\n");
        assert_string_equal(peer_text(command, WIRE_STDERR), "err\n");
        unlink(path);
        rmdir(directory);
    }
}

/* In the middle of a flood, again and again: frames stay whole, no byte is lost or doubled. */
static void test_flood(void **state)
{
    struct peer *peer = *state;
    struct command *command =
        PEER_SHELL(peer, 1, "i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done");
    peer->slice = 7; /* what the agent is sent comes in pieces as well */
    for (int i = 0; i < 20; i++) {
        size_t before = buf_len(&command->output[WIRE_STDOUT]);
        PEER_UNTIL(peer, command->exited || buf_len(&command->output[WIRE_STDOUT]) > before);
        quiesce(peer);
        hello(peer, i % 2 == 0 ? "an epoch of 16 b" : "another, of 16 b");
        unsigned hellos = peer->hellos;
        PEER_UNTIL(peer, peer->hellos > hellos);
    }
    peer->slice = 0;
    PEER_UNTIL(peer, command->exited);
    const char *text = peer_text(command, WIRE_STDOUT);
    for (int i = 0; i < 100000; i++) {
        char *end;
        assert_int_equal(strtol(text, &end, 10), i);
        assert_int_equal(*end, '\n');
        text = end + 1;
    }
    assert_int_equal(*text, '\0');
}

/* The agent stands still on what it could not send: QUIET comes when the reader has taken it. */
static void test_behind_a_slow_reader(void **state)
{
    struct peer *peer = *state;
    struct command *command = PEER_SHELL(peer, 1, "head -c 8000000 /dev/zero");
    PEER_UNTIL(peer, command->spawned);
    quiesce(peer);
    quiesce(peer); /* twice is no more than once */
    hello(peer, "an epoch of 16 b");
    PEER_UNTIL(peer, command->exited);
    assert_int_equal(buf_len(&command->output[WIRE_STDOUT]), 8000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_silence, start, stop),
        cmocka_unit_test_setup_teardown(test_flood, start, stop),
        cmocka_unit_test_setup_teardown(test_behind_a_slow_reader, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
