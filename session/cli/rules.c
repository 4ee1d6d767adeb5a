/*
 * vmdeck rules: with a session what is in force there, as its host says it; without one what is
 * saved in the registry for every session to come.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "session/cli/find.h"
#include "session/cli/request.h"
#include "session/cli/show.h"
#include "session/cli/verb.h"
#include "session/protocol/json.h"
#include "session/store/rules.h"

#define ANSWER_TIMEOUT_MS 5000

struct rules_options {
    bool json;
};

static int set_json(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct rules_options *)target)->json = true;
    return 0;
}

static void print_json(const cJSON *json)
{
    CLEAN_FREE char *text = cJSON_PrintUnformatted(json);
    if (text != NULL)
        show_json(text);
}

static void print_row(uint64_t id, const char *action, const char *source, const char *pattern)
{
    char plain[SAVED_PATTERN_MAX + 1];
    printf("%-6" PRIu64 "  %-8s  %-8s  %s\n", id, action, source,
           show_plain(pattern, SAVED_PATTERN_MAX, plain));
}

static void print_header(void)
{
    printf("%-6s  %-8s  %-8s  %s\n", "RULE", "ACTION", "FROM", "PATTERN");
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = json_string(object, name);
    return text != NULL ? text : "-";
}

static void rules_answered(void *context, const struct session_record *record, const cJSON *reply)
{
    const struct rules_options *options = context;
    const cJSON *rule, *rules = cJSON_GetObjectItemCaseSensitive(reply, "rules");
    (void)record;
    if (options->json) {
        cJSON *json = cJSON_CreateObject();
        cJSON_AddStringToObject(json, "default", text_of(reply, "default"));
        cJSON_AddItemToObject(json, "rules", cJSON_Duplicate(rules, true));
        print_json(json);
        cJSON_Delete(json);
        return;
    }
    print_header();
    cJSON_ArrayForEach(rule, rules)
    {
        print_row(json_number(rule, "id", 0), text_of(rule, "action"), text_of(rule, "source"),
                  text_of(rule, "pattern"));
    }
    printf("%-6s  %-8s  %-8s  %s\n", "-", text_of(reply, "default"), "default", "everything else");
}

static int rules_ask(const char *name, char *session, const cJSON *members,
                     const struct rules_options *options, struct error *err)
{
    char *words[] = {session, NULL};
    const struct request request = {
        .verb = "rules",
        .name = name,
        .members = members,
        .until = REQUEST_REPLY,
        .timeout_ms = ANSWER_TIMEOUT_MS,
        .done = members == NULL ? rules_answered : NULL,
        .context = (void *)(uintptr_t)options,
    };
    return request_send(&request, words, err);
}

static void saved_show(const struct saved_rules *rules, const struct rules_options *options)
{
    cJSON *array = cJSON_CreateArray();
    if (!options->json)
        print_header();
    for (size_t i = 0; i < rules->count; i++) {
        const struct saved_rule *rule = &rules->items[i];
        const char *action = rule->internal ? "internal" : saved_verdict_name(rule->verdict);
        cJSON *object = cJSON_CreateObject();
        cJSON_AddNumberToObject(object, "id", (double)rule->id);
        cJSON_AddStringToObject(object, "action", action);
        cJSON_AddStringToObject(object, "source", "saved");
        cJSON_AddStringToObject(object, "pattern", rule->pattern);
        cJSON_AddItemToArray(array, object);
        if (!options->json)
            print_row((uint64_t)rule->id, action, "saved", rule->pattern);
    }
    if (options->json)
        print_json(array);
    cJSON_Delete(array);
}

/* The saved rules are shown, or one of them removed. */
static int rules_saved(uint64_t remove, const struct rules_options *options, struct error *err)
{
    CLEAN_SAVED_RULES struct saved_rules rules = {0};
    struct registry *registry = NULL;
    int rc = registry_open(&registry, NULL, err);
    if (rc == 0 && remove != 0)
        rc = saved_rule_remove(registry, (int64_t)remove, err);
    else if (rc == 0)
        rc = saved_rules_list(registry, &rules, err);
    registry_close(registry);
    if (rc == 0 && remove == 0)
        saved_show(&rules, options);
    return rc;
}

static int rules_remove(char *session, const char *number, const struct rules_options *options,
                        struct error *err)
{
    uint64_t id = 0;
    int rc = number != NULL ? str_number(number, "the rule", 1, UINT32_MAX, &id, err)
                            : error_set(err, EINVAL, "which rule? (vmdeck rules shows them)");
    if (rc < 0) {
        err->code = USAGE_ERROR;
        return rc;
    }
    if (session == NULL)
        return rules_saved(id, options, err);
    cJSON *members = cJSON_CreateObject();
    cJSON_AddNumberToObject(members, "rule", (double)id);
    rc = rules_ask("rules_rm", session, members, options, err);
    cJSON_Delete(members);
    return rc;
}

static const struct option rows[] = {
    {"json", 0, NULL, set_json, "JSON instead of a table"},
    {0},
};

static const struct option_group rules_group = {"Options", rows};

static int rules_main(const struct verb *verb, char **args, struct error *err)
{
    struct rules_options options = {0};
    void *const targets[] = {&options};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    char *session = *args != NULL && strcmp(*args, "rm") != 0 ? *args : NULL;
    char **rest = session != NULL ? args + 1 : args;
    bool removes = *rest != NULL && strcmp(*rest, "rm") == 0;
    if (command != NULL || (*rest != NULL && (!removes || (rest[1] != NULL && rest[2] != NULL))))
        return error_set(err, USAGE_ERROR, "too many words (see vmdeck rules --help)");
    if (removes)
        return rules_remove(session, rest[1], &options, err);
    return session != NULL ? rules_ask("rules", session, NULL, &options, err)
                           : rules_saved(0, &options, err);
}

const struct verb verb_rules = {
    .name = "rules",
    .usage = "[ID] [--json]\n[ID] rm RULE",
    .summary = "Show the rules of a session's network, or those that are saved",
    .groups = {&rules_group},
    .run = rules_main,
};
