/*
 * Sessions in the database. One table says for every column where its value is in the record, how
 * long it may be, and which bit of session_update() writes it: statements, binding, reading and
 * checking all follow it. The id is the first column of every statement and not in the table.
 *
 * Ids are 32 random bits. With a thousand sessions about one in four million collides with one
 * that exists; the primary key notices, and another is drawn.
 */
#include "session/store/registry.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "session/store/database.h"

#define ID_TRIES       16
#define CANDIDATES_MAX 6 /* named in the message about an ambiguous prefix */

static const char *const state_names[SESSION_STATES] = {
    [SESSION_STARTING] = "starting",   [SESSION_RUNNING] = "running",
    [SESSION_WAITING] = "waiting",     [SESSION_PAUSED] = "paused",
    [SESSION_SUSPENDED] = "suspended", [SESSION_STOPPED] = "stopped",
    [SESSION_DEAD] = "dead",
};

enum column_kind { COLUMN_TEXT, COLUMN_INTEGER, COLUMN_STATE };

static const struct column {
    const char *name;
    size_t offset;
    size_t max; /* of a text, bytes */
    enum column_kind kind;
    unsigned fields; /* 0: written only when the session is added */
} columns[] = {
#define AT(field) #field, offsetof(struct session_record, field)
    {AT(name), SESSION_NAME_MAX, COLUMN_TEXT, 0},
    {AT(state), 0, COLUMN_STATE, SESSION_SET_STATE},
    {AT(image), SESSION_TEXT_MAX, COLUMN_TEXT, SESSION_SET_IMAGE},
    {AT(image_build), SESSION_TEXT_MAX, COLUMN_TEXT, SESSION_SET_IMAGE},
    {AT(arch), SESSION_TEXT_MAX, COLUMN_TEXT, SESSION_SET_IMAGE},
    {AT(accel), SESSION_TEXT_MAX, COLUMN_TEXT, SESSION_SET_MACHINE},
    {AT(memory), 0, COLUMN_INTEGER, SESSION_SET_MACHINE},
    {AT(cpus), 0, COLUMN_INTEGER, SESSION_SET_MACHINE},
    {AT(host_pid), 0, COLUMN_INTEGER, SESSION_SET_HOST},
    {AT(host_start), 0, COLUMN_INTEGER, SESSION_SET_HOST},
    {AT(created), 0, COLUMN_INTEGER, 0},
    {AT(ended), 0, COLUMN_INTEGER, 0},
    {AT(ended_reason), SESSION_TEXT_MAX, COLUMN_TEXT, 0},
    {AT(command), SESSION_TEXT_MAX, COLUMN_TEXT, SESSION_SET_COMMAND},
    {AT(directory), SESSION_TEXT_MAX, COLUMN_TEXT, SESSION_SET_FILES},
    {AT(config), SESSION_CONFIG_MAX, COLUMN_TEXT, SESSION_SET_CONFIG},
#undef AT
};

#define COLUMNS (sizeof columns / sizeof columns[0])
#define ADDING  UINT_MAX /* all columns */

static bool column_in(const struct column *column, unsigned fields)
{
    return fields == ADDING || (column->fields & fields) != 0;
}

static const void *column_at(const struct column *column, const struct session_record *record)
{
    return (const char *)record + column->offset;
}

static const char *column_text(const struct column *column, const struct session_record *record)
{
    const char *text = *(const char *const *)column_at(column, record);
    return text != NULL ? text : "";
}

const char *session_state_name(enum session_state state)
{
    return state_names[state];
}

static enum session_state state_named(const char *name)
{
    for (int i = 0; i < SESSION_STATES; i++)
        if (strcmp(name, state_names[i]) == 0)
            return (enum session_state)i;
    return SESSION_DEAD; /* only a hand that edits the file writes another */
}

void session_record_free(struct session_record *record)
{
    free(record->memory_block);
    memset(record, 0, sizeof *record);
}

void session_list_free(struct session_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        session_record_free(&list->items[i]);
    free(list->items);
    *list = (struct session_list){0};
}

int session_name_check(const char *name, struct error *err)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    size_t length = strnlen(name, SESSION_NAME_MAX + 1);
    const char *wrong = NULL;
    if (length == 0 || length > SESSION_NAME_MAX)
        wrong = "must have 1 to 64 characters";
    else if (name[0] == '.' || name[0] == '-')
        wrong = "must not start with '.' or '-'";
    else if (strspn(name, hex) == length && length == SESSION_ID_SIZE - 1)
        wrong = "8 hex digits look like an id";
    else if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") !=
             length)
        wrong = "only letters, digits, '.', '_' and '-' are allowed";
    if (wrong == NULL)
        return 0;
    return error_set(err, EINVAL, "name '%.64s': %s (choose another name)", name, wrong);
}

/*
 * Prepares a statement from a template: '@' stands for the names of the columns that `fields`
 * selects, '#' for a parameter for each, '$' for "name=parameter"; each with a comma in front.
 */
static int session_prepare(struct registry *registry, const char *template, unsigned fields,
                           const char *what, sqlite3_stmt **out, struct error *err)
{
    CLEAN_BUF struct buf sql = {0};
    int rc = 0;
    for (const char *p = template; rc == 0 && *p != '\0'; p++) {
        bool list = *p == '@' || *p == '#' || *p == '$';
        if (!list)
            rc = buf_append(&sql, p, 1);
        for (const struct column *c = columns; list && rc == 0 && c < columns + COLUMNS; c++)
            if (column_in(c, fields))
                rc = buf_printf(&sql, ",%s%s", *p != '#' ? c->name : "",
                                *p == '#'   ? "?"
                                : *p == '$' ? "=?"
                                            : "");
    }
    const char *text = rc == 0 ? buf_string(&sql) : NULL;
    if (text == NULL)
        return error_set(err, ENOMEM, "cannot %s: out of memory", what);
    return database_prepare(registry, text, what, out, err);
}

/* Checks the fields that are about to be written. */
static int record_check(const struct session_record *record, unsigned fields, struct error *err)
{
    for (const struct column *c = columns; c < columns + COLUMNS; c++) {
        if (!column_in(c, fields))
            continue;
        if (c->kind == COLUMN_TEXT && strnlen(column_text(c, record), c->max + 1) > c->max)
            return error_set(err, E2BIG, "session: %s: longer than %zu bytes", c->name, c->max);
        if (c->kind == COLUMN_INTEGER && *(const int64_t *)column_at(c, record) < 0)
            return error_set(err, EINVAL, "session: %s: negative", c->name);
        if (c->kind == COLUMN_STATE && (unsigned)record->state >= SESSION_STOPPED)
            return error_set(err, EINVAL, "session: %s: not the state of a live session", c->name);
    }
    return 0;
}

/* Binds the columns that `fields` selects, from ?2 on; the record must outlive the step. */
static int record_bind(struct registry *registry, sqlite3_stmt *stmt,
                       const struct session_record *record, unsigned fields, struct error *err)
{
    int result = sqlite3_bind_text(stmt, 1, record->id, -1, SQLITE_STATIC);
    int index = 2;
    for (const struct column *c = columns; result == SQLITE_OK && c < columns + COLUMNS; c++) {
        if (!column_in(c, fields))
            continue;
        if (c->kind == COLUMN_TEXT)
            result = sqlite3_bind_text(stmt, index, column_text(c, record), -1, SQLITE_STATIC);
        else if (c->kind == COLUMN_INTEGER)
            result = sqlite3_bind_int64(stmt, index, *(const int64_t *)column_at(c, record));
        else
            result = sqlite3_bind_text(stmt, index, state_names[record->state], -1, SQLITE_STATIC);
        index++;
    }
    return result == SQLITE_OK ? 0 : database_error(registry, "write the session", err);
}

/* The row under the statement: id, then the columns in the order of the table. */
static int record_read(sqlite3_stmt *stmt, struct session_record *out, struct error *err)
{
    const char *texts[COLUMNS] = {0};
    size_t size = 0;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < COLUMNS; i++)
        if (columns[i].kind != COLUMN_INTEGER) {
            const void *text = sqlite3_column_text(stmt, (int)i + 1);
            texts[i] = text != NULL ? text : "";
            size += strlen(texts[i]) + 1;
        }
    char *at = malloc(size);
    if (at == NULL)
        return error_set(err, ENOMEM, "cannot read the sessions: out of memory");
    out->memory_block = at;
    const void *id = sqlite3_column_text(stmt, 0);
    snprintf(out->id, sizeof out->id, "%s", id != NULL ? (const char *)id : "");
    for (size_t i = 0; i < COLUMNS; i++) {
        void *to = (char *)out + columns[i].offset;
        if (columns[i].kind == COLUMN_TEXT) {
            *(const char **)to = at;
            at = stpcpy(at, texts[i]) + 1;
        } else if (columns[i].kind == COLUMN_INTEGER) {
            *(int64_t *)to = sqlite3_column_int64(stmt, (int)i + 1);
        } else {
            out->state = state_named(texts[i]);
        }
    }
    return 0;
}

/* Writes a row with a new id; 0, -EAGAIN when a session has the id, or the failure. */
int session_new_id(char id[SESSION_ID_SIZE], struct error *err)
{
    uint8_t random[(SESSION_ID_SIZE - 1) / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_system(err, errno, "cannot draw a session id");
    str_hex(id, random, sizeof random);
    return 0;
}

static int session_insert(struct registry *registry, sqlite3_stmt *stmt,
                          struct session_record *record, struct error *err)
{
    int rc = record->id[0] == '\0' ? session_new_id(record->id, err) : 0;
    if (rc == 0)
        rc = record_bind(registry, stmt, record, ADDING, err);
    if (rc < 0 || sqlite3_step(stmt) == SQLITE_DONE)
        return rc;
    int result = sqlite3_extended_errcode(registry->db);
    if (result == SQLITE_CONSTRAINT_PRIMARYKEY) {
        rc = error_set(err, EAGAIN, "cannot add the session: no free id");
        record->id[0] = '\0'; /* another one, then */
    } else if (result == SQLITE_CONSTRAINT_UNIQUE)
        rc = error_set(err, EEXIST,
                       "name '%s': a live session has it (choose another, or end that one with "
                       "vmdeck stop %s)",
                       record->name, record->name);
    else
        rc = database_error(registry, "add the session", err);
    sqlite3_reset(stmt);
    return rc;
}

static int session_add_row(struct registry *registry, struct session_record *record, bool given,
                           struct error *err)
{
    struct session_record row = *record;
    if (!given)
        row.id[0] = '\0';
    row.created = database_now();
    row.ended = 0;
    row.ended_reason = NULL;
    int rc = record_check(&row, ADDING, err);
    if (rc == 0 && row.name != NULL && row.name[0] != '\0')
        rc = session_name_check(row.name, err);
    if (rc < 0)
        return rc;
    CLEAN_STMT sqlite3_stmt *stmt = NULL;
    rc = session_prepare(registry, "INSERT INTO sessions(id@) VALUES(?#)", ADDING,
                         "add the session", &stmt, err);
    if (rc < 0)
        return rc;
    rc = -EAGAIN;
    for (int i = 0; rc == -EAGAIN && i < (given ? 1 : ID_TRIES); i++)
        rc = session_insert(registry, stmt, &row, err);
    if (rc == 0) {
        memcpy(record->id, row.id, sizeof record->id);
        record->created = row.created;
    }
    return rc;
}

int session_add(struct registry *registry, struct session_record *record, struct error *err)
{
    return session_add_row(registry, record, false, err);
}

int session_add_known(struct registry *registry, struct session_record *record, struct error *err)
{
    return session_add_row(registry, record, true, err);
}

int session_update(struct registry *registry, const struct session_record *record, unsigned fields,
                   struct error *err)
{
    fields &= SESSION_SET_ALL;
    int rc = record_check(record, fields, err);
    if (rc < 0)
        return rc;
    CLEAN_STMT sqlite3_stmt *stmt = NULL;
    rc = session_prepare(registry, "UPDATE sessions SET id=?1$ WHERE id=?1 AND ended=0", fields,
                         "update the session", &stmt, err);
    if (rc == 0)
        rc = record_bind(registry, stmt, record, fields, err);
    if (rc == 0)
        rc = database_step(registry, stmt, "update the session", err);
    if (rc == 0 && sqlite3_changes(registry->db) == 0)
        rc =
            error_set(err, ENOENT, "session %.8s is not in the registry, or has ended", record->id);
    return rc;
}

int session_end(struct registry *registry, const char *id, enum session_state state,
                const char *reason, struct error *err)
{
    static const char what[] = "end the session";
    if (state != SESSION_STOPPED && state != SESSION_DEAD)
        return error_set(err, EINVAL, "session: state: not the state of an ended session");
    if (reason == NULL)
        reason = "";
    if (strnlen(reason, SESSION_TEXT_MAX + 1) > SESSION_TEXT_MAX)
        return error_set(err, E2BIG, "session: ended_reason: longer than %d bytes",
                         SESSION_TEXT_MAX);
    CLEAN_TRANSACTION struct transaction transaction = {0};
    int rc = database_begin(registry, &transaction, what, err);
    if (rc == 0)
        rc = database_do(registry, what, err, "SELECT 1 FROM sessions WHERE id=?", "t", id);
    if (rc == 0)
        return error_set(err, ENOENT, "session %.8s is not in the registry", id);
    if (rc > 0)
        rc = database_do(registry, what, err,
                         "UPDATE sessions SET state=?2, ended=?3, ended_reason=?4"
                         " WHERE id=?1 AND ended=0",
                         "ttit", id, state_names[state], database_now(), reason);
    if (rc == 0)
        rc = database_do(
            registry, what, err,
            "DELETE FROM sessions WHERE rowid IN (SELECT rowid FROM sessions"
            " WHERE ended>0 ORDER BY ended DESC, created DESC, rowid DESC LIMIT -1 OFFSET ?)",
            "i", (int64_t)SESSIONS_ENDED_KEPT);
    return rc == 0 ? database_commit(&transaction, what, err) : rc;
}

int session_remove(struct registry *registry, const char *id, struct error *err)
{
    return database_do(registry, "remove the session", err, "DELETE FROM sessions WHERE id=?", "t",
                       id);
}

/* All rows of a statement template; `word` is ?1 where it is not NULL. */
static int session_select(struct registry *registry, const char *template, const char *word,
                          struct session_list *out, struct error *err)
{
    static const char what[] = "read the sessions";
    CLEAN_SESSIONS struct session_list list = {0};
    CLEAN_STMT sqlite3_stmt *stmt = NULL;
    int rc = session_prepare(registry, template, ADDING, what, &stmt, err);
    if (rc == 0)
        rc = database_bind(registry, stmt, what, err, word != NULL ? "t" : "", word);
    if (rc < 0)
        return rc;
    size_t capacity = 0;
    while ((rc = database_step(registry, stmt, what, err)) > 0) {
        if (list.count == capacity) {
            capacity = capacity > 0 ? 2 * capacity : 16;
            struct session_record *grown = reallocarray(list.items, capacity, sizeof *grown);
            if (grown == NULL)
                return error_set(err, ENOMEM, "cannot %s: out of memory", what);
            list.items = grown;
        }
        rc = record_read(stmt, &list.items[list.count], err);
        if (rc < 0)
            return rc;
        list.count++;
    }
    if (rc == 0) {
        *out = list;
        memset(&list, 0, sizeof list);
    }
    return rc;
}

int session_list(struct registry *registry, enum session_scope scope, struct session_list *out,
                 struct error *err)
{
    *out = (struct session_list){0};
    return session_select(registry,
                          scope == SESSIONS_ALL
                              ? "SELECT id@ FROM sessions ORDER BY created, rowid"
                              : "SELECT id@ FROM sessions WHERE ended=0 ORDER BY created, rowid",
                          NULL, out, err);
}

/* Says that `count` sessions of the list (those in scope) have ids that start with the word. */
static int find_ambiguous(const char *word, const struct session_list *list,
                          enum session_scope scope, size_t count, struct error *err)
{
    CLEAN_BUF struct buf names = {0};
    size_t named = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list->count && named < CANDIDATES_MAX; i++) {
        const struct session_record *item = &list->items[i];
        if (scope == SESSIONS_LIVE && item->ended != 0)
            continue;
        rc = buf_printf(&names, "%s%s", named++ > 0 ? ", " : "", item->id);
        if (rc == 0 && item->name[0] != '\0')
            rc = buf_printf(&names, " (%s)", item->name);
    }
    if (rc == 0 && count > named)
        rc = buf_printf(&names, " and %zu more", count - named);
    const char *text = rc == 0 ? buf_string(&names) : NULL;
    return error_set(err, ENOTUNIQ, "'%s' begins %zu sessions: %s (give more digits)", word, count,
                     text != NULL ? text : "…");
}

/*
 * Picks from the candidates: what the word names exactly comes before what it begins. A name
 * cannot look like an id, so the first exact match is the id, or the best session of that name.
 * Where that one has ended the search ends too: "stop db" means the session db, even if it is
 * gone, and not one whose id happens to begin so.
 */
static int find_pick(const char *word, enum session_scope scope, const struct session_list *list,
                     struct session_record **out, struct error *err)
{
    size_t count = 0;
    struct session_record *match = NULL;
    const struct session_record *ended = NULL;
    for (size_t i = 0; i < list->count; i++) {
        struct session_record *item = &list->items[i];
        bool exact = strcmp(item->id, word) == 0 || strcmp(item->name, word) == 0;
        if (scope == SESSIONS_LIVE && item->ended != 0)
            ended = ended == NULL || exact ? item : ended;
        else if (count++ == 0 || exact)
            match = item;
        if (exact) {
            count = ended != item;
            break;
        }
    }
    if (count == 1) {
        *out = match;
        return 0;
    }
    if (count > 1)
        return find_ambiguous(word, list, scope, count, err);
    if (ended != NULL)
        return error_set(err, ENOENT, "session %s has ended (vmdeck list --all shows it)",
                         ended->id);
    return error_set(err, ENOENT, "no session '%.64s' (vmdeck list shows them)", word);
}

int session_find(struct registry *registry, const char *word, enum session_scope scope,
                 struct session_record *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    CLEAN_SESSIONS struct session_list list = {0};
    struct session_record *pick = NULL;
    int rc = 0;
    /* An empty word begins every id; one that is too long is neither an id nor a name. */
    if (word[0] != '\0' && strnlen(word, SESSION_NAME_MAX + 1) <= SESSION_NAME_MAX)
        rc = session_select(registry,
                            "SELECT id@ FROM sessions WHERE name=?1 OR (id>=?1 AND id<?1||'g')"
                            " ORDER BY ended>0, created DESC, rowid DESC",
                            word, &list, err);
    if (rc == 0)
        rc = find_pick(word, scope, &list, &pick, err);
    if (pick != NULL) {
        *out = *pick;
        memset(pick, 0, sizeof *pick);
    }
    return rc;
}

int session_host_start(int64_t pid, int64_t *start, struct error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    CLEAN_BUF struct buf stat = {0};
    if (path_read(path, 4096, &stat, NULL) < 0)
        return error_set(err, ESRCH, "no process %lld", (long long)pid);
    const char *text = buf_string(&stat);
    /* Field 2 is the program's name in parentheses, and may hold blanks and parentheses. */
    const char *p = text != NULL ? strrchr(text, ')') : NULL;
    for (int field = 2; p != NULL && field < 22; field++)
        p = strchr(p + 1, ' ');
    if (p == NULL)
        return error_set(err, EIO, "cannot read %s", path);
    *start = strtoll(p + 1, NULL, 10);
    return 0;
}

bool session_host_exists(const struct session_record *record)
{
    int64_t start = 0;
    return record->host_pid > 0 && session_host_start(record->host_pid, &start, NULL) == 0 &&
           start == record->host_start;
}
