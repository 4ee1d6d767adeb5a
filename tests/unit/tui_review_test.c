/*
 * The review queue's model: what waits and what was refused becomes groups, an answer a pattern. A
 * guest chose hosts, methods and paths, and may ask for very many.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/review.h"

static void ask(struct review *review, const char *session, const char *host, const char *path,
                int64_t left)
{
    char json[2048];
    snprintf(json, sizeof json,
             "{\"id\":1,\"host\":\"%s\",\"method\":\"GET\",\"path\":\"%s\",\"left_ms\":%d}", host,
             path, (int)left);
    review_add(review, session, cJSON_Parse(json), 1000);
}

static void decide(struct feed *feed, int64_t time, const char *session, const char *host,
                   const char *verdict)
{
    char json[1024];
    snprintf(json, sizeof json, "{\"verdict\":\"%s\",\"host\":\"%s\"}", verdict, host);
    struct event event = {.row = feed->after + 1, .time = time, .type = EVENT_NET, .json = json};
    snprintf(event.session, sizeof event.session, "%s", session);
    feed_add(feed, &event);
}

static void test_groups(void **state)
{
    static struct feed feed;
    struct review review = {0};
    (void)state;
    assert_int_equal(review_build(&review, &feed), 0);
    assert_int_equal(review.group_count, 0);
    assert_null(review_find(&review, 0));
    for (int i = 0; i < 1500; i++) /* a thousand and more, folded */
        ask(&review, "aaaaaaaa", "many.example", "/", 5000 + i);
    ask(&review, "bbbbbbbb", "many.example", "/", 1);
    decide(&feed, 10, "aaaaaaaa", "many.example", "deny");
    decide(&feed, 20, "aaaaaaaa", "later.example", "deny");
    decide(&feed, 30, "aaaaaaaa", "settled.example", "deny");
    decide(&feed, 40, "aaaaaaaa", "settled.example", "allow");
    decide(&feed, 50, "aaaaaaaa", "again.example", "allow");
    decide(&feed, 60, "aaaaaaaa", "again.example", "deny");
    decide(&feed, 70, "aaaaaaaa", "", "deny");
    assert_int_equal(review_build(&review, &feed), 0);
    assert_int_equal(review.waits, 2);
    assert_int_equal(review.group_count, 5);
    assert_string_equal(review.groups[0].session, "bbbbbbbb"); /* the first to be late is first */
    assert_int_equal(review.groups[1].count, 1500);
    assert_string_equal(review.groups[2].host, "again.example"); /* the newest refused */
    assert_string_equal(review.groups[4].host, "many.example");
    int64_t ref = review.groups[4].ref;
    assert_int_not_equal(ref, review.groups[1].ref); /* refused is not waiting */
    assert_ptr_equal(review_find(&review, ref), &review.groups[4]);

    review_settle(&review, &review.groups[4], 10);
    review_forget(&review, "aaaaaaaa");
    assert_int_equal(review_build(&review, &feed), 0);
    assert_null(review_find(&review, ref));
    assert_int_equal(review.waits, 1);
    decide(&feed, 80, "aaaaaaaa", "many.example", "deny"); /* refused since */
    assert_int_equal(review_build(&review, &feed), 0);
    assert_non_null(review_find(&review, ref));
    review_free(&review);
    feed_free(&feed);
}

static void test_limits(void **state)
{
    static struct feed feed;
    struct review review = {0};
    (void)state;
    for (int i = 0; i < REVIEW_QUESTIONS + 10; i++) {
        char host[64];
        snprintf(host, sizeof host, "h%d.example", i);
        ask(&review, "aaaaaaaa", host, "/", i);
    }
    assert_int_equal(review.question_count, REVIEW_QUESTIONS);
    decide(&feed, 10, "aaaaaaaa", "refused.example", "deny");
    assert_int_equal(review_build(&review, &feed), 0);
    assert_int_equal(review.group_count, REVIEW_GROUPS);
    for (size_t i = 1; i < review.group_count; i++)
        assert_true(review.groups[i - 1].time <= review.groups[i].time);
    review_free(&review);
    feed_free(&feed);
}

static const struct {
    const char *host, *path;
    unsigned widen; /* how often */
    bool precise;
    const char *pattern; /* NULL: none can say it */
} patterns[] = {
    {"a.b.example.com", "/x", 0, false, "a.b.example.com"},
    {"a.b.example.com", "/x", 1, false, "*.b.example.com"},
    {"a.b.example.com", "/x", 2, false, "*.example.com"},
    {"a.b.example.com", "/x", 3, false, "a.b.example.com"}, /* never all of .com */
    {"example.com", "/x", 1, false, "example.com"},
    {"192.0.2.7", "/x", 1, false, "192.0.2.7"},
    {"2001:db8::7", "/x", 1, false, "2001:db8::7"},
    {"a.example.com", "/x/y", 0, true, "GET a.example.com/x/y"},
    {"a.example.com", "/x/*", 0, true, NULL}, /* the guest's '*' is none of the user's */
    {"a.example.com", "/x y", 0, true, NULL},
    {"a.example.com", "/x/*", 0, false, "a.example.com"},
    {"*.com", "/", 0, false, NULL},
    {"--all", "/", 0, false, NULL},
    {"a b", "/", 0, false, NULL},
};

static void test_patterns(void **state)
{
    static struct feed feed;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
        struct review review = {.precise = patterns[i].precise};
        struct buf out = {0};
        struct error err = {0};
        ask(&review, "aaaaaaaa", patterns[i].host, patterns[i].path, 1);
        assert_int_equal(review_build(&review, &feed), 0);
        for (unsigned k = 0; k < patterns[i].widen; k++)
            review_widen(&review, &review.groups[0]);
        int rc = review_pattern(&review, &review.groups[0], &out, &err);
        assert_int_equal(rc, patterns[i].pattern != NULL ? 0 : -EINVAL);
        if (rc == 0)
            assert_string_equal(buf_string(&out), patterns[i].pattern);
        else
            assert_int_not_equal(err.message[0], 0);
        buf_free(&out);
        review_free(&review);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
