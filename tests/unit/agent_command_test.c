/* The agent's commands: starting, failing, ending, being abandoned. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* CONFIGURE, and its answer. */
static void configure(struct peer *peer, const struct buf *settings)
{
    peer->configured = false;
    peer_frame(peer, WIRE_CONFIGURE, 0, 0, settings != NULL ? buf_data(settings) : NULL,
               settings != NULL ? buf_len(settings) : 0);
    PEER_UNTIL(peer, peer->configured);
    peer->configured = false;
}

/* A template's agent: a process waits for the first command. */
static int start_template(void **state)
{
    struct peer *peer = peer_start();
    configure(peer, NULL);
    *state = peer;
    return 0;
}

/* What a shell script writes and how it ends. */
static void test_scripts(void **state)
{
    static const struct {
        const char *script, *out, *err;
        uint32_t code, signal;
    } rows[] = {
        {"echo hi", "hi\n", "", 0, 0},
        {"echo out; echo err >&2; exit 7", "out\n", "err\n", 7, 0},
        {"exit 255", "", "", 255, 0},
        {"kill -9 $$", "", "", 0, SIGKILL},
        {"kill -TERM $$", "", "", 0, SIGTERM},
        {"kill -PIPE $$; echo alive", "", "", 0, SIGPIPE},
        {"umask", "0022\n", "", 0, 0},
        {"ulimit -n", "1024\n", "", 0, 0},
        {"ls /proc/self/fd | wc -l", "4\n", "", 0, 0},
        {"grep -c '^Sig\\(Blk\\|Ign\\|Pnd\\):.0*$' /proc/self/status", "3\n", "", 0, 0},
        {"set -- $(cat /proc/self/stat); test $5 = $6 && echo leads", "leads\n", "", 0, 0},
        {"exec >&-; echo still >&2", "", "still\n", 0, 0},
    };
    umask(022);
    for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct command *command = PEER_SHELL(*state, i + 1, rows[i].script);
        peer_input(command, NULL, 0, true);
        PEER_UNTIL(*state, command->exited);
        assert_string_equal(peer_text(command, WIRE_STDERR), rows[i].err);
        assert_string_equal(peer_text(command, WIRE_STDOUT), rows[i].out);
        assert_int_equal(command->code, rows[i].code);
        assert_int_equal(command->signal, rows[i].signal);
    }
}

static void test_failures(void **state)
{
    static const struct {
        const char *program;
        uint8_t tag;
        const char *text;
        uint32_t error, stage;
    } rows[] = {
        {"vmdeck-no-such-program", 0, NULL, ENOENT, WIRE_STAGE_EXEC},
        {"/vmdeck/no/such/program", 0, NULL, ENOENT, WIRE_STAGE_EXEC},
        {"/etc/passwd", 0, NULL, EACCES, WIRE_STAGE_EXEC},
        {"/tmp", 0, NULL, EACCES, WIRE_STAGE_EXEC},
        {"true", WIRE_SPAWN_ENV, "PATH=/vmdeck:/etc/passwd", ENOENT, WIRE_STAGE_EXEC},
        {"true", WIRE_SPAWN_CWD, "/vmdeck/no/such/directory", ENOENT, WIRE_STAGE_CWD},
        {"true", WIRE_SPAWN_CWD, "/etc/passwd", ENOTDIR, WIRE_STAGE_CWD},
        {"true", WIRE_SPAWN_USER, "vmdeck-nobody-has-this-name", ESRCH, WIRE_STAGE_USER},
        {"true", WIRE_SPAWN_USER, "12x", EINVAL, WIRE_STAGE_USER},
        {"true", WIRE_SPAWN_USER, "4294967295", EINVAL, WIRE_STAGE_USER},
        {"true", WIRE_SPAWN_ENV, "no equals sign", EINVAL, WIRE_STAGE_REQUEST},
        {"true", WIRE_SPAWN_ENV, "=value", EINVAL, WIRE_STAGE_REQUEST},
        {"", 0, NULL, EINVAL, WIRE_STAGE_REQUEST},
        {"true", WIRE_SPAWN_PTY, "short", EINVAL, WIRE_STAGE_REQUEST},
        {"true", WIRE_SPAWN_NO_STDIN, "x", EINVAL, WIRE_STAGE_REQUEST},
        {"true", WIRE_SPAWN_CWD, "", EINVAL, WIRE_STAGE_REQUEST},
        {"true", WIRE_SPAWN_FIELDS, "unknown", EPROTO, WIRE_STAGE_REQUEST},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buf more = {0};
        if (rows[i].text != NULL)
            peer_text_field(&more, rows[i].tag, rows[i].text);
        /* the same id each time: FAILED frees it */
        struct command *command = PEER_SPAWN(*state, 1, &more, rows[i].program);
        buf_free(&more);
        PEER_UNTIL(*state, command->failed || command->exited);
        if (!command->failed || command->error != rows[i].error || command->stage != rows[i].stage)
            fail_msg("row %zu: errno %u, stage %u", i, command->error, command->stage);
    }
}

static void test_environment(void **state)
{
    struct peer *peer = *state;
    struct buf settings = {0}, more = {0};
    peer_text_field(&settings, WIRE_SET_ENV, "A=configured");
    peer_text_field(&settings, WIRE_SET_ENV, "B=configured");
    peer_frame(peer, WIRE_CONFIGURE, 0, 0, buf_data(&settings), buf_len(&settings));
    peer_text_field(&more, WIRE_SPAWN_ENV, "B=own");
    peer_text_field(&more, WIRE_SPAWN_ENV, "B=last");
    peer_text_field(&more, WIRE_SPAWN_ENV, "C=");
    peer_text_field(&more, WIRE_SPAWN_ENV, "HOME=/elsewhere");
    peer_text_field(&more, WIRE_SPAWN_CWD, "/usr");
    struct command *command =
        PEER_SPAWN(peer, 1, &more, "sh", "-c", "echo $A $B ${C-unset} $HOME ${TERM-none}; pwd");
    PEER_UNTIL(peer, command->exited);
    assert_true(peer->configured);
    assert_int_equal(peer->answer, 0);
    assert_string_equal(peer_text(command, WIRE_STDOUT), "configured last /elsewhere none\n/usr\n");
    buf_free(&more);
    buf_free(&settings);
}

static void test_bad_settings(void **state)
{
    static const struct {
        const char *text;
        uint32_t error;
        uint8_t tag;
    } rows[] = {
        {"x", EINVAL, WIRE_SET_ENV},
        {"1234567", EINVAL, WIRE_SET_TIME},
        {"little", EINVAL, WIRE_SET_ENTROPY},
        {"", EINVAL, WIRE_SET_HOSTNAME},
        {"a b", EINVAL, WIRE_SET_HOSTNAME},
        {"-a", EINVAL, WIRE_SET_HOSTNAME},
        {"a\n", EINVAL, WIRE_SET_HOSTNAME},
        {"", EINVAL, WIRE_SET_TRUST},
        {"123456789", EINVAL, WIRE_SET_TIME_PASSED},
        {"x", EINVAL, WIRE_SET_OFFLINE},
        {"x", EINVAL, WIRE_SET_RESTORED},
        {"", EPROTO, WIRE_SETTINGS},
        {"", EPROTO, 0},
    };
    struct peer *peer = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct buf settings = {0};
        peer_text_field(&settings, rows[i].tag, rows[i].text);
        peer->configured = false;
        peer_frame(peer, WIRE_CONFIGURE, 0, 0, buf_data(&settings), buf_len(&settings));
        buf_free(&settings);
        PEER_UNTIL(peer, peer->configured);
        assert_int_equal(peer->answer, rows[i].error);
    }
}

static int gate[2];

static pid_t hold_late_work(void)
{
    char byte;
    pid_t pid = fork();
    if (pid == 0)
        _exit(read(gate[0], &byte, 1) == 1 ? 0 : 1);
    return pid;
}

/* An empty CONFIGURE is answered when the late work is done; one with content, and commands, are
 * not kept waiting. */
static void test_late_work(void **state)
{
    struct buf settings = {0};
    (void)state;
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    struct peer *peer = peer_start_with(hold_late_work);
    peer_frame(peer, WIRE_CONFIGURE, 0, 0, NULL, 0);
    struct command *command = PEER_SPAWN(peer, 1, NULL, "true");
    PEER_UNTIL(peer, command->exited);
    assert_false(peer->configured);
    peer_text_field(&settings, WIRE_SET_ENV, "A=b");
    peer_frame(peer, WIRE_CONFIGURE, 0, 0, buf_data(&settings), buf_len(&settings));
    PEER_UNTIL(peer, peer->configured);
    peer->configured = false;
    assert_int_equal(write(gate[1], "x", 1), 1);
    PEER_UNTIL(peer, peer->configured);
    peer->configured = false;
    peer_frame(peer, WIRE_CONFIGURE, 0, 0, NULL, 0);
    PEER_UNTIL(peer, peer->configured);
    peer_stop(peer, PEER_SHUTDOWN);
    buf_free(&settings);
    close(gate[0]);
    close(gate[1]);
}

/* The process that waits for the first command, in a template; only when no other runs. */
static pid_t waiting_process(struct peer *peer)
{
    char path[64], line[64] = "";
    configure(peer, NULL);
    configure(peer, NULL); /* the first one's turn is over: it is there */
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)peer->pid, (int)peer->pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    fclose(file);
    return (pid_t)strtol(line, NULL, 10);
}

/* It becomes the first command, unless that wants a terminal; then it goes. */
static void test_prepared(void **state)
{
    struct peer *peer = *state;
    struct buf pty = {0}, none = {0}, settings = {0};
    pid_t waits = waiting_process(peer);
    assert_true(waits > 0);
    struct command *command = PEER_SHELL(peer, 1, "cat; echo err >&2");
    struct command *other = PEER_SHELL(peer, 2, "cat");
    PEER_UNTIL(peer, command->spawned && other->spawned);
    assert_int_equal(command->pid, waits);
    assert_int_not_equal(other->pid, waits);
    peer_input(command, "one", 3, true);
    peer_input(other, "other", 5, true);
    PEER_UNTIL(peer, command->exited && other->exited);
    assert_string_equal(peer_text(command, WIRE_STDOUT), "one");
    assert_string_equal(peer_text(command, WIRE_STDERR), "err\n");
    assert_string_equal(peer_text(other, WIRE_STDOUT), "other");

    waits = waiting_process(peer);
    peer_text_field(&none, WIRE_SPAWN_NO_STDIN, "");
    command = PEER_SPAWN(peer, 1, &none, "sh", "-c", "readlink /proc/self/fd/0; cat");
    PEER_UNTIL(peer, command->exited);
    assert_int_equal(command->pid, waits);
    assert_string_equal(peer_text(command, WIRE_STDOUT), "/dev/null\n");

    waits = waiting_process(peer);
    peer_pty_field(&pty, 24, 80);
    peer_text_field(&settings, WIRE_SET_ENV, "A=b"); /* a session's: from now on there is none */
    configure(peer, &settings);
    command = PEER_SPAWN(peer, 1, &pty, "sh", "-c", "test -t 0 && exit 3");
    PEER_UNTIL(peer, command->exited);
    assert_int_equal(command->code, 3);
    assert_int_not_equal(command->pid, waits);
    while (kill(waits, 0) == 0)
        configure(peer, &settings);
    assert_int_equal(errno, ESRCH);
    buf_free(&pty);
    buf_free(&none);
    buf_free(&settings);
}

/* Somebody in the guest kills it: the command gets another one. It ends when the agent does. */
static void test_prepared_ends(void **state)
{
    (void)state;
    struct peer *peer = peer_start();
    pid_t waits = waiting_process(peer);
    assert_true(waits > 0);
    assert_int_equal(kill(waits, SIGKILL), 0);
    while (waiting_process(peer) != 0) /* it is reaped */
        ;
    struct command *command = PEER_SHELL(peer, 1, "cat");
    peer_input(command, "alive", 5, true);
    PEER_UNTIL(peer, command->exited);
    assert_string_equal(peer_text(command, WIRE_STDOUT), "alive");
    assert_int_not_equal(command->pid, waits);

    waits = waiting_process(peer);
    assert_true(waits > 0);
    struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, waits, 0), .events = POLLIN};
    assert_true(end.fd >= 0);
    peer_stop(peer, PEER_SHUTDOWN);
    assert_int_equal(poll(&end, 1, 60000), 1);
    close(end.fd);
}

static void test_many(void **state)
{
    struct peer *peer = *state;
    for (uint32_t id = 1; id <= 100; id++) {
        char script[64];
        snprintf(script, sizeof script, "read x; echo $x %u; exit %u", id, id);
        peer_input(PEER_SHELL(peer, id, script), "go\n", 3, true);
    }
    for (uint32_t id = 1; id <= 100; id++) {
        char expected[64];
        snprintf(expected, sizeof expected, "go %u\n", id);
        PEER_UNTIL(peer, peer->commands[id].exited);
        assert_string_equal(peer_text(&peer->commands[id], WIRE_STDOUT), expected);
        assert_int_equal(peer->commands[id].code, id);
    }
}

/* No descriptors left: some fail, with that errno, and those that run are not hurt. */
static void test_no_descriptors(void **state)
{
    struct peer *peer = *state;
    struct rlimit files = {64, 64};
    assert_int_equal(prlimit(peer->pid, RLIMIT_NOFILE, &files, NULL), 0);
    uint32_t started = 0;
    for (uint32_t id = 1; id <= 40; id++) {
        struct command *command = PEER_SPAWN(peer, id, NULL, "cat");
        PEER_UNTIL(peer, command->spawned || command->failed);
        started += command->spawned;
        if (command->failed)
            assert_int_equal(command->error, EMFILE);
    }
    assert_in_range(started, 10, 20);
    for (uint32_t id = 1; id <= 40; id++) {
        peer_input(&peer->commands[id], "alive", 5, true);
        PEER_UNTIL(peer, peer->commands[id].exited || peer->commands[id].failed);
        if (peer->commands[id].exited)
            assert_string_equal(peer_text(&peer->commands[id], WIRE_STDOUT), "alive");
    }
}

/* As many as there may be, one more, and after one has gone, again. */
static void test_maximum(void **state)
{
    struct peer *peer = *state;
    for (uint32_t id = 1; id <= WIRE_STREAMS_MAX + 1; id++)
        PEER_SPAWN(peer, id, NULL, "cat");
    struct command *beyond = &peer->commands[WIRE_STREAMS_MAX + 1];
    PEER_UNTIL(peer, beyond->failed || beyond->spawned);
    assert_true(beyond->failed);
    assert_int_equal(beyond->error, EAGAIN);
    peer_input(&peer->commands[1], NULL, 0, true);
    PEER_UNTIL(peer, peer->commands[1].exited);
    PEER_SPAWN(peer, WIRE_STREAMS_MAX + 1, NULL, "cat");
    for (uint32_t id = 2; id <= WIRE_STREAMS_MAX + 1; id++)
        peer_input(&peer->commands[id], NULL, 0, true);
    for (uint32_t id = 2; id <= WIRE_STREAMS_MAX + 1; id++) {
        PEER_UNTIL(peer, peer->commands[id].exited);
        assert_int_equal(peer->commands[id].code, 0);
    }
}

/* A process that stays behind holds neither the command nor is it hurt by what it writes. */
static void test_background(void **state)
{
    struct peer *peer = *state;
    char path[] = "/tmp/vmdeck-agent-XXXXXX", script[512];
    assert_non_null(mkdtemp(path));
    snprintf(script, sizeof script,
             "mkfifo %s/go %s/done; (read x < %s/go; head -c 300000 /dev/zero; echo written > "
             "%s/done) & echo hi",
             path, path, path, path);
    struct command *command = PEER_SHELL(peer, 1, script);
    PEER_UNTIL(peer, command->exited);
    assert_string_equal(peer_text(command, WIRE_STDOUT), "hi\n");
    snprintf(script, sizeof script, "echo > %s/go; cat %s/done; rm -r %s", path, path, path);
    command = PEER_SHELL(peer, 1, script); /* the id is free again */
    PEER_UNTIL(peer, command->exited);
    assert_string_equal(peer_text(command, WIRE_STDOUT), "written\n");
}

static void send_signal(struct peer *peer, uint32_t id, uint32_t number)
{
    uint8_t payload[4];
    put_u32(payload, number);
    peer_frame(peer, WIRE_SIGNAL, 0, id, payload, sizeof payload);
}

static void test_signal(void **state)
{
    struct peer *peer = *state;
    /* the group: the shell waits for a child, which the signal reaches too */
    struct command *command =
        PEER_SHELL(peer, 1, "trap 'echo caught; exit 3' USR1; echo ready; sleep 1000 & wait; wait");
    PEER_UNTIL(peer, buf_len(&command->output[WIRE_STDOUT]) > 0);
    send_signal(peer, 1, SIGUSR1);
    send_signal(peer, 99, SIGKILL); /* nobody has that id */
    PEER_UNTIL(peer, command->exited);
    assert_string_equal(peer_text(command, WIRE_STDOUT), "ready\ncaught\n");
    assert_int_equal(command->code, 3);
}

static void test_abandon(void **state)
{
    struct peer *peer = *state;
    struct command *gentle = PEER_SPAWN(peer, 1, NULL, "cat");
    struct command *deaf = PEER_SHELL(peer, 2, "trap '' HUP; echo deaf; while :; do read x; done");
    struct command *loud = PEER_SHELL(peer, 3, "exec yes");
    loud->hold = true; /* its window fills up */
    PEER_UNTIL(peer, gentle->spawned && buf_len(&deaf->output[WIRE_STDOUT]) > 0 &&
                         loud->in_flight[WIRE_STDOUT] == WIRE_WINDOW);
    for (uint32_t id = 1; id <= 3; id++)
        peer_frame(peer, WIRE_ABANDON, 0, id, NULL, 0);
    PEER_UNTIL(peer, gentle->exited && deaf->exited && loud->exited);
    assert_int_equal(gentle->signal, SIGHUP);
    assert_int_equal(deaf->signal, SIGKILL);
    assert_int_equal(loud->signal, SIGHUP);
}

static void protocol_error(uint8_t type, uint8_t flags, uint32_t id, const void *payload,
                           size_t size)
{
    struct peer *peer = peer_start();
    struct command *command = PEER_SPAWN(peer, 1, NULL, "cat");
    PEER_UNTIL(peer, command->spawned);
    peer_frame(peer, type, flags, id, payload, size);
    peer_stop(peer, PEER_PROTOCOL);
}

static void test_protocol_errors(void **state)
{
    static uint8_t bytes[WIRE_DATA_MAX];
    (void)state;
    protocol_error(WIRE_SPAWN, 0, 0, NULL, 0);
    protocol_error(WIRE_SPAWN, 0, 1, NULL, 0);
    protocol_error(WIRE_EXIT, 0, 1, bytes, 8);
    protocol_error(WIRE_DATA, WIRE_STDOUT, 1, bytes, 1);
    protocol_error(WIRE_DATA, 8, 1, bytes, 1);
    protocol_error(WIRE_CREDIT, WIRE_STDOUT, 1, "\1\0\0\0", 4);
    protocol_error(WIRE_CREDIT, WIRE_STDIN, 1, "\0\0\0\0", 4);
    protocol_error(WIRE_SIGNAL, 0, 1, "\0\0\0\0", 4);
    protocol_error(WIRE_SIGNAL, 0, 1, "\0\1\0\0", 4);
    protocol_error(WIRE_TYPES, 0, 1, NULL, 0);
    protocol_error(WIRE_RESIZE, 0, 1, bytes, 5);
}

/* HELLO again: the same epoch is a ping, another one starts over and keeps the commands. */
static void test_hello_again(void **state)
{
    struct peer *peer = *state;
    uint8_t hello[4 + WIRE_EPOCH_SIZE];
    struct command *command = PEER_SPAWN(peer, 1, NULL, "cat");
    PEER_UNTIL(peer, command->spawned);
    for (int round = 0; round < 2; round++) {
        peer->epoch[0] = (uint8_t)(peer->epoch[0] + round);
        put_u32(hello, WIRE_VERSION);
        memcpy(hello + 4, peer->epoch, WIRE_EPOCH_SIZE);
        peer->greeted = false;
        peer_frame(peer, WIRE_HELLO, 0, 0, hello, sizeof hello);
        PEER_UNTIL(peer, peer->greeted);
    }
    peer_input(command, "kept", 4, true);
    PEER_UNTIL(peer, command->exited);
    assert_string_equal(peer_text(command, WIRE_STDOUT), "kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_scripts, start, stop),
        cmocka_unit_test_setup_teardown(test_failures, start, stop),
        cmocka_unit_test_setup_teardown(test_environment, start, stop),
        cmocka_unit_test_setup_teardown(test_bad_settings, start, stop),
        cmocka_unit_test_setup_teardown(test_scripts, start_template, stop),
        cmocka_unit_test_setup_teardown(test_failures, start_template, stop),
        cmocka_unit_test_setup_teardown(test_environment, start_template, stop),
        cmocka_unit_test_setup_teardown(test_prepared, start, stop),
        cmocka_unit_test_setup_teardown(test_many, start, stop),
        cmocka_unit_test_setup_teardown(test_no_descriptors, start, stop),
        cmocka_unit_test_setup_teardown(test_maximum, start, stop),
        cmocka_unit_test_setup_teardown(test_background, start, stop),
        cmocka_unit_test_setup_teardown(test_signal, start, stop),
        cmocka_unit_test_setup_teardown(test_abandon, start, stop),
        cmocka_unit_test_setup_teardown(test_hello_again, start, stop),
        cmocka_unit_test(test_prepared_ends),
        cmocka_unit_test(test_late_work),
        cmocka_unit_test(test_protocol_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
