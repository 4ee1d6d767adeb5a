/*
 * Every event is a row; triggers (database.c) keep the number of rows per session and in all, so
 * that trimming deletes exactly what is too many and never counts. The bound per session comes
 * first: a guest that floods the log removes its own events, and at most EVENTS_PER_SESSION of
 * those of others.
 */
#include "session/store/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "session/store/database.h"

static const struct {
    enum event_type type;
    const char *name;
} types[] = {
    {EVENT_NET, "net"},
    {EVENT_SECRET, "secret"},
    {EVENT_VFS, "vfs"},
    {EVENT_SESSION, "session"},
};

#define TYPES (sizeof types / sizeof types[0])

const char *event_type_name(enum event_type type)
{
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].type == type)
            return types[i].name;
    return "unknown";
}

unsigned event_type_named(const char *name)
{
    for (size_t i = 0; i < TYPES; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    return 0;
}

static int event_check(const struct event *event, struct error *err)
{
    if (strnlen(event->session, SESSION_ID_SIZE) != SESSION_ID_SIZE - 1)
        return error_set(err, EINVAL, "event: session: not an id");
    if (event_type_named(event_type_name(event->type)) == 0)
        return error_set(err, EINVAL, "event: type: unknown");
    if (strnlen(event->json, EVENT_JSON_MAX + 1) > EVENT_JSON_MAX)
        return error_set(err, E2BIG, "event: json: longer than %d bytes", EVENT_JSON_MAX);
    return 0;
}

/* Deletes what one session, and then what all have too many. */
static int events_trim(struct registry *registry, const char *session, struct error *err)
{
    static const char what[] = "trim the event log";
    int rc = database_do(registry, what, err,
                         "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE session=?1"
                         " ORDER BY id LIMIT max(0, ifnull((SELECT rows - ?2 FROM event_counts"
                         " WHERE session=?1), 0)))",
                         "ti", session, (int64_t)EVENTS_PER_SESSION);
    if (rc == 0)
        rc = database_do(registry, what, err,
                         "DELETE FROM events WHERE id IN (SELECT id FROM events"
                         " ORDER BY id LIMIT max(0, ifnull((SELECT rows - ?1 FROM event_counts"
                         " WHERE session=''), 0)))",
                         "i", (int64_t)EVENTS_TOTAL);
    return rc;
}

static int events_insert(struct registry *registry, const struct event *events, size_t count,
                         struct error *err)
{
    static const char what[] = "append to the event log";
    CLEAN_STMT sqlite3_stmt *stmt = NULL;
    int rc =
        database_prepare(registry, "INSERT INTO events(time, session, type, json) VALUES(?,?,?,?)",
                         what, &stmt, err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct event *event = &events[i];
        sqlite3_reset(stmt);
        rc = database_bind(registry, stmt, what, err, "itit", event->time, event->session,
                           (int64_t)event->type, event->json);
        if (rc == 0)
            rc = database_step(registry, stmt, what, err);
    }
    return rc;
}

int events_append(struct registry *registry, const struct event *events, size_t count,
                  struct error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = event_check(&events[i], err);
    if (rc < 0 || count == 0)
        return rc;
    CLEAN_TRANSACTION struct transaction transaction = {0};
    rc = database_begin(registry, &transaction, "append to the event log", err);
    if (rc == 0)
        rc = events_insert(registry, events, count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (i == 0 || strcmp(events[i].session, events[i - 1].session) != 0)
            rc = events_trim(registry, events[i].session, err);
    if (rc == 0)
        rc = database_commit(&transaction, "append to the event log", err);
    if (rc == 0) /* what SQLite writes comes before its commit counts, so that is no signal */
        (void)utimensat(AT_FDCWD, registry->path, NULL, 0);
    return rc;
}

int events_watch(struct registry *registry, int *fd, struct error *err)
{
    CLEAN_FD int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (notify < 0 || inotify_add_watch(notify, registry->path, IN_ATTRIB) < 0)
        return error_system(err, errno, "cannot watch %s", registry->path);
    *fd = take_fd(&notify);
    return 0;
}

void event_time_text(int64_t time, char out[EVENT_TIME_SIZE])
{
    time_t seconds = (time_t)(time / 1000);
    struct tm utc = {0};
    gmtime_r(&seconds, &utc);
    size_t len = strftime(out, EVENT_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + len, EVENT_TIME_SIZE - len, ".%03dZ", (int)(time % 1000));
}

void event_list_free(struct event_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free((char *)list->items[i].json);
    free(list->items);
    *list = (struct event_list){0};
}

/* The row under the statement. */
static int event_read(sqlite3_stmt *stmt, struct event *out, struct error *err)
{
    const void *session = sqlite3_column_text(stmt, 2);
    const void *json = sqlite3_column_text(stmt, 4);
    out->row = sqlite3_column_int64(stmt, 0);
    out->time = sqlite3_column_int64(stmt, 1);
    snprintf(out->session, sizeof out->session, "%s", session != NULL ? (const char *)session : "");
    out->type = (enum event_type)sqlite3_column_int(stmt, 3);
    out->json = strdup(json != NULL ? json : "");
    return out->json != NULL ? 0 : error_set(err, ENOMEM, "cannot read the events: out of memory");
}

/* The inner SELECT takes the right end, the outer one brings it into order. */
#define QUERY(where, order)                                                        \
    "SELECT * FROM (SELECT id, time, session, type, json FROM events WHERE " where \
    " id>?2 AND (type&?3) AND time>=?4 ORDER BY id " order " LIMIT ?5) ORDER BY id"

int events_query(struct registry *registry, const struct event_query *query, struct event_list *out,
                 struct error *err)
{
    static const char what[] = "read the events";
    static const char *const statements[2][2] = {
        {QUERY("?1='' AND", "ASC"), QUERY("?1='' AND", "DESC")},
        {QUERY("session=?1 AND", "ASC"), QUERY("session=?1 AND", "DESC")},
    };
    *out = (struct event_list){0};
    size_t limit = query->limit;
    if (limit == 0 || limit > EVENTS_QUERY_MAX)
        limit = EVENTS_QUERY_MAX;
    CLEAN_EVENTS struct event_list list = {0};
    list.items = calloc(limit, sizeof *list.items);
    if (list.items == NULL)
        return error_set(err, ENOMEM, "cannot read the events: out of memory");
    CLEAN_STMT sqlite3_stmt *stmt = NULL;
    const char *session = query->session != NULL ? query->session : "";
    int64_t types_wanted = query->types != 0 ? query->types : EVENTS_ALL;
    int rc = database_prepare(registry, statements[query->session != NULL][query->newest], what,
                              &stmt, err);
    if (rc == 0)
        rc = database_bind(registry, stmt, what, err, "tiiii", session, query->after, types_wanted,
                           query->since, (int64_t)limit);
    while (rc == 0 && (rc = database_step(registry, stmt, what, err)) > 0) {
        rc = event_read(stmt, &list.items[list.count], err);
        if (rc == 0)
            list.count++;
    }
    if (rc == 0) {
        *out = list;
        memset(&list, 0, sizeof list);
    }
    return rc;
}
