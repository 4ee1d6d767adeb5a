/* base/: errors, strings, buffers, paths, frames, processes, the queue. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/path.h"
#include "base/process.h"
#include "base/queue.h"
#include "base/str.h"

static void test_error(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(error_system(&err, ENOENT, "cannot open %s", "a\033b"), -ENOENT);
    assert_string_equal(err.message, "cannot open a?b: No such file or directory");
    assert_int_equal(error_wrap(&err, "image %d", 7), -ENOENT);
    assert_string_equal(err.message, "image 7: cannot open a?b: No such file or directory");
    assert_int_equal(error_set(NULL, EIO, "x"), -EIO);
    char longer[2 * ERROR_MESSAGE_MAX];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    error_set(&err, EIO, "%s", longer);
    error_wrap(&err, "%s", longer);
    assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        uint64_t value;
    } rows[] = {
        {"1", 0, 1},
        {"512M", 0, 512ull << 20},
        {"2g", 0, 2ull << 30},
        {"1GiB", 0, 1ull << 30},
        {"1KB", 0, 1024},
        {"8388607T", 0, 8388607ull << 40},
        {"8388608T", -EINVAL, 0},
        {"0", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1x", -EINVAL, 0},
        {"1MM", -EINVAL, 0},
        {"99999999999999999999", -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        uint64_t value = 0;
        int rc = str_size(rows[i].text, "memory", &value, &err);
        if (rc != rows[i].rc || (rc == 0 && value != rows[i].value))
            fail_msg("%s: %d %llu", rows[i].text, rc, (unsigned long long)value);
    }
}

static void test_buf(void **state)
{
    (void)state;
    CLEAN_BUF struct buf buf = {0};
    uint32_t in = 0, out = 0;
    for (int round = 0; round < 2000; round++) {
        for (int i = 0; i < round % 97; i++, in++)
            assert_int_equal(buf_append(&buf, &in, sizeof in), 0);
        for (int i = 0; i < round % 89 && buf_len(&buf) > 0; i++, out++) {
            assert_memory_equal(buf_data(&buf), &out, sizeof out);
            buf_consume(&buf, sizeof out);
        }
    }
    for (; buf_len(&buf) > 0; out++) {
        assert_memory_equal(buf_data(&buf), &out, sizeof out);
        buf_consume(&buf, sizeof out);
    }
    assert_int_equal(in, out);
    buf_printf(&buf, "%s-%d", "a", 5);
    assert_string_equal(buf_string(&buf), "a-5");
    assert_null(buf_reserve(&buf, SIZE_MAX - 1));
}

static const struct frame_rule rule_rows[] = {{0}, {"small", 0, 4}, {"exact", 8, 8}};
static const struct frame_rules rules = {rule_rows, ARRAY_SIZE(rule_rows)};

static void test_frames(void **state)
{
    (void)state;
    struct frame frame;
    const char *why = NULL;
    CLEAN_BUF struct buf buf = {0};
    frame_append(&buf, 1, 3, 77, "abc", 3);
    frame_append(&buf, 2, 0, 0xffffffff, "12345678", 8);
    size_t all = buf_len(&buf);
    for (size_t cut = 0; cut < FRAME_HEADER_SIZE + 3; cut++)
        assert_int_equal(frame_parse(buf_data(&buf), cut, &rules, &frame, &why), 0);
    assert_int_equal(frame_parse(buf_data(&buf), all, &rules, &frame, &why), 15);
    assert_int_equal(frame.flags, 3);
    assert_int_equal(frame.stream, 77);
    assert_memory_equal(frame.payload, "abc", 3);
    assert_int_equal(frame_parse(buf_data(&buf) + 15, all - 15, &rules, &frame, &why), 20);
    assert_int_equal(frame.stream, 0xffffffff);

    static const struct {
        uint8_t bytes[FRAME_HEADER_SIZE];
    } bad[] = {
        {{5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}},             /* too long by one */
        {{0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0}}, /* too long by much */
        {{7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}},             /* too short */
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},             /* no such type */
        {{0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0}},             /* beyond the table */
        {{0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0}},             /* reserved bits */
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(frame_parse(bad[i].bytes, FRAME_HEADER_SIZE, &rules, &frame, &why),
                         -EPROTO);
}

static void test_paths(void **state)
{
    (void)state;
    char directory[] = "/tmp/vmdeck-base-XXXXXX";
    struct error err = {0};
    assert_non_null(mkdtemp(directory));
    setenv("XDG_STATE_HOME", directory, 1);
    CLEAN_FREE char *file = NULL;
    assert_int_equal(path_xdg(PATH_STATE, "a", &file, &err), 0);
    assert_int_equal(path_write(file, 0640, "hello", 5, &err), 0);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    CLEAN_BUF struct buf content = {0};
    assert_int_equal(path_read(file, 5, &content, &err), 0);
    assert_string_equal(buf_string(&content), "hello");
    assert_int_equal(path_read(file, 4, &content, &err), -EFBIG);
    CLEAN_FREE char *deep = str_printf("%s/x/y/z", directory);
    assert_int_equal(path_mkdirs(deep, 0700, &err), 0);
    CLEAN_FREE char *link = str_printf("%s/x/link", directory);
    assert_int_equal(symlink("/etc", link), 0);
    assert_int_equal(path_remove(directory, &err), 0);
    assert_int_equal(access(directory, F_OK), -1);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
    assert_int_equal(path_remove(directory, &err), 0);
}

static void test_runtime_directory_of_others(void **state)
{
    (void)state;
    char directory[] = "/tmp/vmdeck-base-XXXXXX";
    struct error err = {0};
    assert_non_null(mkdtemp(directory));
    setenv("XDG_RUNTIME_DIR", directory, 1);
    CLEAN_FREE char *ours = str_printf("%s/vmdeck", directory);
    assert_int_equal(mkdir(ours, 0700), 0);
    assert_int_equal(chmod(ours, 0755), 0);
    CLEAN_FREE char *out = NULL;
    assert_int_equal(path_xdg(PATH_RUNTIME, NULL, &out, &err), -EPERM);
    assert_int_equal(chmod(ours, 0700), 0);
    assert_int_equal(path_xdg(PATH_RUNTIME, NULL, &out, &err), 0);
    assert_int_equal(path_remove(directory, &err), 0);
}

static void test_process(void **state)
{
    (void)state;
    struct error err = {0};
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    int stray = open("/etc/passwd", O_RDONLY); /* must not reach the child */
    static const char *const argv[] = {
        "sh", "-c", "ls -l /proc/self/fd | grep -c -e passwd; echo $X; ulimit -n; exit 7", NULL};
    static const char *const env[] = {"X=y", "PATH=/usr/bin:/bin", NULL};
    const struct process_fd fds[] = {{out[1], 1}};
    const struct process_limit limits[] = {{RLIMIT_NOFILE, 123}};
    pid_t pid = process_spawn(&(struct process_spec){.argv = argv,
                                                     .env = env,
                                                     .fds = fds,
                                                     .fd_count = 1,
                                                     .limits = limits,
                                                     .limit_count = 1,
                                                     .no_new_privileges = true},
                              &err);
    assert_true(pid > 0);
    close(out[1]);
    close(stray);
    char text[256];
    size_t len = 0;
    ssize_t got;
    while ((got = read(out[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    close(out[0]);
    assert_string_equal(text, "0\ny\n123\n");
    assert_int_equal(WEXITSTATUS(process_wait(pid)), 7);

    static const char *const missing[] = {"/nonexistent/program", NULL};
    assert_int_equal(process_spawn(&(struct process_spec){.argv = missing}, &err), -ENOENT);
    assert_string_equal(err.message, "cannot run /nonexistent/program: No such file or directory");
}

struct received {
    struct queue *queue;
    size_t count;
    int values[100];
};

static void receive(void *context, void *message)
{
    struct received *received = context;
    received->values[received->count++] = *(int *)message;
    free(message);
    if (received->count == 50)
        queue_close(received->queue);
}

static void send_fifty(void *context)
{
    for (int i = 0; i < 50; i++) {
        int *message = malloc(sizeof *message);
        *message = i;
        while (queue_send(context, message) == -ENOBUFS)
            usleep(100);
    }
}

static void test_queue(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct error err = {0};
    struct received received = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(queue_open(&received.queue, &loop, 8, receive, &received, &err), 0);
    uv_thread_t thread;
    assert_int_equal(uv_thread_create(&thread, send_fifty, received.queue), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_thread_join(&thread);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(received.count, 50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(received.values[i], i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_buf),     cmocka_unit_test(test_frames),
        cmocka_unit_test(test_paths),   cmocka_unit_test(test_runtime_directory_of_others),
        cmocka_unit_test(test_process), cmocka_unit_test(test_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
