/*
 * An entry is JSON; it is read once, when it comes. A network decision has its own form, with the
 * verdict as a letter first; of everything else all members are shown as the log has them.
 */
#include "tui/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "session/protocol/json.h"

#define TEXT_MAX 400 /* bytes of a member */

static const struct {
    const char *start; /* of the verdict's word */
    char letter;
    enum theme_role role;
} verdicts[] = {
    {"allow", 'A', ROLE_ALLOW}, {"deny", 'D', ROLE_DENY}, {"denied", 'D', ROLE_DENY},
    {"refuse", 'D', ROLE_DENY}, {"ask", '?', ROLE_ASK},   {"wait", '?', ROLE_ASK},
};

static bool is_one_of(const char *name, const char *const *names)
{
    while (*names != NULL)
        if (strcmp(name, *names++) == 0)
            return true;
    return false;
}

/* The members but those named: "NAME=VALUE", the detail as it is. */
static void add_members(struct buf *line, const cJSON *object, const char *const *but)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        if (item->string == NULL || is_one_of(item->string, but) || cJSON_IsNull(item))
            continue;
        CLEAN_FREE char *text = cJSON_IsString(item) ? NULL : cJSON_PrintUnformatted(item);
        const char *value = cJSON_IsString(item) ? item->valuestring : text;
        if (value == NULL || *value == '\0')
            continue;
        if (strcmp(item->string, "detail") == 0)
            buf_printf(line, ": %.*s", TEXT_MAX, value);
        else
            buf_printf(line, " %s=%.*s", item->string, TEXT_MAX, value);
    }
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = json_string(object, name);
    return text != NULL ? text : "";
}

static void net_text(const cJSON *object, struct feed_entry *entry, struct buf *line)
{
    static const char *const shown[] = {"time",     "session", "type",       "action",  "verdict",
                                        "process",  "method",  "host",       "port",    "path",
                                        "protocol", "flow",    "guest_port", "address", NULL};
    const char *verdict = text_of(object, "verdict"), *method = text_of(object, "method");
    const cJSON *process = cJSON_GetObjectItemCaseSensitive(object, "process");
    const char *name =
        cJSON_IsObject(process) ? text_of(process, "name") : text_of(object, "process");
    uint64_t port = json_number(object, "port", 0);
    char letter = ' ', number[24] = "";
    if (*verdict == '\0')
        verdict = text_of(object, "action");
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++)
        if (str_starts(verdict, verdicts[i].start)) {
            letter = verdicts[i].letter;
            entry->role = verdicts[i].role;
        }
    if (port != 0 && port != 443 && port != 80)
        snprintf(number, sizeof number, ":%llu", (unsigned long long)port);
    buf_printf(line, "%c %-10.40s %-5.20s %.255s%s%.*s", letter, name,
               *method != '\0' ? method : text_of(object, "protocol"), text_of(object, "host"),
               number, TEXT_MAX, text_of(object, "path"));
    add_members(line, object, shown);
}

static void plain_text(const cJSON *object, const struct event *event, struct feed_entry *entry,
                       struct buf *line)
{
    static const char *const shown[] = {"time", "session", "type", "action", NULL};
    entry->role = event->type == EVENT_SECRET ? ROLE_ASK : ROLE_TEXT;
    buf_printf(line, "%s %.80s", event_type_name(event->type), text_of(object, "action"));
    add_members(line, object, shown);
}

void feed_add(struct feed *feed, const struct event *event)
{
    struct buf line = {0};
    cJSON *object = cJSON_Parse(event->json);
    if (feed->count == FEED_MAX) {
        free(feed->entries[feed->start].text);
        feed->start = (feed->start + 1) % FEED_MAX;
        feed->count--;
    }
    struct feed_entry *entry = &feed->entries[(feed->start + feed->count++) % FEED_MAX];
    *entry = (struct feed_entry){.time = event->time, .type = event->type};
    memcpy(entry->session, event->session, sizeof entry->session);
    if (event->type == EVENT_NET)
        net_text(object, entry, &line);
    else
        plain_text(object, event, entry, &line);
    const char *text = buf_string(&line);
    entry->text = strdup(text != NULL ? text : "");
    buf_free(&line);
    cJSON_Delete(object);
    feed->after = event->row;
}

const struct feed_entry *feed_at(const struct feed *feed, size_t index)
{
    return &feed->entries[(feed->start + index) % FEED_MAX];
}

int feed_read(struct feed *feed, struct registry *registry, struct error *err)
{
    int added = 0;
    for (;;) {
        CLEAN_EVENTS struct event_list list = {0};
        const struct event_query query = {
            .after = feed->after, .limit = FEED_MAX, .newest = feed->after == 0};
        int rc = events_query(registry, &query, &list, err);
        if (rc < 0)
            return rc;
        for (size_t i = 0; i < list.count; i++)
            feed_add(feed, &list.items[i]);
        added += (int)list.count;
        if (list.count < FEED_MAX)
            return added;
    }
}

void feed_free(struct feed *feed)
{
    for (size_t i = 0; i < feed->count; i++)
        free(feed->entries[(feed->start + i) % FEED_MAX].text);
    feed->count = 0;
}
