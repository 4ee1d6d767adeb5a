/* session/store: snapshots, and the step from a database that knows none. */
#include "store_fixture.h"

#include <unistd.h>

#include "session/store/snapshots.h"

static char *text_of(size_t length)
{
    char *text = malloc(length + 1);
    assert_non_null(text);
    memset(text, 'x', length);
    text[length] = '\0';
    return text;
}

static char *make_file(const struct fixture *fixture, const char *name)
{
    struct error err = {0};
    char *path = str_printf("%s/%s", fixture->directory, name);
    must(path_write(path, 0600, "x", 1, &err), &err);
    return path;
}

/* Adds a snapshot with a file of its own, `file`. */
static void add(const struct fixture *fixture, struct registry *registry, const char *name,
                const char *file, struct snapshot_record *out)
{
    struct error err = {0};
    CLEAN_FREE char *path = make_file(fixture, file);
    *out = (struct snapshot_record){.name = name, .path = path};
    must(snapshot_add(registry, out, &err), &err);
    out->path = NULL;
}

static void assert_count(struct registry *registry, size_t count)
{
    struct error err = {0};
    CLEAN_SNAPSHOTS struct snapshot_list list = {0};
    must(snapshot_list(registry, &list, &err), &err);
    assert_int_equal(list.count, count);
}

static void assert_same(const struct snapshot_record *a, const struct snapshot_record *b)
{
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->path, b->path);
    assert_string_equal(a->image, b->image);
    assert_string_equal(a->image_build, b->image_build);
    assert_string_equal(a->session, b->session);
    assert_string_equal(a->session_name, b->session_name);
    assert_int_equal(a->memory, b->memory);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->created, b->created);
}

static void test_round_trip(void **state)
{
    const struct fixture *fixture = *state;
    struct error err = {0};
    CLEAN_FREE char *path = make_file(fixture, "'); DROP TABLE snapshots; --\xff");
    CLEAN_FREE char *image = text_of(SESSION_TEXT_MAX);
    struct snapshot_record record = {
        .kind = SNAPSHOT_DISK,
        .name = "Base_1.x-y",
        .path = path,
        .image = image,
        .image_build = "\"%s%n\n",
        .session = "5e0c91d2",
        .session_name = "web",
        .memory = 512 << 20,
        .size = INT64_MAX,
    };
    struct registry *registry = must_open(fixture->path);
    must(snapshot_add(registry, &record, &err), &err);
    assert_int_equal(strspn(record.id, "0123456789abcdef"), SNAPSHOT_ID_SIZE - 1);
    assert_true(record.created > 0);
    registry_close(registry);

    registry = must_open(fixture->path);
    CLEAN_SNAPSHOT struct snapshot_record found = {0};
    must(snapshot_find(registry, record.name, &found, &err), &err);
    assert_same(&found, &record);
    snapshot_record_free(&found);

    /* What is not given is empty, and a time that is given stays. */
    CLEAN_FREE char *other = make_file(fixture, "other");
    struct snapshot_record bare = {.path = other, .created = 1};
    must(snapshot_add(registry, &bare, &err), &err);
    must(snapshot_find(registry, bare.id, &found, &err), &err);
    assert_string_equal(found.name, "");
    assert_string_equal(found.session_name, "");
    assert_string_equal(snapshot_kind_name(found.kind), "ram");
    assert_int_equal(found.created, 1);
    CLEAN_SNAPSHOTS struct snapshot_list list = {0};
    must(snapshot_list(registry, &list, &err), &err);
    assert_int_equal(list.count, 2);
    assert_same(&list.items[0], &found);
    assert_same(&list.items[1], &record);
    registry_close(registry);
}

static void test_limits(void **state)
{
    const struct fixture *fixture = *state;
#define FIELD(field, max)                                    \
    {                                                        \
#field, offsetof(struct snapshot_record, field), max \
    }
    static const struct {
        const char *name;
        size_t offset, max;
    } rows[] = {
        FIELD(name, SESSION_NAME_MAX),    FIELD(path, SESSION_TEXT_MAX),
        FIELD(image, SESSION_TEXT_MAX),   FIELD(image_build, SESSION_TEXT_MAX),
        FIELD(session, SESSION_NAME_MAX), FIELD(session_name, SESSION_NAME_MAX),
    };
#undef FIELD
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (size_t over = 0; over < 2; over++) {
            CLEAN_FREE char *text = text_of(rows[i].max + over);
            CLEAN_FREE char *path = str_printf("%s/%zu", fixture->directory, i);
            struct snapshot_record record = {.path = path};
            text[0] = '/';
            if (strcmp(rows[i].name, "name") == 0)
                text[0] = 'x';
            *(const char **)((char *)&record + rows[i].offset) = text;
            assert_int_equal(snapshot_add(registry, &record, &err), over == 0 ? 0 : -E2BIG);
            CLEAN_FREE char *expected =
                str_printf("snapshot: %s: longer than %zu bytes", rows[i].name, rows[i].max);
            if (over > 0)
                assert_string_equal(err.message, expected);
        }
    static const struct {
        struct snapshot_record record;
        const char *message;
    } wrong[] = {
        {{.path = "relative"}, "snapshot: path: not absolute"},
        {{.path = ""}, "snapshot: path: not absolute"},
        {{.path = "/x", .kind = SNAPSHOT_KINDS}, "snapshot: kind: there is none of that number"},
        {{.path = "/x", .memory = -1}, "snapshot: memory: negative"},
        {{.path = "/x", .size = -1}, "snapshot: size: negative"},
        {{.path = "/x", .created = -1}, "snapshot: created: negative"},
        {{.path = "/x", .name = "a/b"}, "name 'a/b': only letters"},
        {{.path = "/x", .name = "deadbeef"}, "name 'deadbeef': 8 hex digits"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct snapshot_record record = wrong[i].record;
        assert_int_equal(snapshot_add(registry, &record, &err), -EINVAL);
        if (!str_starts(err.message, wrong[i].message))
            fail_msg("%zu: %s", i, err.message);
    }
    registry_close(registry);
}

/* The id is the file's, where that is one; and a path has one row. */
static void test_ids(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct snapshot_record record;
    struct error err = {0};
    add(fixture, registry, "", "deadbeef.qcow2", &record);
    assert_string_equal(record.id, "deadbeef");
    static const char *const others[] = {"deadbee.qcow2", "deadbeef.qcow", "DEADBEE0.qcow2",
                                         "deadbeef0.qcow2"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        add(fixture, registry, "", others[i], &record);
        assert_false(str_starts(others[i], record.id));
    }
    add(fixture, registry, "again", "deadbeef.qcow2", &record);
    assert_string_equal(record.id, "deadbeef");
    assert_count(registry, 1 + ARRAY_SIZE(others));

    /* The same name in another directory: the id is taken. */
    CLEAN_FREE char *directory = str_printf("%s/d", fixture->directory);
    must(path_mkdirs(directory, 0700, &err), &err);
    add(fixture, registry, "", "d/deadbeef.qcow2", &record);
    assert_string_not_equal(record.id, "deadbeef");
    CLEAN_SNAPSHOT struct snapshot_record found = {0};
    must(snapshot_find(registry, "deadbeef", &found, &err), &err);
    assert_string_equal(found.name, "again");
    registry_close(registry);
}

static void test_names(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    struct snapshot_record first;
    struct snapshot_record second;
    must(snapshot_name_check(registry, "base", &err), &err);
    assert_int_equal(snapshot_name_check(registry, "a b", &err), -EINVAL);
    add(fixture, registry, "base", "1", &first);
    assert_int_equal(snapshot_name_check(registry, "base", &err), -EEXIST);
    assert_non_null(strstr(err.message, "vmdeck snapshot rm base"));
    CLEAN_FREE char *path = make_file(fixture, "2");
    second = (struct snapshot_record){.name = "base", .path = path};
    assert_int_equal(snapshot_add(registry, &second, &err), -EEXIST);
    assert_string_equal(second.id, "");
    assert_count(registry, 1);

    /* A file that is gone sets its name free, and so does removing the row. */
    CLEAN_FREE char *gone = str_printf("%s/1", fixture->directory);
    assert_int_equal(unlink(gone), 0);
    must(snapshot_name_check(registry, "base", &err), &err);
    must(snapshot_add(registry, &second, &err), &err);
    must(snapshot_remove(registry, second.id, &err), &err);
    must(snapshot_remove(registry, second.id, &err), &err);
    must(snapshot_add(registry, &second, &err), &err);
    must(snapshot_name_check(registry, "other", &err), &err);
    registry_close(registry);
}

/* find looks at rows, list at files: one that cannot be looked at is not gone. */
static void test_gone(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    struct snapshot_record kept;
    struct snapshot_record gone;
    add(fixture, registry, "gone", "1", &gone);
    add(fixture, registry, "kept", "2", &kept);
    CLEAN_FREE char *path = str_printf("%s/1", fixture->directory);
    CLEAN_FREE char *loop = str_printf("%s/loop", fixture->directory);
    assert_int_equal(symlink(loop, loop), 0);
    struct snapshot_record unreadable = {.path = loop}; /* ELOOP */
    must(snapshot_add(registry, &unreadable, &err), &err);
    assert_int_equal(unlink(path), 0);
    CLEAN_SNAPSHOT struct snapshot_record found = {0};
    must(snapshot_find(registry, "gone", &found, &err), &err);
    assert_string_equal(found.id, gone.id);
    snapshot_record_free(&found);
    CLEAN_SNAPSHOTS struct snapshot_list list = {0};
    must(snapshot_list(registry, &list, &err), &err);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].id, kept.id);
    assert_string_equal(list.items[1].id, unreadable.id);
    assert_int_equal(snapshot_find(registry, "gone", &found, &err), -ENOENT);
    assert_string_equal(err.message, "no snapshot 'gone' (vmdeck snapshot ls shows them)");
    registry_close(registry);
}

static void test_find(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    struct snapshot_record record;
    add(fixture, registry, "", "aaaa0000.qcow2", &record);
    add(fixture, registry, "db", "aaaa0001.qcow2", &record);
    add(fixture, registry, "aaaa", "bbbb0000.qcow2", &record);
    add(fixture, registry, "", "db000000.qcow2", &record);
    static const struct {
        const char *word, *expected; /* =id, or what the message has */
    } rows[] = {
        {"aaaa0000", "=aaaa0000"}, {"aaaa0001", "=aaaa0001"}, {"db", "=aaaa0001"},
        {"db0", "=db000000"},      {"aaaa", "=bbbb0000"},     {"b", "=bbbb0000"},
        {"aaaa00000", "no snap"},  {"", "no snapshot ''"},    {"c", "no snapshot 'c'"},
        {"%", "no snapshot"},      {"'", "no snapshot"},      {"AAAA0000", "no snapshot"},
        {"d", "=db000000"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_SNAPSHOT struct snapshot_record found = {0};
        int rc = snapshot_find(registry, rows[i].word, &found, &err);
        if (rows[i].expected[0] == '=') {
            must(rc, &err);
            assert_string_equal(found.id, rows[i].expected + 1);
        } else if (rc != -ENOENT || strstr(err.message, rows[i].expected) == NULL) {
            fail_msg("'%s': %d, %s", rows[i].word, rc, err.message);
        }
    }
    CLEAN_SNAPSHOT struct snapshot_record found = {0};
    assert_int_equal(snapshot_find(registry, "aaa", &found, &err), -ENOTUNIQ);
    assert_non_null(strstr(err.message, "'aaa' begins 2 snapshots: "));
    assert_non_null(strstr(err.message, "aaaa0001 (db)"));
    for (int i = 2; i < 9; i++) {
        CLEAN_FREE char *file = str_printf("aaaa000%d.qcow2", i);
        add(fixture, registry, "", file, &record);
    }
    assert_int_equal(snapshot_find(registry, "aaa", &found, &err), -ENOTUNIQ);
    assert_non_null(strstr(err.message, " and 3 more (give more digits)"));
    CLEAN_FREE char *huge = text_of(1 << 20);
    assert_int_equal(snapshot_find(registry, huge, &found, &err), -ENOENT);
    registry_close(registry);
}

static void test_path(void **state)
{
    const struct fixture *fixture = *state;
    struct error err = {0};
    CLEAN_FREE char *named = NULL;
    CLEAN_FREE char *drawn = NULL;
    CLEAN_FREE char *bad = NULL;
    setenv("XDG_DATA_HOME", fixture->directory, 1);
    must(snapshot_path("base", &named, &err), &err);
    CLEAN_FREE char *expected = str_printf("%s/vmdeck/snapshots/base.qcow2", fixture->directory);
    assert_string_equal(named, expected);
    must(snapshot_path(NULL, &drawn, &err), &err);
    assert_string_not_equal(named, drawn);
    must(path_write(drawn, 0600, "x", 1, &err), &err); /* the directory is there */
    assert_int_equal(snapshot_path("../x", &bad, &err), -EINVAL);
    assert_null(bad);
    struct registry *registry = must_open(fixture->path);
    struct snapshot_record record = {.path = drawn};
    must(snapshot_add(registry, &record, &err), &err);
    assert_non_null(strstr(drawn, record.id));
    registry_close(registry);
}

/* The first released schema, word for word: databases that were made with it are out there. */
static const char version_1[] =
    "PRAGMA journal_mode=WAL;"
    "CREATE TABLE sessions("
    " id TEXT PRIMARY KEY, name TEXT NOT NULL, state TEXT NOT NULL,"
    " image TEXT NOT NULL, image_build TEXT NOT NULL, arch TEXT NOT NULL, accel TEXT NOT NULL,"
    " memory INTEGER NOT NULL, cpus INTEGER NOT NULL,"
    " host_pid INTEGER NOT NULL, host_start INTEGER NOT NULL,"
    " created INTEGER NOT NULL, ended INTEGER NOT NULL, ended_reason TEXT NOT NULL,"
    " command TEXT NOT NULL, directory TEXT NOT NULL, config TEXT NOT NULL);"
    "CREATE UNIQUE INDEX sessions_live_name ON sessions(name) WHERE ended = 0 AND name <> '';"
    "CREATE INDEX sessions_created ON sessions(created);"
    "CREATE INDEX sessions_ended ON sessions(ended, created);"
    "CREATE TABLE events("
    " id INTEGER PRIMARY KEY, time INTEGER NOT NULL, session TEXT NOT NULL,"
    " type INTEGER NOT NULL, json TEXT NOT NULL);"
    "CREATE INDEX events_session ON events(session, id);"
    "CREATE TABLE event_counts(session TEXT PRIMARY KEY, rows INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TRIGGER events_insert AFTER INSERT ON events BEGIN"
    " INSERT INTO event_counts VALUES(new.session, 1), ('', 1)"
    "  ON CONFLICT(session) DO UPDATE SET rows = rows + 1; END;"
    "CREATE TRIGGER events_delete AFTER DELETE ON events BEGIN"
    " UPDATE event_counts SET rows = rows - 1 WHERE session IN (old.session, '');"
    " DELETE FROM event_counts WHERE session = old.session AND rows = 0; END;"
    "INSERT INTO sessions VALUES('5e0c91d2','web','running','default','b','x86_64','tcg',1,1,0,0,"
    "1,0,'','bash','','{}');"
    "INSERT INTO events VALUES(7,1,'5e0c91d2',8,'{}');"
    "PRAGMA user_version=1;";

static void test_from_version_1(void **state)
{
    const struct fixture *fixture = *state;
    struct error err = {0};
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, version_1, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);

    struct registry *registry = must_open(fixture->path);
    assert_int_equal(fixture_sql(fixture->path, "PRAGMA user_version"), 2);
    CLEAN_SESSION struct session_record session = {0};
    must(session_find(registry, "web", SESSIONS_LIVE, &session, &err), &err);
    assert_string_equal(session.command, "bash");
    assert_int_equal(fixture_sql(fixture->path, "SELECT id FROM events"), 7);
    assert_count(registry, 0);
    struct snapshot_record record;
    add(fixture, registry, "base", "1", &record);
    assert_count(registry, 1);
    registry_close(registry);

    /* It has become what a new one is. */
    CLEAN_FREE char *fresh = str_printf("%s/fresh.db", fixture->directory);
    registry_close(must_open(fresh));
    CLEAN_FREE char *sql = str_printf("ATTACH '%s' AS fresh", fresh);
    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_stmt *stmt = NULL;
    static const char compare[] =
        "SELECT count(*) FROM (SELECT name, sql FROM main.sqlite_schema EXCEPT"
        " SELECT name, sql FROM fresh.sqlite_schema)"
        " UNION ALL SELECT count(*) FROM (SELECT name, sql FROM fresh.sqlite_schema EXCEPT"
        " SELECT name, sql FROM main.sqlite_schema)";
    assert_int_equal(sqlite3_prepare_v2(db, compare, -1, &stmt, NULL), SQLITE_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int(stmt, 0), 0);
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_round_trip), STORE_TEST(test_limits),         STORE_TEST(test_ids),
        STORE_TEST(test_names),      STORE_TEST(test_gone),           STORE_TEST(test_find),
        STORE_TEST(test_path),       STORE_TEST(test_from_version_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
