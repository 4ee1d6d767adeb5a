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

const char *feed_text(const cJSON *object, const char *name)
{
    const char *text = json_string(object, name);
    return text != NULL ? text : "";
}

const char *feed_process(const cJSON *object)
{
    const cJSON *process = cJSON_GetObjectItemCaseSensitive(object, "process");
    return cJSON_IsObject(process) ? feed_text(process, "name") : feed_text(object, "process");
}

const char *feed_method(const cJSON *object)
{
    const char *method = feed_text(object, "method");
    return *method != '\0' ? method : feed_text(object, "protocol");
}

void feed_host(const cJSON *object, char out[FEED_HOST_SIZE])
{
    uint64_t port = json_number(object, "port", 0);
    char number[24] = "";
    if (port != 0 && port != 443 && port != 80)
        snprintf(number, sizeof number, ":%llu", (unsigned long long)port);
    snprintf(out, FEED_HOST_SIZE, "%.245s%s", feed_text(object, "host"), number);
}

static void net_text(const cJSON *object, struct feed_entry *entry, struct buf *line)
{
    static const char *const shown[] = {"time",     "session", "type",       "action",  "verdict",
                                        "process",  "method",  "host",       "port",    "path",
                                        "protocol", "flow",    "guest_port", "address", NULL};
    const char *verdict = feed_text(object, "verdict");
    char host[FEED_HOST_SIZE];
    if (*verdict == '\0')
        verdict = feed_text(object, "action");
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++)
        if (str_starts(verdict, verdicts[i].start)) {
            entry->verdict = verdicts[i].letter;
            entry->role = verdicts[i].role;
        }
    feed_host(object, host);
    buf_printf(line, "%c %-10.40s %-5.20s %s%.*s", entry->verdict, feed_process(object),
               feed_method(object), host, TEXT_MAX, feed_text(object, "path"));
    add_members(line, object, shown);
}

static void plain_text(const cJSON *object, const struct event *event, struct feed_entry *entry,
                       struct buf *line)
{
    static const char *const shown[] = {"time", "session", "type", "action", NULL};
    const char *action = feed_text(object, "action");
    if (event->type == EVENT_SECRET) {
        entry->verdict = 'S';
        entry->role = strcmp(action, "blocked") == 0    ? ROLE_DENY
                      : strcmp(action, "injected") == 0 ? ROLE_ALLOW
                                                        : ROLE_ASK;
    }
    buf_printf(line, "%s %.80s", event_type_name(event->type), action);
    add_members(line, object, shown);
}

static void entry_free(struct feed_entry *entry)
{
    free(entry->text);
    cJSON_Delete(entry->object);
}

void feed_add(struct feed *feed, const struct event *event)
{
    struct buf line = {0};
    cJSON *object = cJSON_Parse(event->json);
    if (feed->count == FEED_MAX) {
        entry_free(&feed->entries[feed->start]);
        feed->start = (feed->start + 1) % FEED_MAX;
        feed->count--;
    }
    struct feed_entry *entry = &feed->entries[(feed->start + feed->count++) % FEED_MAX];
    *entry = (struct feed_entry){.row = event->row,
                                 .time = event->time,
                                 .type = event->type,
                                 .role = ROLE_TEXT,
                                 .verdict = ' ',
                                 .object = object};
    memcpy(entry->session, event->session, sizeof entry->session);
    if (event->type == EVENT_NET)
        net_text(object, entry, &line);
    else
        plain_text(object, event, entry, &line);
    const char *text = buf_string(&line);
    entry->text = strdup(text != NULL ? text : "");
    buf_free(&line);
    feed->processes = feed->processes || *feed_process(object) != '\0';
    feed->after = event->row;
}

const struct feed_entry *feed_at(const struct feed *feed, size_t index)
{
    return &feed->entries[(feed->start + index) % FEED_MAX];
}

const struct feed_entry *feed_find(const struct feed *feed, int64_t row)
{
    for (size_t i = feed->count; i > 0; i--)
        if (feed_at(feed, i - 1)->row == row)
            return feed_at(feed, i - 1);
    return NULL;
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
        entry_free(&feed->entries[(feed->start + i) % FEED_MAX]);
    feed->count = 0;
}
