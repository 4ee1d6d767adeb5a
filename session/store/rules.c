/* One table, one row a rule; the same rule twice is one row. */
#include "session/store/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/store/database.h"

static const char *const verdict_names[SAVED_VERDICTS] = {"allow", "deny"};

const char *saved_verdict_name(enum saved_verdict verdict)
{
    return verdict_names[verdict];
}

void saved_rules_free(struct saved_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        free(rules->items[i].pattern);
    free(rules->items);
    *rules = (struct saved_rules){0};
}

/* 1 with id and created of the rule that is there, 0 where there is none. */
static int rule_lookup(struct registry *registry, struct saved_rule *rule, struct error *err)
{
    static const char what[] = "read the saved rules";
    CLEAN_STMT sqlite3_stmt *stmt = NULL;
    int rc = database_prepare(
        registry, "SELECT id, created FROM rules WHERE verdict=? AND pattern=? AND internal=?",
        what, &stmt, err);
    if (rc == 0)
        rc = database_bind(registry, stmt, what, err, "tti", verdict_names[rule->verdict],
                           rule->pattern, (int64_t)rule->internal);
    if (rc == 0)
        rc = database_step(registry, stmt, what, err);
    if (rc > 0) {
        rule->id = sqlite3_column_int64(stmt, 0);
        rule->created = sqlite3_column_int64(stmt, 1);
    }
    return rc;
}

static int rule_insert(struct registry *registry, const struct saved_rule *rule, struct error *err)
{
    static const char what[] = "save the rule";
    int rc = database_do(registry, what, err, "SELECT 1 FROM rules LIMIT 1 OFFSET ?", "i",
                         (int64_t)SAVED_RULES_MAX - 1);
    if (rc > 0)
        return error_set(err, ENOSPC,
                         "cannot save the rule: there are %d already (vmdeck rules rm N removes "
                         "one)",
                         SAVED_RULES_MAX);
    return rc < 0 ? rc
                  : database_do(registry, what, err,
                                "INSERT INTO rules(verdict,pattern,internal,created)"
                                " VALUES(?,?,?,?)",
                                "ttii", verdict_names[rule->verdict], rule->pattern,
                                (int64_t)rule->internal, database_now());
}

int saved_rule_add(struct registry *registry, struct saved_rule *rule, struct error *err)
{
    static const char what[] = "save the rule";
    if ((unsigned)rule->verdict >= SAVED_VERDICTS)
        return error_set(err, EINVAL, "rule: verdict: neither allow nor deny");
    if (rule->pattern == NULL || rule->pattern[0] == '\0')
        return error_set(err, EINVAL, "rule: pattern: empty");
    if (strnlen(rule->pattern, SAVED_PATTERN_MAX + 1) > SAVED_PATTERN_MAX)
        return error_set(err, E2BIG, "rule: pattern: longer than %d bytes", SAVED_PATTERN_MAX);
    CLEAN_TRANSACTION struct transaction transaction = {0};
    struct saved_rule row = *rule;
    int rc = database_begin(registry, &transaction, what, err);
    if (rc == 0)
        rc = rule_lookup(registry, &row, err);
    if (rc == 0) {
        rc = rule_insert(registry, &row, err);
        if (rc == 0)
            rc = rule_lookup(registry, &row, err);
    }
    if (rc >= 0)
        rc = database_commit(&transaction, what, err);
    if (rc == 0)
        *rule = row;
    return rc;
}

int saved_rule_remove(struct registry *registry, int64_t id, struct error *err)
{
    int rc = database_do(registry, "remove the rule", err, "DELETE FROM rules WHERE id=?", "i", id);
    if (rc == 0 && sqlite3_changes(registry->db) == 0)
        return error_set(err, ENOENT, "no saved rule %lld (vmdeck rules shows them)",
                         (long long)id);
    return rc;
}

/* The row under the statement behind the last of the list. */
static int rules_append(struct saved_rules *rules, sqlite3_stmt *stmt, struct error *err)
{
    const void *verdict = sqlite3_column_text(stmt, 1), *pattern = sqlite3_column_text(stmt, 2);
    struct saved_rule *grown = reallocarray(rules->items, rules->count + 1, sizeof *rules->items);
    if (grown != NULL)
        rules->items = grown;
    char *copy = strdup(pattern != NULL ? pattern : "");
    if (grown == NULL || copy == NULL) {
        free(copy);
        return error_set(err, ENOMEM, "cannot read the saved rules: out of memory");
    }
    /* Only a hand that edits the file writes another verdict: what is not "allow" allows nothing.
     */
    bool allow = verdict != NULL && strcmp(verdict, verdict_names[SAVED_ALLOW]) == 0;
    rules->items[rules->count++] = (struct saved_rule){
        .id = sqlite3_column_int64(stmt, 0),
        .verdict = allow ? SAVED_ALLOW : SAVED_DENY,
        .internal = sqlite3_column_int(stmt, 3) != 0,
        .created = sqlite3_column_int64(stmt, 4),
        .pattern = copy,
    };
    return 0;
}

int saved_rules_list(struct registry *registry, struct saved_rules *out, struct error *err)
{
    static const char what[] = "read the saved rules";
    CLEAN_STMT sqlite3_stmt *stmt = NULL;
    *out = (struct saved_rules){0};
    int rc = database_prepare(registry,
                              "SELECT id,verdict,pattern,internal,created FROM rules ORDER BY id",
                              what, &stmt, err);
    while (rc == 0 && (rc = database_step(registry, stmt, what, err)) > 0)
        rc = rules_append(out, stmt, err);
    if (rc < 0)
        saved_rules_free(out);
    return rc;
}
