/* session/store: the database file, and sessions in it. */
#include "store_fixture.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned file_mode(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static char *text_of(size_t length)
{
    char *text = malloc(length + 1);
    assert_non_null(text);
    memset(text, 'x', length);
    text[length] = '\0';
    return text;
}

static void add_named(struct registry *registry, const char *name, struct session_record *out)
{
    struct error err = {0};
    *out = (struct session_record){.name = name, .state = SESSION_RUNNING};
    must(session_add(registry, out, &err), &err);
}

static void test_file(void **state)
{
    const struct fixture *fixture = *state;
    struct session_record record;
    mode_t mask = umask(0);
    struct registry *registry = must_open(fixture->path);
    add_named(registry, "", &record);
    umask(mask);
    CLEAN_FREE char *wal = str_printf("%s-wal", fixture->path);
    assert_int_equal(file_mode(fixture->path), 0600);
    assert_int_equal(file_mode(wal), 0600);
    registry_close(registry);
    registry_close(NULL);
    assert_int_equal(fixture_sql(fixture->path, "PRAGMA user_version"), 2);
    assert_int_equal(fixture_sql(fixture->path, "PRAGMA journal_mode='wal'"), 0);

    assert_int_equal(chmod(fixture->path, 0644), 0);
    registry_close(must_open(fixture->path));
    assert_int_equal(file_mode(fixture->path), 0600);

    setenv("XDG_STATE_HOME", fixture->directory, 1);
    registry_close(must_open(NULL));
    CLEAN_FREE char *standard = str_printf("%s/vmdeck/vmdeck.db", fixture->directory);
    assert_int_equal(file_mode(standard), 0600);
}

static void test_not_a_file(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = (void *)state;
    struct error err = {0};
    assert_int_equal(registry_open(&registry, fixture->directory, &err), -EINVAL);
    assert_null(registry);
    CLEAN_FREE char *missing = str_printf("%s/none/vmdeck.db", fixture->directory);
    assert_int_equal(registry_open(&registry, missing, &err), -ENOENT);
    assert_int_equal(registry_open(&registry, missing, NULL), -ENOENT);
}

static void assert_same_session(const struct session_record *a, const struct session_record *b)
{
    assert_string_equal(a->id, b->id);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->state, b->state);
    assert_string_equal(a->image, b->image);
    assert_string_equal(a->image_build, b->image_build);
    assert_string_equal(a->arch, b->arch);
    assert_string_equal(a->accel, b->accel);
    assert_int_equal(a->memory, b->memory);
    assert_int_equal(a->cpus, b->cpus);
    assert_int_equal(a->host_pid, b->host_pid);
    assert_int_equal(a->host_start, b->host_start);
    assert_int_equal(a->created, b->created);
    assert_int_equal(a->ended, b->ended);
    assert_string_equal(a->ended_reason, b->ended_reason);
    assert_string_equal(a->command, b->command);
    assert_string_equal(a->directory, b->directory);
    assert_string_equal(a->config, b->config);
}

/* Everything that a text may hold comes back as it was: quotes, markup, all bytes but NUL. */
static void test_round_trip(void **state)
{
    const struct fixture *fixture = *state;
    char binary[256];
    for (int i = 0; i < 255; i++)
        binary[i] = (char)(i + 1);
    binary[255] = '\0';
    CLEAN_FREE char *config = text_of(SESSION_CONFIG_MAX);
    CLEAN_FREE char *image = text_of(SESSION_TEXT_MAX);
    struct session_record record = {
        .name = "Web_1.x-y",
        .state = SESSION_SUSPENDED,
        .image = image,
        .image_build = "'); DROP TABLE sessions; --",
        .arch = "\"x86_64\"",
        .accel = "kvm\n%s%n",
        .memory = INT64_MAX,
        .cpus = 1,
        .host_pid = 4194304,
        .host_start = INT64_MAX,
        .ended_reason = "",
        .command = binary,
        .directory = "\xff\xfe\x80",
        .config = config,
    };
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    must(session_add(registry, &record, &err), &err);
    assert_int_equal(strlen(record.id), 8);
    assert_int_equal(strspn(record.id, "0123456789abcdef"), 8);
    assert_true(record.created > 0);
    registry_close(registry);

    registry = must_open(fixture->path);
    CLEAN_SESSIONS struct session_list list = {0};
    must(session_list(registry, SESSIONS_LIVE, &list, &err), &err);
    assert_int_equal(list.count, 1);
    assert_same_session(&list.items[0], &record);
    CLEAN_SESSION struct session_record found = {0};
    must(session_find(registry, record.name, SESSIONS_LIVE, &found, &err), &err);
    assert_same_session(&found, &record);
    registry_close(registry);
}

/* One more byte than a field may have: refused by its name, by adding and by updating. */
static void test_limits(void **state)
{
    const struct fixture *fixture = *state;
#define FIELD(field, max, update)                                   \
    {                                                               \
#field, offsetof(struct session_record, field), max, update \
    }
    static const struct {
        const char *name;
        size_t offset, max;
        unsigned update;
    } rows[] = {
        FIELD(name, SESSION_NAME_MAX, 0),
        FIELD(image, SESSION_TEXT_MAX, SESSION_SET_IMAGE),
        FIELD(image_build, SESSION_TEXT_MAX, SESSION_SET_IMAGE),
        FIELD(arch, SESSION_TEXT_MAX, SESSION_SET_IMAGE),
        FIELD(accel, SESSION_TEXT_MAX, SESSION_SET_MACHINE),
        FIELD(command, SESSION_TEXT_MAX, SESSION_SET_COMMAND),
        FIELD(directory, SESSION_TEXT_MAX, SESSION_SET_FILES),
        FIELD(config, SESSION_CONFIG_MAX, SESSION_SET_CONFIG),
    };
#undef FIELD
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    struct session_record live;
    add_named(registry, "", &live);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t sizes[] = {rows[i].max, rows[i].max + 1, 1 << 20};
        for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
            CLEAN_FREE char *text = text_of(sizes[j]);
            CLEAN_FREE char *expected =
                str_printf("session: %s: longer than %zu bytes", rows[i].name, rows[i].max);
            struct session_record record = {0};
            *(const char **)((char *)&record + rows[i].offset) = text;
            assert_int_equal(session_add(registry, &record, &err), j == 0 ? 0 : -E2BIG);
            if (j > 0)
                assert_string_equal(err.message, expected);
            memcpy(record.id, live.id, sizeof record.id);
            if (rows[i].update != 0)
                assert_int_equal(session_update(registry, &record, rows[i].update, &err),
                                 j == 0 ? 0 : -E2BIG);
        }
    }
    CLEAN_FREE char *reason = text_of(SESSION_TEXT_MAX + 1);
    assert_int_equal(session_end(registry, live.id, SESSION_DEAD, reason, &err), -E2BIG);
    assert_non_null(strstr(err.message, "ended_reason"));
    struct session_record record = {.cpus = -1};
    assert_int_equal(session_add(registry, &record, &err), -EINVAL);
    assert_string_equal(err.message, "session: cpus: negative");
    assert_int_equal(fixture_sql(fixture->path, "SELECT count(*) FROM sessions"),
                     1 + ARRAY_SIZE(rows));
    registry_close(registry);
}

static void test_names(void **state)
{
    const struct fixture *fixture = *state;
    static const struct {
        const char *name;
        int rc;
    } rows[] = {
        {"a", 0},
        {"db", 0},
        {"cafe", 0},
        {"Web-1_x.y", 0},
        {"_", 0},
        {"1234567", 0},
        {"123456789", 0},
        {"deadbeeg", 0},
        {"deadbeef", -EINVAL},
        {"DEADBEEF", -EINVAL},
        {"12345678", -EINVAL},
        {"-x", -EINVAL},
        {".x", -EINVAL},
        {"..", -EINVAL},
        {"a b", -EINVAL},
        {"a/b", -EINVAL},
        {"a:b", -EINVAL},
        {"a\nb", -EINVAL},
        {"a'b", -EINVAL},
        {"caf\xc3\xa9", -EINVAL},
    };
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct session_record record = {.name = rows[i].name};
        int rc = session_add(registry, &record, &err);
        if (rc != rows[i].rc)
            fail_msg("'%s': %d, not %d", rows[i].name, rc, rows[i].rc);
        if (rc == 0)
            assert_int_equal(session_name_check(rows[i].name, &err), 0);
    }
    assert_int_equal(session_name_check("", &err), -EINVAL);
    registry_close(registry);
}

/* A name belongs to one live session; an end sets it free. */
static void test_name_taken(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    struct session_record first;
    struct session_record second = {.name = "web"};
    add_named(registry, "web", &first);
    assert_int_equal(session_add(registry, &second, &err), -EEXIST);
    assert_non_null(strstr(err.message, "'web'"));
    assert_string_equal(second.id, "");
    must(session_end(registry, first.id, SESSION_STOPPED, "done", &err), &err);
    must(session_add(registry, &second, &err), &err);

    CLEAN_SESSION struct session_record found = {0};
    must(session_find(registry, "web", SESSIONS_ALL, &found, &err), &err);
    assert_string_equal(found.id, second.id);
    session_record_free(&found);
    must(session_end(registry, second.id, SESSION_STOPPED, NULL, &err), &err);
    must(session_find(registry, "web", SESSIONS_ALL, &found, &err), &err);
    assert_string_equal(found.id, second.id);
    registry_close(registry);
}

static const struct {
    const char *id, *name;
    bool ended;
} find_sessions[] = {
    {"deadbeef", "", false}, {"deadbe00", "dead", false},  {"db000000", "", false},
    {"12345678", "", false}, {"12345679", "one", true},    {"abcdef00", "old", true},
    {"cafe0000", "", false}, {"cafe0001", "cafe00", true}, {"fff00000", "f1", false},
    {"f1f1f1f1", "", false},
};
static const struct {
    const char *word;
    const char *live, *all; /* an id, or a part of the message */
} find_rows[] = {
    {"deadbeef", "=deadbeef", "=deadbeef"},
    {"deadbee", "=deadbeef", "=deadbeef"},
    {"deadb", "begins 2 sessions", "deadbe00 (dead)"},
    {"dead", "=deadbe00", "=deadbe00"},
    {"d", "begins 3 sessions", "begins 3 sessions"},
    {"db", "=db000000", "=db000000"},
    {"1", "=12345678", "begins 2 sessions"},
    {"1234567", "=12345678", "(give more digits)"},
    {"12345678", "=12345678", "=12345678"},
    {"12345679", "12345679 has ended (vmdeck list --all", "=12345679"},
    {"a", "abcdef00 has ended", "=abcdef00"},
    {"old", "abcdef00 has ended", "=abcdef00"},
    {"one", "12345679 has ended", "=12345679"},
    {"cafe", "=cafe0000", "begins 2 sessions"},
    {"cafe00", "cafe0001 has ended", "=cafe0001"},
    {"f1", "=fff00000", "=fff00000"},
    {"f1f", "=f1f1f1f1", "=f1f1f1f1"},
    {"deadbeef0", "no session 'deadbeef0' (vmdeck list", "no session"},
    {"DEADBEEF", "no session", "no session"},
    {"", "no session ''", "no session ''"},
    {"9", "no session '9'", "no session '9'"},
    {"web", "no session 'web'", "no session 'web'"},
    {"%", "no session", "no session"},
    {"_", "no session", "no session"},
    {"*", "no session", "no session"},
    {"' OR 1=1 --", "no session", "no session"},
    {"\xff\x80", "no session", "no session"},
};

static void find_fill(const struct fixture *fixture, struct registry *registry)
{
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(find_sessions); i++) {
        struct session_record record;
        add_named(registry, find_sessions[i].name, &record);
        if (find_sessions[i].ended)
            must(session_end(registry, record.id, SESSION_DEAD, "", &err), &err);
        CLEAN_FREE char *sql =
            str_printf("UPDATE sessions SET id='%s' WHERE id='%s'", find_sessions[i].id, record.id);
        fixture_sql(fixture->path, sql);
    }
}

static void test_find(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    find_fill(fixture, registry);
    for (size_t i = 0; i < 2 * ARRAY_SIZE(find_rows); i++) {
        enum session_scope scope = i % 2 == 0 ? SESSIONS_LIVE : SESSIONS_ALL;
        const char *expected =
            scope == SESSIONS_LIVE ? find_rows[i / 2].live : find_rows[i / 2].all;
        CLEAN_SESSION struct session_record found = {0};
        int rc = session_find(registry, find_rows[i / 2].word, scope, &found, &err);
        if (expected[0] == '=') {
            must(rc, &err);
            assert_string_equal(found.id, expected + 1);
        } else {
            assert_string_equal(found.id, "");
            assert_true(rc == -ENOENT || rc == -ENOTUNIQ);
            if (strstr(err.message, expected) == NULL)
                fail_msg("'%s': '%s' lacks '%s'", find_rows[i / 2].word, err.message, expected);
        }
    }
    CLEAN_FREE char *huge = text_of(1 << 20);
    CLEAN_SESSION struct session_record found = {0};
    assert_int_equal(session_find(registry, huge, SESSIONS_ALL, &found, &err), -ENOENT);
    registry_close(registry);
}

/* Of many candidates some are named, the rest counted. */
static void test_find_many(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    struct session_record record;
    for (int i = 0; i < 9; i++) {
        add_named(registry, "", &record);
        CLEAN_FREE char *sql =
            str_printf("UPDATE sessions SET id='aaaa000%d' WHERE id='%s'", i, record.id);
        fixture_sql(fixture->path, sql);
    }
    CLEAN_SESSION struct session_record found = {0};
    assert_int_equal(session_find(registry, "a", SESSIONS_ALL, &found, &err), -ENOTUNIQ);
    assert_non_null(strstr(err.message, "'a' begins 9 sessions: aaaa000"));
    assert_non_null(strstr(err.message, " and 3 more (give more digits)"));
    registry_close(registry);
}

static void test_update(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    struct session_record record = {.name = "web", .command = "make", .memory = 512 << 20};
    must(session_add(registry, &record, &err), &err);
    struct session_record change = {
        .state = SESSION_WAITING, .command = "other", .host_pid = 7, .host_start = 9};
    memcpy(change.id, record.id, sizeof change.id);
    must(session_update(registry, &change, SESSION_SET_STATE | SESSION_SET_HOST, &err), &err);
    CLEAN_SESSION struct session_record found = {0};
    must(session_find(registry, "web", SESSIONS_LIVE, &found, &err), &err);
    record.state = SESSION_WAITING;
    record.host_pid = 7;
    record.host_start = 9;
    assert_string_equal(session_state_name(found.state), "waiting");
    assert_string_equal(found.command, "make");
    assert_int_equal(found.memory, 512 << 20);
    assert_int_equal(found.host_pid, 7);
    assert_int_equal(found.host_start, 9);
    session_record_free(&found);

    /* Every field at once, and the ones that are only written once stay as they are. */
    change.name = "no";
    change.created = change.ended = 1;
    must(session_update(registry, &change, ~0u, &err), &err);
    must(session_find(registry, "web", SESSIONS_LIVE, &found, &err), &err);
    assert_string_equal(found.command, "other");
    assert_int_equal(found.created, record.created);
    assert_int_equal(found.ended, 0);

    change.state = SESSION_STOPPED;
    assert_int_equal(session_update(registry, &change, SESSION_SET_STATE, &err), -EINVAL);
    memcpy(change.id, "00000000", sizeof change.id);
    assert_int_equal(session_update(registry, &change, SESSION_SET_HOST, &err), -ENOENT);
    registry_close(registry);
}

static void test_end(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    struct session_record record;
    add_named(registry, "web", &record);
    assert_int_equal(session_end(registry, record.id, SESSION_RUNNING, "", &err), -EINVAL);
    assert_int_equal(session_end(registry, "00000000", SESSION_DEAD, "", &err), -ENOENT);
    must(session_end(registry, record.id, SESSION_STOPPED, "exit 0", &err), &err);
    must(session_end(registry, record.id, SESSION_DEAD, "too late", &err), &err);
    assert_int_equal(session_update(registry, &record, SESSION_SET_STATE, &err), -ENOENT);
    CLEAN_SESSION struct session_record found = {0};
    must(session_find(registry, record.id, SESSIONS_ALL, &found, &err), &err);
    assert_int_equal(found.state, SESSION_STOPPED);
    assert_string_equal(found.ended_reason, "exit 0");
    assert_true(found.ended >= found.created);

    must(session_remove(registry, record.id, &err), &err);
    must(session_remove(registry, record.id, &err), &err);
    CLEAN_SESSIONS struct session_list list = {0};
    must(session_list(registry, SESSIONS_ALL, &list, &err), &err);
    assert_int_equal(list.count, 0);
    registry_close(registry);
}

/* The oldest ended ones are forgotten, live ones never. */
static void test_trim(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    char ids[SESSIONS_ENDED_KEPT + 5][SESSION_ID_SIZE];
    struct session_record live;
    add_named(registry, "live", &live);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        struct session_record record;
        add_named(registry, "", &record);
        memcpy(ids[i], record.id, sizeof ids[i]);
        must(session_end(registry, record.id, SESSION_STOPPED, "", &err), &err);
    }
    CLEAN_SESSIONS struct session_list list = {0};
    must(session_list(registry, SESSIONS_ALL, &list, &err), &err);
    assert_int_equal(list.count, 1 + SESSIONS_ENDED_KEPT);
    assert_string_equal(list.items[0].id, live.id);
    for (size_t i = 1; i < list.count; i++)
        assert_string_equal(list.items[i].id, ids[i + 4]);
    registry_close(registry);
}

/* Version 0: an empty file (its maker died), and one that SQLite has written to. */
static void test_migration(void **state)
{
    const struct fixture *fixture = *state;
    CLEAN_FILE FILE *empty = fopen(fixture->path, "w");
    assert_non_null(empty);
    registry_close(must_open(fixture->path));
    assert_int_equal(fixture_sql(fixture->path, "PRAGMA user_version"), 2);
    assert_int_equal(fixture_sql(fixture->path, "SELECT count(*) FROM sessions"), 0);

    CLEAN_FREE char *other = str_printf("%s/other.db", fixture->directory);
    fixture_sql(other, "CREATE TABLE other(x)");
    registry_close(must_open(other));
    assert_int_equal(fixture_sql(other, "PRAGMA user_version"), 2);
    assert_int_equal(fixture_sql(other, "SELECT count(*) FROM other"), 0);

    /* A step that fails leaves nothing of the steps and statements before it. */
    CLEAN_FREE char *clash = str_printf("%s/clash.db", fixture->directory);
    fixture_sql(clash, "CREATE TABLE events(x)");
    struct registry *registry = NULL;
    struct error err = {0};
    assert_true(registry_open(&registry, clash, &err) < 0);
    assert_null(registry);
    assert_non_null(strstr(err.message, "table events already exists"));
    assert_int_equal(fixture_sql(clash, "PRAGMA user_version"), 0);
    assert_int_equal(fixture_sql(clash, "SELECT count(*) FROM sqlite_schema"), 1);
}

static void test_newer(void **state)
{
    const struct fixture *fixture = *state;
    registry_close(must_open(fixture->path));
    static const char *const versions[] = {"PRAGMA user_version=3", "PRAGMA user_version=99",
                                           "PRAGMA user_version=-1"};
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        fixture_sql(fixture->path, versions[i]);
        struct registry *registry = NULL;
        struct error err = {0};
        assert_int_equal(registry_open(&registry, fixture->path, &err), -ENOTSUP);
        assert_null(registry);
        assert_non_null(strstr(err.message, "newer vmdeck"));
        assert_non_null(strstr(err.message, fixture->path));
        assert_null(strchr(err.message, '\n'));
    }
    fixture_sql(fixture->path, "PRAGMA user_version=2");
    registry_close(must_open(fixture->path));
}

static void assert_file(const char *path, const struct buf *content)
{
    CLEAN_BUF struct buf now = {0};
    struct error err = {0};
    must(path_read(path, 16 << 20, &now, &err), &err);
    assert_int_equal(buf_len(&now), buf_len(content));
    assert_memory_equal(buf_data(&now), buf_data(content), buf_len(content));
}

/* What a damaged file may look like: bytes cut off, or overwritten from `at` on. */
static void test_damage(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    CLEAN_FREE char *config = text_of(SESSION_CONFIG_MAX);
    for (int i = 0; i < 20; i++) {
        struct session_record record = {.config = config};
        must(session_add(registry, &record, &err), &err);
    }
    registry_close(registry);
    fixture_sql(fixture->path, "PRAGMA wal_checkpoint(TRUNCATE)");
    CLEAN_BUF struct buf whole = {0};
    must(path_read(fixture->path, 16 << 20, &whole, &err), &err);
    assert_true(buf_len(&whole) > 100000);
    static const struct {
        size_t size; /* of the file; 0: whole */
        size_t at, bytes;
        char byte;
    } rows[] = {
        {2, 0, 2, 'x'},         {15, 0, 0, 0},           {4096, 0, 4096, 0},
        {4096, 0, 4096, 'x'},   {0, 0, 16, 'x'},         {20000, 0, 0, 0},
        {5000, 0, 0, 0},        {0, 4096, 4096 * 12, 0}, {0, 4096, 4096 * 12, 'x'},
        {0, 100, 3996, '\xff'},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t size = rows[i].size != 0 ? rows[i].size : buf_len(&whole);
        CLEAN_FREE char *bytes = malloc(size);
        memcpy(bytes, buf_data(&whole), size);
        memset(bytes + rows[i].at, rows[i].byte, rows[i].bytes);
        must(path_write(fixture->path, 0600, bytes, size, &err), &err);
        CLEAN_SESSIONS struct session_list list = {0};
        int rc = registry_open(&registry, fixture->path, &err);
        if (rc == 0)
            rc = session_list(registry, SESSIONS_ALL, &list, &err);
        registry_close(registry);
        if (rc != -EUCLEAN)
            fail_msg("damage %zu: %d (%s)", i, rc, err.message);
        assert_int_equal(list.count, 0);
        assert_non_null(strstr(err.message, fixture->path));
        assert_non_null(strstr(err.message, "move it"));
        assert_file(fixture->path, &(struct buf){.memory = (uint8_t *)bytes, .end = size});
    }
}

/* Beside a damaged file the -wal file, which may hold all there is, stays too. */
static void test_damage_wal(void **state)
{
    const struct fixture *fixture = *state;
    struct error err = {0};
    struct session_record record;
    registry_close(must_open(fixture->path));
    fixture_sql(fixture->path, "PRAGMA wal_checkpoint(TRUNCATE)");
    struct registry *registry = must_open(fixture->path);
    add_named(registry, "kept", &record);
    CLEAN_FREE char *live_wal = str_printf("%s-wal", fixture->path);
    CLEAN_FREE char *path = str_printf("%s/copy.db", fixture->directory);
    CLEAN_FREE char *wal = str_printf("%s-wal", path);
    CLEAN_BUF struct buf main = {0};
    CLEAN_BUF struct buf log = {0};
    must(path_read(fixture->path, 16 << 20, &main, &err), &err);
    must(path_read(live_wal, 16 << 20, &log, &err), &err);
    assert_true(buf_len(&log) > 4096);
    memset(buf_data(&main), 'x', buf_len(&main));
    must(path_write(path, 0600, buf_data(&main), buf_len(&main), &err), &err);
    must(path_write(wal, 0600, buf_data(&log), buf_len(&log), &err), &err);
    struct registry *damaged = NULL;
    assert_int_equal(registry_open(&damaged, path, &err), -EUCLEAN);
    assert_null(damaged);
    assert_file(path, &main);
    assert_file(wal, &log);
    registry_close(registry);
}

static void test_host_process(void **state)
{
    (void)state;
    struct session_record record = {.host_pid = getpid()};
    struct error err = {0};
    must(session_host_start(record.host_pid, &record.host_start, &err), &err);
    assert_true(record.host_start > 0);
    assert_true(session_host_exists(&record));
    record.host_start++; /* another process of that number */
    assert_false(session_host_exists(&record));
    record.host_pid = 0;
    assert_false(session_host_exists(&record));
    record.host_pid = INT64_MAX;
    assert_false(session_host_exists(&record));

    int gate[2];
    assert_int_equal(pipe(gate), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(gate[1]);
        _exit(read(gate[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(gate[0]);
    record.host_pid = pid;
    must(session_host_start(pid, &record.host_start, &err), &err);
    assert_true(session_host_exists(&record));
    close(gate[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(session_host_exists(&record));
    assert_int_equal(session_host_start(pid, &record.host_start, &err), -ESRCH);
}

static void test_list_order_and_speed(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    CLEAN_FREE char *config = text_of(2048);
    for (int i = 0; i < 1000; i++) {
        CLEAN_FREE char *name = str_printf("session-%d", i);
        struct session_record record = {.name = name, .config = config, .command = "bash"};
        must(session_add(registry, &record, &err), &err);
    }
    CLEAN_SESSIONS struct session_list list = {0};
    struct timespec from;
    struct timespec to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    must(session_list(registry, SESSIONS_LIVE, &list, &err), &err);
    clock_gettime(CLOCK_MONOTONIC, &to);
    print_message("list of %zu sessions: %.2f ms\n", list.count,
                  (double)(to.tv_sec - from.tv_sec) * 1e3 +
                      (double)(to.tv_nsec - from.tv_nsec) / 1e6);
    assert_int_equal(list.count, 1000);
    for (int i = 0; i < 1000; i++) {
        CLEAN_FREE char *name = str_printf("session-%d", i);
        assert_string_equal(list.items[i].name, name);
    }
    registry_close(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_file),
        STORE_TEST(test_not_a_file),
        STORE_TEST(test_round_trip),
        STORE_TEST(test_limits),
        STORE_TEST(test_names),
        STORE_TEST(test_name_taken),
        STORE_TEST(test_find),
        STORE_TEST(test_find_many),
        STORE_TEST(test_update),
        STORE_TEST(test_end),
        STORE_TEST(test_trim),
        STORE_TEST(test_migration),
        STORE_TEST(test_newer),
        STORE_TEST(test_damage),
        STORE_TEST(test_damage_wal),
        cmocka_unit_test(test_host_process),
        STORE_TEST(test_list_order_and_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
