/*
 * Lines: a rule, a host, a method, a path. What a rule prints is the same rule; what is denied for
 * certain is denied with more known; a path that is denied in one reading is never allowed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_print(const struct policy *policy, enum rule_action action)
{
    const struct rule *rule = policy_rule(policy, 0);
    struct policy *again = policy_new();
    if (policy_add(again, action, RULE_OPTION, rule->text, NULL, NULL) < 0 ||
        strcmp(policy_rule(again, 0)->text, rule->text) != 0)
        abort();
    policy_free(again);
}

static enum policy_action judge(const struct policy *policy, const char *host, const char *method,
                                const char *path)
{
    struct policy_request request = {POLICY_HTTPS, method, host, 443, path};
    struct policy_verdict verdict;
    policy_judge(policy, &request, &verdict);
    if (strlen(verdict.reason) == 0 || strpbrk(verdict.reason, "\r\n") != NULL)
        abort();
    return verdict.action;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[4096], *lines[4] = {text, "", "", ""};
    size = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    for (int i = 1; i < 4; i++) {
        char *end = strchr(lines[i - 1], '\n');
        if (end == NULL)
            break;
        *end = '\0';
        lines[i] = end + 1;
    }
    for (int i = 0; i < 3; i++) {
        static const enum rule_action actions[] = {RULE_ALLOW, RULE_DENY, RULE_INTERNAL};
        struct policy *policy = policy_new();
        if (policy_add(policy, actions[i], RULE_OPTION, lines[0], NULL, NULL) == 0) {
            check_print(policy, actions[i]);
            enum policy_action known = judge(policy, lines[1], lines[2], lines[3]);
            enum policy_action unknown = judge(policy, lines[1], NULL, NULL);
            if (unknown == POLICY_DENY && known != POLICY_DENY)
                abort();
            (void)policy_judge_name(policy, lines[1]);
        }
        policy_free(policy);
    }
    return 0;
}
