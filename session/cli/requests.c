/* vmdeck requests: what waits for an answer, in one session or in all of them. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/cleanup.h"
#include "session/cli/request.h"
#include "session/cli/show.h"
#include "session/cli/verb.h"
#include "session/protocol/json.h"

#define ANSWER_TIMEOUT_MS 5000
#define HOST_WIDTH        60
#define PATH_WIDTH        200
#define PROCESS_WIDTH     15

struct requests_options {
    bool json;
    cJSON *all;
};

static int set_json(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct requests_options *)target)->json = true;
    return 0;
}

static void requests_answered(void *context, const struct session_record *record,
                              const cJSON *reply)
{
    const struct requests_options *options = context;
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(reply, "requests"))
    {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "session", record->id);
        for (const cJSON *member = item->child; member != NULL; member = member->next)
            cJSON_AddItemToObject(object, member->string, cJSON_Duplicate(member, true));
        cJSON_AddItemToArray(options->all, object);
    }
}

/* Its guest stands still, and asks for nothing. */
static int requests_suspended(struct registry *registry, const struct session_record *record,
                              struct error *err)
{
    (void)registry;
    (void)record;
    (void)err;
    return 0;
}

/* What a guest wrote is shown without its control characters. */
static const char *plain(const cJSON *object, const char *name, size_t max, char *out)
{
    const char *text = json_string(object, name);
    return show_plain(text != NULL ? text : "-", max, out);
}

static void requests_table(const cJSON *all)
{
    char protocol[9], method[17], host[HOST_WIDTH + 1], path[PATH_WIDTH + 1];
    char session[SESSION_ID_SIZE], process[PROCESS_WIDTH + 1];
    const cJSON *item;
    printf("%-8s  %6s  %4s  %-*s  %-8s  %-7s  %s\n", "SESSION", "ID", "LEFT", PROCESS_WIDTH,
           "PROCESS", "PROTOCOL", "METHOD", "TARGET");
    cJSON_ArrayForEach(item, all)
    {
        printf("%-8s  %6" PRIu64 "  %3" PRIu64 "s  %-*s  %-8s  %-7s  %s:%" PRIu64 "%s\n",
               plain(item, "session", sizeof session - 1, session), json_number(item, "id", 0),
               json_number(item, "left_ms", 0) / 1000, PROCESS_WIDTH,
               plain(cJSON_GetObjectItemCaseSensitive(item, "process"), "name", PROCESS_WIDTH,
                     process),
               plain(item, "protocol", sizeof protocol - 1, protocol),
               plain(item, "method", sizeof method - 1, method),
               plain(item, "host", HOST_WIDTH, host), json_number(item, "port", 0),
               json_string(item, "path") != NULL ? plain(item, "path", PATH_WIDTH, path) : "");
    }
}

static const struct option rows[] = {
    {"json", 0, NULL, set_json, "an array of objects instead of a table"},
    {0},
};

static const struct option_group requests_group = {"Options", rows};

static int requests_main(const struct verb *verb, char **args, struct error *err)
{
    struct requests_options options = {0};
    void *const targets[] = {&options};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (command != NULL || (args[0] != NULL && args[1] != NULL))
        return error_set(err, USAGE_ERROR, "one session, or none for all");
    options.all = cJSON_CreateArray();
    const struct request request = {
        .verb = "requests",
        .name = "requests",
        .until = REQUEST_REPLY,
        .timeout_ms = ANSWER_TIMEOUT_MS,
        .suspended = requests_suspended,
        .done = requests_answered,
        .context = &options,
    };
    rc = request_send(&request, args[0] != NULL ? args : NULL, err);
    if (!options.json)
        requests_table(options.all);
    CLEAN_FREE char *text = options.json ? cJSON_PrintUnformatted(options.all) : NULL;
    if (text != NULL)
        show_json(text);
    cJSON_Delete(options.all);
    return rc;
}

const struct verb verb_requests = {
    .name = "requests",
    .usage = "[ID] [--json]",
    .summary = "List the requests that wait for an answer",
    .groups = {&requests_group},
    .run = requests_main,
};
