/* vmdeck fork: the session's host makes the copy, and the new session with it. */
#include <errno.h>
#include <stdio.h>

#include "session/cli/request.h"
#include "session/cli/start.h"
#include "session/cli/verb.h"
#include "session/cli/vmoptions.h"
#include "session/protocol/json.h"

struct fork_options {
    const char *name;
};

static int set_name(void *target, const char *value, struct error *err)
{
    ((struct fork_options *)target)->name = value;
    return vm_name_check(value, err);
}

static const struct option rows[] = {
    {"name", 0, "NAME", set_name, "a name for the new session"},
    {0},
};

static const struct option_group fork_group = {"Options", rows};

static void forked(void *context, const struct session_record *record, const cJSON *reply)
{
    (void)context;
    (void)record;
    const char *id = json_string(reply, "session");
    start_notice("fork", reply);
    if (id != NULL)
        puts(id);
}

static int fork_main(const struct verb *verb, char **args, struct error *err)
{
    struct fork_options options = {0};
    void *const targets[] = {&options};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (command != NULL || args[0] == NULL || args[1] != NULL)
        return error_set(err, USAGE_ERROR, "which session? (vmdeck fork ID)");
    cJSON *members = cJSON_CreateObject();
    if (options.name != NULL)
        cJSON_AddStringToObject(members, "name", options.name);
    const struct request request = {
        .verb = verb->name, .name = "fork", .members = members, .progress = true, .done = forked};
    rc = request_send(&request, args, err);
    cJSON_Delete(members);
    return rc;
}

const struct verb verb_fork = {
    .name = "fork",
    .usage = "ID [--name NAME]",
    .summary = "Clone a running session, memory and disk, and print the new id",
    .groups = {&fork_group},
    .run = fork_main,
};
