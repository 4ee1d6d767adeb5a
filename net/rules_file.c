/*
 * A rule that is misspelt and silently dropped would open or close what the user did not mean, so
 * everything that is not understood is an error.
 */
#include "net/rules_file.h"

#include <errno.h>
#include <string.h>

static void cleanup_json(cJSON **json)
{
    cJSON_Delete(*json);
}

static const struct {
    const char *name;
    enum rule_action action;
} lists[] = {
    {"allow", RULE_ALLOW},
    {"deny", RULE_DENY},
    {"allow-internal", RULE_INTERNAL},
};

static int add_list(const cJSON *list, enum rule_action action, struct policy *policy,
                    struct error *err)
{
    const cJSON *item;
    if (!cJSON_IsArray(list))
        return error_set(err, EINVAL, "'%s' is not a list of texts", list->string);
    if (action == RULE_ALLOW)
        policy_set_listed(policy);
    cJSON_ArrayForEach(item, list)
    {
        const char *text = cJSON_GetStringValue(item);
        if (text == NULL)
            return error_set(err, EINVAL, "'%s' is not a list of texts", list->string);
        int rc = policy_add(policy, action, RULE_FILE, text, NULL, err);
        if (rc < 0)
            return error_wrap(err, "'%s'", list->string);
    }
    return 0;
}

static int set_ask(const cJSON *item, struct policy *policy, uint32_t *ask, struct error *err)
{
    double seconds = cJSON_IsTrue(item) ? RULES_ASK_STANDARD : 0;
    if (cJSON_IsNumber(item))
        seconds = item->valuedouble;
    if (!cJSON_IsBool(item) &&
        !(seconds >= 1 && seconds <= RULES_ASK_MAX && seconds == (double)(uint32_t)seconds))
        return error_set(err, EINVAL, "'ask' is not true, false or a number of seconds up to %d",
                         RULES_ASK_MAX);
    *ask = (uint32_t)seconds;
    policy_set_ask(policy, *ask != 0);
    return 0;
}

static int add_member(const cJSON *member, struct policy *policy, uint32_t *ask, struct error *err)
{
    for (const cJSON *other = member->next; other != NULL; other = other->next)
        if (strcmp(other->string, member->string) == 0)
            return error_set(err, EINVAL, "'%.40s' is there twice", member->string);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (strcmp(member->string, lists[i].name) == 0)
            return add_list(member, lists[i].action, policy, err);
    if (strcmp(member->string, "ask") == 0)
        return set_ask(member, policy, ask, err);
    return error_set(err, EINVAL, "'%.40s' is not known (allow, deny, allow-internal, ask)",
                     member->string);
}

int rules_file_parse(const char *text, size_t size, struct policy *policy, uint32_t *ask,
                     struct error *err)
{
    const char *end = NULL;
    const cJSON *member;
    if (size > RULES_FILE_MAX)
        return error_set(err, EINVAL, "policy: larger than %u bytes", RULES_FILE_MAX);
    __attribute__((cleanup(cleanup_json))) cJSON *json =
        cJSON_ParseWithLengthOpts(text, size, &end, 0);
    while (json != NULL && end < text + size && strchr(" \t\r\n", *end) != NULL && *end != '\0')
        end++;
    if (!cJSON_IsObject(json) || end != text + size)
        return error_set(err, EINVAL, "policy: not a JSON object");
    cJSON_ArrayForEach(member, json)
    {
        int rc = add_member(member, policy, ask, err);
        if (rc < 0)
            return error_wrap(err, "policy");
    }
    return 0;
}
