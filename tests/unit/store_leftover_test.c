/* session/store: what killed hosts leave is removed, what living ones have is not. */
#include "store_fixture.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "session/store/events.h"
#include "session/store/leftover.h"

/* The user's directories are the fixture's. */
static struct registry *open_here(const struct fixture *fixture)
{
    struct error err = {0};
    struct registry *registry = NULL;
    CLEAN_FREE char *run = str_printf("%s/run", fixture->directory);
    setenv("XDG_STATE_HOME", fixture->directory, 1);
    setenv("XDG_RUNTIME_DIR", run, 1);
    must(registry_open(&registry, NULL, &err), &err);
    return registry;
}

static void collect(struct registry *registry)
{
    struct error err = {0};
    CLEAN_FD int lock = -1;
    must(leftover_lock(&lock, &err), &err);
    must(leftover_collect(registry, &err), &err);
}

static char *path_of(enum path_base base, const char *format, const char *id)
{
    struct error err = {0};
    char *path = NULL, name[64];
    snprintf(name, sizeof name, format, id);
    must(path_xdg(base, name, &path, &err), &err);
    return path;
}

static void touch(const char *path)
{
    CLEAN_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
}

/* What a host makes; `lock_file` false: it died before it had made its lock. */
static void make_files(const char *id, bool lock_file)
{
    struct error err = {0};
    CLEAN_FREE char *directory = path_of(PATH_STATE, "sessions/%s", id);
    CLEAN_FREE char *lock = path_of(PATH_STATE, "sessions/%s/lock", id);
    CLEAN_FREE char *disk = path_of(PATH_STATE, "sessions/%s/disk.qcow2", id);
    CLEAN_FREE char *socket_path = path_of(PATH_RUNTIME, "%s.sock", id);
    must(path_mkdirs(directory, 0700, &err), &err);
    touch(disk);
    touch(socket_path);
    if (lock_file)
        touch(lock);
}

static int hold_lock(const char *id)
{
    CLEAN_FREE char *lock = path_of(PATH_STATE, "sessions/%s/lock", id);
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
    return fd;
}

static bool files_there(const char *id)
{
    struct stat st;
    CLEAN_FREE char *directory = path_of(PATH_STATE, "sessions/%s", id);
    CLEAN_FREE char *socket_path = path_of(PATH_RUNTIME, "%s.sock", id);
    bool one = stat(directory, &st) == 0, other = stat(socket_path, &st) == 0;
    assert_int_equal(one, other); /* both or none */
    return one;
}

static void add(struct registry *registry, const char *name, char id[SESSION_ID_SIZE])
{
    struct error err = {0};
    struct session_record record = {.name = name, .state = SESSION_RUNNING};
    must(session_add(registry, &record, &err), &err);
    memcpy(id, record.id, SESSION_ID_SIZE);
}

static enum session_state state_of(struct registry *registry, const char *id)
{
    struct error err = {0};
    CLEAN_SESSION struct session_record record = {0};
    must(session_find(registry, id, SESSIONS_ALL, &record, &err), &err);
    return record.state;
}

static size_t events_of(struct registry *registry, const char *id)
{
    struct error err = {0};
    CLEAN_EVENTS struct event_list list = {0};
    must(events_query(registry, &(struct event_query){.session = id}, &list, &err), &err);
    if (list.count > 0) {
        assert_non_null(strstr(list.items[0].json, "\"action\":\"failed\""));
        assert_non_null(strstr(list.items[0].json, id));
    }
    return list.count;
}

static void test_collect(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = open_here(fixture);
    static const struct {
        bool files, lock_file, locked;
        enum session_state begin, end;
    } rows[] = {
        {true, true, true, SESSION_RUNNING, SESSION_RUNNING},
        {true, true, true, SESSION_STARTING, SESSION_STARTING},
        {true, true, false, SESSION_RUNNING, SESSION_DEAD},
        {true, true, false, SESSION_STARTING, SESSION_DEAD},
        {true, false, false, SESSION_STARTING, SESSION_DEAD},
        {false, false, false, SESSION_RUNNING, SESSION_DEAD},
        {false, false, false, SESSION_SUSPENDED, SESSION_SUSPENDED},
        {true, true, false, SESSION_STOPPED, SESSION_STOPPED}, /* killed while it cleaned up */
        {true, true, true, SESSION_STOPPED, SESSION_STOPPED},  /* cleans up just now */
    };
    char ids[ARRAY_SIZE(rows)][SESSION_ID_SIZE];
    int locks[ARRAY_SIZE(rows)];
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        add(registry, "", ids[i]);
        struct session_record record = {.state = rows[i].begin};
        memcpy(record.id, ids[i], sizeof record.id);
        must(rows[i].begin == SESSION_STOPPED
                 ? session_end(registry, ids[i], SESSION_STOPPED, "", &err)
                 : session_update(registry, &record, SESSION_SET_STATE, &err),
             &err);
        if (rows[i].files)
            make_files(ids[i], rows[i].lock_file);
        locks[i] = rows[i].locked ? hold_lock(ids[i]) : -1;
    }
    for (int round = 0; round < 2; round++) { /* the second changes nothing */
        collect(registry);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
            if (state_of(registry, ids[i]) != rows[i].end ||
                files_there(ids[i]) != (rows[i].files && rows[i].locked) ||
                events_of(registry, ids[i]) != (rows[i].end == SESSION_DEAD))
                fail_msg("row %zu, round %d: %s, %zu events", i, round,
                         session_state_name(state_of(registry, ids[i])),
                         events_of(registry, ids[i]));
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cleanup_fd(&locks[i]);
    registry_close(registry);
}

/* Killed after the file of a suspended session was there, or after it had been taken up again. */
static void test_suspended(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = open_here(fixture);
    struct error err = {0};
    struct stat st;
    char id[SESSION_ID_SIZE];
    add(registry, "", id);
    make_files(id, true);
    CLEAN_FREE char *file = path_of(PATH_STATE, "sessions/%s/" SUSPENDED_FILE, id);
    touch(file);
    for (int round = 0; round < 2; round++) {
        CLEAN_EVENTS struct event_list list = {0};
        collect(registry);
        assert_int_equal(state_of(registry, id), SESSION_SUSPENDED);
        assert_int_equal(stat(file, &st), 0);
        must(events_query(registry, &(struct event_query){.session = id}, &list, &err), &err);
        assert_int_equal(list.count, 1);
        assert_non_null(strstr(list.items[0].json, "\"action\":\"suspended\""));
    }
    must(leftover_discard(registry, id, &err), &err);
    assert_int_equal(state_of(registry, id), SESSION_STOPPED);
    assert_int_equal(stat(file, &st), -1);
    registry_close(registry);
}

/* What is not a session's is left alone, as is a file where a directory should be. */
static void test_strangers(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = open_here(fixture);
    struct stat st;
    static const char *const names[] = {"notes", "0123456", "0123456789", "0123456G"};
    collect(registry); /* makes the directory */
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEAN_FREE char *path = path_of(PATH_STATE, "sessions/%s", names[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    collect(registry);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEAN_FREE char *path = path_of(PATH_STATE, "sessions/%s", names[i]);
        assert_int_equal(stat(path, &st), 0);
    }
    registry_close(registry);
}

/* Who waits for events is woken after the commit, and only by events. */
static void test_watch(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = open_here(fixture), *other = open_here(fixture);
    struct error err = {0};
    char id[SESSION_ID_SIZE], drain[4096];
    CLEAN_FD int notify = -1;
    must(events_watch(registry, &notify, &err), &err);
    add(other, "name", id);
    assert_true(read(notify, drain, sizeof drain) < 0 && errno == EAGAIN);
    struct event event = {.time = 1, .type = EVENT_SESSION, .json = "{}"};
    memcpy(event.session, id, sizeof event.session);
    must(events_append(other, &event, 1, &err), &err);
    assert_true(read(notify, drain, sizeof drain) > 0);
    registry_close(other);
    registry_close(registry);
}

static void test_time(void **state)
{
    (void)state;
    char text[EVENT_TIME_SIZE];
    event_time_text(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    event_time_text(INT64_C(951827696789), text);
    assert_string_equal(text, "2000-02-29T12:34:56.789Z");
}

/* A suspended session has no host: it stays until it is discarded, with its files. */
static void test_discard(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = open_here(fixture);
    struct error err = {0};
    static const struct {
        enum session_state state;
        bool locked; /* a host takes it up */
        int rc;
    } rows[] = {
        {SESSION_SUSPENDED, false, 0},
        {SESSION_SUSPENDED, true, -EAGAIN},
        {SESSION_STARTING, true, -EAGAIN},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char id[SESSION_ID_SIZE];
        add(registry, "web", id);
        make_files(id, true);
        struct session_record record = {.state = rows[i].state};
        memcpy(record.id, id, sizeof record.id);
        must(session_update(registry, &record, SESSION_SET_STATE, &err), &err);
        CLEAN_FD int lock = rows[i].locked ? hold_lock(id) : -1;
        collect(registry);
        assert_true(files_there(id));
        assert_int_equal(state_of(registry, id), rows[i].state);
        int rc = leftover_discard(registry, id, &err);
        if (rc != rows[i].rc)
            fail_msg("row %zu: %d, %s", i, rc, err.message);
        assert_int_equal(files_there(id), rc != 0);
        assert_int_equal(state_of(registry, id), rc == 0 ? SESSION_STOPPED : rows[i].state);
        CLEAN_EVENTS struct event_list list = {0};
        must(events_query(registry, &(struct event_query){.session = id}, &list, &err), &err);
        assert_int_equal(list.count, rc == 0);
        if (rc == 0)
            assert_non_null(strstr(list.items[0].json, "\"action\":\"stopped\""));
        must(session_end(registry, id, SESSION_STOPPED, "", &err), &err);
        assert_int_equal(leftover_discard(registry, id, &err), -ENOENT);
    }
    registry_close(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_collect),   STORE_TEST(test_suspended), STORE_TEST(test_discard),
        STORE_TEST(test_strangers), STORE_TEST(test_watch),     cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
