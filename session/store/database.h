/*
 * What the files of this folder share: the open database, statements and transactions, and one
 * way to put an SQLite failure into words. For this folder only.
 */
#ifndef VMDECK_SESSION_STORE_DATABASE_H
#define VMDECK_SESSION_STORE_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct registry {
    sqlite3 *db;
    char *path;
};

/* Runs statements that return nothing. `what` is what failed: "cannot <what>: …". */
int database_run(struct registry *registry, const char *sql, const char *what, struct error *err);

/* Prepares one statement. */
int database_prepare(struct registry *registry, const char *sql, const char *what,
                     sqlite3_stmt **out, struct error *err);

/* Binds ?1, ?2, …: 't' const char * (which must outlive the steps), 'i' int64_t. */
int database_bind(struct registry *registry, sqlite3_stmt *stmt, const char *what,
                  struct error *err, const char *types, ...);

/* Runs one statement, bound like database_bind(). 1 if it returned a row, 0, or a negative errno.
 */
int database_do(struct registry *registry, const char *what, struct error *err, const char *sql,
                const char *types, ...);

/* 1 with a row, 0 at the end, or a negative errno. */
int database_step(struct registry *registry, sqlite3_stmt *stmt, const char *what,
                  struct error *err);

/* The error that SQLite's last failing call on this connection left. Returns a negative errno. */
int database_error(struct registry *registry, const char *what, struct error *err);

/* Wall clock, ms since 1970; never 0. */
int64_t database_now(void);

static inline void cleanup_stmt(sqlite3_stmt **stmt)
{
    sqlite3_finalize(*stmt);
}
#define CLEAN_STMT __attribute__((cleanup(cleanup_stmt)))

/*
 * A write transaction, rolled back when it leaves its scope without database_commit(). It takes
 * the write lock at its start: one that began as a reader could not wait for a writer.
 */
struct transaction {
    struct registry *registry;
    bool open;
};
int database_begin(struct registry *registry, struct transaction *out, const char *what,
                   struct error *err);
int database_commit(struct transaction *transaction, const char *what, struct error *err);
void database_rollback(struct transaction *transaction);
#define CLEAN_TRANSACTION __attribute__((cleanup(database_rollback)))

#endif
