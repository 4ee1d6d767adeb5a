/*
 * A row without a connection is tried again when the log grows, because a host that gets its socket
 * or ends says so there: nothing polls. A host that went without a word was killed; what it left is
 * collected then, as every vmdeck does.
 */
#include "tui/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "session/protocol/json.h"
#include "session/store/events.h"
#include "session/store/leftover.h"
#include "tui/human.h"

struct links {
    uv_loop_t *loop;
    struct fleet *fleet;
    struct registry *registry;
    struct links_events events;
    void *context;
    int notify;
    uv_poll_t watch;
};

struct link {
    struct links *links;
    struct fleet_row *row;
    struct client *client;
    struct link_terminal terminal;
    bool asked_info, asked_stats, asked_terminals;
    bool ended; /* it said goodbye */
    char why[FLEET_TEXT + 1];
};

static void set_text(char out[FLEET_TEXT + 1], const char *text)
{
    snprintf(out, FLEET_TEXT + 1, "%.*s", FLEET_TEXT, text != NULL ? text : "");
}

static void set_state(struct fleet_row *row, const char *state)
{
    for (enum fleet_state s = 0; state != NULL && s < FLEET_STATES; s++)
        if (strcmp(state, fleet_state_name(s)) == 0)
            row->state = s;
    if (row->pending > 0 && row->state == FLEET_RUNNING)
        row->state = FLEET_WAITING;
}

static void on_info(void *context, const cJSON *reply, const struct error *why)
{
    struct link *link = context;
    (void)why;
    link->asked_info = false;
    if (reply == NULL)
        return;
    struct fleet_row *row = link->row;
    row->pending = (unsigned)json_number(reply, "pending", 0);
    row->terminals = (unsigned)json_number(reply, "terminals", 0);
    row->cpus = json_number(reply, "cpus", row->cpus);
    row->memory_max = json_number(reply, "memory", row->memory_max);
    if (json_string(reply, "command") != NULL)
        set_text(row->command, json_string(reply, "command"));
    set_state(row, json_string(reply, "state"));
    link->links->events.changed(link->links->context);
}

static void on_stats(void *context, const cJSON *reply, const struct error *why)
{
    struct link *link = context;
    const cJSON *cpu = cJSON_GetObjectItemCaseSensitive(reply, "cpu");
    (void)why;
    link->asked_stats = false;
    if (reply == NULL)
        return;
    uint64_t now = uv_hrtime();
    fleet_sample_rest(
        link->row, json_number(reply, "memory_proportional", 0),
        json_number(reply, "network_received", 0) + json_number(reply, "network_sent", 0), now);
    fleet_sample(link->row, cJSON_IsNumber(cpu) ? cpu->valuedouble : 0, now);
    link->links->events.changed(link->links->context);
}

static void on_terminals(void *context, const cJSON *reply, const struct error *why)
{
    struct link *link = context;
    const cJSON *item;
    uint64_t latest = 0, written = 0, bells = 0;
    (void)why;
    link->asked_terminals = false;
    if (reply == NULL)
        return;
    link->terminal = (struct link_terminal){0};
    link->row->title[0] = '\0';
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(reply, "terminals"))
    {
        uint64_t used = json_number(item, "used", 0);
        written += json_number(item, "written", 0);
        bells += json_number(item, "bells", 0);
        if (link->terminal.id != 0 && used < latest)
            continue;
        latest = used;
        link->terminal = (struct link_terminal){(unsigned)json_number(item, "terminal", 0),
                                                (uint16_t)json_number(item, "rows", 24),
                                                (uint16_t)json_number(item, "columns", 80)};
        const char *title = json_string(item, "title");
        set_text(link->row->title,
                 title != NULL && *title != '\0' ? title : json_string(item, "command"));
    }
    fleet_output(link->row, written, bells);
    link->links->events.changed(link->links->context);
}

void links_ask(struct fleet_row *row, bool stats)
{
    struct link *link = row->link;
    if (link == NULL || link->client == NULL)
        return;
    if (!link->asked_info) {
        link->asked_info = true;
        client_request(link->client, "info", NULL, on_info, link);
    }
    if (!link->asked_terminals) {
        link->asked_terminals = true;
        client_request(link->client, "terminals", NULL, on_terminals, link);
    }
    if (stats && !link->asked_stats && row->state <= FLEET_PAUSED) {
        link->asked_stats = true;
        client_request(link->client, "stats", NULL, on_stats, link);
    }
}

bool links_answered(const struct links *links)
{
    for (size_t i = 0; i < links->fleet->count; i++) {
        const struct link *link = links->fleet->rows[i]->link;
        if (link != NULL && (link->asked_info || link->asked_terminals))
            return false;
    }
    return true;
}

struct client *links_client(const struct fleet_row *row)
{
    const struct link *link = row->link;
    return link != NULL ? link->client : NULL;
}

struct link_terminal links_terminal(const struct fleet_row *row)
{
    const struct link *link = row->link;
    return link != NULL ? link->terminal : (struct link_terminal){0};
}

struct registry *links_registry(const struct links *links)
{
    return links->registry;
}

static void on_event(void *context, const char *name, const cJSON *event)
{
    struct link *link = context;
    struct links *links = link->links;
    if (strcmp(name, "stopping") == 0)
        link->row->state = FLEET_STOPPING;
    if (strcmp(name, "ended") == 0) {
        link->ended = true;
        set_text(link->why, json_string(event, "message"));
    }
    if (strcmp(name, "pending") == 0) {
        link->row->pending = (unsigned)json_number(event, "count", 0);
        set_state(link->row, link->row->state == FLEET_WAITING ? "running" : NULL);
    }
    if (strcmp(name, "log") == 0)
        links_ask(link->row, false);
    links->events.event(links->context, link->row, name, event);
    if (strcmp(name, "terminals") == 0) /* it is asked what when somebody looks */
        return;
    links->events.changed(links->context);
}

static void link_free(struct link *link)
{
    if (link->row != NULL)
        link->row->link = NULL;
    client_close(link->client);
    free(link);
}

static void on_gone(void *context, const struct error *why)
{
    struct link *link = context;
    struct links *links = link->links;
    struct fleet_row *row = link->row;
    bool killed = !link->ended;
    char text[FLEET_TEXT + 1];
    set_text(text, killed ? why->message : link->why);
    link_free(link);
    links->events.connected(links->context, row, NULL, text[0] != '\0' ? text : NULL);
    if (killed) {
        CLEAN_FD int lock = -1;
        if (leftover_lock(&lock, NULL) == 0)
            leftover_collect(links->registry, NULL);
    }
    links_refresh(links);
}

static void link_open(struct links *links, struct fleet_row *row)
{
    static const struct client_events events = {on_event, on_gone};
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return;
    link->links = links;
    link->row = row;
    if (client_connect(&link->client, links->loop, row->id, &events, link, NULL) < 0) {
        free(link); /* it starts or ends just now */
        return;
    }
    row->link = link;
    client_request(link->client, "subscribe", NULL, NULL, NULL);
    links_ask(row, false);
    links->events.connected(links->context, row, link->client, NULL);
}

static bool wanted(const struct session_record *record, int64_t now)
{
    return record->ended == 0 ||
           (record->state == SESSION_DEAD && now - record->ended < FLEET_ENDED_MS);
}

static void links_look(struct links *links, bool connect)
{
    CLEAN_SESSIONS struct session_list list = {0};
    struct fleet *fleet = links->fleet;
    int64_t now = human_now();
    if (session_list(links->registry, SESSIONS_ALL, &list, NULL) < 0)
        return;
    for (size_t i = 0; i < fleet->count; i++)
        fleet->rows[i]->seen = false;
    for (size_t i = 0; i < list.count; i++) {
        struct fleet_row *row =
            wanted(&list.items[i], now) ? fleet_put(fleet, &list.items[i]) : NULL;
        if (connect && row != NULL && row->ended == 0 && row->link == NULL &&
            row->state != FLEET_SUSPENDED)
            link_open(links, row);
    }
    for (size_t i = fleet->count; i > 0; i--) {
        struct fleet_row *row = fleet->rows[i - 1];
        if (row->seen || row->link != NULL)
            continue;
        fleet_remove(fleet, row);
    }
    fleet_arrange(fleet);
    links->events.changed(links->context);
}

void links_refresh(struct links *links)
{
    links_look(links, true);
}

static void on_notify(uv_poll_t *watch, int status, int events)
{
    struct links *links = watch->data;
    char drain[4096];
    (void)status;
    (void)events;
    while (read(links->notify, drain, sizeof drain) > 0)
        ;
    links_refresh(links);
    links->events.log(links->context);
}

static int links_start(struct links *links, struct error *err)
{
    CLEAN_FD int lock = -1;
    int rc = registry_open(&links->registry, NULL, err);
    if (rc == 0)
        rc = leftover_lock(&lock, err);
    if (rc == 0)
        rc = leftover_collect(links->registry, err);
    if (rc == 0)
        rc = events_watch(links->registry, &links->notify, err);
    if (rc < 0)
        return rc;
    rc = uv_poll_init(links->loop, &links->watch, links->notify);
    if (rc == 0)
        rc = uv_poll_start(&links->watch, UV_READABLE, on_notify);
    return rc < 0 ? error_system(err, -rc, "cannot watch the event log") : 0;
}

int links_open(struct links **out, uv_loop_t *loop, struct fleet *fleet,
               const struct links_events *events, void *context, struct error *err)
{
    struct links *links = calloc(1, sizeof *links);
    if (links == NULL)
        return error_set(err, ENOMEM, "out of memory");
    links->loop = loop;
    links->fleet = fleet;
    links->events = *events;
    links->context = context;
    links->notify = -1;
    links->watch.data = links;
    int rc = links_start(links, err);
    if (rc < 0) {
        registry_close(links->registry);
        cleanup_fd(&links->notify);
        free(links); /* no handle of it is in the loop: polling is what comes last */
        return rc;
    }
    *out = links;
    links_look(links, false);
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct links *links = handle->data;
    cleanup_fd(&links->notify);
    free(links);
}

void links_close(struct links *links)
{
    if (links == NULL)
        return;
    for (size_t i = 0; i < links->fleet->count; i++)
        if (links->fleet->rows[i]->link != NULL)
            link_free(links->fleet->rows[i]->link);
    registry_close(links->registry);
    uv_close((uv_handle_t *)&links->watch, on_closed);
}
