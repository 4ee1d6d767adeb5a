/* session/store: saved rules. */
#include "store_fixture.h"

#include "session/store/rules.h"

static void test_rules(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    static const struct {
        enum saved_verdict verdict;
        bool internal;
        const char *pattern;
        int64_t id;
    } rows[] = {
        {SAVED_ALLOW, false, "GET *.example.com:443/a?", 1},
        {SAVED_DENY, false, "'); DROP TABLE rules; --\xff\n%s", 2},
        {SAVED_DENY, false, "GET *.example.com:443/a?", 3},
        {SAVED_ALLOW, true, "GET *.example.com:443/a?", 4},
        {SAVED_ALLOW, false, "GET *.example.com:443/a?", 1}, /* is there */
        {SAVED_ALLOW, false, "get *.example.com:443/a?", 5},
    };
    int64_t created = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_FREE char *pattern = strdup(rows[i].pattern);
        struct saved_rule rule = {
            .verdict = rows[i].verdict, .internal = rows[i].internal, .pattern = pattern};
        must(saved_rule_add(registry, &rule, &err), &err);
        assert_int_equal(rule.id, rows[i].id);
        assert_true(rule.created > 0);
        created = i == 0 ? rule.created : created;
        if (rule.id == 1)
            assert_int_equal(rule.created, created);
    }
    registry_close(registry);

    registry = must_open(fixture->path);
    CLEAN_SAVED_RULES struct saved_rules rules = {0};
    must(saved_rules_list(registry, &rules, &err), &err);
    assert_int_equal(rules.count, 5);
    for (size_t i = 0, row = 0; i < rules.count; i++, row++) {
        row += row == 4;
        assert_int_equal(rules.items[i].id, rows[row].id);
        assert_int_equal(rules.items[i].verdict, rows[row].verdict);
        assert_int_equal(rules.items[i].internal, rows[row].internal);
        assert_string_equal(rules.items[i].pattern, rows[row].pattern);
    }
    assert_string_equal(saved_verdict_name(rules.items[0].verdict), "allow");
    assert_string_equal(saved_verdict_name(rules.items[1].verdict), "deny");
    registry_close(registry);
}

/* A number that was removed, the last one too, is not used again. */
static void test_remove(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    char pattern[] = "example.com";
    struct saved_rule rule = {.pattern = pattern};
    must(saved_rule_add(registry, &rule, &err), &err);
    must(saved_rule_remove(registry, 1, &err), &err);
    static const int64_t none[] = {1, 2, 0, -1, INT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        assert_int_equal(saved_rule_remove(registry, none[i], &err), -ENOENT);
    must(saved_rule_add(registry, &rule, &err), &err);
    assert_int_equal(rule.id, 2);
    CLEAN_SAVED_RULES struct saved_rules rules = {0};
    must(saved_rules_list(registry, &rules, &err), &err);
    assert_int_equal(rules.count, 1);
    registry_close(registry);
}

static void test_limits(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    CLEAN_FREE char *pattern = malloc(SAVED_PATTERN_MAX + 2);
    memset(pattern, 'x', SAVED_PATTERN_MAX + 1);
    pattern[SAVED_PATTERN_MAX + 1] = '\0';
    char empty[] = "";
    struct saved_rule rule = {.pattern = pattern};
    assert_int_equal(saved_rule_add(registry, &rule, &err), -E2BIG);
    pattern[SAVED_PATTERN_MAX] = '\0';
    must(saved_rule_add(registry, &rule, &err), &err);
    rule.verdict = SAVED_VERDICTS;
    assert_int_equal(saved_rule_add(registry, &rule, &err), -EINVAL);
    assert_int_equal(saved_rule_add(registry, &(struct saved_rule){.pattern = empty}, &err),
                     -EINVAL);
    assert_int_equal(saved_rule_add(registry, &(struct saved_rule){0}, &err), -EINVAL);

    CLEAN_FREE char *fill = str_printf(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i+1 FROM n WHERE i<%d)"
        " INSERT INTO rules(verdict,pattern,internal,created) SELECT 'deny',i,0,1 FROM n",
        SAVED_RULES_MAX);
    fixture_sql(fixture->path, fill);
    char more[] = "one more";
    struct saved_rule last = {.pattern = more};
    assert_int_equal(saved_rule_add(registry, &last, &err), -ENOSPC);
    rule.verdict = SAVED_ALLOW;
    must(saved_rule_add(registry, &rule, &err), &err); /* is there */
    must(saved_rule_remove(registry, rule.id, &err), &err);
    must(saved_rule_add(registry, &last, &err), &err);

    /* A verdict that is none allows nothing. */
    fixture_sql(fixture->path, "UPDATE rules SET verdict='maybe'");
    CLEAN_SAVED_RULES struct saved_rules rules = {0};
    must(saved_rules_list(registry, &rules, &err), &err);
    assert_int_equal(rules.count, SAVED_RULES_MAX);
    for (size_t i = 0; i < rules.count; i++)
        assert_int_equal(rules.items[i].verdict, SAVED_DENY);
    registry_close(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_rules),
        STORE_TEST(test_remove),
        STORE_TEST(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
