/*
 * Rules about the network that outlive sessions (allow --always, deny --always), in the registry's
 * database. What a pattern means, and whether it makes sense, is for the caller to judge, before
 * it is added and again when it is read. Threads, times and errors as in registry.h.
 */
#ifndef VMDECK_SESSION_STORE_RULES_H
#define VMDECK_SESSION_STORE_RULES_H

#include "session/store/registry.h"

#define SAVED_PATTERN_MAX 2048 /* bytes */
#define SAVED_RULES_MAX   1000 /* each is looked at for every request */

enum saved_verdict { SAVED_ALLOW, SAVED_DENY, SAVED_VERDICTS };
const char *saved_verdict_name(enum saved_verdict verdict); /* "allow", "deny" */

struct saved_rule {
    int64_t id; /* above 0, and never given twice */
    enum saved_verdict verdict;
    bool internal; /* of --internal: also where the address is not a public one */
    int64_t created;
    char *pattern; /* of a returned rule: released by the list */
};

struct saved_rules {
    struct saved_rule *items;
    size_t count;
};
void saved_rules_free(struct saved_rules *rules);
#define CLEAN_SAVED_RULES __attribute__((cleanup(saved_rules_free)))

/*
 * Adds a rule; fills in id and created. One that is there already stays, and its own are filled
 * in. -EINVAL, -E2BIG: an empty or too long pattern. -ENOSPC: there are SAVED_RULES_MAX.
 */
int saved_rule_add(struct registry *registry, struct saved_rule *rule, struct error *err);

/* -ENOENT: there is no such rule. */
int saved_rule_remove(struct registry *registry, int64_t id, struct error *err);

/* In the order of adding. *out is emptied first, and empty on failure. */
int saved_rules_list(struct registry *registry, struct saved_rules *out, struct error *err);

#endif
