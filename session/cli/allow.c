/*
 * vmdeck allow, vmdeck deny: a rule of the network for a session that runs. The session host
 * judges what a pattern means, also for a rule that is to outlive the session, so one has to run.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "session/cli/find.h"
#include "session/cli/request.h"
#include "session/cli/verb.h"

#define ANSWER_TIMEOUT_MS 5000

struct rule_options {
    const char *method, *path, *scope;
    bool all, internal;
};

static int set_method(void *target, const char *value, struct error *err)
{
    ((struct rule_options *)target)->method = value;
    return *value != '\0' && strchr(value, ' ') == NULL
               ? 0
               : error_set(err, EINVAL, "--method '%.40s': not a method", value);
}

static int set_path(void *target, const char *value, struct error *err)
{
    ((struct rule_options *)target)->path = value;
    return value[0] == '/' ? 0
                           : error_set(err, EINVAL, "--path '%.200s': it begins with '/'", value);
}

static int set_scope(struct rule_options *options, const char *scope, struct error *err)
{
    if (options->scope != NULL && strcmp(options->scope, scope) != 0)
        return error_set(err, EINVAL, "--once, --session and --always exclude each other");
    options->scope = scope;
    return 0;
}

static int set_once(void *target, const char *value, struct error *err)
{
    (void)value;
    return set_scope(target, "once", err);
}

static int set_session(void *target, const char *value, struct error *err)
{
    (void)value;
    return set_scope(target, "session", err);
}

static int set_always(void *target, const char *value, struct error *err)
{
    (void)value;
    return set_scope(target, "saved", err);
}

static int set_all(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct rule_options *)target)->all = true;
    return 0;
}

static int set_internal(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct rule_options *)target)->internal = true;
    return 0;
}

/* [METHOD ]HOST[PATH] of each word. */
static int rule_patterns(const struct rule_options *options, char *const *words, struct strv *out,
                         struct error *err)
{
    for (; *words != NULL; words++) {
        if (options->path != NULL && strchr(*words, '/') != NULL)
            return error_set(err, USAGE_ERROR, "'%.200s' has a path, and --path is another",
                             *words);
        if (strv_addf(out, "%s%s%s%s", options->method != NULL ? options->method : "",
                      options->method != NULL ? " " : "", *words,
                      options->path != NULL ? options->path : "") < 0)
            return error_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

/*
 * Which sessions the words are for, and where the patterns begin: the first word, if there are
 * several and it means a session, or else the one session that lives. A host is no 8 hexadecimal
 * digits, and a name that could be both is a session's: --all, or its id, says it clearly.
 */
static int rule_target(char **words, char *target[2], char ***patterns, struct error *err)
{
    CLEAN_SESSION struct session_record record = {0};
    CLEAN_SESSIONS struct session_list list = {0};
    static char id[SESSION_ID_SIZE];
    struct registry *registry = NULL;
    *patterns = words;
    target[1] = NULL;
    int rc = find_registry(&registry, err);
    if (rc < 0)
        return rc;
    if (words[1] != NULL && session_find(registry, words[0], SESSIONS_LIVE, &record, NULL) == 0) {
        *patterns = words + 1;
    } else {
        rc = session_list(registry, SESSIONS_LIVE, &list, err);
        if (rc == 0 && list.count != 1)
            rc = error_set(err, list.count == 0 ? ENOENT : ENOTUNIQ,
                           list.count == 0 ? "no session runs that could have a rule"
                                           : "several sessions run: name one in front of the "
                                             "host, or --all");
    }
    registry_close(registry);
    if (rc == 0)
        memcpy(id, *patterns != words ? record.id : list.items[0].id, sizeof id);
    target[0] = id;
    return rc;
}

static const struct option rows[] = {
    {"method", 0, "M", set_method, "only requests of this method"},
    {"path", 0, "GLOB", set_path, "only this path; * for any characters"},
    {"once", 0, NULL, set_once, "only the next request, or one that waits"},
    {"session", 0, NULL, set_session, "until the session ends (the default)"},
    {"always", 0, NULL, set_always, "also for every session that is started from now on"},
    {"internal", 0, NULL, set_internal, "also at an address that is not public"},
    {"all", 0, NULL, set_all, "in all sessions"},
    {0},
};

static const struct option_group rule_group = {"Options", rows};

static int rule_main(const struct verb *verb, char **args, struct error *err)
{
    struct rule_options options = {0};
    void *const targets[] = {&options};
    char **command, *target[2], **patterns = args;
    CLEAN_STRV struct strv texts = {0};
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (command != NULL || *args == NULL)
        return error_set(err, USAGE_ERROR, "which host? (see vmdeck %s --help)", verb->name);
    if (options.internal && strcmp(verb->name, "deny") == 0)
        return error_set(err, USAGE_ERROR, "--internal: what is denied is denied everywhere");
    if (!options.all)
        rc = rule_target(args, target, &patterns, err);
    if (rc == 0)
        rc = rule_patterns(&options, patterns, &texts, err);
    if (rc < 0)
        return rc;
    cJSON *members = cJSON_CreateObject();
    cJSON_AddItemToObject(
        members, "patterns",
        cJSON_CreateStringArray((const char *const *)texts.items, (int)texts.count));
    cJSON_AddStringToObject(members, "scope", options.scope != NULL ? options.scope : "session");
    cJSON_AddBoolToObject(members, "internal", options.internal);
    const struct request request = {
        .verb = verb->name,
        .name = verb->name,
        .members = members,
        .until = REQUEST_REPLY,
        .timeout_ms = ANSWER_TIMEOUT_MS,
    };
    rc = request_send(&request, options.all ? NULL : target, err);
    cJSON_Delete(members);
    return rc;
}

#define RULE_USAGE \
    "[ID|--all] HOST... [--method M] [--path GLOB] [--once|--session|--always] [--internal]"

const struct verb verb_allow = {
    .name = "allow",
    .usage = RULE_USAGE,
    .summary = "Let a session's requests to a host pass",
    .groups = {&rule_group},
    .run = rule_main,
};

const struct verb verb_deny = {
    .name = "deny",
    .usage = RULE_USAGE,
    .summary = "Refuse a session's requests to a host",
    .groups = {&rule_group},
    .run = rule_main,
};
