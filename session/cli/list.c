/*
 * vmdeck list: rows come from the registry; whether a session lives and what it does, from its
 * host. One that lives but does not answer in time is shown with what the registry knows and a
 * question mark: it is not dead, since its lock is held (find.h).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/cleanup.h"
#include "session/cli/ask.h"
#include "session/cli/find.h"
#include "session/cli/show.h"
#include "session/cli/verb.h"
#include "session/protocol/json.h"
#include "session/store/events.h"

#define IMAGE_WIDTH   20
#define NAME_WIDTH    16
#define COMMAND_WIDTH 60

struct list_options {
    bool all, json, quiet;
};

static int set_all(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct list_options *)target)->all = true;
    return 0;
}

static int set_json(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct list_options *)target)->json = true;
    return 0;
}

static int set_quiet(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct list_options *)target)->quiet = true;
    return 0;
}

static const char *row_state(const struct session_record *record, const struct ask *ask, char *out,
                             size_t size)
{
    const char *said = json_string(ask->reply, "state");
    bool silent = record->ended == 0 && said == NULL && record->state != SESSION_STARTING &&
                  record->state != SESSION_SUSPENDED;
    char plain[16];
    snprintf(out, size, "%s%s",
             said != NULL ? show_plain(said, sizeof plain - 1, plain)
                          : session_state_name(record->state),
             silent ? "?" : "");
    return out;
}

static void row_print(const struct session_record *record, const struct ask *ask)
{
    char age[SHOW_SIZE], state[24], name[NAME_WIDTH + 1], image[IMAGE_WIDTH + 1];
    char command[COMMAND_WIDTH + 1];
    const char *slash = strrchr(record->image, '/');
    show_age(show_now() - record->created, age);
    printf("%-8s  %-*s  %-9s  %-*s  %4s  %5llu  %7llu  %s\n", record->id, NAME_WIDTH,
           *record->name != '\0' ? show_plain(record->name, NAME_WIDTH, name) : "-",
           row_state(record, ask, state, sizeof state), IMAGE_WIDTH,
           show_plain(slash != NULL ? slash + 1 : record->image, IMAGE_WIDTH, image), age,
           (unsigned long long)json_number(ask->reply, "terminals", 0),
           (unsigned long long)json_number(ask->reply, "pending", 0),
           show_plain(record->command, COMMAND_WIDTH, command));
}

static void add_text(cJSON *object, const char *name, const char *text)
{
    if (*text != '\0')
        cJSON_AddStringToObject(object, name, text);
    else
        cJSON_AddNullToObject(object, name);
}

static void add_time(cJSON *object, const char *name, int64_t time)
{
    char text[EVENT_TIME_SIZE] = "";
    if (time != 0)
        event_time_text(time, text);
    add_text(object, name, text);
}

/* What the host says goes before what the registry remembers; "stopping" is not one of the
 * states that are promised. */
static cJSON *row_json(const struct session_record *record, const struct ask *ask)
{
    cJSON *object = cJSON_CreateObject();
    const char *said = json_string(ask->reply, "state");
    bool stopping = said != NULL && strcmp(said, "stopping") == 0;
    const cJSON *mounts = cJSON_GetObjectItemCaseSensitive(ask->reply, "mounts");
    cJSON_AddStringToObject(object, "id", record->id);
    add_text(object, "name", record->name);
    cJSON_AddStringToObject(object, "state",
                            said != NULL && !stopping ? said : session_state_name(record->state));
    add_text(object, "image", record->image);
    add_text(object, "image_build", record->image_build);
    add_text(object, "arch", record->arch);
    add_text(object, "accel", record->accel);
    cJSON_AddNumberToObject(object, "memory", (double)record->memory);
    cJSON_AddNumberToObject(object, "cpus", (double)record->cpus);
    if (record->ended == 0)
        cJSON_AddNumberToObject(object, "pid", (double)record->host_pid);
    else
        cJSON_AddNullToObject(object, "pid");
    add_time(object, "created", record->created);
    add_time(object, "ended", record->ended);
    add_text(object, "reason", record->ended_reason);
    add_text(object, "command", record->command);
    cJSON_AddNumberToObject(object, "terminals", (double)json_number(ask->reply, "terminals", 0));
    cJSON_AddNumberToObject(object, "pending", (double)json_number(ask->reply, "pending", 0));
    cJSON_AddItemToObject(object, "mounts",
                          cJSON_IsArray(mounts) ? cJSON_Duplicate(mounts, true)
                                                : cJSON_CreateArray());
    cJSON_AddBoolToObject(object, "answers", ask->reply != NULL);
    return object;
}

static void list_json(const struct session_list *list, const struct ask *asks)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < list->count; i++)
        if (asks[i].id[0] != '\0')
            cJSON_AddItemToArray(array, row_json(&list->items[i], &asks[i]));
    CLEAN_FREE char *text = cJSON_PrintUnformatted(array);
    cJSON_Delete(array);
    if (text != NULL)
        show_json(text);
}

static void list_table(const struct session_list *list, const struct ask *asks)
{
    printf("%-8s  %-*s  %-9s  %-*s  %4s  %5s  %7s  %s\n", "ID", NAME_WIDTH, "NAME", "STATE",
           IMAGE_WIDTH, "IMAGE", "AGE", "TERMS", "PENDING", "COMMAND");
    for (size_t i = 0; i < list->count; i++)
        if (asks[i].id[0] != '\0')
            row_print(&list->items[i], &asks[i]);
}

/* A session without a socket may have ended since the registry was read: its row goes, or is read
 * again. */
static int list_refresh(struct registry *registry, const struct list_options *options,
                        struct session_record *record, struct ask *ask, struct error *err)
{
    CLEAN_SESSION struct session_record now = {0};
    if (record->ended != 0 || ask->reply != NULL || record->state == SESSION_SUSPENDED)
        return 0;
    int rc = session_find(registry, record->id, SESSIONS_ALL, &now, err);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (now.ended != 0 && !options->all)
        ask->id[0] = '\0';
    struct session_record old = *record;
    *record = now;
    now = old; /* freed here */
    return 0;
}

static int list_rows(struct registry *registry, const struct list_options *options,
                     struct error *err)
{
    CLEAN_SESSIONS struct session_list list = {0};
    int rc = session_list(registry, options->all ? SESSIONS_ALL : SESSIONS_LIVE, &list, err);
    if (rc < 0)
        return rc;
    if (options->quiet) {
        for (size_t i = 0; i < list.count; i++)
            puts(list.items[i].id);
        return 0;
    }
    struct ask *asks = calloc(list.count + 1, sizeof *asks);
    if (asks == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < list.count; i++)
        snprintf(asks[i].id, sizeof asks[i].id, "%s", list.items[i].id);
    rc = ask_all("info", asks, list.count, err);
    for (size_t i = 0; rc == 0 && i < list.count; i++)
        rc = list_refresh(registry, options, &list.items[i], &asks[i], err);
    if (rc == 0)
        (options->json ? list_json : list_table)(&list, asks);
    ask_free(asks, list.count);
    return rc;
}

static const struct option rows[] = {
    {"all", 'a', NULL, set_all, "also the sessions that have ended"},
    {"json", 0, NULL, set_json, "an array of objects instead of a table"},
    {"quiet", 'q', NULL, set_quiet, "only the ids, one a line"},
    {0},
};

static const struct option_group list_group = {"Options", rows};

static int list_main(const struct verb *verb, char **args, struct error *err)
{
    struct list_options options = {0};
    void *const targets[] = {&options};
    char **rest;
    int rc = verb_parse(verb, targets, args, &rest, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (*rest != NULL)
        return error_set(err, USAGE_ERROR, "'%.60s': list takes no arguments", *rest);
    if (options.json && options.quiet)
        return error_set(err, USAGE_ERROR, "--json and -q exclude each other");
    struct registry *registry;
    rc = find_registry(&registry, err);
    if (rc < 0)
        return rc;
    rc = list_rows(registry, &options, err);
    registry_close(registry);
    return rc;
}

const struct verb verb_list = {
    .name = "list",
    .usage = "[--all] [--json|-q]",
    .summary = "List sessions",
    .groups = {&list_group},
    .run = list_main,
};
