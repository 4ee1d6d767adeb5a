/* session/store: the event log. */
#include "store_fixture.h"

#include <time.h>

#include "session/store/events.h"

static struct event event_of(const char *session, enum event_type type, int64_t time,
                             const char *json)
{
    struct event event = {.time = time, .type = type, .json = json};
    snprintf(event.session, sizeof event.session, "%s", session);
    return event;
}

static void append(struct registry *registry, const char *session, enum event_type type,
                   int64_t time, const char *json)
{
    struct error err = {0};
    struct event event = event_of(session, type, time, json);
    must(events_append(registry, &event, 1, &err), &err);
}

static void test_types(void **state)
{
    (void)state;
    static const char *const names[] = {"net", "secret", "vfs", "session"};
    unsigned all = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        unsigned type = event_type_named(names[i]);
        assert_string_equal(event_type_name((enum event_type)type), names[i]);
        all |= type;
    }
    assert_int_equal(all, EVENTS_ALL);
    assert_int_equal(event_type_named("NET"), 0);
    assert_int_equal(event_type_named(""), 0);
}

static void test_query(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    /* Each event's text is its number; its row is that number too. */
    append(registry, "aaaaaaaa", EVENT_SESSION, 100, "1");
    append(registry, "aaaaaaaa", EVENT_NET, 200, "2");
    append(registry, "bbbbbbbb", EVENT_NET, 300, "3");
    append(registry, "bbbbbbbb", EVENT_SECRET, 400, "4");
    append(registry, "aaaaaaaa", EVENT_VFS, 350, "5"); /* the clock was set back */
    append(registry, "aaaaaaaa", EVENT_NET, 600, "6");
    static const struct {
        struct event_query query;
        const char *expected;
    } rows[] = {
        {{0}, "123456"},
        {{.session = "aaaaaaaa"}, "1256"},
        {{.session = "bbbbbbbb"}, "34"},
        {{.session = "aaaa"}, ""},
        {{.session = ""}, ""},
        {{.session = "' OR ''='"}, ""},
        {{.types = EVENT_NET}, "236"},
        {{.types = EVENT_NET | EVENT_SECRET}, "2346"},
        {{.types = EVENT_NET, .session = "aaaaaaaa"}, "26"},
        {{.types = 1u << 20}, ""},
        {{.since = 350}, "456"},
        {{.since = 350, .session = "aaaaaaaa"}, "56"},
        {{.after = 4}, "56"},
        {{.after = 6}, ""},
        {{.after = INT64_MAX}, ""},
        {{.limit = 2}, "12"},
        {{.limit = 2, .after = 2}, "34"},
        {{.limit = 2, .newest = true}, "56"},
        {{.limit = 2, .newest = true, .session = "bbbbbbbb"}, "34"},
        {{.limit = 1, .newest = true, .types = EVENT_SECRET}, "4"},
        {{.limit = SIZE_MAX}, "123456"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_EVENTS struct event_list list = {0};
        struct error err = {0};
        must(events_query(registry, &rows[i].query, &list, &err), &err);
        assert_int_equal(list.count, strlen(rows[i].expected));
        for (size_t j = 0; j < list.count; j++) {
            assert_int_equal(list.items[j].json[0], rows[i].expected[j]);
            assert_int_equal(list.items[j].row, rows[i].expected[j] - '0');
        }
    }
    registry_close(registry);
}

static void test_round_trip(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    char json[EVENT_JSON_MAX + 2];
    for (size_t i = 0; i <= EVENT_JSON_MAX; i++)
        json[i] = (char)(1 + i % 255);
    json[EVENT_JSON_MAX + 1] = '\0';
    struct error err = {0};
    struct event event = event_of("0123abcd", EVENT_SECRET, INT64_MAX, json);
    assert_int_equal(events_append(registry, &event, 1, &err), -E2BIG);
    assert_string_equal(err.message, "event: json: longer than 8192 bytes");
    json[EVENT_JSON_MAX] = '\0';
    must(events_append(registry, &event, 1, &err), &err);
    CLEAN_EVENTS struct event_list list = {0};
    must(events_query(registry, &(struct event_query){0}, &list, &err), &err);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].time, INT64_MAX);
    assert_int_equal(list.items[0].type, EVENT_SECRET);
    assert_string_equal(list.items[0].session, "0123abcd");
    assert_string_equal(list.items[0].json, json);
    registry_close(registry);
}

/* One event of a batch that cannot be taken: none is. */
static void test_batch(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    CLEAN_FREE char *huge = calloc(1, (1 << 20) + 1);
    assert_non_null(huge);
    memset(huge, 'x', 1 << 20);
    const struct {
        struct event bad;
        int rc;
        const char *field;
    } rows[] = {
        {event_of("aaaaaaaa", EVENT_NET, 1, huge), -E2BIG, "json"},
        {event_of("", EVENT_NET, 1, "{}"), -EINVAL, "session"},
        {event_of("aaaa", EVENT_NET, 1, "{}"), -EINVAL, "session"},
        {event_of("aaaaaaaa", 0, 1, "{}"), -EINVAL, "type"},
        {event_of("aaaaaaaa", 3, 1, "{}"), -EINVAL, "type"},
        {event_of("aaaaaaaa", 16, 1, "{}"), -EINVAL, "type"},
    };
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct event batch[] = {event_of("aaaaaaaa", EVENT_NET, 1, "{}"), rows[i].bad};
        assert_int_equal(events_append(registry, batch, 2, &err), rows[i].rc);
        assert_non_null(strstr(err.message, rows[i].field));
    }
    assert_int_equal(events_append(registry, NULL, 0, &err), 0);
    assert_int_equal(fixture_sql(fixture->path, "SELECT count(*) FROM events"), 0);
    registry_close(registry);
}

/* Pages behind each other's last row are everything, once, also while others write. */
static void test_follow(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *reader = must_open(fixture->path);
    struct registry *writer = must_open(fixture->path);
    struct error err = {0};
    int64_t after = 0;
    int64_t seen = 0;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 7; i++)
            append(writer, i % 2 == 0 ? "aaaaaaaa" : "bbbbbbbb", EVENT_NET, seen, "{}");
        CLEAN_EVENTS struct event_list list = {0};
        struct event_query query = {.after = after, .limit = 5 + (size_t)(round % 5)};
        must(events_query(reader, &query, &list, &err), &err);
        for (size_t i = 0; i < list.count; i++)
            assert_int_equal(list.items[i].row, ++seen);
        after = seen;
    }
    CLEAN_EVENTS struct event_list rest = {0};
    must(events_query(reader, &(struct event_query){.after = after}, &rest, &err), &err);
    assert_int_equal(seen + (int64_t)rest.count, 350);
    registry_close(reader);
    registry_close(writer);
}

static void flood(struct registry *registry, const char *session, size_t count)
{
    struct error err = {0};
    struct event batch[500];
    for (size_t i = 0; i < ARRAY_SIZE(batch); i++)
        batch[i] = event_of(session, EVENT_NET, 1, "{}");
    for (size_t left = count; left > 0;) {
        size_t part = left < ARRAY_SIZE(batch) ? left : ARRAY_SIZE(batch);
        must(events_append(registry, batch, part, &err), &err);
        left -= part;
    }
}

static int64_t rows_of(const struct fixture *fixture, const char *session)
{
    CLEAN_FREE char *sql =
        str_printf("SELECT count(*) FROM events WHERE session GLOB '%s'", session);
    int64_t rows = fixture_sql(fixture->path, sql);
    CLEAN_FREE char *counted = str_printf("SELECT ifnull(max(rows), 0) FROM event_counts"
                                          " WHERE session='%s'",
                                          session[0] == '*' ? "" : session);
    assert_int_equal(fixture_sql(fixture->path, counted), rows);
    return rows;
}

/* The log has its bounds exactly, and who floods it loses his own events. */
static void test_trim(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    struct error err = {0};
    append(registry, "00000000", EVENT_SESSION, 1, "{\"kept\":1}");
    flood(registry, "11111111", EVENTS_PER_SESSION - 1);
    append(registry, "11111111", EVENT_NET, 1, "{}");
    assert_int_equal(rows_of(fixture, "11111111"), EVENTS_PER_SESSION);
    append(registry, "11111111", EVENT_NET, 1, "{}");
    assert_int_equal(rows_of(fixture, "11111111"), EVENTS_PER_SESSION);
    assert_int_equal(fixture_sql(fixture->path, "SELECT min(id) FROM events"
                                                " WHERE session='11111111'"),
                     3);
    flood(registry, "11111111", 3 * EVENTS_PER_SESSION + 1);
    assert_int_equal(rows_of(fixture, "11111111"), EVENTS_PER_SESSION);
    assert_int_equal(rows_of(fixture, "00000000"), 1);

    /* A batch of several sessions trims each. */
    struct event mixed[] = {event_of("22222222", EVENT_NET, 1, "{}"),
                            event_of("11111111", EVENT_NET, 1, "{}"),
                            event_of("22222222", EVENT_NET, 1, "{}")};
    must(events_append(registry, mixed, ARRAY_SIZE(mixed), &err), &err);
    assert_int_equal(rows_of(fixture, "11111111"), EVENTS_PER_SESSION);
    assert_int_equal(rows_of(fixture, "*"), EVENTS_PER_SESSION + 3);

    static const char *const more[] = {"22222222", "33333333", "44444444", "55555555"};
    for (size_t i = 0; i < ARRAY_SIZE(more); i++)
        flood(registry, more[i], EVENTS_PER_SESSION);
    assert_int_equal(rows_of(fixture, "*"), EVENTS_TOTAL);
    flood(registry, "66666666", 100);
    assert_int_equal(rows_of(fixture, "*"), EVENTS_TOTAL);
    assert_int_equal(rows_of(fixture, "00000000"), 0);
    assert_int_equal(rows_of(fixture, "66666666"), 100);
    registry_close(registry);
}

/* Measured, not judged. */
static void test_speed(void **state)
{
    const struct fixture *fixture = *state;
    struct registry *registry = must_open(fixture->path);
    char json[400];
    memset(json, 'x', sizeof json - 1);
    json[sizeof json - 1] = '\0';
    struct timespec times[3];
    clock_gettime(CLOCK_MONOTONIC, &times[0]);
    for (int i = 0; i < 1000; i++)
        append(registry, "aaaaaaaa", EVENT_NET, 1, json);
    clock_gettime(CLOCK_MONOTONIC, &times[1]);
    flood(registry, "aaaaaaaa", EVENTS_PER_SESSION);
    clock_gettime(CLOCK_MONOTONIC, &times[2]);
    double seconds[2];
    for (int i = 0; i < 2; i++)
        seconds[i] = (double)(times[i + 1].tv_sec - times[i].tv_sec) +
                     (double)(times[i + 1].tv_nsec - times[i].tv_nsec) / 1e9;
    print_message("event: %.1f us alone, %.1f us in batches of 500\n", seconds[0] * 1e6 / 1000,
                  seconds[1] * 1e6 / EVENTS_PER_SESSION);
    registry_close(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types), STORE_TEST(test_query),  STORE_TEST(test_round_trip),
        STORE_TEST(test_batch),       STORE_TEST(test_follow), STORE_TEST(test_trim),
        STORE_TEST(test_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
