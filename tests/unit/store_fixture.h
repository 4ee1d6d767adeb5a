/* A directory of its own for every test of session/store, with a database path in it. */
#ifndef VMDECK_TESTS_STORE_FIXTURE_H
#define VMDECK_TESTS_STORE_FIXTURE_H

#include "unit.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "session/store/registry.h"

struct fixture {
    char directory[64];
    char path[96];
};

static inline int fixture_make(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const char *temporary = getenv("TMPDIR");
    snprintf(fixture->directory, sizeof fixture->directory, "%.40s/store-XXXXXX",
             temporary != NULL && strlen(temporary) < 40 ? temporary : "/tmp");
    if (mkdtemp(fixture->directory) == NULL)
        return -1;
    snprintf(fixture->path, sizeof fixture->path, "%s/vmdeck.db", fixture->directory);
    *state = fixture;
    return 0;
}

static inline int fixture_remove(void **state)
{
    struct fixture *fixture = *state;
    int rc = path_remove(fixture->directory, NULL);
    free(fixture);
    return rc;
}

#define STORE_TEST(function) cmocka_unit_test_setup_teardown(function, fixture_make, fixture_remove)

/* Fails the test with the message. */
static inline void must(int rc, const struct error *err)
{
    if (rc < 0)
        fail_msg("%s", err->message);
}

static inline struct registry *must_open(const char *path)
{
    struct registry *registry = NULL;
    struct error err = {0};
    must(registry_open(&registry, path, &err), &err);
    return registry;
}

/* Runs SQL past the program. Returns the first value as a number, -1 where there is none. */
static inline int64_t fixture_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    int64_t value = -1;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    if (sqlite3_step(stmt) == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

#endif
