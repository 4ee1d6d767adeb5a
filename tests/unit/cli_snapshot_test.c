/* session/cli: snapshot, fork, --resume: what is asked of the host, and what is looked at before.
 */
#include "cli_fixture.h"

#include <sys/stat.h>

#include "session/cli/snapshot.h"
#include "session/cli/vmoptions.h"
#include "session/protocol/config.h"
#include "session/protocol/json.h"
#include "session/store/snapshots.h"

#define REPLY "{\"reply\":@,\"snapshot\":\"5e0c91d2\",\"path\":\"/x\",\"size\":1,\"stopped_ms\":2}"

static char *make_file(const struct fixture *fixture, const char *name)
{
    struct error err = {0};
    char *path = str_printf("%s/%s", fixture->directory, name);
    must(path_write(path, 0600, "x", 1, &err), &err);
    return path;
}

static void add(const char *path, const char *name, struct snapshot_record *out)
{
    struct error err = {0};
    struct registry *registry = must_open(NULL);
    *out = (struct snapshot_record){.name = name, .path = path};
    must(snapshot_add(registry, out, &err), &err);
    registry_close(registry);
}

static size_t count(void)
{
    struct error err = {0};
    CLEAN_SNAPSHOTS struct snapshot_list list = {0};
    struct registry *registry = must_open(NULL);
    must(snapshot_list(registry, &list, &err), &err);
    registry_close(registry);
    return list.count;
}

/* `path` of the request: "/…" as it is; "*…" ends so. */
static void test_request(void **state)
{
    const struct fixture *fixture = *state;
    CLEAN_FREE char *here = str_printf("%s/a.qcow2", fixture->directory);
    CLEAN_FREE char *crooked =
        str_printf("%s/../%s/a.qcow2", fixture->directory, strrchr(fixture->directory, '/') + 1);
    const struct {
        const char *words[6];
        const char *path, *name;
        bool disk, keep_running;
    } rows[] = {
        {{"web"}, "*.qcow2", NULL, false, false},
        {{"web", "--name", "base"}, "*/vmdeck/snapshots/base.qcow2", "base", false, false},
        {{"--name=base", "web", "--disk"}, "*/vmdeck/snapshots/base.qcow2", "base", true, false},
        {{"web", "--output", here, "--keep-running"}, here, NULL, false, true},
        {{"web", "--output", crooked, "--json"}, here, NULL, false, false},
        {{"web", "--output", "/none"}, "/none", NULL, false, false},
    };
    cli_directories(fixture);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct played played = {.says = {REPLY}, .closes = true};
        struct error err = {0};
        cli_session(&played, "web", SESSION_RUNNING, "");
        played_start(&played);
        int rc = cli_run(&verb_snapshot, rows[i].words, &err);
        struct registry *registry = must_open(NULL);
        must(session_end(registry, played.id, SESSION_STOPPED, "", NULL), &err);
        registry_close(registry);
        played_wait(&played);
        must(rc, &err);
        const char *path = json_string(played.asked, "path");
        const char *name = json_string(played.asked, "name");
        assert_string_equal(json_string(played.asked, "request"), "snapshot");
        assert_non_null(path);
        assert_int_equal(path[0], '/');
        if (rows[i].path[0] == '*')
            assert_non_null(strstr(path, rows[i].path + 1));
        else
            assert_string_equal(path, rows[i].path);
        assert_int_equal(name != NULL, rows[i].name != NULL);
        if (name != NULL)
            assert_string_equal(name, rows[i].name);
        assert_int_equal(json_bool(played.asked, "disk"), rows[i].disk);
        assert_int_equal(json_bool(played.asked, "keep_running"), rows[i].keep_running);
        played_end(&played);
    }
}

/* Refused before anybody is asked: there is no host, and that is not what it says. */
static void test_refused(void **state)
{
    const struct fixture *fixture = *state;
    cli_directories(fixture);
    CLEAN_FREE char *there = make_file(fixture, "there.qcow2");
    CLEAN_FREE char *dangling = str_printf("%s/dangling", fixture->directory);
    CLEAN_FREE char *missing = str_printf("%s/none/x.qcow2", fixture->directory);
    CLEAN_FREE char *slash = str_printf("%s/", fixture->directory);
    assert_int_equal(symlink("nowhere", dangling), 0);
    struct snapshot_record taken;
    add(there, "taken", &taken);
    const struct {
        const char *words[6];
        int rc;
        const char *message;
    } rows[] = {
        {{NULL}, -USAGE_ERROR, "which session"},
        {{"web", "db"}, -USAGE_ERROR, "which session"},
        {{"web", "--", "x"}, -USAGE_ERROR, "which session"},
        {{"ls", "x"}, -USAGE_ERROR, "which session"},
        {{"ls", "--disk"}, -USAGE_ERROR, "which session"},
        {{"rm"}, -USAGE_ERROR, "which session"},
        {{"rm", "x", "--json"}, -USAGE_ERROR, "which session"},
        {{"inspect", "x", "y"}, -USAGE_ERROR, "which session"},
        {{"web", "--output", "x", "--name", "y"}, -USAGE_ERROR, "exclude each other"},
        {{"web", "--name", "a/b"}, -USAGE_ERROR, "name 'a/b'"},
        {{"web", "--name", "deadbeef"}, -USAGE_ERROR, "look like an id"},
        {{"web", "--output", ""}, -USAGE_ERROR, "an empty path"},
        {{"web", "--name", "taken"}, -EEXIST, "a snapshot has it"},
        {{"web", "--output", there}, -EEXIST, "is there already"},
        {{"web", "--output", dangling}, -EEXIST, "is there already"},
        {{"web", "--output", missing}, -ENOENT, "its directory: No such file"},
        {{"web", "--output", slash}, -EISDIR, "not a file's name"},
        {{"web", "--output", "."}, -EISDIR, "not a file's name"},
        {{"web", "--output", "/tmp/.."}, -EISDIR, "not a file's name"},
        {{"web"}, -ENOENT, "no session 'web'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        int rc = cli_run(&verb_snapshot, rows[i].words, &err);
        if (rc != rows[i].rc || strstr(err.message, rows[i].message) == NULL)
            fail_msg("row %zu: %d, %s", i, rc, err.message);
    }
}

static void test_resolve(void **state)
{
    const struct fixture *fixture = *state;
    struct error err = {0};
    cli_directories(fixture);
    CLEAN_FREE char *file = make_file(fixture, "base.qcow2");
    CLEAN_FREE char *other = make_file(fixture, "plain");
    CLEAN_FREE char *crooked = str_printf("%s/./base.qcow2", fixture->directory);
    CLEAN_FREE char *gone = make_file(fixture, "gone");
    struct snapshot_record base;
    struct snapshot_record moved;
    add(file, "base", &base);
    add(gone, "moved", &moved);
    assert_int_equal(unlink(gone), 0);
    assert_int_equal(chdir(fixture->directory), 0);
    char prefix[] = {base.id[0], base.id[1], base.id[2], base.id[3], '\0'};
    const struct {
        const char *word, *path; /* or the message */
    } rows[] = {
        {"base", file},
        {base.id, file},
        {prefix, file},
        {file, file},
        {crooked, file},
        {"base.qcow2", file},
        {"./plain", other},
        {"plain", "no snapshot 'plain'"},
        {"moved", "is gone"},
        {"none.qcow2", "no snapshot 'none.qcow2'"},
        {"./none", "No such file"},
        {"", "no snapshot ''"},
        {".qcow2", "no snapshot"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_FREE char *path = NULL;
        int rc = snapshot_resolve(rows[i].word, &path, &err);
        if (rows[i].path[0] == '/'
                ? rc < 0 || strcmp(path, rows[i].path) != 0
                : rc != -ENOENT || path != NULL || strstr(err.message, rows[i].path) == NULL)
            fail_msg("'%s': %d, %s", rows[i].word, rc, rc == 0 ? path : err.message);
    }

    /* The option of bash and exec, and the way to the host. */
    CLEAN_SESSION_CONFIG struct session_config config;
    session_config_init(&config);
    const struct option *option = vm_options.options;
    while (strcmp(option->name, "resume") != 0)
        option++;
    must(option->set(&config, "./plain", &err), &err);
    must(option->set(&config, "base", &err), &err);
    assert_int_equal(option->set(&config, "none", &err), -ENOENT);
    cJSON *json = session_config_json(&config);
    CLEAN_SESSION_CONFIG struct session_config parsed;
    session_config_init(&parsed);
    must(session_config_parse(json, &parsed, &err), &err);
    cJSON_Delete(json);
    assert_string_equal(parsed.resume, file);
    assert_int_equal(chdir("/"), 0);
}

static void test_remove(void **state)
{
    const struct fixture *fixture = *state;
    struct error err = {0};
    struct stat st;
    cli_directories(fixture);
    CLEAN_FREE char *used = make_file(fixture, "used.qcow2");
    CLEAN_FREE char *away = make_file(fixture, "away.qcow2");
    CLEAN_FREE char *gone = make_file(fixture, "gone.qcow2");
    CLEAN_FREE char *free_one = make_file(fixture, "free.qcow2");
    CLEAN_FREE char *in_use = str_printf("{\"resume\":\"%s\"}", used);
    CLEAN_FREE char *was_in_use = str_printf("{\"resume\":\"%s\"}", away);
    struct snapshot_record record;
    add(used, "used", &record);
    add(away, "away", &record);
    add(gone, "gone", &record);
    add(free_one, "free", &record);
    assert_int_equal(unlink(gone), 0);
    struct played running = {0};
    struct played suspended = {0};
    struct played strange = {0};
    cli_session(&running, "", SESSION_RUNNING, in_use);
    cli_session(&suspended, "", SESSION_SUSPENDED, was_in_use);
    cli_session(&strange, "", SESSION_RUNNING, "not JSON");

    /* Each is tried; the gone one only loses its entry. */
    assert_int_equal(RUN(verb_snapshot, &err, "rm", "used", "gone", "away", "free"), -EBUSY);
    assert_non_null(strstr(err.message, running.id));
    assert_int_equal(stat(used, &st), 0);
    assert_int_equal(stat(away, &st), -1);
    assert_int_equal(stat(free_one, &st), -1);
    assert_int_equal(count(), 1);
    assert_int_equal(RUN(verb_snapshot, &err, "rm", "gone"), -ENOENT);
    close(running.lock); /* the host has died: the session ends with it */
    assert_int_equal(RUN(verb_snapshot, &err, "rm", "used"), 0);
    assert_int_equal(count(), 0);
    close(suspended.lock);
    close(strange.lock);
}

/* The file stays, and so does what it is called; the name is free for another. */
static void test_rename(void **state)
{
    const struct fixture *fixture = *state;
    cli_directories(fixture);
    CLEAN_FREE char *first = make_file(fixture, "first.qcow2");
    CLEAN_FREE char *second = make_file(fixture, "second.qcow2");
    struct snapshot_record a, b;
    struct stat st;
    add(first, "first", &a);
    add(second, "", &b);
    const struct {
        const char *words[5];
        int rc;
        const char *message;
    } rows[] = {
        {{"rename"}, -USAGE_ERROR, "which session"},
        {{"rename", "first"}, -USAGE_ERROR, "which session"},
        {{"rename", "first", "x", "y"}, -USAGE_ERROR, "which session"},
        {{"rename", "first", "x", "--disk"}, -USAGE_ERROR, "which session"},
        {{"rename", "none", "x"}, -ENOENT, "no snapshot 'none'"},
        {{"rename", b.id, "first"}, -EEXIST, "a snapshot has it"},
        {{"rename", "first", "a/b"}, -EINVAL, "name 'a/b'"},
        {{"rename", "first", "deadbeef"}, -EINVAL, "look like an id"},
        {{"rename", "first", "base"}, 0, ""},
        {{"rename", b.id, "first"}, 0, ""},
        {{"rename", "first", "second"}, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err = {0};
        int rc = cli_run(&verb_snapshot, rows[i].words, &err);
        if (rc != rows[i].rc || strstr(err.message, rows[i].message) == NULL)
            fail_msg("row %zu: %d, %s", i, rc, err.message);
    }
    CLEAN_FREE char *path = NULL;
    assert_int_equal(snapshot_resolve("base", &path, NULL), 0);
    assert_string_equal(path, first);
    assert_int_equal(stat(first, &st), 0);
    assert_int_equal(count(), 2);
}

static void test_fork(void **state)
{
    struct error err = {0};
    struct played played = {.says = {"{\"reply\":@,\"session\":\"5e0c91d2\",\"stopped_ms\":9}"}};
    cli_directories(*state);
    assert_int_equal(RUN(verb_fork, &err, "web", "--name", "_x"), -USAGE_ERROR);
    assert_int_equal(RUN(verb_fork, &err, "web", "db"), -USAGE_ERROR);
    assert_int_equal(RUN(verb_fork, &err, "web"), -ENOENT);
    cli_session(&played, "web", SESSION_RUNNING, "");
    played_start(&played);
    int rc = RUN(verb_fork, &err, "web", "--name", "copy");
    played_wait(&played);
    must(rc, &err);
    assert_string_equal(json_string(played.asked, "request"), "fork");
    assert_string_equal(json_string(played.asked, "name"), "copy");
    played_end(&played);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_request), STORE_TEST(test_refused), STORE_TEST(test_resolve),
        STORE_TEST(test_remove),  STORE_TEST(test_fork),    STORE_TEST(test_rename),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
