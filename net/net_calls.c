/* What net_call() can be asked: one row and one function each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/net_internal.h"
#include "net/proxy.h"

#define PATTERNS_MAX 256

static cJSON *call_rules(struct net_thread *thread, const cJSON *arguments, struct error *err)
{
    (void)arguments;
    (void)err;
    return policy_json(thread->core.policy);
}

static int scope_of(const cJSON *arguments, enum rule_source *source, struct error *err)
{
    static const struct {
        const char *name;
        enum rule_source source;
    } scopes[] = {{"once", RULE_ONCE}, {"session", RULE_SESSION}, {"saved", RULE_SAVED}};
    const char *scope = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(arguments, "scope"));
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
        if (strcmp(scope != NULL ? scope : "session", scopes[i].name) == 0) {
            *source = scopes[i].source;
            return 0;
        }
    return error_set(err, EINVAL, "scope is not once, session or saved");
}

static void remove_rules(struct policy *policy, const uint32_t *ids, const bool *which,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (which[i])
            (void)policy_remove(policy, ids[i], NULL);
}

/* All of the patterns, or none. */
static cJSON *add_rules(struct net_thread *thread, const cJSON *arguments, enum rule_action action,
                        struct error *err)
{
    struct policy *policy = thread->core.policy;
    const cJSON *patterns = cJSON_GetObjectItemCaseSensitive(arguments, "patterns");
    uint32_t ids[PATTERNS_MAX] = {0};
    bool fresh[PATTERNS_MAX] = {false}; /* not there before */
    size_t count = 0;
    enum rule_source source = RULE_SESSION;
    if (scope_of(arguments, &source, err) < 0)
        return NULL;
    if (!cJSON_IsArray(patterns) || cJSON_GetArraySize(patterns) > PATTERNS_MAX) {
        error_set(err, EINVAL, "patterns is not a list of at most %d texts", PATTERNS_MAX);
        return NULL;
    }
    const cJSON *pattern;
    cJSON_ArrayForEach(pattern, patterns)
    {
        size_t before = policy_count(policy);
        const char *text = cJSON_GetStringValue(pattern);
        int rc = text != NULL ? policy_add(policy, action, source, text, &ids[count], err)
                              : error_set(err, EINVAL, "a pattern is not a text");
        if (rc < 0) {
            remove_rules(policy, ids, fresh, count);
            return NULL;
        }
        fresh[count++] = policy_count(policy) > before;
    }
    cJSON *result = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(result, "rules");
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateNumber(ids[i]));
    proxy_rules_changed(&thread->core);
    return result;
}

static cJSON *call_allow(struct net_thread *thread, const cJSON *arguments, struct error *err)
{
    bool internal = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(arguments, "internal"));
    return add_rules(thread, arguments, internal ? RULE_INTERNAL : RULE_ALLOW, err);
}

static cJSON *call_deny(struct net_thread *thread, const cJSON *arguments, struct error *err)
{
    return add_rules(thread, arguments, RULE_DENY, err);
}

static int id_of(const cJSON *arguments, uint32_t *id, struct error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(arguments, "id");
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 1 && item->valuedouble <= UINT32_MAX))
        return error_set(err, EINVAL, "id is not a number");
    *id = (uint32_t)item->valuedouble;
    return 0;
}

static cJSON *call_rules_rm(struct net_thread *thread, const cJSON *arguments, struct error *err)
{
    uint32_t id = 0;
    if (id_of(arguments, &id, err) < 0 || policy_remove(thread->core.policy, id, err) < 0)
        return NULL;
    proxy_rules_changed(&thread->core);
    return cJSON_CreateObject();
}

static cJSON *call_requests(struct net_thread *thread, const cJSON *arguments, struct error *err)
{
    (void)arguments;
    (void)err;
    const struct questions *questions = &thread->core.questions;
    cJSON *result = cJSON_CreateObject();
    cJSON_AddItemToObject(result, "requests", questions_json(questions));
    cJSON_AddNumberToObject(result, "count", questions->count);
    return result;
}

static cJSON *call_answer(struct net_thread *thread, const cJSON *arguments, struct error *err)
{
    const cJSON *allow = cJSON_GetObjectItemCaseSensitive(arguments, "allow");
    uint32_t id = 0;
    if (id_of(arguments, &id, err) < 0)
        return NULL;
    if (!cJSON_IsBool(allow)) {
        error_set(err, EINVAL, "allow is not true or false");
        return NULL;
    }
    if (questions_answer(&thread->core.questions, id, cJSON_IsTrue(allow), err) < 0)
        return NULL;
    return cJSON_CreateObject();
}

static cJSON *call_owner(struct net_thread *thread, const cJSON *arguments, struct error *err)
{
    uint32_t flow = 0;
    if (id_of(arguments, &flow, err) < 0)
        return NULL;
    proxy_owner_known(&thread->core, flow);
    return cJSON_CreateObject();
}

static cJSON *call_stop(struct net_thread *thread, const cJSON *arguments, struct error *err)
{
    (void)arguments;
    (void)err;
    guest_detach(&thread->guest);
    return cJSON_CreateObject();
}

static cJSON *call_stats(struct net_thread *thread, const cJSON *arguments, struct error *err)
{
    (void)arguments;
    (void)err;
    const struct core *core = &thread->core;
    cJSON *result = cJSON_CreateObject();
    size_t flows = thread->guest.link != NULL ? link_flow_count(thread->guest.link) : 0;
    cJSON_AddNumberToObject(result, "received", (double)core->received);
    cJSON_AddNumberToObject(result, "sent", (double)core->sent);
    cJSON_AddNumberToObject(result, "flows", (double)flows);
    cJSON_AddNumberToObject(result, "requests", core->questions.count);
    return result;
}

cJSON *call_run(struct net_thread *thread, const char *name, const cJSON *arguments,
                struct error *err)
{
    static const struct {
        const char *name;
        cJSON *(*run)(struct net_thread *thread, const cJSON *arguments, struct error *err);
    } calls[] = {
        {"rules", call_rules},       {"allow", call_allow},   {"deny", call_deny},
        {"rules_rm", call_rules_rm}, {"answer", call_answer}, {"requests", call_requests},
        {"stats", call_stats},       {"stop", call_stop},     {"owner", call_owner},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, name) == 0) {
            cJSON *result = calls[i].run(thread, arguments, err);
            if (result == NULL && err->code == 0)
                error_set(err, ENOMEM, "out of memory");
            return result;
        }
    error_set(err, EINVAL, "the network knows no '%.40s'", name);
    return NULL;
}
