/*
 * Groups are found by a hash of their session, host and kind, in a table of twice as many places;
 * they are made anew whenever something comes or goes, so that they can point into what the log and
 * the replies say. A host that was allowed after it had been refused is settled.
 */
#include "tui/review.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "session/protocol/json.h"

#define REVIEW_DECIDED "denied when asked" /* the reason of a host's event: somebody said no */
#define PLACES         2048                /* a power of two above REVIEW_GROUPS */
_Static_assert(PLACES > REVIEW_GROUPS, "a search ends at a free place");

struct places {
    struct review_group *at[PLACES];
};

void review_forget(struct review *review, const char *session)
{
    size_t kept = 0;
    for (size_t i = 0; i < review->question_count; i++) {
        struct review_question *question = &review->questions[i];
        if (session == NULL || strcmp(question->session, session) == 0)
            cJSON_Delete(question->object);
        else
            review->questions[kept++] = *question;
    }
    review->question_count = kept;
    review->group_count = review->waits = 0; /* they point into what is gone */
}

void review_add(struct review *review, const char *session, cJSON *object, int64_t now)
{
    size_t size = REVIEW_QUESTIONS * sizeof *review->questions;
    if (review->questions == NULL)
        review->questions = malloc(size);
    if (review->questions == NULL || review->question_count == REVIEW_QUESTIONS) {
        cJSON_Delete(object);
        return;
    }
    struct review_question *question = &review->questions[review->question_count++];
    *question = (struct review_question){.id = json_number(object, "id", 0),
                                         .until = now + (int64_t)json_number(object, "left_ms", 0),
                                         .object = object};
    snprintf(question->session, sizeof question->session, "%s", session);
    struct tm tm = {0};
    if (strptime(feed_text(object, "time"), "%Y-%m-%dT%H:%M:%SZ", &tm) != NULL)
        question->asked = (int64_t)timegm(&tm) * 1000;
}

/* FNV-1a. */
static int64_t ref_of(const char *session, const char *host, bool waits)
{
    const char *const texts[] = {session, host};
    uint64_t hash = waits ? 0xcbf29ce484222325u : 0x84222325cbf29ce4u;
    for (int i = 0; i < 2; i++)
        for (const char *p = texts[i]; *p != '\0'; p++)
            hash = (hash ^ (uint8_t)*p) * 0x100000001b3u;
    return (int64_t)(hash >> 2) + 1;
}

/* The group's place; it holds NULL while there is no such group. */
static struct review_group **place_of(struct places *places, const char *session, const char *host,
                                      bool waits)
{
    size_t at = (size_t)ref_of(session, host, waits) % PLACES;
    for (;; at = (at + 1) % PLACES) {
        const struct review_group *group = places->at[at];
        if (group == NULL || (group->waits == waits && strcmp(group->session, session) == 0 &&
                              strcmp(group->host, host) == 0))
            return &places->at[at];
    }
}

static struct review_group *group_of(struct review *review, struct places *places,
                                     const char *session, const cJSON *object, bool waits)
{
    const char *host = feed_text(object, "host");
    struct review_group **place = place_of(places, session, host, waits);
    if (*place == NULL && review->group_count < REVIEW_GROUPS) {
        *place = &review->groups[review->group_count++];
        **place = (struct review_group){.ref = ref_of(session, host, waits),
                                        .session = session,
                                        .host = host,
                                        .waits = waits,
                                        .object = object};
    }
    return *place;
}

static bool is_settled(const struct review *review, const struct feed_entry *entry)
{
    const char *host = feed_text(entry->object, "host");
    for (size_t i = 0; i < REVIEW_ANSWERED; i++) {
        const struct review_answered *answered = &review->answered[i];
        if (entry->time <= answered->time && strcmp(answered->host, host) == 0 &&
            (answered->session[0] == '\0' || strcmp(answered->session, entry->session) == 0))
            return true;
    }
    return false;
}

static void add_refused(struct review *review, struct places *places,
                        const struct feed_entry *entry)
{
    bool denied = entry->verdict == 'D';
    if (strcmp(feed_text(entry->object, "reason"), REVIEW_DECIDED) == 0)
        return;
    if (entry->type != EVENT_NET || entry->object == NULL || is_settled(review, entry) ||
        *feed_text(entry->object, "host") == '\0')
        return;
    if (!denied) {
        struct review_group *known =
            *place_of(places, entry->session, feed_text(entry->object, "host"), false);
        if (known != NULL && entry->verdict == 'A')
            known->count = 0;
        return;
    }
    struct review_group *group = group_of(review, places, entry->session, entry->object, false);
    if (group == NULL)
        return;
    group->count++;
    group->time = entry->time;
    group->object = entry->object;
    group->session = entry->session;
    group->host = feed_text(entry->object, "host");
}

static int compare(const void *left, const void *right)
{
    const struct review_group *a = left, *b = right;
    if (a->waits != b->waits)
        return a->waits ? -1 : 1;
    int order = a->time < b->time ? -1 : a->time > b->time;
    return a->waits ? order : -order;
}

int review_build(struct review *review, const struct feed *feed)
{
    struct places *places = calloc(1, sizeof *places);
    if (review->groups == NULL)
        review->groups = malloc(REVIEW_GROUPS * sizeof *review->groups);
    review->group_count = review->waits = 0;
    if (places == NULL || review->groups == NULL) {
        free(places);
        return -ENOMEM;
    }
    for (size_t i = 0; i < review->question_count; i++) {
        const struct review_question *question = &review->questions[i];
        struct review_group *group =
            group_of(review, places, question->session, question->object, true);
        if (group == NULL)
            continue;
        if (group->count++ > 0)
            continue;
        group->time = question->until;
        group->asked = question->asked;
    }
    review->waits = review->group_count;
    for (size_t i = 0; i < feed->count; i++)
        add_refused(review, places, feed_at(feed, i));
    size_t kept = 0;
    for (size_t i = 0; i < review->group_count; i++)
        if (review->groups[i].count > 0)
            review->groups[kept++] = review->groups[i];
    review->group_count = kept;
    qsort(review->groups, kept, sizeof *review->groups, compare);
    free(places);
    return 0;
}

const struct review_group *review_find(const struct review *review, int64_t ref)
{
    for (size_t i = 0; i < review->group_count; i++)
        if (review->groups[i].ref == ref)
            return &review->groups[i];
    return NULL;
}

void review_settle(struct review *review, const struct review_group *group, int64_t now)
{
    struct review_answered *answered = &review->answered[review->answered_next];
    review->answered_next = (review->answered_next + 1) % REVIEW_ANSWERED;
    answered->time = now;
    snprintf(answered->session, sizeof answered->session, "%s",
             review->everywhere ? "" : group->session);
    snprintf(answered->host, sizeof answered->host, "%.255s", group->host);
}

/* Behind the first `labels` dots; NULL: what would remain has no dot, or it is an address. */
static const char *behind(const char *host, unsigned labels)
{
    if (strchr(host, ':') != NULL || host[strspn(host, "0123456789.")] == '\0')
        return NULL;
    for (; labels > 0 && host != NULL; labels--) {
        host = strchr(host, '.');
        host = host != NULL ? host + 1 : NULL;
    }
    return host != NULL && strchr(host, '.') != NULL ? host : NULL;
}

void review_widen(struct review *review, const struct review_group *group)
{
    review->wide++;
    if (behind(group->host, review->wide) == NULL)
        review->wide = 0;
}

int review_pattern(const struct review *review, const struct review_group *group, struct buf *out,
                   struct error *err)
{
    const char *rest = review->wide > 0 ? behind(group->host, review->wide) : NULL;
    const char *method = feed_text(group->object, "method");
    const char *path = feed_text(group->object, "path");
    if (group->host[0] == '-' || strpbrk(group->host, "*/ ") != NULL)
        return error_set(err, EINVAL, "no rule can name the host '%.100s'", group->host);
    if (review->precise && (strpbrk(path, "* ") != NULL || strpbrk(method, "* ") != NULL))
        return error_set(err, EINVAL, "its path has a '*', which a rule takes for anything");
    int rc = 0;
    if (review->precise && *method != '\0')
        rc |= buf_printf(out, "%s ", method);
    rc |= buf_printf(out, "%s%s", rest != NULL ? "*." : "", rest != NULL ? rest : group->host);
    if (review->precise && *path == '/')
        rc |= buf_printf(out, "%s", path);
    return rc != 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

void review_free(struct review *review)
{
    review_forget(review, NULL);
    free(review->questions);
    free(review->groups);
    *review = (struct review){0};
}
