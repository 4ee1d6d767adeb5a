/*
 * The rules are a list and every request looks at all of them: a few microseconds for the few
 * dozen rules there are, and nothing that could get out of step. Whatever cannot be read for
 * certain counts against the request: a deny rule's method is compared without case and its path
 * with every reading of the request's, an allow rule must match exactly and in every reading.
 */
#include "net/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define PROTOCOL(p) (1u << (p))
#define WEB                                                                                        \
    (PROTOCOL(POLICY_ANY) | PROTOCOL(POLICY_HTTP) | PROTOCOL(POLICY_HTTPS) | PROTOCOL(POLICY_WS) | \
     PROTOCOL(POLICY_WSS))

static const struct {
    const char *name;
    unsigned protocols;
    uint16_t port; /* where the pattern names none */
} actions[RULE_ACTIONS] = {
    [RULE_ALLOW] = {"allow", WEB, 0},
    [RULE_DENY] = {"deny", ~0u, 0},
    [RULE_INTERNAL] = {"allow-internal", WEB, 0},
    [RULE_SSH] = {"allow-ssh", PROTOCOL(POLICY_ANY) | PROTOCOL(POLICY_SSH), 22},
    [RULE_TCP] = {"allow-tcp", PROTOCOL(POLICY_ANY) | PROTOCOL(POLICY_TCP), 0},
};

static const struct {
    const char *name;
    bool run_time;
} sources[RULE_SOURCES] = {
    [RULE_OPTION] = {"option", false}, [RULE_FILE] = {"file", false},
    [RULE_SAVED] = {"always", true},   [RULE_SESSION] = {"session", true},
    [RULE_ONCE] = {"once", true},
};

static const char *const verdicts[] = {
    [POLICY_ALLOW] = "allow", [POLICY_DENY] = "deny", [POLICY_ASK] = "ask"};

struct policy {
    struct rule *rules;
    size_t count, capacity;
    uint32_t last_id;
    bool listed, ask;
};

struct policy *policy_new(void)
{
    return calloc(1, sizeof(struct policy));
}

static void rule_free(struct rule *rule)
{
    pattern_free(&rule->pattern);
    free(rule->text);
}

void policy_free(struct policy *policy)
{
    if (policy == NULL)
        return;
    for (size_t i = 0; i < policy->count; i++)
        rule_free(&policy->rules[i]);
    free(policy->rules);
    free(policy);
}

void policy_set_listed(struct policy *policy)
{
    policy->listed = true;
}

void policy_set_ask(struct policy *policy, bool ask)
{
    policy->ask = ask;
}

size_t policy_count(const struct policy *policy)
{
    return policy->count;
}

const struct rule *policy_rule(const struct policy *policy, size_t index)
{
    return &policy->rules[index];
}

static void remove_at(struct policy *policy, size_t index)
{
    rule_free(&policy->rules[index]);
    policy->count--;
    memmove(&policy->rules[index], &policy->rules[index + 1],
            (policy->count - index) * sizeof policy->rules[0]);
}

static int network_text(struct rule *rule)
{
    char base[ADDRESS_TEXT_MAX];
    address_print(&rule->network.base, base);
    rule->text = str_printf("%s/%u", base, rule->network.bits);
    return rule->text != NULL ? 0 : -ENOMEM;
}

static int rule_parse(struct rule *rule, const char *text, struct error *err)
{
    CLEAN_BUF struct buf printed = {0};
    size_t host = strcspn(text, "/");
    /* "10.0.0.0/8" is a network here, though it could be a host and a path */
    if (rule->action == RULE_INTERNAL && text[host] == '/' &&
        network_parse(text, &rule->network, NULL) == 0) {
        rule->is_network = true;
        return network_text(rule) == 0 ? 0 : error_set(err, ENOMEM, "out of memory");
    }
    int rc = pattern_parse_rule(text, &rule->pattern, err);
    if (rc < 0)
        return rc;
    if (rule->pattern.port == 0)
        rule->pattern.port = actions[rule->action].port;
    if (pattern_print_rule(&rule->pattern, &printed) == 0 && buf_string(&printed) != NULL)
        rule->text = strdup(buf_string(&printed));
    return rule->text != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* Looks for the same rule, and drops what this one takes back. */
static const struct rule *merge(struct policy *policy, const struct rule *rule)
{
    for (size_t i = 0; i < policy->count; i++) {
        const struct rule *other = &policy->rules[i];
        if (strcmp(other->text, rule->text) != 0)
            continue;
        if (other->action == rule->action && other->source == rule->source)
            return other;
        bool opposite = (other->action == RULE_DENY) != (rule->action == RULE_DENY);
        if (opposite && sources[other->source].run_time && sources[rule->source].run_time)
            remove_at(policy, i--);
    }
    return NULL;
}

/* Room for one more rule. */
static int reserve(struct policy *policy, struct error *err)
{
    if (policy->count == POLICY_RULES_MAX)
        return error_set(err, ENOSPC, "there are %d rules already: remove some", POLICY_RULES_MAX);
    if (policy->count < policy->capacity)
        return 0;
    size_t capacity = policy->capacity > 0 ? 2 * policy->capacity : 16;
    struct rule *rules = realloc(policy->rules, capacity * sizeof *rules);
    if (rules == NULL)
        return error_set(err, ENOMEM, "out of memory");
    policy->rules = rules;
    policy->capacity = capacity;
    return 0;
}

int policy_add(struct policy *policy, enum rule_action action, enum rule_source source,
               const char *text, uint32_t *id, struct error *err)
{
    struct rule rule = {.action = action, .source = source};
    int rc = rule_parse(&rule, text, err);
    if (rc < 0) {
        rule_free(&rule);
        return error_wrap(err, "rule");
    }
    if (rule.is_network && source == RULE_ONCE) {
        rule_free(&rule);
        return error_set(err, EINVAL,
                         "%.50s: a network cannot be allowed for one request (name the host)",
                         text);
    }
    const struct rule *same = merge(policy, &rule);
    if (same != NULL) {
        if (id != NULL)
            *id = same->id;
        rule_free(&rule);
        return 0;
    }
    rc = reserve(policy, err);
    if (rc < 0) {
        rule_free(&rule);
        return rc;
    }
    rule.id = ++policy->last_id;
    policy->rules[policy->count++] = rule;
    if (action == RULE_ALLOW && !sources[source].run_time)
        policy->listed = true;
    if (id != NULL)
        *id = rule.id;
    return 0;
}

int policy_remove(struct policy *policy, uint32_t id, struct error *err)
{
    for (size_t i = 0; i < policy->count; i++)
        if (policy->rules[i].id == id) {
            remove_at(policy, i);
            return 0;
        }
    return error_set(err, ENOENT, "there is no rule %u (see 'vmdeck rules')", id);
}

static enum policy_action default_action(const struct policy *policy)
{
    if (policy->ask)
        return POLICY_ASK;
    return policy->listed ? POLICY_DENY : POLICY_ALLOW;
}

cJSON *policy_json(const struct policy *policy)
{
    cJSON *json = cJSON_CreateObject();
    const char *name = verdicts[default_action(policy)];
    cJSON *rules = NULL;
    if (cJSON_AddStringToObject(json, "default", name) != NULL)
        rules = cJSON_AddArrayToObject(json, "rules");
    bool whole = rules != NULL;
    for (size_t i = 0; i < policy->count && whole; i++) {
        const struct rule *rule = &policy->rules[i];
        cJSON *item = cJSON_CreateObject();
        whole = cJSON_AddNumberToObject(item, "id", rule->id) != NULL &&
                cJSON_AddStringToObject(item, "action", actions[rule->action].name) != NULL &&
                cJSON_AddStringToObject(item, "source", sources[rule->source].name) != NULL &&
                cJSON_AddStringToObject(item, "pattern", rule->text) != NULL;
        whole = cJSON_AddItemToArray(rules, item) && whole;
    }
    if (whole)
        return json;
    cJSON_Delete(json);
    return NULL;
}

/* A request in the form that rules are compared with. */
struct subject {
    const struct policy_request *request;
    char host[HOST_SIZE];
    bool path_read;       /* `path` was made, or could not be */
    struct url_path path; /* empty if it cannot be understood */
};

static bool path_matches(struct subject *subject, const struct rule *rule)
{
    const char *text = subject->request->path;
    bool deny = rule->action == RULE_DENY;
    if (rule->pattern.path.forms[0] == NULL)
        return true;
    if (text == NULL)
        return !deny;
    if (!subject->path_read) {
        (void)url_path_parse(text, strlen(text), &subject->path, NULL);
        subject->path_read = true;
    }
    if (subject->path.forms[0] == NULL)
        return deny;
    return url_path_matches(&rule->pattern.path, &subject->path, !deny);
}

static bool method_matches(const struct subject *subject, const struct rule *rule)
{
    const char *method = subject->request->method;
    bool deny = rule->action == RULE_DENY;
    if (rule->pattern.method[0] == '\0')
        return true;
    if (method == NULL)
        return !deny;
    return deny ? strcasecmp(rule->pattern.method, method) == 0
                : strcmp(rule->pattern.method, method) == 0;
}

static bool rule_matches(struct subject *subject, const struct rule *rule)
{
    const struct policy_request *request = subject->request;
    if (rule->is_network || (actions[rule->action].protocols & PROTOCOL(request->protocol)) == 0)
        return false;
    if (rule->action == RULE_DENY && request->port == 0 && rule->pattern.port != 0)
        return false;
    return pattern_host_matches(&rule->pattern, subject->host, request->port) &&
           method_matches(subject, rule) && path_matches(subject, rule);
}

static const struct rule *find_rule(const struct policy *policy, struct subject *subject, bool deny)
{
    for (size_t i = 0; i < policy->count; i++) {
        const struct rule *rule = &policy->rules[i];
        if ((rule->action == RULE_DENY) == deny && rule_matches(subject, rule))
            return rule;
    }
    return NULL;
}

/* A host that is an address is judged as one already, so that nobody is asked in vain. */
static bool host_reachable(const struct policy *policy, const struct subject *subject,
                           const char **why)
{
    struct address address;
    return subject->request->protocol == POLICY_TCP || address_parse(subject->host, &address) < 0 ||
           policy_address_allowed(policy, subject->host, subject->request->port, &address, why);
}

static void judge(const struct policy *policy, struct subject *subject, struct policy_verdict *out)
{
    const struct policy_request *request = subject->request;
    const char *why;
    const struct rule *rule = find_rule(policy, subject, true);
    size_t room = sizeof out->reason;
    bool web = (WEB & PROTOCOL(request->protocol)) != 0;
    if (rule != NULL) {
        out->rule = rule->id;
        snprintf(out->reason, room, "rule %u denies %.400s", rule->id, rule->text);
        return;
    }
    if (!host_reachable(policy, subject, &why)) {
        snprintf(out->reason, room, "%s is not a public address (%s)", subject->host, why);
        return;
    }
    rule = find_rule(policy, subject, false);
    if (rule != NULL) {
        out->action = POLICY_ALLOW;
        out->rule = rule->id;
        snprintf(out->reason, room, "rule %u allows %.400s", rule->id, rule->text);
        return;
    }
    out->action = default_action(policy);
    if (out->action == POLICY_ALLOW && !web)
        out->action = POLICY_DENY;
    if (out->action == POLICY_ALLOW)
        snprintf(out->reason, room, "public HTTP and HTTPS are allowed");
    else
        snprintf(out->reason, room, "no rule %s %s", policy->ask ? "names" : "allows",
                 subject->host);
}

void policy_judge(const struct policy *policy, const struct policy_request *request,
                  struct policy_verdict *out)
{
    struct subject subject = {.request = request};
    struct error why;
    *out = (struct policy_verdict){.action = POLICY_DENY};
    if (host_normalize(request->host, strlen(request->host), 0, subject.host, &why) < 0)
        snprintf(out->reason, sizeof out->reason, "%.400s", why.message);
    else
        judge(policy, &subject, out);
    url_path_free(&subject.path);
}

enum policy_action policy_judge_name(const struct policy *policy, const char *host)
{
    struct policy_verdict verdict;
    policy_judge(policy, &(struct policy_request){.host = host}, &verdict);
    return verdict.action;
}

bool policy_host_internal(const struct policy *policy, const char *host, uint16_t port)
{
    char name[HOST_SIZE];
    if (host_normalize(host, strlen(host), 0, name, NULL) < 0)
        return false;
    for (size_t i = 0; i < policy->count; i++) {
        const struct rule *rule = &policy->rules[i];
        if (rule->action == RULE_INTERNAL && !rule->is_network &&
            pattern_host_matches(&rule->pattern, name, port))
            return true;
    }
    return false;
}

bool policy_used(struct policy *policy, uint32_t id, const char *host, uint16_t port)
{
    bool internal = false;
    for (size_t i = policy->count; i-- > 0;) {
        const struct rule *rule = &policy->rules[i];
        if (rule->source != RULE_ONCE)
            continue;
        bool opens = rule->action == RULE_INTERNAL && !rule->is_network &&
                     pattern_host_matches(&rule->pattern, host, port);
        if (opens || rule->id == id)
            remove_at(policy, i);
        internal |= opens;
    }
    return internal;
}

bool policy_address_allowed(const struct policy *policy, const char *host, uint16_t port,
                            const struct address *address, const char **why)
{
    if (address_public(address, why) || policy_host_internal(policy, host, port))
        return true;
    for (size_t i = 0; i < policy->count; i++) {
        const struct rule *rule = &policy->rules[i];
        if (rule->is_network && network_contains(&rule->network, address))
            return true;
    }
    return false;
}
