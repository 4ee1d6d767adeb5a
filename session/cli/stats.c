/* vmdeck stats: what the hosts say about themselves, all asked at once. */
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

#define NAME_WIDTH 16

struct stats_options {
    bool json;
};

static int set_json(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct stats_options *)target)->json = true;
    return 0;
}

static void stats_print(const struct session_record *record, const cJSON *reply)
{
    char uptime[SHOW_SIZE], memory[SHOW_SIZE], resident[SHOW_SIZE], disk[SHOW_SIZE];
    char received[SHOW_SIZE], sent[SHOW_SIZE];
    char name[NAME_WIDTH + 1];
    const cJSON *cpu = cJSON_GetObjectItemCaseSensitive(reply, "cpu");
    show_age((int64_t)json_number(reply, "uptime", 0) * 1000, uptime);
    show_size(json_number(reply, "memory_proportional", 0), memory);
    show_size(json_number(reply, "memory_resident", 0), resident);
    show_size(json_number(reply, "disk", 0), disk);
    show_size(json_number(reply, "network_received", 0), received);
    show_size(json_number(reply, "network_sent", 0), sent);
    printf("%-8s  %-*s  %6s  %8.1fs  %7s  %8s  %7s  %8s  %7s\n", record->id, NAME_WIDTH,
           *record->name != '\0' ? show_plain(record->name, NAME_WIDTH, name) : "-", uptime,
           cJSON_IsNumber(cpu) ? cpu->valuedouble : 0, memory, resident, disk, received, sent);
}

static cJSON *stats_json(const struct session_record *record, const cJSON *reply)
{
    static const char *const numbers[] = {"uptime",          "cpu",  "memory_proportional",
                                          "memory_resident", "disk", "network_received",
                                          "network_sent"};
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "id", record->id);
    if (*record->name != '\0')
        cJSON_AddStringToObject(object, "name", record->name);
    else
        cJSON_AddNullToObject(object, "name");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(reply, numbers[i]);
        cJSON_AddNumberToObject(object, numbers[i],
                                cJSON_IsNumber(number) ? number->valuedouble : 0);
    }
    return object;
}

/* `wanted`: the user named the session, so that no answer is an error; else it is left out. */
static int stats_show(const struct session_record *records, size_t count, bool wanted, bool json,
                      struct error *err)
{
    struct ask *asks = calloc(count + 1, sizeof *asks);
    cJSON *array = json ? cJSON_CreateArray() : NULL;
    if (asks == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        snprintf(asks[i].id, sizeof asks[i].id, "%s", records[i].id);
    int rc = ask_all("stats", asks, count, err);
    if (rc == 0 && wanted && asks[0].reply == NULL) {
        *err = asks[0].why;
        rc = -err->code;
    }
    if (rc == 0 && !json)
        printf("%-8s  %-*s  %6s  %9s  %7s  %8s  %7s  %8s  %7s\n", "ID", NAME_WIDTH, "NAME",
               "UPTIME", "CPU", "MEMORY", "RESIDENT", "DISK", "RECEIVED", "SENT");
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (asks[i].reply == NULL)
            continue;
        if (json)
            cJSON_AddItemToArray(array, stats_json(&records[i], asks[i].reply));
        else
            stats_print(&records[i], asks[i].reply);
    }
    CLEAN_FREE char *text = rc == 0 && json ? cJSON_PrintUnformatted(array) : NULL;
    if (text != NULL)
        show_json(text);
    cJSON_Delete(array);
    ask_free(asks, count);
    return rc;
}

static int stats_all(bool json, struct error *err)
{
    struct registry *registry;
    CLEAN_SESSIONS struct session_list list = {0};
    int rc = find_registry(&registry, err);
    if (rc < 0)
        return rc;
    rc = session_list(registry, SESSIONS_LIVE, &list, err);
    registry_close(registry);
    return rc == 0 ? stats_show(list.items, list.count, false, json, err) : rc;
}

static const struct option rows[] = {
    {"json", 0, NULL, set_json, "an array of objects instead of a table"},
    {0},
};

static const struct option_group stats_group = {"Options", rows};

static int stats_main(const struct verb *verb, char **args, struct error *err)
{
    struct stats_options options = {0};
    CLEAN_SESSION struct session_record record = {0};
    void *const targets[] = {&options};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (command != NULL || (args[0] != NULL && args[1] != NULL))
        return error_set(err, USAGE_ERROR, "one session or none (see vmdeck stats --help)");
    if (args[0] == NULL)
        return stats_all(options.json, err);
    rc = find_session(args[0], &record, err);
    return rc == 0 ? stats_show(&record, 1, true, options.json, err) : rc;
}

const struct verb verb_stats = {
    .name = "stats",
    .usage = "[ID] [--json]",
    .summary = "Show what sessions use: processor, memory, disk, network",
    .groups = {&stats_group},
    .run = stats_main,
};
