/*
 * The newest entries of the event log, as lines. Texts come from guests too: they are for
 * canvas_text() only. Not thread-safe.
 */
#ifndef VMDECK_TUI_FEED_H
#define VMDECK_TUI_FEED_H

#include "session/store/events.h"
#include "tui/theme.h"

#define FEED_MAX 1000 /* entries; the oldest go */

struct feed_entry {
    int64_t time;
    char session[SESSION_ID_SIZE];
    enum event_type type;
    enum theme_role role;
    char *text;
};

/* Zeroed memory is empty. */
struct feed {
    struct feed_entry entries[FEED_MAX];
    size_t start, count;
    int64_t after; /* row of the newest */
};

/* Reads what came behind the last one. Returns how many, or a negative errno. */
int feed_read(struct feed *feed, struct registry *registry, struct error *err);
const struct feed_entry *feed_at(const struct feed *feed, size_t index); /* 0: the oldest */
void feed_add(struct feed *feed, const struct event *event);
void feed_free(struct feed *feed);

#endif
