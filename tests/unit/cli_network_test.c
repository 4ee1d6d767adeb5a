/* session/cli and session/protocol: the network's options on their way to the session host, and the
 * verbs that change a running session's rules. */
#include "cli_fixture.h"

#include "session/cli/vmoptions_net.h"
#include "session/protocol/config.h"

static int option(struct session_config *config, const char *name, const char *value,
                  struct error *err)
{
    *err = (struct error){0};
    for (const struct option *o = network_options.options; o->name != NULL; o++)
        if (strcmp(o->name, name) == 0)
            return o->set(config, value, err);
    fail_msg("no option --%s", name);
    return 0;
}

/* Every option arrives in the configuration, and through its JSON in another one. */
static void test_options(void **state)
{
    static const char *const rows[][3] = {
        /* option, value, member and its JSON */
        {"allow-host", "GET a.example/x*", "\"allow\":[\"GET a.example/x*\"]"},
        {"deny-host", "b.example", "\"deny\":[\"b.example\"]"},
        {"allow-internal", "10.0.0.0/8", "\"internal\":[\"10.0.0.0/8\"]"},
        {"ask", NULL, "\"ask\":true,\"ask_seconds\":0"},
        {"ask", "86400", "\"ask\":true,\"ask_seconds\":86400"},
        {"no-net", NULL, "\"no_net\":true"},
        {"dns", "open", "\"dns\":\"open\""},
        {"dns-trusted-server", "9.9.9.9", "\"dns_servers\":[\"9.9.9.9\"]"},
        {"dns-synthetic-host-mapping", "single", "\"dns_single\":true"},
        {"dns-synthetic-host-mapping", "per-host", "\"dns_single\":false"},
        {"tcp-map", "db:5432=127.0.0.1:1", "\"tcp_map\":[\"db:5432=127.0.0.1:1\"]"},
        {"resolve", "a=127.0.0.1", "\"resolve\":[\"a=127.0.0.1\"]"},
        {"upstream-ca", "/dev/null", "\"upstream_ca\":[\"/dev/null\"]"},
        {"policy", "/dev/null", "\"policy\":\"\""},
        {"disable-websockets", NULL, "\"no_websockets\":true"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_SESSION_CONFIG struct session_config config, again, saved;
        struct error err = {0};
        session_config_init(&config);
        session_config_init(&again);
        session_config_init(&saved);
        assert_int_equal(option(&config, rows[i][0], rows[i][1], &err), 0);
        cJSON *json = session_config_json(&config);
        assert_int_equal(session_config_parse(json, &again, &err), 0);
        cJSON *network = session_config_network(&again);
        CLEAN_FREE char *text = cJSON_PrintUnformatted(network);
        if (strstr(text, rows[i][2]) == NULL)
            fail_msg("--%s: no %s in %s", rows[i][0], rows[i][2], text);
        assert_null(strstr(text, "memory")); /* only what is the network's */
        assert_int_equal(session_config_default(network, &saved, &err), 0);
        cJSON *third = session_config_network(&saved);
        assert_true(cJSON_Compare(network, third, true));
        cJSON_Delete(third);
        cJSON_Delete(network);
        cJSON_Delete(json);
    }
}

static void test_bad_options(void **state)
{
    static const struct {
        const char *name, *value, *message;
    } rows[] = {
        {"allow-host", "", "empty"},
        {"ask", "0", "--ask"},
        {"ask", "86401", "--ask"},
        {"ask", "soon", "--ask"},
        {"dns", "closed", "synthetic, trusted, open"},
        {"dns-synthetic-host-mapping", "", "single, per-host"},
        {"policy", "/dev/null/none", "/dev/null/none"},
        {"policy", "/dev/zero", "--policy"},
        {"upstream-ca", "/dev/null/none", "/dev/null/none"},
        {"host-secret", "", "NAME@HOST"},
        {"host-secret", "hunter2", "NAME@HOST"},
        {"host-secret", "@host", "NAME@HOST"},
        {"host-secret", "1A@host", "NAME@HOST"},
        {"host-secret", "A B@host", "NAME@HOST"},
        {"host-secret", "UNSET_HERE@host", "$UNSET_HERE is not set"},
        {"host-secret", "A@", "names no host"},
        {"host-secret", "A@a,,b=x", "empty host"},
        {"host-secret", "A@a=", "empty"},
        {"host-secret", "A@a=@/dev/null/none", "/dev/null/none"},
        {"host-secret", "A@a=@/dev/zero", "NUL"},
        {"host-secret", "A@a=fd:x", "descriptor"},
        {"host-secret", "A@a=fd:9999", "cannot read"},
        {"secret-in-query", "a b", "name of a secret"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_SESSION_CONFIG struct session_config config;
        struct error err;
        session_config_init(&config);
        assert_true(option(&config, rows[i].name, rows[i].value, &err) < 0);
        if (strstr(err.message, rows[i].message) == NULL)
            fail_msg("--%s '%s': %s", rows[i].name, rows[i].value, err.message);
        assert_null(strstr(err.message, "hunter2")); /* it may have been the value */
    }
}

/* Where values come from; and that they are in nothing that is kept. */
static void test_secrets(void **state)
{
    const struct fixture *fixture = *state;
    CLEAN_FREE char *file = str_printf("%s/value", fixture->directory);
    CLEAN_FREE char *from_file = str_printf("B@b.example,https://c.example:8443=@%s", file);
    struct error err = {0};
    int ends[2];
    must(path_write(file, 0600, "from file\n", 10, &err), &err);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "from fd", 7), 7);
    close(ends[1]);
    CLEAN_FREE char *from_fd = str_printf("C@c.example=fd:%d", ends[0]);
    setenv("CLI_NETWORK_TEST", "from environment", 1);
    CLEAN_SESSION_CONFIG struct session_config config;
    session_config_init(&config);
    assert_int_equal(option(&config, "secret-in-query", "B", &err), 0);
    assert_int_equal(option(&config, "host-secret", "CLI_NETWORK_TEST@a.example", &err), 0);
    assert_int_equal(option(&config, "host-secret", from_file, &err), 0);
    assert_int_equal(option(&config, "host-secret", from_fd, &err), 0);
    assert_int_equal(option(&config, "host-secret", "D@d.example=a=b", &err), 0);
    close(ends[0]);
    cJSON *kept = session_config_json(&config);
    CLEAN_FREE char *text = cJSON_PrintUnformatted(kept);
    assert_null(strstr(text, "from "));
    assert_null(strstr(text, "secret"));
    cJSON_Delete(kept);

    cJSON *json = session_secrets_json(&config.secrets, true);
    struct session_secrets secrets = {0};
    assert_int_equal(session_secrets_parse(json, &secrets, &err), 0);
    static const char *const rows[][3] = {
        {"B", "from file", "b.example https://c.example:8443"},
        {"CLI_NETWORK_TEST", "from environment", "a.example"},
        {"C", "from fd", "c.example"},
        {"D", "a=b", "d.example"},
    };
    assert_int_equal(secrets.count, ARRAY_SIZE(rows));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct session_secret *secret = session_secrets_get(&secrets, rows[i][0]);
        CLEAN_FREE char *hosts =
            str_printf("%s%s%s", secret->hosts.items[0], secret->hosts.count > 1 ? " " : "",
                       secret->hosts.count > 1 ? secret->hosts.items[1] : "");
        assert_string_equal(secret->value, rows[i][1]);
        assert_string_equal(hosts, rows[i][2]);
        assert_int_equal(secret->query, i == 0);
    }
    session_secrets_wipe(json);
    CLEAN_FREE char *wiped = cJSON_PrintUnformatted(json);
    assert_null(strstr(wiped, "from "));
    cJSON *names = session_secrets_json(&secrets, false);
    CLEAN_FREE char *named = cJSON_PrintUnformatted(names);
    assert_null(strstr(named, "value"));
    cJSON_Delete(names);
    cJSON_Delete(json);
    session_secrets_free(&secrets);
}

static void test_bad_secrets(void **state)
{
    static const char *const rows[] = {
        "{}",
        "\"x\"",
        "[1]",
        "[{\"hosts\":[\"a\"]}]",
        "[{\"name\":\"A\",\"hosts\":1}]",
        "[{\"name\":\"A\",\"hosts\":[1]}]",
        "[{\"name\":\"A\"},{\"name\":\"A\"}]",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct session_secrets secrets = {0};
        struct error err = {0};
        cJSON *json = cJSON_Parse(rows[i]);
        if (session_secrets_parse(json, &secrets, &err) >= 0)
            fail_msg("%s was taken", rows[i]);
        session_secrets_free(&secrets);
        cJSON_Delete(json);
    }
    struct session_secrets many = {0};
    struct error err = {0};
    cJSON *json = cJSON_CreateArray();
    for (int i = 0; i <= SESSION_SECRETS_MAX; i++) {
        CLEAN_FREE char *name = str_printf("S%d", i);
        cJSON *secret = cJSON_CreateObject();
        cJSON_AddStringToObject(secret, "name", name);
        cJSON_AddItemToArray(json, secret);
    }
    assert_int_equal(session_secrets_parse(json, &many, &err), -EINVAL);
    session_secrets_free(&many);
    cJSON_Delete(json);
}

/* A snapshot's options are taken where nothing is given, checked like any others. */
static void test_defaults(void **state)
{
    static const struct {
        const char *json;
        int rc;
        const char *message;
    } rows[] = {
        {"{\"allow\":[\"saved\"],\"dns\":\"open\",\"memory\":1}", 0, ""},
        {"{\"unknown\":1}", 0, ""}, /* of a later version */
        {"{\"deny\":\"x\"}", -EINVAL, "'deny'"},
        {"{\"ask\":1}", -EINVAL, "'ask'"},
        {"{\"ask_seconds\":86401}", -EINVAL, "a day"},
        {"{\"ask_seconds\":-1}", -EINVAL, "'ask_seconds'"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_SESSION_CONFIG struct session_config config;
        struct error err = {0};
        session_config_init(&config);
        strv_add(&config.allow, "given");
        cJSON *json = cJSON_Parse(rows[i].json);
        assert_int_equal(session_config_default(json, &config, &err), rows[i].rc);
        assert_non_null(strstr(err.message, rows[i].message));
        assert_int_equal(config.allow.count, 1);
        assert_string_equal(config.allow.items[0], "given");
        assert_true(config.memory == 512ull << 20);
        if (i == 0)
            assert_string_equal(config.dns, "open");
        cJSON_Delete(json);
    }
    CLEAN_SESSION_CONFIG struct session_config config;
    struct error err = {0};
    session_config_init(&config);
    config.policy = calloc(1, CONFIG_POLICY_MAX + 2);
    memset(config.policy, ' ', CONFIG_POLICY_MAX + 1);
    cJSON *none = cJSON_CreateObject();
    assert_int_equal(session_config_default(none, &config, &err), -EINVAL);
    cJSON_Delete(none);
}

/* What the host is asked by a command line. */
static void test_verbs(void **state)
{
    static const struct {
        const struct verb *verb;
        const char *words[6]; /* ID stands for the session's */
        const char *asked;
    } rows[] = {
        {&verb_allow,
         {"ID", "a.example", "B.example"},
         "{\"patterns\":[\"a.example\",\"B.example\"],\"scope\":\"session\",\"internal\":false,"
         "\"request\":\"allow\"}"},
        {&verb_allow,
         {"a.example", "--once", "--internal", "--method", "GET"},
         "{\"patterns\":[\"GET a.example\"],\"scope\":\"once\",\"internal\":true,"
         "\"request\":\"allow\"}"},
        {&verb_deny,
         {"--all", "ID", "--always", "--path", "/x*"},
         "{\"patterns\":[\"ID/x*\"],\"scope\":\"saved\",\"internal\":false,\"request\":\"deny\"}"},
        {&verb_rules, {"ID"}, "{\"request\":\"rules\"}"},
        {&verb_rules, {"ID", "rm", "7"}, "{\"rule\":7,\"request\":\"rules_rm\"}"},
        {&verb_requests, {NULL}, "{\"request\":\"requests\"}"},
    };
    cli_directories(*state);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct played played = {.says = {"{\"reply\":@}"}};
        struct error err = {0};
        const char *words[7] = {0};
        cli_session(&played, "", SESSION_RUNNING, "");
        played_start(&played);
        for (size_t w = 0; w < 6 && rows[i].words[w] != NULL; w++)
            words[w] = strcmp(rows[i].words[w], "ID") == 0 && rows[i].verb != &verb_deny
                           ? played.id
                           : rows[i].words[w];
        int rc = cli_run(rows[i].verb, words, &err);
        played_wait(&played);
        if (rc != 0)
            fail_msg("row %zu: %s", i, err.message);
        cJSON_DeleteItemFromObject(played.asked, "id");
        cJSON *expected = cJSON_Parse(rows[i].asked);
        CLEAN_FREE char *text = cJSON_PrintUnformatted(played.asked);
        if (!cJSON_Compare(played.asked, expected, true))
            fail_msg("row %zu: asked %s", i, text);
        cJSON_Delete(expected);
        played_end(&played);
        struct registry *registry = must_open(NULL);
        must(session_remove(registry, played.id, &err), &err);
        registry_close(registry);
    }
}

static void test_wrong_calls(void **state)
{
    static const struct {
        const struct verb *verb;
        const char *words[5];
        int code;
    } rows[] = {
        {&verb_allow, {NULL}, USAGE_ERROR},
        {&verb_allow, {"a", "--once", "--always"}, USAGE_ERROR},
        {&verb_allow, {"--all", "a/b", "--path", "/c"}, USAGE_ERROR},
        {&verb_allow, {"a", "--path", "c"}, USAGE_ERROR},
        {&verb_allow, {"a", "--method", "A B"}, USAGE_ERROR},
        {&verb_deny, {"a", "--internal"}, USAGE_ERROR},
        {&verb_deny, {"a"}, ENOENT}, /* no session runs */
        {&verb_rules, {"rm"}, USAGE_ERROR},
        {&verb_rules, {"rm", "x"}, USAGE_ERROR},
        {&verb_rules, {"rm", "1", "2"}, USAGE_ERROR},
        {&verb_rules, {"rm", "1"}, ENOENT},
        {&verb_rules, {"nobody"}, ENOENT},
        {&verb_requests, {"a", "b"}, USAGE_ERROR},
    };
    cli_directories(*state);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct error err;
        assert_int_equal(cli_run(rows[i].verb, rows[i].words, &err), -rows[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),  cmocka_unit_test(test_bad_options),
        STORE_TEST(test_secrets),        cmocka_unit_test(test_bad_secrets),
        cmocka_unit_test(test_defaults), STORE_TEST(test_verbs),
        STORE_TEST(test_wrong_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
