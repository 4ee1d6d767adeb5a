/*
 * The database file: WAL, so that readers and the one writer of the moment do not wait for each
 * other; synchronous=NORMAL, so that a commit costs no fsync. After a power cut the last commits
 * may be missing, but the file is whole; after a crash of a process nothing is missing.
 *
 * Many processes open it at once. Waiting for a lock is SQLite's (busy timeout); the one thing it
 * cannot wait for reliably is the switch of a new file to WAL, so creation and migration happen
 * under flock() on the directory. Not on the file: closing any descriptor of it would drop the
 * locks that SQLite holds there (https://sqlite.org/howtocorrupt.html, 2.2).
 *
 * The version of the schema is user_version: row n of `migrations` leads from n to n+1, and a row
 * that was released never changes. Rows are only to add tables, indexes or columns with defaults:
 * an older program may have the file open meanwhile.
 *
 * A damaged file is reported, never repaired, renamed or emptied.
 */
#include "session/store/database.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "session/store/registry.h"

#define BUSY_TIMEOUT_MS 10000

/*
 * events: a rowid is never used twice, because trimming never takes the newest row; so "after
 * row n" misses nothing. The triggers keep the counts that trimming needs; the row with the empty
 * session is the total.
 */
static const char *const migrations[] = {
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
    " DELETE FROM event_counts WHERE session = old.session AND rows = 0; END;",
    /* AUTOINCREMENT: a rule's number that the user has read never means another one later. */
    "CREATE TABLE snapshots("
    " id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL UNIQUE,"
    " image TEXT NOT NULL, image_build TEXT NOT NULL,"
    " session TEXT NOT NULL, session_name TEXT NOT NULL,"
    " memory INTEGER NOT NULL, size INTEGER NOT NULL, created INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX snapshots_name ON snapshots(name) WHERE name <> '';"
    "CREATE TABLE rules("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, verdict TEXT NOT NULL, pattern TEXT NOT NULL,"
    " internal INTEGER NOT NULL, created INTEGER NOT NULL, UNIQUE(verdict, pattern, internal));",
};

#define SCHEMA_VERSION ((int)(sizeof migrations / sizeof migrations[0]))

#define DAMAGED_ADVICE                                                                           \
    " (nothing was changed; move it and its -wal file away and vmdeck makes a new one; running " \
    "sessions go on)"

/* What SQLite's primary result codes mean for the caller, and what the user can do. */
static const struct {
    int result;
    int code;
    const char *advice;
} failures[] = {
    {SQLITE_BUSY, EBUSY, " (another vmdeck holds it for too long: is one stopped?)"},
    {SQLITE_CORRUPT, EUCLEAN, DAMAGED_ADVICE},
    {SQLITE_NOTADB, EUCLEAN, DAMAGED_ADVICE},
    {SQLITE_FULL, ENOSPC, " (free some space there)"},
    {SQLITE_READONLY, EROFS, " (make it and its directory writable)"},
    {SQLITE_CANTOPEN, EACCES, " (is it a readable file, its directory writable?)"},
    {SQLITE_PERM, EACCES, " (make it readable and writable for you)"},
    {SQLITE_NOMEM, ENOMEM, ""},
    {SQLITE_TOOBIG, EFBIG, ""},
};

int database_error(struct registry *registry, const char *what, struct error *err)
{
    int result = sqlite3_errcode(registry->db) & 0xff;
    const char *reason = sqlite3_errmsg(registry->db);
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
        if (failures[i].result == result)
            return error_set(err, failures[i].code, "cannot %s: %s: %s%s", what, registry->path,
                             reason, failures[i].advice);
    return error_set(err, EIO, "cannot %s: %s: %s", what, registry->path, reason);
}

int database_run(struct registry *registry, const char *sql, const char *what, struct error *err)
{
    if (sqlite3_exec(registry->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return database_error(registry, what, err);
    return 0;
}

int database_prepare(struct registry *registry, const char *sql, const char *what,
                     sqlite3_stmt **out, struct error *err)
{
    if (sqlite3_prepare_v2(registry->db, sql, -1, out, NULL) != SQLITE_OK)
        return database_error(registry, what, err);
    return 0;
}

int database_step(struct registry *registry, sqlite3_stmt *stmt, const char *what,
                  struct error *err)
{
    int result = sqlite3_step(stmt);
    if (result == SQLITE_ROW)
        return 1;
    return result == SQLITE_DONE ? 0 : database_error(registry, what, err);
}

static int database_vbind(struct registry *registry, sqlite3_stmt *stmt, const char *what,
                          struct error *err, const char *types, va_list args)
{
    int result = SQLITE_OK;
    for (int i = 1; result == SQLITE_OK && types[i - 1] != '\0'; i++)
        if (types[i - 1] == 't')
            result = sqlite3_bind_text(stmt, i, va_arg(args, const char *), -1, SQLITE_STATIC);
        else
            result = sqlite3_bind_int64(stmt, i, va_arg(args, int64_t));
    return result == SQLITE_OK ? 0 : database_error(registry, what, err);
}

int database_bind(struct registry *registry, sqlite3_stmt *stmt, const char *what,
                  struct error *err, const char *types, ...)
{
    va_list args;
    va_start(args, types);
    int rc = database_vbind(registry, stmt, what, err, types, args);
    va_end(args);
    return rc;
}

int database_do(struct registry *registry, const char *what, struct error *err, const char *sql,
                const char *types, ...)
{
    CLEAN_STMT sqlite3_stmt *stmt = NULL;
    int rc = database_prepare(registry, sql, what, &stmt, err);
    va_list args;
    va_start(args, types);
    if (rc == 0)
        rc = database_vbind(registry, stmt, what, err, types, args);
    va_end(args);
    return rc == 0 ? database_step(registry, stmt, what, err) : rc;
}

int64_t database_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return ms > 0 ? ms : 1;
}

int database_begin(struct registry *registry, struct transaction *out, const char *what,
                   struct error *err)
{
    int rc = database_run(registry, "BEGIN IMMEDIATE", what, err);
    *out = (struct transaction){.registry = registry, .open = rc == 0};
    return rc;
}

int database_commit(struct transaction *transaction, const char *what, struct error *err)
{
    int rc = database_run(transaction->registry, "COMMIT", what, err);
    transaction->open = rc < 0;
    return rc;
}

void database_rollback(struct transaction *transaction)
{
    if (transaction->open)
        sqlite3_exec(transaction->registry->db, "ROLLBACK", NULL, NULL, NULL);
    transaction->open = false;
}

static int database_version(struct registry *registry, int *version, struct error *err)
{
    CLEAN_STMT sqlite3_stmt *stmt = NULL;
    int rc = database_prepare(registry, "PRAGMA user_version", "open the registry", &stmt, err);
    if (rc == 0)
        rc = database_step(registry, stmt, "open the registry", err);
    if (rc < 0)
        return rc;
    *version = sqlite3_column_int(stmt, 0);
    if (*version >= 0 && *version <= SCHEMA_VERSION)
        return 0;
    return error_set(err, ENOTSUP,
                     "cannot open the registry: %s: written by a newer vmdeck (version %d, this "
                     "one knows %d) (upgrade this vmdeck, or set XDG_STATE_HOME elsewhere)",
                     registry->path, *version, SCHEMA_VERSION);
}

/* Waits for the lock that creating and migrating processes take; closing the fd releases it. */
static int database_lock(const struct registry *registry, int *out, struct error *err)
{
    const char *slash = strrchr(registry->path, '/');
    int length = slash != NULL ? (int)(slash - registry->path) + 1 : 0;
    CLEAN_FREE char *path = str_printf("%.*s.", length, registry->path);
    if (path == NULL)
        return error_set(err, ENOMEM, "out of memory");
    CLEAN_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int locked = fd;
    if (fd >= 0)
        do
            locked = flock(fd, LOCK_EX);
        while (locked < 0 && errno == EINTR);
    if (locked < 0)
        return error_system(err, errno, "cannot lock %s", path);
    *out = take_fd(&fd);
    return 0;
}

static int database_migrate(struct registry *registry, struct error *err)
{
    static const char what[] = "prepare the registry";
    CLEAN_FD int lock = -1;
    CLEAN_TRANSACTION struct transaction transaction = {0};
    int version = 0;
    int rc = database_lock(registry, &lock, err);
    if (rc == 0)
        rc = database_run(registry, "PRAGMA journal_mode=WAL", what, err);
    if (rc == 0)
        rc = database_begin(registry, &transaction, what, err);
    if (rc == 0)
        rc = database_version(registry, &version, err);
    for (; rc == 0 && version < SCHEMA_VERSION; version++)
        rc = database_run(registry, migrations[version], what, err);
    if (rc != 0)
        return rc;
    CLEAN_FREE char *sql = str_printf("PRAGMA user_version=%d", version);
    if (sql == NULL)
        return error_set(err, ENOMEM, "out of memory");
    rc = database_run(registry, sql, what, err);
    return rc == 0 ? database_commit(&transaction, what, err) : rc;
}

/*
 * SQLite would create the file readable for all. Mode 0600 is what it gives the -wal and -shm
 * files then, too.
 */
static int database_create(const char *path, struct error *err)
{
    CLEAN_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        return 0;
    struct stat st;
    if (errno != EEXIST || stat(path, &st) < 0)
        return error_system(err, errno, "cannot create the registry %s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "cannot open the registry: %s: not a file (move it away)",
                         path);
    if ((st.st_mode & 077) != 0 && chmod(path, 0600) < 0)
        return error_system(err, errno, "cannot make the registry %s private (chmod 600)", path);
    return 0;
}

static int database_open(struct registry *registry, struct error *err)
{
    int rc = database_create(registry->path, err);
    if (rc < 0)
        return rc;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(registry->path, &registry->db, flags, NULL) != SQLITE_OK)
        return database_error(registry, "open the registry", err);
    sqlite3_busy_timeout(registry->db, BUSY_TIMEOUT_MS);
    /* writers empty the -wal file when it is long; each closing would cost two fsyncs */
    sqlite3_db_config(registry->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    int version = 0;
    rc = database_version(registry, &version, err);
    if (rc == 0 && version < SCHEMA_VERSION)
        rc = database_migrate(registry, err);
    if (rc == 0)
        rc = database_run(registry, "PRAGMA synchronous=NORMAL", "open the registry", err);
    return rc;
}

int registry_open(struct registry **out, const char *path, struct error *err)
{
    *out = NULL;
    struct registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = 0;
    if (path == NULL)
        rc = path_xdg(PATH_STATE, "vmdeck.db", &registry->path, err);
    else
        registry->path = strdup(path);
    if (rc == 0)
        rc = registry->path != NULL ? database_open(registry, err)
                                    : error_set(err, ENOMEM, "out of memory");
    if (rc < 0) {
        registry_close(registry);
        return rc;
    }
    *out = registry;
    return 0;
}

void registry_close(struct registry *registry)
{
    if (registry == NULL)
        return;
    sqlite3_close(registry->db);
    free(registry->path);
    free(registry);
}
