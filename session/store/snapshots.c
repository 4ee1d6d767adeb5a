/*
 * Rows are read and written whole. Texts are a table, because they are what has limits; kind and
 * numbers are few. Whether a file is there is looked at outside of transactions: a file system
 * that hangs must not keep the other processes waiting for the database.
 */
#include "session/store/snapshots.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "session/store/database.h"

#define CANDIDATES_MAX 6 /* named in the message about an ambiguous prefix */
#define ID_TRIES       16

static const struct text {
    const char *name;
    size_t offset, max;
} texts[] = {
#define AT(field) #field, offsetof(struct snapshot_record, field)
    {AT(name), SESSION_NAME_MAX},    {AT(path), SESSION_TEXT_MAX},
    {AT(image), SESSION_TEXT_MAX},   {AT(image_build), SESSION_TEXT_MAX},
    {AT(session), SESSION_NAME_MAX}, {AT(session_name), SESSION_NAME_MAX},
#undef AT
};
#define TEXTS (sizeof texts / sizeof texts[0])

/* Columns 0 to 4, then the texts in the order of their table. */
#define COLUMNS "id,kind,memory,size,created,name,path,image,image_build,session,session_name"
enum { COLUMN_ID, COLUMN_KIND, COLUMN_MEMORY, COLUMN_SIZE, COLUMN_CREATED, COLUMN_TEXTS };

static const char *const kind_names[SNAPSHOT_KINDS] = {"ram", "disk"};

const char *snapshot_kind_name(enum snapshot_kind kind)
{
    return kind_names[kind];
}

void snapshot_record_free(struct snapshot_record *record)
{
    free(record->memory_block);
    *record = (struct snapshot_record){0};
}

void snapshot_list_free(struct snapshot_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        snapshot_record_free(&list->items[i]);
    free(list->items);
    *list = (struct snapshot_list){0};
}

static const char **text_at(const struct text *text, struct snapshot_record *record)
{
    return (const char **)((char *)record + text->offset);
}

static const char *column_text(sqlite3_stmt *stmt, int column)
{
    const void *text = sqlite3_column_text(stmt, column);
    return text != NULL ? text : "";
}

static int record_read(sqlite3_stmt *stmt, struct snapshot_record *out, struct error *err)
{
    size_t size = 0;
    *out = (struct snapshot_record){
        .kind = strcmp(column_text(stmt, COLUMN_KIND), "disk") == 0 ? SNAPSHOT_DISK : SNAPSHOT_RAM,
        .memory = sqlite3_column_int64(stmt, COLUMN_MEMORY),
        .size = sqlite3_column_int64(stmt, COLUMN_SIZE),
        .created = sqlite3_column_int64(stmt, COLUMN_CREATED),
    };
    snprintf(out->id, sizeof out->id, "%s", column_text(stmt, COLUMN_ID));
    for (size_t i = 0; i < TEXTS; i++)
        size += strlen(column_text(stmt, COLUMN_TEXTS + (int)i)) + 1;
    char *at = out->memory_block = malloc(size);
    if (at == NULL)
        return error_set(err, ENOMEM, "cannot read the snapshots: out of memory");
    for (size_t i = 0; i < TEXTS; i++) {
        *text_at(&texts[i], out) = at;
        at = stpcpy(at, column_text(stmt, COLUMN_TEXTS + (int)i)) + 1;
    }
    return 0;
}

/* All rows of a statement; `word` is ?1 where it is not NULL. */
static int snapshot_select(struct registry *registry, const char *sql, const char *word,
                           struct snapshot_list *out, struct error *err)
{
    static const char what[] = "read the snapshots";
    CLEAN_SNAPSHOTS struct snapshot_list list = {0};
    CLEAN_STMT sqlite3_stmt *stmt = NULL;
    int rc = database_prepare(registry, sql, what, &stmt, err);
    if (rc == 0)
        rc = database_bind(registry, stmt, what, err, word != NULL ? "t" : "", word);
    while (rc == 0 && (rc = database_step(registry, stmt, what, err)) > 0) {
        struct snapshot_record *grown =
            reallocarray(list.items, list.count + 1, sizeof *list.items);
        if (grown == NULL)
            return error_set(err, ENOMEM, "cannot %s: out of memory", what);
        list.items = grown;
        rc = record_read(stmt, &list.items[list.count], err);
        if (rc == 0)
            list.count++;
    }
    if (rc == 0) {
        *out = list;
        memset(&list, 0, sizeof list);
    }
    return rc;
}

static bool file_gone(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

/* The path too: meanwhile the id may be that of a new file. */
static int row_forget(struct registry *registry, const struct snapshot_record *record,
                      struct error *err)
{
    return database_do(registry, "forget a snapshot", err,
                       "DELETE FROM snapshots WHERE id=? AND path=?", "tt", record->id,
                       record->path);
}

int snapshot_list(struct registry *registry, struct snapshot_list *out, struct error *err)
{
    *out = (struct snapshot_list){0};
    int rc = snapshot_select(registry, "SELECT " COLUMNS " FROM snapshots ORDER BY created, rowid",
                             NULL, out, err);
    size_t kept = 0;
    for (size_t i = 0; rc == 0 && i < out->count; i++) {
        struct snapshot_record *item = &out->items[i];
        if (!file_gone(item->path)) {
            struct snapshot_record moved = *item;
            *item = (struct snapshot_record){0};
            out->items[kept++] = moved;
        } else {
            rc = row_forget(registry, item, err);
            snapshot_record_free(item);
        }
    }
    if (rc == 0)
        out->count = kept;
    else
        snapshot_list_free(out);
    return rc;
}

static int id_draw(char id[SNAPSHOT_ID_SIZE], struct error *err)
{
    uint8_t random[(SNAPSHOT_ID_SIZE - 1) / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_system(err, errno, "cannot draw a snapshot's id");
    str_hex(id, random, sizeof random);
    return 0;
}

/* The id that the file's name is, or "". */
static void id_of_path(const char *path, char id[SNAPSHOT_ID_SIZE])
{
    const size_t digits = SNAPSHOT_ID_SIZE - 1;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    id[0] = '\0';
    if (strspn(name, "0123456789abcdef") == digits && strcmp(name + digits, SNAPSHOT_SUFFIX) == 0)
        snprintf(id, SNAPSHOT_ID_SIZE, "%s", name);
}

int snapshot_path(const char *name, char **out, struct error *err)
{
    char id[SNAPSHOT_ID_SIZE] = "";
    CLEAN_FREE char *directory = NULL;
    *out = NULL;
    int rc = name != NULL ? session_name_check(name, err) : id_draw(id, err);
    if (rc == 0)
        rc = path_xdg(PATH_DATA, "snapshots", &directory, err);
    if (rc == 0)
        rc = path_mkdirs(directory, 0700, err);
    if (rc < 0)
        return rc;
    *out = str_printf("%s/%s" SNAPSHOT_SUFFIX, directory, name != NULL ? name : id);
    return *out != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int name_taken(struct registry *registry, const char *name, struct error *err)
{
    int rc = database_do(registry, "read the snapshots", err,
                         "SELECT 1 FROM snapshots WHERE name=?", "t", name);
    if (rc <= 0)
        return rc;
    return error_set(err, EEXIST,
                     "name '%s': a snapshot has it (choose another, or remove that one with "
                     "vmdeck snapshot rm %s)",
                     name, name);
}

/* Those whose file is gone hold no names. */
static int forget_gone(struct registry *registry, struct error *err)
{
    CLEAN_SNAPSHOTS struct snapshot_list list = {0};
    return snapshot_list(registry, &list, err);
}

int snapshot_name_check(struct registry *registry, const char *name, struct error *err)
{
    int rc = session_name_check(name, err);
    if (rc == 0)
        rc = forget_gone(registry, err);
    return rc == 0 ? name_taken(registry, name, err) : rc;
}

static int record_check(struct snapshot_record *record, struct error *err)
{
    for (const struct text *t = texts; t < texts + TEXTS; t++) {
        const char **text = text_at(t, record);
        if (*text == NULL)
            *text = "";
        if (strnlen(*text, t->max + 1) > t->max)
            return error_set(err, E2BIG, "snapshot: %s: longer than %zu bytes", t->name, t->max);
    }
    if (record->path[0] != '/')
        return error_set(err, EINVAL, "snapshot: path: not absolute");
    if ((unsigned)record->kind >= SNAPSHOT_KINDS)
        return error_set(err, EINVAL, "snapshot: kind: there is none of that number");
    if (record->memory < 0 || record->size < 0 || record->created < 0)
        return error_set(err, EINVAL, "snapshot: %s: negative",
                         record->memory < 0 ? "memory"
                         : record->size < 0 ? "size"
                                            : "created");
    return record->name[0] != '\0' ? session_name_check(record->name, err) : 0;
}

/* In the transaction that inserts: the file's own id, or one that nobody has. */
static int id_choose(struct registry *registry, struct snapshot_record *record, struct error *err)
{
    id_of_path(record->path, record->id);
    for (int i = 0; i < ID_TRIES; i++) {
        int rc = record->id[0] == '\0' ? id_draw(record->id, err) : 0;
        if (rc == 0)
            rc = database_do(registry, "add the snapshot", err,
                             "SELECT 1 FROM snapshots WHERE id=?", "t", record->id);
        if (rc <= 0)
            return rc;
        record->id[0] = '\0';
    }
    return error_set(err, EAGAIN, "cannot add the snapshot: no free id");
}

int snapshot_indexed(struct registry *registry, const char *path, struct error *err)
{
    return database_do(registry, "look for the snapshot", err,
                       "SELECT 1 FROM snapshots WHERE path=?", "t", path);
}

int snapshot_add(struct registry *registry, struct snapshot_record *record, struct error *err)
{
    static const char what[] = "add the snapshot";
    CLEAN_TRANSACTION struct transaction transaction = {0};
    struct snapshot_record row = *record;
    int rc = record_check(&row, err);
    if (rc == 0)
        rc = forget_gone(registry, err);
    if (rc == 0)
        rc = database_begin(registry, &transaction, what, err);
    if (rc == 0)
        rc = database_do(registry, what, err, "DELETE FROM snapshots WHERE path=?", "t", row.path);
    if (rc == 0 && row.name[0] != '\0')
        rc = name_taken(registry, row.name, err);
    if (rc == 0)
        rc = id_choose(registry, &row, err);
    if (row.created == 0)
        row.created = database_now();
    if (rc == 0)
        rc = database_do(
            registry, what, err, "INSERT INTO snapshots(" COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?)",
            "ttiiitttttt", row.id, kind_names[row.kind], row.memory, row.size, row.created,
            row.name, row.path, row.image, row.image_build, row.session, row.session_name);
    if (rc == 0)
        rc = database_commit(&transaction, what, err);
    if (rc == 0) {
        memcpy(record->id, row.id, sizeof record->id);
        record->created = row.created;
    }
    return rc;
}

int snapshot_remove(struct registry *registry, const char *id, struct error *err)
{
    return database_do(registry, "forget the snapshot", err, "DELETE FROM snapshots WHERE id=?",
                       "t", id);
}

int snapshot_rename(struct registry *registry, const char *id, const char *name, struct error *err)
{
    static const char what[] = "rename the snapshot";
    CLEAN_TRANSACTION struct transaction transaction = {0};
    int rc = session_name_check(name, err);
    if (rc == 0)
        rc = forget_gone(registry, err);
    if (rc == 0)
        rc = database_begin(registry, &transaction, what, err);
    if (rc == 0)
        rc = name_taken(registry, name, err);
    if (rc == 0)
        rc = database_do(registry, what, err, "UPDATE snapshots SET name=? WHERE id=? RETURNING 1",
                         "tt", name, id);
    if (rc == 0)
        return error_set(err, ENOENT, "no snapshot '%.64s' (vmdeck snapshot ls shows them)", id);
    return rc > 0 ? database_commit(&transaction, what, err) : rc;
}

static int find_ambiguous(const char *word, const struct snapshot_list *list, struct error *err)
{
    CLEAN_BUF struct buf names = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < list->count && i < CANDIDATES_MAX; i++) {
        const struct snapshot_record *item = &list->items[i];
        rc = buf_printf(&names, "%s%s", i > 0 ? ", " : "", item->id);
        if (rc == 0 && item->name[0] != '\0')
            rc = buf_printf(&names, " (%s)", item->name);
    }
    if (rc == 0 && list->count > CANDIDATES_MAX)
        rc = buf_printf(&names, " and %zu more", list->count - CANDIDATES_MAX);
    const char *text = rc == 0 ? buf_string(&names) : NULL;
    return error_set(err, ENOTUNIQ, "'%s' begins %zu snapshots: %s (give more digits)", word,
                     list->count, text != NULL ? text : "…");
}

int snapshot_find(struct registry *registry, const char *word, struct snapshot_record *out,
                  struct error *err)
{
    *out = (struct snapshot_record){0};
    CLEAN_SNAPSHOTS struct snapshot_list list = {0};
    int rc = 0;
    /* An empty word begins every id; one that is too long is neither an id nor a name. */
    if (word[0] != '\0' && strnlen(word, SESSION_NAME_MAX + 1) <= SESSION_NAME_MAX)
        rc = snapshot_select(registry,
                             "SELECT " COLUMNS " FROM snapshots"
                             " WHERE name=?1 OR (id>=?1 AND id<?1||'g')"
                             " ORDER BY name=?1 OR id=?1 DESC, created DESC, rowid DESC",
                             word, &list, err);
    if (rc < 0)
        return rc;
    if (list.count == 0)
        return error_set(err, ENOENT, "no snapshot '%.64s' (vmdeck snapshot ls shows them)", word);
    /* A name cannot look like an id: of exact matches there is one, and it comes first. */
    struct snapshot_record *first = &list.items[0];
    bool exact = strcmp(first->name, word) == 0 || strcmp(first->id, word) == 0;
    if (list.count > 1 && !exact)
        return find_ambiguous(word, &list, err);
    *out = *first;
    *first = (struct snapshot_record){0};
    return 0;
}
