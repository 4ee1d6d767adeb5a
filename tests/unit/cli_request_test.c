/* session/cli: one request to several sessions, and the verbs that are little more than that. */
#include "cli_fixture.h"

#include "session/cli/request.h"

#define REPLY    "{\"reply\":@,\"path\":\"/x\"}"
#define REFUSAL  "{\"reply\":@,\"error\":{\"code\":28,\"message\":\"disk full\"}}"
#define PROGRESS "{\"event\":\"progress\",\"per_mille\":4000000000,\"step\":\"\\u001b[2J\"}"

static void count_done(void *context, const struct session_record *record, const cJSON *reply)
{
    unsigned *count = context;
    (void)record;
    *count += reply == NULL ? 100 : 1;
}

/* When a request is over, and how, whatever the host says. */
static void test_until(void **state)
{
    static const struct {
        enum request_until until;
        const char *says[SAYS_MAX];
        bool closes;
        int rc;
        unsigned done; /* 100: without a reply */
        const char *message;
    } rows[] = {
        {REQUEST_REPLY, {REPLY}, false, 0, 1, ""},
        {REQUEST_REPLY, {PROGRESS, PROGRESS, REPLY}, true, 0, 1, ""},
        {REQUEST_REPLY, {REFUSAL}, false, -ENOSPC, 0, "disk full"},
        {REQUEST_REPLY, {NULL}, true, -EPIPE, 0, "the session host went away"},
        {REQUEST_REPLY, {"nonsense"}, false, -EPROTO, 0, "broke the protocol"},
        {REQUEST_REPLY, {"{\"reply\":77}"}, false, -EPROTO, 0, "broke the protocol"},
        {REQUEST_ENDS, {REPLY}, true, 0, 1, ""},
        {REQUEST_ENDS, {PROGRESS, REPLY, PROGRESS}, true, 0, 1, ""},
        {REQUEST_ENDS, {REFUSAL}, false, -ENOSPC, 0, "disk full"},
        {REQUEST_ENDS, {PROGRESS}, true, -EPIPE, 0, "the session host went away"},
        {REQUEST_GONE, {NULL}, true, 0, 100, ""},
        {REQUEST_GONE, {REPLY}, true, 0, 100, ""},
        {REQUEST_GONE, {REFUSAL}, false, -ENOSPC, 0, "disk full"},
    };
    cli_directories(*state);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct played played = {.closes = rows[i].closes};
        struct error err = {0};
        unsigned done = 0;
        memcpy(played.says, rows[i].says, sizeof played.says);
        cli_session(&played, "", SESSION_RUNNING, "");
        played_start(&played);
        const struct request request = {.verb = "test",
                                        .name = "test",
                                        .until = rows[i].until,
                                        .progress = true,
                                        .done = count_done,
                                        .context = &done};
        char *words[] = {played.id, NULL};
        int rc = request_send(&request, words, &err);
        played_wait(&played);
        played_end(&played);
        CLEAN_FREE char *prefix = str_printf("session %s: ", played.id);
        if (rc != rows[i].rc || done != rows[i].done ||
            strstr(err.message, rows[i].message) == NULL ||
            (rc != 0 && !str_starts(err.message, prefix)))
            fail_msg("row %zu: %d, done %u, '%s'", i, rc, done, err.message);
    }
}

/* One that never answers keeps nobody from waiting for the others, and names what to do. */
static void test_timeout(void **state)
{
    struct played silent = {0};
    struct played quick = {.says = {REPLY}};
    struct error err = {0};
    unsigned done = 0;
    cli_directories(*state);
    cli_session(&silent, "silent", SESSION_RUNNING, "");
    cli_session(&quick, "quick", SESSION_RUNNING, "");
    played_start(&silent);
    played_start(&quick);
    const struct request request = {
        .verb = "test", .name = "test", .timeout_ms = 300, .done = count_done, .context = &done};
    int rc = request_send(&request, NULL, &err);
    played_wait(&silent);
    played_end(&silent);
    played_wait(&quick);
    played_end(&quick);
    assert_int_equal(rc, -ETIMEDOUT);
    assert_int_equal(done, 1);
    assert_non_null(strstr(err.message, silent.id));
    assert_non_null(strstr(err.message, "does not answer (kill -9"));
}

/* Words that mean nothing, or the same twice, do not keep the others from being asked. */
static void test_words(void **state)
{
    struct played one = {.says = {REPLY}};
    struct played two = {.says = {REPLY}};
    struct error err = {0};
    cli_directories(*state);
    cli_session(&one, "one", SESSION_RUNNING, "");
    cli_session(&two, "two", SESSION_RUNNING, "");
    played_start(&one);
    played_start(&two);
    int rc = RUN(verb_pause, &err, "one", "nobody", one.id, "two");
    played_wait(&one);
    played_end(&one);
    played_wait(&two);
    played_end(&two);
    assert_int_equal(rc, -ENOENT);
    assert_string_equal(err.message, "no session 'nobody' (vmdeck list shows them)");
}

/* What cannot be asked of a session in its state is said without asking. */
static void test_suspended(void **state)
{
    struct played away = {0};
    struct played running = {0};
    struct error err = {0};
    cli_directories(*state);
    cli_session(&away, "away", SESSION_SUSPENDED, "not JSON");
    cli_session(&running, "running", SESSION_RUNNING, "{}");
    static const struct verb *const verbs_of_running[] = {&verb_pause, &verb_unpause,
                                                          &verb_suspend};
    CLEAN_FREE char *hint =
        str_printf("session %s is suspended (vmdeck start %s takes it up again)", away.id, away.id);
    for (size_t i = 0; i < ARRAY_SIZE(verbs_of_running); i++) {
        assert_int_equal(RUN(*verbs_of_running[i], &err, "away"), -EBUSY);
        assert_string_equal(err.message, hint);
        assert_int_equal(RUN(*verbs_of_running[i], &err, "running"), -EAGAIN); /* no socket */
        assert_int_equal(cli_run(verbs_of_running[i], (const char *const[]){NULL}, &err),
                         -USAGE_ERROR);
    }
    assert_int_equal(RUN(verb_start, &err, "running"), -EBUSY);
    assert_non_null(strstr(err.message, "is not suspended"));
    assert_int_equal(RUN(verb_start, &err, "away"), -EUCLEAN);
    assert_non_null(strstr(err.message, "its configuration"));

    /* To stop it is to end its row and remove its files. */
    assert_int_equal(RUN(verb_stop, &err, "away"), 0);
    struct registry *registry = must_open(NULL);
    CLEAN_SESSION struct session_record record = {0};
    must(session_find(registry, away.id, SESSIONS_ALL, &record, &err), &err);
    assert_int_equal(record.state, SESSION_STOPPED);
    registry_close(registry);
    close(away.lock);
    close(running.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_until),
        STORE_TEST(test_timeout),
        STORE_TEST(test_words),
        STORE_TEST(test_suspended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
