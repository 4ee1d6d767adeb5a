/*
 * vmdeck events: the log in the order of its rows. Following is the same query again, behind the
 * last row that was shown, whenever the log says that something was appended (events_watch()):
 * whatever process appends, nothing is missed and nothing comes twice.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "session/cli/find.h"
#include "session/cli/show.h"
#include "session/cli/verb.h"
#include "session/protocol/json.h"
#include "session/store/events.h"

#define VALUE_MAX 200

struct events_options {
    bool follow, json;
    unsigned types;
    int64_t since;
};

static int set_follow(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct events_options *)target)->follow = true;
    return 0;
}

static int set_json(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct events_options *)target)->json = true;
    return 0;
}

static int set_type(void *target, const char *value, struct error *err)
{
    struct events_options *options = target;
    for (const char *at = value;; at++) {
        size_t len = strcspn(at, ",");
        CLEAN_FREE char *name = str_printf("%.*s", (int)len, at);
        unsigned type = name != NULL ? event_type_named(name) : 0;
        if (type == 0)
            return error_set(err, EINVAL, "--type '%.40s': not of net, secret, vfs, session",
                             value);
        options->types |= type;
        at += len;
        if (*at == '\0')
            return 0;
    }
}

static int set_since(void *target, const char *value, struct error *err)
{
    struct events_options *options = target;
    return show_time_parse(value, "--since", show_now(), &options->since, err);
}

/* "name=value" for every member that the line has not shown otherwise. */
static void line_member(struct buf *line, const cJSON *item)
{
    static const char *const shown[] = {"time", "session", "type", "action"};
    char plain[VALUE_MAX + 1];
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        if (strcmp(item->string, shown[i]) == 0)
            return;
    const char *name = json_string(item, "name"); /* of a process */
    CLEAN_FREE char *text = cJSON_IsString(item) ? NULL
                            : name != NULL
                                ? str_printf("%s[%" PRIu64 "]", name, json_number(item, "pid", 0))
                                : cJSON_PrintUnformatted(item);
    const char *value = cJSON_IsString(item) ? item->valuestring : text;
    if (strcmp(item->string, "detail") == 0)
        buf_printf(line, ": %s", show_plain(value != NULL ? value : "", VALUE_MAX, plain));
    else
        buf_printf(line, " %s=%s", item->string,
                   show_plain(value != NULL ? value : "", VALUE_MAX, plain));
}

static void event_line(const struct event *event)
{
    CLEAN_BUF struct buf line = {0};
    char time[EVENT_TIME_SIZE], plain[VALUE_MAX + 1];
    cJSON *object = cJSON_Parse(event->json);
    const char *action = json_string(object, "action");
    const cJSON *item;
    event_time_text(event->time, time);
    cJSON_ArrayForEach(item, object)
    {
        line_member(&line, item);
    }
    printf("%s %s %-7s%s%s%s\n", time, event->session, event_type_name(event->type),
           action != NULL ? " " : "", action != NULL ? show_plain(action, VALUE_MAX, plain) : "",
           buf_len(&line) > 0 ? buf_string(&line) : "");
    cJSON_Delete(object);
}

/* Shows what is behind query->after, page by page, and moves that on. */
static int events_show(struct registry *registry, const struct events_options *options,
                       struct event_query *query, struct error *err)
{
    for (;;) {
        CLEAN_EVENTS struct event_list list = {0};
        int rc = events_query(registry, query, &list, err);
        if (rc < 0)
            return rc;
        for (size_t i = 0; i < list.count; i++) {
            if (options->json)
                show_json(list.items[i].json);
            else
                event_line(&list.items[i]);
            query->after = list.items[i].row;
        }
        if (fflush(stdout) != 0)
            return error_system(err, errno, "cannot write to stdout");
        if (list.count < EVENTS_QUERY_MAX)
            return 0;
    }
}

/* Waits until something was appended. 1: nobody reads our output any more. */
static int events_wait(int notify, struct error *err)
{
    char drain[4096];
    struct pollfd fds[] = {{.fd = notify, .events = POLLIN}, {.fd = STDOUT_FILENO, .events = 0}};
    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return error_system(err, errno, "cannot wait for events");
    if ((fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
        return 1;
    while (read(notify, drain, sizeof drain) > 0)
        ;
    return 0;
}

/* An id whose session the registry has forgotten still has its events. */
static int events_session(struct registry *registry, const char *word, char id[SESSION_ID_SIZE],
                          struct error *err)
{
    CLEAN_SESSION struct session_record record = {0};
    int rc = session_find(registry, word, SESSIONS_ALL, &record, err);
    bool looks = strlen(word) == SESSION_ID_SIZE - 1 &&
                 strspn(word, "0123456789abcdef") == SESSION_ID_SIZE - 1;
    if (rc < 0 && !(rc == -ENOENT && looks))
        return rc;
    memcpy(id, rc == 0 ? record.id : word, SESSION_ID_SIZE);
    return 0;
}

static int events_run(struct registry *registry, const struct events_options *options,
                      const char *word, struct error *err)
{
    char id[SESSION_ID_SIZE];
    CLEAN_FD int notify = -1;
    struct event_query query = {.types = options->types, .since = options->since};
    int rc = 0;
    if (word != NULL) {
        rc = events_session(registry, word, id, err);
        query.session = id;
    }
    if (rc == 0 && options->follow) /* before the first look, or what comes between is missed */
        rc = events_watch(registry, &notify, err);
    if (rc == 0)
        rc = events_show(registry, options, &query, err);
    while (rc == 0 && options->follow) {
        rc = events_wait(notify, err);
        if (rc == 0)
            rc = events_show(registry, options, &query, err);
    }
    return rc < 0 ? rc : 0;
}

static const struct option rows[] = {
    {"follow", 'f', NULL, set_follow, "go on with what happens from now on"},
    {"json", 0, NULL, set_json, "one JSON object a line"},
    {"type", 0, "TYPES", set_type, "only these: net,secret,vfs,session"},
    {"since", 0, "T", set_since, "not older: 30s, 10m, 2h, 1d, or a time in RFC 3339"},
    {0},
};

static const struct option_group events_group = {"Options", rows};

static int events_main(const struct verb *verb, char **args, struct error *err)
{
    struct events_options options = {0};
    void *const targets[] = {&options};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (command != NULL || (args[0] != NULL && args[1] != NULL))
        return error_set(err, USAGE_ERROR, "one session or none (see vmdeck events --help)");
    struct registry *registry;
    rc = find_registry(&registry, err);
    if (rc < 0)
        return rc;
    rc = events_run(registry, &options, args[0], err);
    registry_close(registry);
    return rc;
}

const struct verb verb_events = {
    .name = "events",
    .usage = "[ID] [--follow] [--json] [--type TYPES] [--since T]",
    .summary = "Show what sessions did",
    .groups = {&events_group},
    .run = events_main,
};
