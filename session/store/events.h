/*
 * The event log, in the registry's database: what sessions did, in the order of writing. It is
 * bounded and trims itself, oldest first: a session that floods it pushes out its own events.
 * Threads, times and errors as in registry.h.
 */
#ifndef VMDECK_SESSION_STORE_EVENTS_H
#define VMDECK_SESSION_STORE_EVENTS_H

#include "session/store/registry.h"

#define EVENT_JSON_MAX     8192  /* bytes */
#define EVENTS_PER_SESSION 10000 /* kept of one session */
#define EVENTS_TOTAL       50000 /* kept in all */
#define EVENTS_QUERY_MAX   1000  /* returned by one query */

enum event_type {
    EVENT_NET = 1,
    EVENT_SECRET = 2,
    EVENT_VFS = 4,
    EVENT_SESSION = 8,
};
#define EVENTS_ALL (EVENT_NET | EVENT_SECRET | EVENT_VFS | EVENT_SESSION)

const char *event_type_name(enum event_type type);
unsigned event_type_named(const char *name); /* 0: there is none of that name */

/* RFC 3339, UTC, with milliseconds: 2026-01-31T23:59:59.123Z */
#define EVENT_TIME_SIZE 32
void event_time_text(int64_t time, char out[EVENT_TIME_SIZE]);

struct event {
    int64_t row; /* grows with every event, over all sessions; set by the log */
    int64_t time;
    char session[SESSION_ID_SIZE];
    enum event_type type;
    const char *json; /* one JSON object; not checked beyond its length; never a secret */
};

/*
 * Appends the events, all or none. The writers of other processes wait meanwhile: a few hundred
 * at a time. Who waits for events (events_watch()) is woken. -E2BIG or -EINVAL: a field is too long
 * or makes no sense; the message names it.
 */
int events_append(struct registry *registry, const struct event *events, size_t count,
                  struct error *err);

struct event_query {
    const char *session; /* exact id; NULL: of all */
    unsigned types;      /* enum event_type, or-ed; 0: all */
    int64_t since;       /* not older than this; 0: all */
    int64_t after;       /* only rows behind this one; to follow, or to get the next page */
    size_t limit;        /* at most this many, and at most EVENTS_QUERY_MAX; 0: that */
    bool newest;         /* of too many the last, not the first */
};

struct event_list {
    struct event *items;
    size_t count;
};
void event_list_free(struct event_list *list);
#define CLEAN_EVENTS __attribute__((cleanup(event_list_free)))

/*
 * An inotify descriptor that becomes readable after events were appended, by whichever process:
 * read it empty, then query behind the last row. Nothing is lost, because the wake-up comes after
 * the commit. The caller closes it.
 */
int events_watch(struct registry *registry, int *fd, struct error *err);

/*
 * In ascending order of row. A whole list, so that a reader that is slow to show it holds
 * nothing open in the database. *out is emptied first, and empty on failure.
 */
int events_query(struct registry *registry, const struct event_query *query, struct event_list *out,
                 struct error *err);

#endif
