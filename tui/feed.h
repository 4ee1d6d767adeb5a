/*
 * The newest entries of the event log. Texts come from guests too: they are for canvas_text() only.
 * Not thread-safe.
 */
#ifndef VMDECK_TUI_FEED_H
#define VMDECK_TUI_FEED_H

#include <cjson/cJSON.h>

#include "session/store/events.h"
#include "tui/theme.h"

#define FEED_MAX 1000 /* entries; the oldest go */

struct feed_entry {
    int64_t row, time;
    int64_t until; /* of one that waits (verdict '?'): when it is denied */
    char session[SESSION_ID_SIZE];
    enum event_type type;
    enum theme_role role;
    char verdict;  /* 'A' allowed, 'D' denied, 'S' a secret, ' ' neither */
    char *text;    /* one line, for the log and for filters */
    cJSON *object; /* as the log has it; NULL: it was no JSON */
};

/* Zeroed memory is empty. */
struct feed {
    struct feed_entry entries[FEED_MAX];
    size_t start, count;
    int64_t after;  /* row of the newest */
    bool processes; /* some say which process asked */
};

/* Reads what came behind the last one. Returns how many, or a negative errno. */
int feed_read(struct feed *feed, struct registry *registry, struct error *err);
const struct feed_entry *feed_at(const struct feed *feed, size_t index);  /* 0: the oldest */
const struct feed_entry *feed_find(const struct feed *feed, int64_t row); /* NULL: it is gone */
void feed_add(struct feed *feed, const struct event *event);
void feed_free(struct feed *feed);

/* What an entry or a request that waits says; "" if it does not. */
const char *feed_text(const cJSON *object, const char *name);
const char *feed_process(const cJSON *object);
const char *feed_method(const cJSON *object); /* the method, or the protocol */

/* HOST, or HOST:PORT where the port is not the protocol's own. */
#define FEED_HOST_SIZE 272
void feed_host(const cJSON *object, char out[FEED_HOST_SIZE]);

#endif
