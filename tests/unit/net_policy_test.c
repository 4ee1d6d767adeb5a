/* The policy: rules, precedence, defaults, internal addresses, what cannot be read for certain. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/policy.h"
#include "net/rules_file.h"

/* "allow PATTERN", "deny PATTERN", …, "listed", "ask"; separated by ';'. */
static struct policy *make_policy(const char *text)
{
    static const struct {
        const char *name;
        enum rule_action action;
        enum rule_source source;
    } kinds[] = {
        {"allow ", RULE_ALLOW, RULE_OPTION},       {"deny ", RULE_DENY, RULE_OPTION},
        {"internal ", RULE_INTERNAL, RULE_OPTION}, {"ssh ", RULE_SSH, RULE_OPTION},
        {"tcp ", RULE_TCP, RULE_OPTION},           {"session ", RULE_ALLOW, RULE_SESSION},
        {"once ", RULE_ALLOW, RULE_ONCE},          {"always ", RULE_ALLOW, RULE_SAVED},
        {"refuse ", RULE_DENY, RULE_SESSION},
    };
    struct policy *policy = policy_new();
    char copy[512];
    char *rest = NULL;
    assert_non_null(policy);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *item = strtok_r(copy, ";", &rest); item != NULL; item = strtok_r(NULL, ";", &rest)) {
        struct error err = {0};
        if (strcmp(item, "listed") == 0)
            policy_set_listed(policy);
        else if (strcmp(item, "ask") == 0)
            policy_set_ask(policy, true);
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
            size_t length = strlen(kinds[i].name);
            if (strncmp(item, kinds[i].name, length) == 0 &&
                policy_add(policy, kinds[i].action, kinds[i].source, item + length, NULL, &err) < 0)
                fail_msg("'%s': %s", item, err.message);
        }
    }
    return policy;
}

#define HOSTS "allow example.com;allow *.example.org;allow api.*.net"

static const struct judged {
    const char *policy;
    struct policy_request request;
    enum policy_action expected;
} judged[] = {
    /* A1–A7 */
    {HOSTS, {POLICY_HTTPS, "GET", "example.com", 443, "/"}, POLICY_ALLOW},
    {HOSTS, {POLICY_HTTPS, "GET", "Foo.Example.Org", 443, "/"}, POLICY_ALLOW},
    {HOSTS, {POLICY_HTTPS, "GET", "foo.example.org.", 443, "/"}, POLICY_ALLOW},
    {HOSTS, {POLICY_HTTP, "GET", "api.foo.net", 80, "/"}, POLICY_ALLOW},
    {HOSTS, {POLICY_HTTPS, "GET", "nope.com", 443, "/"}, POLICY_DENY},
    {HOSTS, {POLICY_HTTPS, "GET", "example.org", 443, "/"}, POLICY_DENY},
    {HOSTS, {POLICY_HTTPS, "GET", "example.com.evil.net", 443, "/"}, POLICY_DENY},
    {HOSTS, {POLICY_HTTPS, "GET", "notexample.com", 443, "/"}, POLICY_DENY},
    {"allow *", {POLICY_HTTPS, "GET", "anything.example", 443, "/"}, POLICY_ALLOW},
    /* A14, A15, A18–A20 (secrets do not take part) */
    {"internal corp.example", {POLICY_HTTPS, "GET", "corp.example", 443, "/"}, POLICY_ALLOW},
    {"internal corp.example", {POLICY_HTTPS, "GET", "other.example", 443, "/"}, POLICY_ALLOW},
    {"listed", {POLICY_HTTPS, "GET", "example.com", 443, "/"}, POLICY_DENY},
    {"listed;internal corp.example", {POLICY_HTTP, "GET", "corp.example", 80, "/"}, POLICY_ALLOW},
    {"", {POLICY_HTTPS, "GET", "unrelated.example", 443, "/"}, POLICY_ALLOW},
    {"allow api.example.com", {POLICY_HTTPS, "GET", "example.com", 443, "/"}, POLICY_DENY},
    /* A21 */
    {"deny DELETE *", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_ALLOW},
    {"deny DELETE *", {POLICY_HTTPS, "DELETE", "a.example", 443, "/"}, POLICY_DENY},
    {"deny DELETE *", {POLICY_HTTPS, "delete", "a.example", 443, "/"}, POLICY_DENY},
    {"allow GET a.example", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_ALLOW},
    {"allow GET a.example", {POLICY_HTTPS, "get", "a.example", 443, "/"}, POLICY_DENY},
    {"allow GET a.example", {POLICY_HTTPS, "POST", "a.example", 443, "/"}, POLICY_DENY},
    /* A26: no options at all */
    {"", {POLICY_HTTP, "GET", "127.0.0.1", 8080, "/"}, POLICY_DENY},
    {"", {POLICY_HTTP, "GET", "169.254.169.254", 80, "/"}, POLICY_DENY},
    {"", {POLICY_HTTP, "GET", "[::ffff:10.0.0.1]", 80, "/"}, POLICY_DENY},
    {"", {POLICY_HTTP, "GET", "2130706433", 80, "/"}, POLICY_DENY},
    {"", {POLICY_HTTP, "GET", "zzzz::1", 80, "/"}, POLICY_DENY},
    {"", {POLICY_HTTP, "GET", "8.8.8.8", 80, "/"}, POLICY_ALLOW},
    {"allow 127.0.0.1", {POLICY_HTTP, "GET", "127.0.0.1", 80, "/"}, POLICY_DENY},
    {"ask", {POLICY_HTTP, "GET", "127.0.0.1", 80, "/"}, POLICY_DENY},
    {"internal 127.0.0.1", {POLICY_HTTP, "GET", "127.0.0.1", 80, "/"}, POLICY_ALLOW},
    {"internal 127.0.0.0/8", {POLICY_HTTP, "GET", "127.0.0.1", 80, "/"}, POLICY_ALLOW},
    {"listed;internal 127.0.0.0/8", {POLICY_HTTP, "GET", "127.0.0.1", 80, "/"}, POLICY_DENY},
    {"internal 127.0.0.0/8;deny 127.*", {POLICY_HTTP, "GET", "127.0.0.1", 80, "/"}, POLICY_DENY},
    /* precedence, whatever the order */
    {"allow *;deny a.example", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_DENY},
    {"deny a.example;session a.example", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_DENY},
    {"deny a.example;internal a.example", {POLICY_HTTP, "GET", "a.example", 80, "/"}, POLICY_DENY},
    {"ask;deny a.example", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_DENY},
    {"refuse a.example;session a.example",
     {POLICY_HTTP, "GET", "a.example", 80, "/"},
     POLICY_ALLOW},
    {"session a.example;refuse a.example", {POLICY_HTTP, "GET", "a.example", 80, "/"}, POLICY_DENY},
    /* ask, with and without a list; rules of the run time make no list */
    {"ask", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_ASK},
    {"ask;allow b.example", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_ASK},
    {"ask;allow b.example", {POLICY_HTTPS, "GET", "b.example", 443, "/"}, POLICY_ALLOW},
    {"session b.example", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_ALLOW},
    {"always b.example", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_ALLOW},
    {"once b.example", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_ALLOW},
    /* ports */
    {"allow a.example:8443", {POLICY_HTTPS, "GET", "a.example", 8443, "/"}, POLICY_ALLOW},
    {"allow a.example:8443", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_DENY},
    {"deny a.example:80", {POLICY_HTTP, "GET", "a.example", 80, "/"}, POLICY_DENY},
    {"deny a.example:80", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_ALLOW},
    /* paths: every reading must be allowed, one denied reading is enough */
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/v1/x?y=/.."}, POLICY_ALLOW},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/v1/./x"}, POLICY_ALLOW},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/%76%31/x"}, POLICY_ALLOW},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/v1/g%2Fp"}, POLICY_ALLOW},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/v1"}, POLICY_DENY},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/V1/x"}, POLICY_DENY},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/v1/../x"}, POLICY_DENY},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/v1/%2e%2e/x"}, POLICY_DENY},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/v1/..%2fx"}, POLICY_DENY},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/v1//../x"}, POLICY_DENY},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/v1/..;/x"}, POLICY_DENY},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "/v1/%00"}, POLICY_DENY},
    {"allow a.example/v1/*", {POLICY_HTTPS, "GET", "a.example", 443, "*"}, POLICY_DENY},
    {"deny a.example/admin*", {POLICY_HTTPS, "GET", "a.example", 443, "/"}, POLICY_ALLOW},
    {"deny a.example/admin*", {POLICY_HTTPS, "GET", "a.example", 443, "/admin"}, POLICY_DENY},
    {"deny a.example/admin*", {POLICY_HTTPS, "GET", "a.example", 443, "/%61dmin"}, POLICY_DENY},
    {"deny a.example/admin*", {POLICY_HTTPS, "GET", "a.example", 443, "//admin"}, POLICY_DENY},
    {"deny a.example/admin*",
     {POLICY_HTTPS, "GET", "a.example", 443, "/x/..%2fadmin"},
     POLICY_DENY},
    {"deny a.example/admin*", {POLICY_HTTPS, "GET", "a.example", 443, "/%2561dmin"}, POLICY_DENY},
    {"deny a.example/admin*", {POLICY_HTTPS, "GET", "a.example", 443, "/%zz"}, POLICY_DENY},
    {"deny a.example/admin*", {POLICY_HTTPS, "GET", "b.example", 443, "/%zz"}, POLICY_ALLOW},
    /* what is not known yet */
    {"allow a.example/v1/*", {POLICY_HTTPS, NULL, "a.example", 443, NULL}, POLICY_ALLOW},
    {"allow GET a.example", {POLICY_HTTPS, NULL, "a.example", 443, NULL}, POLICY_ALLOW},
    {"allow GET a.example", {POLICY_HTTPS, NULL, "b.example", 443, NULL}, POLICY_DENY},
    {"deny GET a.example", {POLICY_HTTPS, NULL, "a.example", 443, NULL}, POLICY_ALLOW},
    {"deny a.example/x", {POLICY_HTTPS, NULL, "a.example", 443, NULL}, POLICY_ALLOW},
    {"deny a.example", {POLICY_HTTPS, NULL, "a.example", 443, NULL}, POLICY_DENY},
    {"deny a.example:80", {POLICY_ANY, NULL, "a.example", 0, NULL}, POLICY_ALLOW},
    /* other protocols: G4, G5, and nothing by default */
    {"", {POLICY_SSH, NULL, "github.com", 22, NULL}, POLICY_DENY},
    {"allow github.com", {POLICY_SSH, NULL, "github.com", 22, NULL}, POLICY_DENY},
    {"ssh github.com", {POLICY_SSH, NULL, "github.com", 22, NULL}, POLICY_ALLOW},
    {"ssh github.com", {POLICY_SSH, NULL, "gitlab.com", 22, NULL}, POLICY_DENY},
    {"ssh ssh.github.com:443", {POLICY_SSH, NULL, "ssh.github.com", 443, NULL}, POLICY_ALLOW},
    {"ssh ssh.github.com", {POLICY_SSH, NULL, "ssh.github.com", 443, NULL}, POLICY_DENY},
    {"listed;ssh github.com", {POLICY_HTTPS, "GET", "github.com", 443, "/"}, POLICY_DENY},
    {"ssh github.com;deny github.com", {POLICY_SSH, NULL, "github.com", 22, NULL}, POLICY_DENY},
    {"", {POLICY_TCP, NULL, "db.example", 5432, NULL}, POLICY_DENY},
    {"tcp db.example:5432", {POLICY_TCP, NULL, "db.example", 5432, NULL}, POLICY_ALLOW},
    {"tcp db.example:5432", {POLICY_TCP, NULL, "db.example", 5433, NULL}, POLICY_DENY},
    {"tcp 10.0.0.1:5432", {POLICY_TCP, NULL, "10.0.0.1", 5432, NULL}, POLICY_ALLOW},
};

static void judges_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(judged); i++) {
        struct policy *policy = make_policy(judged[i].policy);
        struct policy_verdict verdict;
        policy_judge(policy, &judged[i].request, &verdict);
        if (verdict.action != judged[i].expected)
            fail_msg("row %zu: '%s', %s%s: %d, %s", i, judged[i].policy, judged[i].request.host,
                     judged[i].request.path != NULL ? judged[i].request.path : "", verdict.action,
                     verdict.reason);
        assert_true(strlen(verdict.reason) > 0);
        assert_null(strpbrk(verdict.reason, "\r\n"));
        policy_free(policy);
    }
}

static void names_the_rule(void **state)
{
    struct policy *policy = make_policy("allow a.example;deny POST *.example/x*;allow b.example");
    struct policy_verdict verdict;
    (void)state;
    policy_judge(policy, &(struct policy_request){POLICY_HTTP, "POST", "b.example", 80, "/xy"},
                 &verdict);
    assert_int_equal(verdict.rule, 2);
    assert_string_equal(verdict.reason, "rule 2 denies POST *.example/x*");
    policy_judge(policy, &(struct policy_request){POLICY_HTTP, "GET", "b.example", 80, "/"},
                 &verdict);
    assert_int_equal(verdict.rule, 3);
    policy_judge(policy, &(struct policy_request){POLICY_HTTP, "GET", "c.example", 80, "/"},
                 &verdict);
    assert_int_equal(verdict.rule, 0);
    assert_string_equal(verdict.reason, "no rule allows c.example");
    policy_judge(policy, &(struct policy_request){POLICY_HTTP, "GET", "c\n.example", 80, "/"},
                 &verdict);
    assert_int_equal(verdict.action, POLICY_DENY);
    assert_null(strchr(verdict.reason, '\n'));
    policy_free(policy);
}

static void judges_names(void **state)
{
    static const struct {
        const char *policy, *host;
        enum policy_action expected;
    } rows[] = {
        {"", "a.example", POLICY_ALLOW},
        {"listed", "a.example", POLICY_DENY},
        {"allow b.example", "a.example", POLICY_DENY},
        {"allow GET a.example:8080/x", "a.example", POLICY_ALLOW},
        {"allow *.example;deny a.example", "a.example", POLICY_DENY},
        {"deny a.example:80", "a.example", POLICY_ALLOW},
        {"listed;ssh a.example", "a.example", POLICY_ALLOW},
        {"listed;tcp a.example:1", "a.example", POLICY_ALLOW},
        {"listed;internal a.example", "a.example", POLICY_ALLOW},
        {"ask", "a.example", POLICY_ASK},
        {"", "exfil data.example", POLICY_DENY},
        {"", "", POLICY_DENY},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct policy *policy = make_policy(rows[i].policy);
        if (policy_judge_name(policy, rows[i].host) != rows[i].expected)
            fail_msg("'%s', %s", rows[i].policy, rows[i].host);
        policy_free(policy);
    }
}

static void checks_addresses(void **state)
{
    static const struct {
        const char *policy, *host, *address;
        bool expected;
    } rows[] = {
        /* A8, A14, A15, A23: every address, each time */
        {"allow example.com", "example.com", "10.0.0.1", false},
        {"allow example.com", "example.com", "8.8.8.8", true},
        {"internal corp.example", "corp.example", "10.0.0.1", true},
        {"internal corp.example", "CORP.example.", "10.0.0.1", true},
        {"internal corp.example", "corp.example", "203.0.113.10", true},
        {"internal corp.example", "other.example", "10.0.0.1", false},
        {"internal corp.example:8080", "corp.example", "10.0.0.1", false},
        {"internal 10.0.0.0/8", "other.example", "10.0.0.1", true},
        {"internal 10.0.0.0/8", "other.example", "::ffff:10.0.0.1", true},
        {"internal 10.0.0.0/8", "other.example", "192.168.0.1", false},
        {"internal 10.0.0.1", "other.example", "10.0.0.1", false},
        {"internal *", "other.example", "127.0.0.1", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct policy *policy = make_policy(rows[i].policy);
        struct address address;
        assert_int_equal(address_parse(rows[i].address, &address), 0);
        if (policy_address_allowed(policy, rows[i].host, 443, &address, NULL) != rows[i].expected)
            fail_msg("'%s', %s, %s", rows[i].policy, rows[i].host, rows[i].address);
        policy_free(policy);
    }
}

static void changes_at_run_time(void **state)
{
    struct policy *policy = make_policy("allow a.example");
    struct policy_request request = {POLICY_HTTPS, "GET", "b.example", 443, "/"};
    struct policy_verdict verdict;
    struct error err;
    uint32_t once, session, again;
    (void)state;
    assert_int_equal(policy_add(policy, RULE_ALLOW, RULE_ONCE, "b.example", &once, &err), 0);
    policy_judge(policy, &request, &verdict);
    assert_int_equal(verdict.action, POLICY_ALLOW);
    assert_int_equal(verdict.rule, once);
    assert_false(policy_used(policy, once, "b.example", 443));
    policy_judge(policy, &request, &verdict);
    assert_int_equal(verdict.action, POLICY_DENY);
    assert_int_equal(policy_add(policy, RULE_ALLOW, RULE_SESSION, "b.example", &session, &err), 0);
    assert_int_equal(policy_add(policy, RULE_ALLOW, RULE_SESSION, "B.example.", &again, &err), 0);
    assert_int_equal(session, again);
    assert_true(session > once);
    assert_false(policy_used(policy, session, "b.example", 443));
    policy_judge(policy, &request, &verdict);
    assert_int_equal(verdict.rule, session);
    /* the last allow rule goes, the list stays: empty means nothing */
    assert_int_equal(policy_remove(policy, session, &err), 0);
    assert_int_equal(policy_remove(policy, session, &err), -ENOENT);
    assert_int_equal(policy_remove(policy, 1, &err), 0);
    assert_int_equal(policy_count(policy), 0);
    policy_judge(policy, &request, &verdict);
    assert_int_equal(verdict.action, POLICY_DENY);
    policy_free(policy);
}

/* A request has what was allowed once for its addresses, whichever rule it was that allowed it. */
static void addresses_allowed_once(void **state)
{
    struct policy *policy = make_policy("allow *.example");
    struct address address;
    struct error err;
    uint32_t once, other;
    (void)state;
    assert_int_equal(address_parse("127.0.0.1", &address), 0);
    assert_int_equal(policy_add(policy, RULE_INTERNAL, RULE_ONCE, "b.example:443", &once, &err), 0);
    assert_int_equal(policy_add(policy, RULE_ALLOW, RULE_ONCE, "c.example", &other, &err), 0);
    assert_true(policy_address_allowed(policy, "b.example", 443, &address, NULL));
    assert_false(policy_used(policy, 1, "a.example", 443));
    assert_false(policy_used(policy, 1, "b.example", 80));
    assert_true(policy_used(policy, 1, "b.example", 443));
    assert_false(policy_address_allowed(policy, "b.example", 443, &address, NULL));
    assert_false(policy_used(policy, once, "b.example", 443));
    assert_int_equal(policy_count(policy), 2); /* that of c.example is still to be used */
    assert_int_equal(policy_add(policy, RULE_INTERNAL, RULE_ONCE, "10.0.0.0/8", NULL, &err),
                     -EINVAL);
    policy_free(policy);
}

static void refuses_wrong_and_too_many_rules(void **state)
{
    struct policy *policy = policy_new();
    struct error err;
    char text[32];
    (void)state;
    assert_int_equal(policy_add(policy, RULE_DENY, RULE_OPTION, "a b c", NULL, &err), -EINVAL);
    assert_int_equal(policy_add(policy, RULE_INTERNAL, RULE_OPTION, "10.0.0.0/99x", NULL, &err), 0);
    assert_false(policy_rule(policy, 0)->is_network); /* a path, then */
    for (int i = 1; i < POLICY_RULES_MAX; i++) {
        snprintf(text, sizeof text, "h%d.example", i);
        assert_int_equal(policy_add(policy, RULE_DENY, RULE_SAVED, text, NULL, &err), 0);
    }
    assert_int_equal(policy_add(policy, RULE_DENY, RULE_SAVED, "x.example", NULL, &err), -ENOSPC);
    assert_int_equal(policy_count(policy), POLICY_RULES_MAX);
    policy_free(policy);
}

static void shows_rules(void **state)
{
    static const struct {
        const char *policy, *json;
    } rows[] = {
        {"", "{\"default\":\"allow\",\"rules\":[]}"},
        {"listed", "{\"default\":\"deny\",\"rules\":[]}"},
        {"ask;internal 10.0.0.0/8;refuse post X.example",
         "{\"default\":\"ask\",\"rules\":[{\"id\":1,\"action\":\"allow-internal\",\"source\":"
         "\"option\",\"pattern\":\"10.0.0.0/8\"},{\"id\":2,\"action\":\"deny\",\"source\":"
         "\"session\",\"pattern\":\"POST x.example\"}]}"},
        {"ssh github.com", "{\"default\":\"allow\",\"rules\":[{\"id\":1,\"action\":\"allow-ssh\","
                           "\"source\":\"option\",\"pattern\":\"github.com:22\"}]}"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct policy *policy = make_policy(rows[i].policy);
        cJSON *json = policy_json(policy);
        char *text = cJSON_PrintUnformatted(json);
        assert_string_equal(text, rows[i].json);
        cJSON_free(text);
        cJSON_Delete(json);
        policy_free(policy);
    }
}

static void reads_rules_files(void **state)
{
    static const struct {
        const char *text;
        int count; /* of rules; -1: refused */
        uint32_t ask;
        enum policy_action unnamed;
    } rows[] = {
        {"{}", 0, 7, POLICY_ALLOW},
        {"{\"allow\":[]} \n", 0, 7, POLICY_DENY},
        {"{\"deny\":[\"a.example\"]}", 1, 7, POLICY_ALLOW},
        {"{\"allow\":[\"a.example\",\"GET b.example/x*\"],\"deny\":[\"c.example\"],"
         "\"allow-internal\":[\"10.0.0.0/8\",\"d.example\"],\"ask\":true}",
         5, RULES_ASK_STANDARD, POLICY_ASK},
        {"{\"ask\":5}", 0, 5, POLICY_ASK},
        {"{\"ask\":false}", 0, 0, POLICY_ALLOW},
        {"{\"ask\":0}", -1, 7, POLICY_ALLOW},
        {"{\"ask\":1.5}", -1, 7, POLICY_ALLOW},
        {"{\"ask\":86401}", -1, 7, POLICY_ALLOW},
        {"{\"ask\":\"yes\"}", -1, 7, POLICY_ALLOW},
        {"{\"allow\":\"a.example\"}", -1, 7, POLICY_ALLOW},
        {"{\"allow\":[1]}", -1, 7, POLICY_ALLOW},
        {"{\"allow\":null}", -1, 7, POLICY_ALLOW},
        {"{\"deny\":[\"a b c\"]}", -1, 7, POLICY_ALLOW},
        {"{\"Deny\":[]}", -1, 7, POLICY_ALLOW},
        {"{\"deny\":[],\"deny\":[]}", -1, 7, POLICY_ALLOW},
        {"{\"denny\":[]}", -1, 7, POLICY_ALLOW},
        {"[]", -1, 7, POLICY_ALLOW},
        {"", -1, 7, POLICY_ALLOW},
        {"{} x", -1, 7, POLICY_ALLOW},
        {"{", -1, 7, POLICY_ALLOW},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct policy *policy = policy_new();
        struct error err = {0};
        uint32_t ask = 7;
        int rc = rules_file_parse(rows[i].text, strlen(rows[i].text), policy, &ask, &err);
        if ((rc == 0) != (rows[i].count >= 0))
            fail_msg("%s: %d %s", rows[i].text, rc, err.message);
        if (rc == 0) {
            assert_int_equal(policy_count(policy), rows[i].count);
            assert_int_equal(ask, rows[i].ask);
            assert_int_equal(policy_judge_name(policy, "unnamed.example"), rows[i].unnamed);
        }
        policy_free(policy);
    }
}

static void bounds_rules_files(void **state)
{
    struct policy *policy = policy_new();
    char *text = calloc(1, RULES_FILE_MAX + 1);
    struct error err;
    uint32_t ask = 0;
    (void)state;
    memset(text, ' ', RULES_FILE_MAX + 1);
    memcpy(text, "{}", 2);
    assert_int_equal(rules_file_parse(text, RULES_FILE_MAX, policy, &ask, &err), 0);
    assert_int_equal(rules_file_parse(text, RULES_FILE_MAX + 1, policy, &ask, &err), -EINVAL);
    free(text);
    policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_requests),
        cmocka_unit_test(names_the_rule),
        cmocka_unit_test(judges_names),
        cmocka_unit_test(checks_addresses),
        cmocka_unit_test(addresses_allowed_once),
        cmocka_unit_test(changes_at_run_time),
        cmocka_unit_test(refuses_wrong_and_too_many_rules),
        cmocka_unit_test(shows_rules),
        cmocka_unit_test(reads_rules_files),
        cmocka_unit_test(bounds_rules_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
