/*
 * session/store under what processes and machines do: many writers at once, writers that are
 * killed, and a machine that stops. A stop is a copy of the files at one instant (the writer is
 * stopped meanwhile, wherever it is), which is what a disk would hold that had been written until
 * then; and a -wal file that is cut anywhere, because its tail is not synced.
 */
#include "store_fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "session/store/events.h"

#define PROCESSES 20
#define ROUNDS    10
#define CREATIONS 15
#define COPIES    60
#define KILLS     25
#define CUTS      60

/* The child's way to fail: cmocka's jumps belong to the parent. */
static void child_must(int rc, const struct error *err)
{
    if (rc >= 0)
        return;
    dprintf(STDERR_FILENO, "child: %s\n", err->message);
    _exit(1);
}

static pid_t fork_child(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static void integrity(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal(sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

/* One of the crowd: opens and closes again and again, so that first and last ones meet too. */
static void crowd_member(const char *path, int number)
{
    struct error err = {0};
    for (int i = 0; i < ROUNDS; i++) {
        struct registry *registry = NULL;
        child_must(registry_open(&registry, path, &err), &err);
        CLEAN_FREE char *name = str_printf("s-%d-%d", number, i);
        struct session_record record = {.name = name, .command = "bash"};
        child_must(session_add(registry, &record, &err), &err);
        record.state = SESSION_RUNNING;
        record.host_pid = number + 1;
        child_must(session_update(registry, &record, SESSION_SET_STATE | SESSION_SET_HOST, &err),
                   &err);
        struct event events[3];
        for (int j = 0; j < 3; j++) {
            events[j] = (struct event){.time = j, .type = EVENT_NET, .json = "{}"};
            memcpy(events[j].session, record.id, sizeof record.id);
        }
        child_must(events_append(registry, events, 3, &err), &err);
        child_must(events_append(registry, events, 1, &err), &err);
        CLEAN_SESSIONS struct session_list list = {0};
        child_must(session_list(registry, SESSIONS_ALL, &list, &err), &err);
        if (i % 2 == 0)
            child_must(session_end(registry, record.id, SESSION_STOPPED, name, &err), &err);
        registry_close(registry);
    }
}

/* Runs the function in PROCESSES children that start when the gate closes; none may fail. */
static void crowd(void (*member)(const char *path, int number), const char *path)
{
    int gate[2];
    pid_t pids[PROCESSES];
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork_child();
        if (pids[i] == 0) {
            char byte;
            close(gate[1]);
            if (read(gate[0], &byte, 1) != 0)
                _exit(2);
            member(path, i);
            _exit(0);
        }
    }
    close(gate[0]);
    close(gate[1]);
    int failed = 0;
    for (int i = 0; i < PROCESSES; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        failed += status != 0;
    }
    assert_int_equal(failed, 0);
}

static void opener(const char *path, int number)
{
    (void)number;
    struct registry *registry = NULL;
    struct error err = {0};
    child_must(registry_open(&registry, path, &err), &err);
    registry_close(registry);
}

/* The first moment of all: nobody finds a file, and everybody makes it. */
static void test_creation(void **state)
{
    const struct fixture *fixture = *state;
    for (int i = 0; i < CREATIONS; i++) {
        CLEAN_FREE char *path = str_printf("%s/%d.db", fixture->directory, i);
        crowd(opener, path);
        assert_int_equal(fixture_sql(path, "PRAGMA user_version"), 2);
        integrity(path);
    }
}

static void test_crowd(void **state)
{
    const struct fixture *fixture = *state;
    crowd(crowd_member, fixture->path);
    integrity(fixture->path);
    struct registry *registry = must_open(fixture->path);
    for (int i = 0; i < PROCESSES * ROUNDS; i++) {
        struct error err = {0};
        CLEAN_FREE char *name = str_printf("s-%d-%d", i / ROUNDS, i % ROUNDS);
        CLEAN_SESSION struct session_record found = {0};
        must(session_find(registry, name, SESSIONS_ALL, &found, &err), &err);
        assert_int_equal(found.host_pid, i / ROUNDS + 1);
        assert_int_equal(found.state, i % 2 == 0 ? SESSION_STOPPED : SESSION_RUNNING);
        CLEAN_EVENTS struct event_list events = {0};
        must(events_query(registry, &(struct event_query){.session = found.id}, &events, &err),
             &err);
        assert_int_equal(events.count, 4);
    }
    registry_close(registry);
}

/*
 * A writer that commits (`count` times) and writes a byte after every commit. Commit n adds session
 * "s<n>" (every eighth) or rewrites the configuration of the last one added, with n in front.
 * Large ones, so that the -wal file is often moved into the database.
 */
struct writer {
    pid_t pid;
    int progress;
    int commits; /* that it has reported */
};

static void writer_main(const char *path, int first, int count, int progress)
{
    static char config[60000];
    struct error err = {0};
    struct registry *registry = NULL;
    struct session_record record = {.config = config};
    memset(config, 'x', sizeof config - 1);
    child_must(registry_open(&registry, path, &err), &err);
    for (int i = first; i - first < count; i++) {
        CLEAN_FREE char *name = str_printf("s%d", i);
        snprintf(config, sizeof config, "%08d", i);
        config[8] = ' ';
        record.name = name;
        if (i == first || i % 8 == 0)
            child_must(session_add(registry, &record, &err), &err);
        else
            child_must(session_update(registry, &record, SESSION_SET_CONFIG, &err), &err);
        struct event event = {.type = EVENT_SESSION, .json = "{}"};
        memcpy(event.session, record.id, sizeof record.id);
        child_must(events_append(registry, &event, 1, &err), &err);
        if (write(progress, "", 1) != 1)
            _exit(3);
    }
    for (;;) /* closing it would move the -wal file into the database */
        pause();
}

static struct writer writer_start(const char *path, int first, int count)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        close(fds[0]);
        writer_main(path, first, count, fds[1]);
    }
    close(fds[1]);
    return (struct writer){.pid = pid, .progress = fds[0], .commits = first};
}

/* Some commits later, at a moment that no commit chooses: the one thing that is timed here. */
static void writer_wait(struct writer *writer, unsigned commits)
{
    char byte;
    for (unsigned i = 0; i < commits; i++)
        assert_int_equal(read(writer->progress, &byte, 1), 1);
    writer->commits += (int)commits;
    nanosleep(&(struct timespec){.tv_nsec = random() % 3000000}, NULL);
}

/* Takes in what it has reported; it stands still or is dead. */
static void writer_drain(struct writer *writer)
{
    char bytes[4096];
    ssize_t got;
    assert_int_equal(fcntl(writer->progress, F_SETFL, O_NONBLOCK), 0);
    while ((got = read(writer->progress, bytes, sizeof bytes)) > 0)
        writer->commits += (int)got;
    assert_int_equal(fcntl(writer->progress, F_SETFL, 0), 0);
}

static void writer_kill(struct writer *writer)
{
    int status = 0;
    kill(writer->pid, SIGKILL);
    assert_int_equal(waitpid(writer->pid, &status, 0), writer->pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    writer_drain(writer);
    close(writer->progress);
}

/* What commits 0 to n-1 wrote is there. Returns how many there are: n or more. */
static int check_commits(const char *path, int n)
{
    struct error err = {0};
    struct registry *registry = must_open(path);
    CLEAN_SESSIONS struct session_list list = {0};
    must(session_list(registry, SESSIONS_LIVE, &list, &err), &err);
    registry_close(registry);
    int last = -1;
    for (size_t i = 0; i < list.count; i++) {
        int number = (int)strtol(list.items[i].name + 1, NULL, 10);
        int wrote = (int)strtol(list.items[i].config, NULL, 10);
        assert_int_equal(strlen(list.items[i].config), 59999);
        assert_int_equal(number, last + 1); /* the sessions before it had all their commits */
        assert_true(wrote >= number);
        last = wrote;
    }
    if (last + 1 < n)
        fail_msg("%d commits of %d are there", last + 1, n);
    integrity(path);
    return last + 1;
}

/* Copies a file, or its first `cut` bytes. One that is not there, or cut to nothing, is not. */
static void copy_file(const char *from, const char *to, const char *suffix, size_t cut)
{
    CLEAN_FREE char *source = str_printf("%s%s", from, suffix);
    CLEAN_FREE char *target = str_printf("%s%s", to, suffix);
    unlink(target);
    if (cut == 0 || access(source, F_OK) != 0)
        return;
    struct error err = {0};
    CLEAN_BUF struct buf content = {0};
    must(path_read(source, 256 << 20, &content, &err), &err);
    CLEAN_FILE FILE *file = fopen(target, "w");
    assert_non_null(file);
    size_t size = cut < buf_len(&content) ? cut : buf_len(&content);
    assert_int_equal(fwrite(buf_data(&content), 1, size, file), size);
}

static void test_power_cut(void **state)
{
    const struct fixture *fixture = *state;
    CLEAN_FREE char *copy = str_printf("%s/copy.db", fixture->directory);
    struct writer writer = writer_start(fixture->path, 0, INT_MAX);
    for (int i = 0; i < COPIES; i++) {
        int status = 0;
        writer_wait(&writer, 1 + (unsigned)random() % 12);
        kill(writer.pid, SIGSTOP);
        assert_int_equal(waitpid(writer.pid, &status, WUNTRACED), writer.pid);
        assert_true(WIFSTOPPED(status));
        writer_drain(&writer);
        copy_file(fixture->path, copy, "", SIZE_MAX);
        copy_file(fixture->path, copy, "-wal", SIZE_MAX);
        copy_file(fixture->path, copy, "-shm", i % 2 == 0 ? SIZE_MAX : 0);
        check_commits(copy, writer.commits);
        kill(writer.pid, SIGCONT);
    }
    writer_kill(&writer);
    check_commits(fixture->path, writer.commits);
}

/* The -wal file is cut anywhere: the commits before the cut are there, and the file is whole. */
static void test_lost_tail(void **state)
{
    const struct fixture *fixture = *state;
    CLEAN_FREE char *copy = str_printf("%s/copy.db", fixture->directory);
    CLEAN_FREE char *wal = str_printf("%s-wal", fixture->path);
    registry_close(must_open(fixture->path));
    /* too few for a checkpoint, which would have synced them, however late we are */
    struct writer writer = writer_start(fixture->path, 0, 24);
    writer_wait(&writer, 20);
    writer_kill(&writer);
    struct error err = {0};
    CLEAN_BUF struct buf content = {0};
    must(path_read(wal, 16 << 20, &content, &err), &err);
    int before = 0;
    for (int i = 0; i <= CUTS; i++) {
        size_t cut = buf_len(&content) * (size_t)i / CUTS;
        copy_file(fixture->path, copy, "", SIZE_MAX);
        copy_file(fixture->path, copy, "-wal", cut);
        copy_file(fixture->path, copy, "-shm", SIZE_MAX); /* of before the cut */
        int commits = check_commits(copy, before);
        assert_true(commits - before <= 2);
        before = commits;
    }
    assert_true(before >= writer.commits);
}

static void test_kill(void **state)
{
    const struct fixture *fixture = *state;
    int commits = 0;
    for (int i = 0; i < KILLS; i++) {
        struct writer writer = writer_start(fixture->path, commits, INT_MAX);
        writer_wait(&writer, (unsigned)random() % 16);
        writer_kill(&writer);
        commits = check_commits(fixture->path, writer.commits);
    }
}

int main(void)
{
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srandom(seed);
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_creation),  STORE_TEST(test_crowd), STORE_TEST(test_power_cut),
        STORE_TEST(test_lost_tail), STORE_TEST(test_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
