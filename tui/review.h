/*
 * What needs a decision: requests that wait, and those that were refused since, in groups of one
 * session and one host; and what the next answer is to cover. A model without drawing and without
 * connections. Texts come from guests: they are for canvas_text() only. Not thread-safe.
 */
#ifndef VMDECK_TUI_REVIEW_H
#define VMDECK_TUI_REVIEW_H

#include "base/str.h"
#include "tui/feed.h"

#define REVIEW_QUESTIONS 4000 /* further ones are not listed until some of these are answered */
#define REVIEW_GROUPS    1000
#define REVIEW_ANSWERED  64 /* answers that are remembered: what was refused before is settled */
#define REVIEW_HOST_SIZE 256

struct review_question {
    char session[SESSION_ID_SIZE];
    uint64_t id;
    int64_t asked; /* ms since 1970 */
    int64_t until; /* ms since 1970: denied then */
    cJSON *object;
};

struct review_group {
    int64_t ref; /* of its session, host and kind; not 0 */
    const char *session, *host;
    bool waits;          /* else it was refused */
    unsigned count;      /* requests */
    int64_t asked;       /* ms since 1970; 0 if it was refused */
    int64_t time;        /* the first one is denied then; or the last one was refused then */
    const cJSON *object; /* the oldest that waits, or what the log has of the newest */
};

struct review_answered {
    char session[SESSION_ID_SIZE], host[REVIEW_HOST_SIZE];
    int64_t time;
};

/* Zeroed memory is empty. */
struct review {
    struct review_question *questions;
    size_t question_count;
    struct review_group
        *groups;               /* those that wait first, the oldest first; then the newest first */
    size_t group_count, waits; /* how many of them wait */
    struct review_answered answered[REVIEW_ANSWERED];
    size_t answered_next;
    /* what the next answer covers */
    unsigned wide;   /* labels of the host that any may stand for */
    bool precise;    /* this method and path only */
    bool everywhere; /* in all sessions */
};

/* Forgets the session's questions, or all (NULL). */
void review_forget(struct review *review, const char *session);

/* Takes over one of the objects of a "requests" reply. */
void review_add(struct review *review, const char *session, cJSON *object, int64_t now);

/* Groups what there is; before it nothing of the groups may be looked at. 0 or -ENOMEM. */
int review_build(struct review *review, const struct feed *feed);

const struct review_group *review_find(const struct review *review, int64_t ref);

/* The group was answered: what was refused until now is no longer shown. */
void review_settle(struct review *review, const struct review_group *group, int64_t now);

/* More general: one label of the host more, and after the last that makes sense the exact host. */
void review_widen(struct review *review, const struct review_group *group);

/*
 * The rule's pattern, as the toggles say. -EINVAL: what the guest asked for cannot be said exactly
 * (it has a '*'), or could be taken for an option.
 */
int review_pattern(const struct review *review, const struct review_group *group, struct buf *out,
                   struct error *err);

void review_free(struct review *review);

#endif
