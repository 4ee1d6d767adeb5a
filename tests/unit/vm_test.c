/* vm/: the overlay's header, the end of a text, the choice of accelerator, QMP, the guest's words.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"
#include "vm/accel.h"
#include "vm/disk.h"
#include "vm/guest.h"
#include "vm/qmp.h"
#include "vm/tail.h"

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/vmdeck-vm-XXXXXX");
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return path_remove(directory, NULL);
}

static int run(const char *const argv[])
{
    pid_t pid = process_spawn(&(struct process_spec){.argv = argv}, NULL);
    return pid > 0 ? WEXITSTATUS(process_wait(pid)) : -1;
}

/* qemu-img is the judge of what we write, where it is installed; QEMU itself in the e2e tests. */
static void test_overlay(void **state)
{
    (void)state;
    struct error err = {0};
    CLEAN_FREE char *base = str_printf("%s/base.raw", directory);
    CLEAN_FREE char *over = str_printf("%s/over.qcow2", directory);
    assert_int_equal(path_write(base, 0600, "x", 1, &err), 0);
    assert_int_equal(truncate(base, 3 << 20), 0);
    assert_int_equal(disk_create_overlay(over, base, "raw", (1ull << 30) + 1, &err), 0);
    assert_int_equal(disk_create_overlay(over, base, "raw", 1 << 20, &err), -EEXIST);
    struct stat st;
    assert_int_equal(stat(over, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(st.st_blocks * 512 <= 64 * 1024);
    static const uint64_t bad[] = {0, DISK_SIZE_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(disk_create_overlay("/nonexistent/x", base, "raw", bad[i], &err), -EINVAL);
    char longer[1200];
    memset(longer, 'a', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(disk_create_overlay("/nonexistent/x", longer, "raw", 1 << 20, &err),
                     -ENAMETOOLONG);
    CLEAN_FREE char *img = process_find("qemu-img");
    if (img != NULL) {
        const char *const check[] = {img, "check", "-q", over, NULL};
        assert_int_equal(run(check), 0);
    }
}

static void test_accel_words(void **state)
{
    (void)state;
    struct error err = {0};
    enum accel_want want;
    assert_int_equal(accel_parse("auto", &want, &err), 0);
    assert_int_equal(want, ACCEL_AUTO);
    assert_int_equal(accel_parse("tcg", &want, &err), 0);
    assert_int_equal(want, ACCEL_TCG);
    assert_int_equal(accel_parse("xen", &want, &err), -EINVAL);
}

/* A QEMU that never says anything stands for a KVM on which guests hang: no answer is a no. */
static void test_accel_hang(void **state)
{
    (void)state;
    struct error err = {0};
    struct accel accel;
    setenv("XDG_CACHE_HOME", directory, 1);
    CLEAN_FREE char *fake = str_printf("%s/qemu", directory);
    static const char script[] = "#!/bin/sh\nexec sleep 1000\n";
    assert_int_equal(path_write(fake, 0700, script, sizeof script - 1, &err), 0);
    assert_int_equal(accel_choose(ACCEL_KVM, fake, "/dev/null", &accel, &err), -ENODEV);
    assert_true(accel.first);
    assert_int_equal(accel_choose(ACCEL_KVM, fake, "/dev/null", &accel, &err), -ENODEV);
    assert_false(accel.first); /* from the cache: the second time costs nothing */
    assert_int_equal(accel_choose(ACCEL_TCG, fake, "/dev/null", &accel, &err), 0);
    assert_false(accel.kvm);
}

static void test_tail(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct tail *tail;
    struct error err = {0};
    int fds[2];
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(tail_open(&tail, &loop, fds[0], &err), 0);
    for (int i = 0; i < 10000; i++) {
        char line[64];
        int len = snprintf(line, sizeof line, "line %d \033[1mbold\033[0m\007\r\n\n", i);
        assert_int_equal(write(fds[1], line, (size_t)len), len);
        if (i % 100 == 99)
            tail_drain(tail);
    }
    assert_int_equal(write(fds[1], "unfinished", 10), 10);
    tail_drain(tail);
    CLEAN_BUF struct buf out = {0};
    tail_lines(tail, 3, &out);
    assert_string_equal(buf_string(&out), "line 9998 bold\nline 9999 bold\nunfinished\n");
    buf_consume(&out, buf_len(&out));
    tail_lines(tail, 100000, &out);
    assert_true(buf_len(&out) <= TAIL_MAX);
    close(fds[1]);
    tail_close(tail);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

struct qmp_seen {
    int answers, errors;
    bool ended;
    char event[32];
};

static void qmp_answered(void *context, const cJSON *result, const struct error *why)
{
    struct qmp_seen *seen = context;
    seen->answers += result != NULL;
    seen->errors += why != NULL;
}

static void qmp_event(void *context, const char *name, const cJSON *data)
{
    (void)data;
    snprintf(((struct qmp_seen *)context)->event, 32, "%s", name);
}

static void qmp_ended(void *context, const struct error *why)
{
    (void)why;
    ((struct qmp_seen *)context)->ended = true;
}

static void test_qmp(void **state)
{
    (void)state;
    static const char script[] =
        "{\"QMP\": {}}\r\n{\"return\": {}}\r\n{\"event\": \"STOP\"}\n"
        "{\"return\": {\"a\": 1}}\n{\"error\": {\"class\": \"X\", \"desc\": \"no\"}}\n";
    static const struct qmp_events events = {qmp_event, qmp_ended};
    uv_loop_t loop;
    struct error err = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t step = 1; step < sizeof script; step += 7) {
        struct qmp_seen seen = {0};
        struct qmp *qmp;
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(qmp_open(&qmp, &loop, fds[0], &events, &seen, &err), 0);
        qmp_run(qmp, "query-a", NULL, qmp_answered, &seen);
        qmp_run(qmp, "query-b", NULL, qmp_answered, &seen);
        qmp_run(qmp, "query-c", NULL, qmp_answered, &seen); /* never answered */
        for (size_t at = 0; at < sizeof script - 1; at += step) {
            size_t len = sizeof script - 1 - at < step ? sizeof script - 1 - at : step;
            assert_int_equal(write(fds[1], script + at, len), (ssize_t)len);
            uv_run(&loop, UV_RUN_NOWAIT);
        }
        close(fds[1]);
        while (!seen.ended)
            uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(seen.answers, 1);
        assert_int_equal(seen.errors, 2);
        assert_string_equal(seen.event, "STOP");
        qmp_close(qmp);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* A guest that misbehaves, from the agent's side of the port. */
struct guest_seen {
    bool ready, ended;
    int code;
    int exited, failed;
    uint64_t bytes;
};

static void seen_ready(void *context)
{
    ((struct guest_seen *)context)->ready = true;
}

static void seen_ended(void *context, const struct error *why)
{
    struct guest_seen *seen = context;
    seen->ended = true;
    seen->code = why->code;
}

static void seen_spawned(void *context, uint32_t pid)
{
    (void)context;
    (void)pid;
}

static void seen_failed(void *context, uint32_t code, enum wire_stage stage, const char *text)
{
    (void)code;
    (void)stage;
    (void)text;
    ((struct guest_seen *)context)->failed++;
}

static void seen_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                        bool last)
{
    (void)channel;
    (void)data;
    (void)last;
    ((struct guest_seen *)context)->bytes += size;
}

static void seen_accepted(void *context, uint32_t bytes)
{
    (void)context;
    (void)bytes;
}

static void seen_exited(void *context, uint32_t code, uint32_t signal)
{
    (void)code;
    (void)signal;
    ((struct guest_seen *)context)->exited++;
}

/* Frames that an agent sends after the handshake, one command (stream 1) having been asked for. */
static const struct hostile {
    const char *what;
    uint8_t type, flags;
    uint32_t stream, length;
    uint8_t payload[12];
    bool spawned; /* after a SPAWNED */
    bool violation;
} hostile[] = {
    {"a frame only a host sends", WIRE_SPAWN, 0, 1, 0, {0}, false, true},
    {"stream 0", WIRE_EXIT, 0, 0, 8, {0}, true, true},
    {"a stream beyond the table", WIRE_EXIT, 0, WIRE_STREAMS_MAX + 1, 8, {0}, true, true},
    {"a stream that is free", WIRE_EXIT, 0, 7, 8, {0}, true, false},
    {"data before it started", WIRE_DATA, WIRE_STDOUT, 1, 1, {0}, false, true},
    {"data on stdin", WIRE_DATA, WIRE_STDIN, 1, 1, {0}, true, true},
    {"data on channel 3", WIRE_DATA, 3, 1, 1, {0}, true, true},
    {"unknown flag", WIRE_DATA, 8 | WIRE_STDOUT, 1, 1, {0}, true, true},
    {"fine data", WIRE_DATA, WIRE_STDOUT, 1, 1, {0}, true, false},
    {"exit before it started", WIRE_EXIT, 0, 1, 8, {0}, false, true},
    {"exit code 256", WIRE_EXIT, 0, 1, 8, {0, 1}, true, true},
    {"signal 128", WIRE_EXIT, 0, 1, 8, {0, 0, 0, 0, 128}, true, true},
    {"fine exit", WIRE_EXIT, 0, 1, 8, {7}, true, false},
    {"started twice", WIRE_SPAWNED, 0, 1, 4, {1}, true, true},
    {"failed after it started", WIRE_FAILED, 0, 1, 8, {2, 0, 0, 0, 5}, true, true},
    {"failed at stage 0", WIRE_FAILED, 0, 1, 8, {2}, false, true},
    {"failed at stage 99", WIRE_FAILED, 0, 1, 8, {2, 0, 0, 0, 99}, false, true},
    {"fine failure", WIRE_FAILED, 0, 1, 8, {2, 0, 0, 0, 5}, false, false},
    {"credit out of nothing", WIRE_CREDIT, WIRE_STDIN, 1, 4, {1}, true, true},
    {"credit of 4 GiB", WIRE_CREDIT, WIRE_STDIN, 1, 4, {255, 255, 255, 255}, true, true},
    {"credit for stdout", WIRE_CREDIT, WIRE_STDOUT, 1, 4, {0}, true, true},
    {"a log line", WIRE_LOG, 0, 0, 3, "a\033b", true, false},
};

static void agent_send(int fd, uint8_t type, uint8_t flags, uint32_t stream, const void *payload,
                       uint32_t length)
{
    CLEAN_BUF struct buf frame = {0};
    assert_int_equal(frame_append(&frame, type, flags, stream, payload, length), 0);
    assert_int_equal(fd_write_all(fd, buf_data(&frame), buf_len(&frame)), 0);
}

/* Answers the host's hello; leaves the guest ready. */
static void agent_greet(uv_loop_t *loop, int fd, const struct guest_seen *seen)
{
    uint8_t hello[FRAME_HEADER_SIZE + 4 + WIRE_EPOCH_SIZE];
    assert_int_equal(read(fd, hello, sizeof hello), sizeof hello);
    uint8_t stale[4 + WIRE_EPOCH_SIZE] = {WIRE_VERSION};
    agent_send(fd, WIRE_EXIT, 0, 1, "12345678", 8); /* of an earlier connection: dropped */
    agent_send(fd, WIRE_HELLO, 0, 0, stale, sizeof stale);
    agent_send(fd, WIRE_HELLO, 0, 0, hello + FRAME_HEADER_SIZE, 4 + WIRE_EPOCH_SIZE);
    agent_send(fd, WIRE_CONFIGURED, 0, 0, "\0\0\0\0", 4);
    while (!seen->ready)
        uv_run(loop, UV_RUN_ONCE);
}

static void hostile_case(const struct hostile *row, bool flood)
{
    static const struct guest_events events = {.ready = seen_ready, .ended = seen_ended};
    static const struct guest_command_events command_events = {
        seen_spawned, seen_failed, seen_output, seen_accepted, seen_exited};
    uv_loop_t loop;
    struct error err = {0};
    struct guest_seen seen = {0};
    struct guest *guest;
    struct guest_command *command;
    CLEAN_STRV struct strv argv = {0};
    int fds[2];
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    const struct guest_settings settings = {.hostname = "h"};
    assert_int_equal(guest_open(&guest, &loop, fds[0], &settings, &events, &seen, &err), 0);
    agent_greet(&loop, fds[1], &seen);
    strv_add(&argv, "true");
    const struct guest_spawn spawn = {.argv = &argv};
    assert_int_equal(guest_spawn(guest, &spawn, &command_events, &seen, &command, &err), 0);
    if (row->spawned)
        agent_send(fds[1], WIRE_SPAWNED, 0, 1, "\1\0\0\0", 4);
    agent_send(fds[1], row->type, row->flags, row->stream, row->payload, row->length);
    uint8_t block[WIRE_DATA_MAX] = {0};
    for (uint32_t sent = 0; flood && sent <= WIRE_WINDOW; sent += sizeof block) {
        agent_send(fds[1], WIRE_DATA, WIRE_STDOUT, 1, block, sizeof block);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    shutdown(fds[1], SHUT_WR);
    while (!seen.ended)
        uv_run(&loop, UV_RUN_ONCE);
    if ((seen.code == EPROTO) != (row->violation || flood))
        fail_msg("%s: ended with %d", row->what, seen.code);
    assert_true(seen.bytes <= WIRE_WINDOW);
    guest_close(guest);
    close(fds[1]);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_hostile_agent(void **state)
{
    (void)state;
    static const struct hostile flooding = {
        "more data than credit", WIRE_DATA, WIRE_STDOUT, 1, 1, {0}, true, true};
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++)
        hostile_case(&hostile[i], false);
    hostile_case(&flooding, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overlay),    cmocka_unit_test(test_accel_words),
        cmocka_unit_test(test_accel_hang), cmocka_unit_test(test_tail),
        cmocka_unit_test(test_qmp),        cmocka_unit_test(test_hostile_agent),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
