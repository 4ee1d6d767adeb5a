/* Secrets: options, substitution, what may not leave, redaction across chunk borders. */
#include "unit.h"

#include <errno.h>
#include <mbedtls/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "net/secrets.h"

#define P1 "VMDECK_SECRET_111111111111111111111111111111111111111111111111"
#define P2 "VMDECK_SECRET_222222222222222222222222222222222222222222222222"

static void add(struct secrets *secrets, const char *name, const char *host, const char *value,
                const char *placeholder)
{
    CLEAN_STRV struct strv hosts = {0};
    struct error err = {0};
    assert_int_equal(strv_add(&hosts, host), 0);
    if (secrets_add(secrets, name, &hosts, (const uint8_t *)value, strlen(value), placeholder,
                    &err) < 0)
        fail_msg("%s", err.message);
}

static struct secrets *make(const char *host, const char *value)
{
    struct error err = {0};
    struct secrets *secrets = secrets_new(&err);
    if (secrets == NULL)
        fail_msg("%s", err.message);
    add(secrets, "API_KEY", host, value, P1);
    return secrets;
}

static void update(struct secrets *secrets, const char *name, const char *host, const char *value)
{
    CLEAN_STRV struct strv hosts = {0};
    struct error err = {0};
    if (host != NULL)
        assert_int_equal(strv_add(&hosts, host), 0);
    if (secrets_update(secrets, name, host != NULL ? &hosts : NULL, (const uint8_t *)value,
                       value != NULL ? strlen(value) : 0, &err) < 0)
        fail_msg("%s", err.message);
}

static const struct secret_target com = {true, "example.com", 443};
static const struct secret_target org = {true, "example.org", 443};

/* What the header becomes; NULL if it is refused, which must name the secret and not its value. */
static const char *header(const struct secrets *secrets, const struct secret_target *target,
                          const char *name, const char *value)
{
    static char result[4096];
    CLEAN_SECRET_BUF struct buf out = {0};
    struct secret_uses uses = {0};
    struct error err = {0};
    int rc = secrets_header(secrets, target, name, (const uint8_t *)value, strlen(value), &out,
                            &uses, &err);
    if (rc < 0) {
        assert_int_equal(rc, -EPERM);
        assert_int_not_equal(uses.blocked, 0);
        assert_non_null(strstr(err.message, "API_KEY"));
        assert_null(strstr(err.message, "secret-value"));
        assert_int_equal(buf_len(&out), 0);
        return NULL;
    }
    assert_int_equal(uses.blocked, 0);
    snprintf(result, sizeof result, "%s", buf_string(&out));
    return result;
}

static const char *request_target(const struct secrets *secrets, const struct secret_target *target,
                                  const char *text)
{
    static char result[4096];
    CLEAN_SECRET_BUF struct buf out = {0};
    struct secret_uses uses = {0};
    struct error err = {0};
    int rc = secrets_request_target(secrets, target, text, strlen(text), &out, &uses, &err);
    if (rc < 0) {
        assert_int_equal(rc, -EPERM);
        return NULL;
    }
    snprintf(result, sizeof result, "%s", buf_string(&out));
    return result;
}

static void expect(const char *what, const char *got, const char *expected)
{
    const char *shown = got != NULL ? got : "refused";
    if (strcmp(shown, expected != NULL ? expected : "refused") != 0)
        fail_msg("%s: got %s, expected %s", what, shown, expected != NULL ? expected : "refused");
}

static void parses_options(void **state)
{
    static const struct {
        const char *text, *name;
        size_t hosts;
        enum secret_from from;
        const char *from_text;
    } rows[] = {
        {"TOKEN@example.com", "TOKEN", 1, SECRET_FROM_ENVIRONMENT, "TOKEN"},
        {"T_1@a.example,*.b.example:8443,http://c.example=v=w@x,y", "T_1", 3, SECRET_FROM_TEXT,
         "v=w@x,y"},
        {"T@a.example=@/path/to a", "T", 1, SECRET_FROM_FILE, "/path/to a"},
        {"T@a.example=fd:7", "T", 1, SECRET_FROM_FD, "7"},
        {"T@a.example=fdx", "T", 1, SECRET_FROM_TEXT, "fdx"},
        {"T", NULL, 0, 0, NULL},
        {"T=v@a.example", NULL, 0, 0, NULL},
        {"@a.example", NULL, 0, 0, NULL},
        {"1T@a.example", NULL, 0, 0, NULL},
        {"T-T@a.example", NULL, 0, 0, NULL},
        {"T@", NULL, 0, 0, NULL},
        {"T@a.example,", NULL, 0, 0, NULL},
        {"T@,a.example", NULL, 0, 0, NULL},
        {"T@a.example=", NULL, 0, 0, NULL},
        {"T@a.example=@", NULL, 0, 0, NULL},
        {"T@a.example=fd:", NULL, 0, 0, NULL},
        {"T@a.example=fd:x", NULL, 0, 0, NULL},
        {"T@a.example/path", NULL, 0, 0, NULL},
        {"T@ftp://a.example", NULL, 0, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEAN_SECRET_OPTION struct secret_option option;
        struct error err = {0};
        int rc = secret_option_parse(rows[i].text, &option, &err);
        if ((rc == 0) != (rows[i].name != NULL))
            fail_msg("'%s': %d %s", rows[i].text, rc, err.message);
        if (rc < 0)
            continue;
        assert_string_equal(option.name, rows[i].name);
        assert_int_equal(option.hosts.count, rows[i].hosts);
        assert_int_equal(option.from, rows[i].from);
        assert_string_equal(option.from_text, rows[i].from_text);
    }
    assert_int_equal(secret_value_trim((const uint8_t *)"v\r\n", 3), 1);
    assert_int_equal(secret_value_trim((const uint8_t *)"v\n\n", 3), 2);
    assert_int_equal(secret_value_trim((const uint8_t *)"v", 1), 1);
    assert_int_equal(secret_value_trim(NULL, 0), 0);
}

static void makes_placeholders(void **state)
{
    struct secrets *secrets = make("example.com", "secret-value");
    struct error err;
    CLEAN_STRV struct strv hosts = {0};
    (void)state;
    add(secrets, "B", "example.com", "another-value", NULL);
    add(secrets, "C", "example.com", "a-third-value", NULL);
    const char *placeholder = secrets_placeholder(secrets, 1);
    assert_int_equal(strlen(placeholder), SECRET_PLACEHOLDER_SIZE - 1);
    assert_int_equal(strncmp(placeholder, "VMDECK_SECRET_", 14), 0);
    assert_int_equal(strspn(placeholder + 14, "0123456789abcdef"), 48); /* B22 */
    assert_string_not_equal(placeholder, secrets_placeholder(secrets, 2));
    assert_string_equal(secrets_name(secrets, 2), "C");
    assert_null(secrets_name(secrets, 3));
    assert_null(secrets_placeholder(secrets, 3));
    /* B26: a placeholder that is another's, or none */
    assert_int_equal(strv_add(&hosts, "example.com"), 0);
    const uint8_t *value = (const uint8_t *)"value-of-d";
    assert_int_equal(secrets_add(secrets, "D", &hosts, value, 10, P1, &err), -EEXIST);
    assert_int_equal(secrets_add(secrets, "D", &hosts, value, 10, "value-of-d", &err), -EINVAL);
    assert_int_equal(secrets_add(secrets, "B", &hosts, value, 10, NULL, &err), -EEXIST);
    assert_null(secrets_name(secrets, 3));
    secrets_free(secrets);
}

static void substitutes_headers(void **state)
{
    static const struct {
        const char *secret_host;
        struct secret_target target;
        const char *header, *expected; /* NULL: refused */
    } rows[] = {
        /* B1–B3 */
        {"example.com", {true, "example.com", 443}, "Bearer " P1, "Bearer secret-value"},
        {"example.com", {true, "example.org", 443}, "Bearer " P1, NULL},
        {"example.com", {true, "example.org", 443}, "Bearer secret-value", NULL},
        {"example.com", {true, "example.com", 443}, "Bearer secret-value", "Bearer secret-value"},
        {"example.com", {true, "example.org", 443}, "Bearer other", "Bearer other"},
        {"example.com",
         {true, "example.com", 443},
         P1 P1 "," P1,
         "secret-valuesecret-value,secret-value"},
        {"example.com", {true, "example.com", 443}, "", ""},
        {"example.com", {true, "example.com", 443}, "VMDECK_SECRET_1", "VMDECK_SECRET_1"},
        /* B24: only over TLS, only on the port, unless the host says otherwise */
        {"example.com", {false, "example.com", 80}, P1, NULL},
        {"example.com", {false, "example.com", 443}, P1, NULL},
        {"example.com", {true, "example.com", 8443}, P1, NULL},
        {"example.com:8443", {true, "example.com", 8443}, P1, "secret-value"},
        {"http://example.com:8080", {false, "example.com", 8080}, P1, "secret-value"},
        {"http://example.com:8080", {true, "example.com", 8080}, P1, NULL},
        {"*.example.com", {true, "a.example.com", 443}, P1, "secret-value"},
        {"*.example.com", {true, "example.com", 443}, P1, NULL},
        /* forms of the value */
        {"example.com", {true, "example.org", 443}, "x=s%65cret%2dvalue", NULL},
        {"example.com", {true, "example.org", 443}, "x=s%2565cret-value", NULL},
        {"example.com", {true, "example.org", 443}, "c2VjcmV0LXZhbHVl", NULL},
        {"example.com", {true, "example.org", 443}, "YWxpY2U6c2VjcmV0LXZhbHVl", NULL},
        {"example.com", {true, "example.org", 443}, "eDpzZWNyZXQtdmFsdWU=", NULL},
        {"example.com", {true, "example.org", 443}, "eHg6c2VjcmV0LXZhbHVlOng=", NULL},
        {"example.com", {true, "example.com", 443}, "c2VjcmV0LXZhbHVl", "c2VjcmV0LXZhbHVl"},
        {"example.com", {true, "example.org", 443}, "secret-valu", "secret-valu"},
        {"example.com", {true, "example.org", 443}, "%", "%"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct secrets *secrets = make(rows[i].secret_host, "secret-value");
        expect(rows[i].header, header(secrets, &rows[i].target, "x-key", rows[i].header),
               rows[i].expected);
        secrets_free(secrets);
    }
}

static void rotates_and_deletes(void **state)
{
    struct secrets *secrets = make("example.com", "secret-value");
    struct error err;
    (void)state;
    update(secrets, "API_KEY", NULL, "rotated-value"); /* B4, B5 */
    expect("B4", header(secrets, &com, "x", "Bearer " P1), "Bearer rotated-value");
    expect("B5", header(secrets, &com, "x", "Bearer secret-value"), NULL);
    update(secrets, "API_KEY", NULL, "rotated-value");
    expect("same", header(secrets, &com, "x", "rotated-value"), "rotated-value");
    update(secrets, "API_KEY", "example.org", NULL); /* B6 */
    expect("B6 com", header(secrets, &com, "x", P1), NULL);
    expect("B6 org", header(secrets, &org, "x", P1), "rotated-value");
    update(secrets, "API_KEY", NULL, "secret-value"); /* and back */
    expect("back", header(secrets, &org, "x", "secret-value"), "secret-value");
    expect("back", header(secrets, &org, "x", "rotated-value"), NULL);
    update(secrets, "API_KEY", NULL, "a secret-value in it"); /* B13 */
    expect("B13", header(secrets, &org, "x", "a secret-value in it"), "a secret-value in it");
    expect("B13", header(secrets, &org, "x", "a secret-value"), NULL);
    assert_int_equal(secrets_remove(secrets, "API_KEY", &err), 0); /* B7, B8 */
    expect("B7", header(secrets, &com, "x", "Bearer " P1), "Bearer ");
    expect("B8", header(secrets, &com, "x", "Bearer a secret-value in it"), NULL);
    assert_int_equal(secrets_remove(secrets, "API_KEY", &err), -ENOENT);
    assert_int_equal(secrets_allow_query(secrets, "API_KEY", &err), -ENOENT);
    secrets_free(secrets);
}

static void forgets_the_oldest_values(void **state)
{
    struct secrets *secrets = make("example.com", "value-number-0");
    char value[32];
    (void)state;
    for (int i = 1; i <= SECRET_FORMER_MAX + 1; i++) {
        snprintf(value, sizeof value, "value-number-%c", '0' + i);
        update(secrets, "API_KEY", NULL, value);
    }
    expect("oldest", header(secrets, &com, "x", "value-number-0"), "value-number-0");
    expect("kept", header(secrets, &com, "x", "value-number-1"), NULL);
    secrets_free(secrets);
}

static void substitutes_basic(void **state)
{
    char plain[256], given[400], expected[400];
    size_t length;
    struct secrets *secrets = make("example.com", "alice");
    (void)state;
    add(secrets, "PASSWORD", "example.com", "s3cr3t", P2);
    memcpy(given, "Basic ", 7);
    memcpy(expected, "Basic ", 7);
    snprintf(plain, sizeof plain, "%s:%s", P1, P2);
    mbedtls_base64_encode((uint8_t *)given + 6, sizeof given - 6, &length, (uint8_t *)plain,
                          strlen(plain));
    mbedtls_base64_encode((uint8_t *)expected + 6, sizeof expected - 6, &length,
                          (const uint8_t *)"alice:s3cr3t", 12);
    expect("B18", header(secrets, &com, "Authorization", given), expected);
    expect("B18", header(secrets, &com, "proxy-authorization", given), expected);
    expect("B19", header(secrets, &org, "Authorization", given), NULL);
    expect("not there", header(secrets, &com, "X-Other", given), given);
    memcpy(given, "bASIC", 5);
    expect("case", header(secrets, &com, "AUTHORIZATION", given), expected);
    expect("not base64", header(secrets, &com, "Authorization", "Basic " P1), "Basic alice");
    expect("nothing", header(secrets, &com, "Authorization", "Basic "), "Basic ");
    expect("unchanged", header(secrets, &com, "Authorization", "Basic eDp5"), "Basic eDp5");
    struct error err;
    assert_int_equal(secrets_remove(secrets, "API_KEY", &err), 0);
    assert_int_equal(secrets_remove(secrets, "PASSWORD", &err), 0);
    expect("deleted", header(secrets, &com, "Authorization", given), "Basic Og==");
    secrets_free(secrets);
}

static void is_a_single_pass(void **state)
{
    struct secrets *secrets = make("example.com", "before " P2 " behind");
    (void)state;
    add(secrets, "OTHER", "example.com", "other-value", P2);
    expect("value with a placeholder", header(secrets, &com, "x", P1 "|" P2),
           "before " P2 " behind|other-value");
    secrets_free(secrets);
}

static void knows_equal_and_overlapping_values(void **state)
{
    struct secrets *secrets = make("example.com", "shared-value");
    (void)state;
    add(secrets, "SAME", "example.org", "shared-value", P2);
    expect("own", header(secrets, &com, "x", "shared-value"), "shared-value");
    expect("also own", header(secrets, &org, "x", "shared-value"), "shared-value");
    secrets_free(secrets);
    secrets = make("example.org", "shared-value-is-longer");
    add(secrets, "PART", "example.com", "begin-shared-value", P2);
    /* the forbidden one begins inside the allowed one and goes on behind it */
    expect("part", header(secrets, &com, "x", "begin-shared-value"), "begin-shared-value");
    expect("overlap", header(secrets, &com, "x", "begin-shared-value-is-longer"), NULL);
    secrets_free(secrets);
}

static void substitutes_queries(void **state)
{
    struct secrets *secrets = make("example.com", "secret/value+1");
    struct error err;
    (void)state;
    expect("B15", request_target(secrets, &com, "/?token=" P1), "/?token=" P1);
    expect("B15", request_target(secrets, &org, "/?token=" P1), "/?token=" P1);
    assert_int_equal(secrets_allow_query(secrets, "API_KEY", &err), 0);
    expect("query", request_target(secrets, &com, "/" P1 "?token=" P1 "&a=b"),
           "/" P1 "?token=secret%2Fvalue%2B1&a=b"); /* B23 */
    expect("B17", request_target(secrets, &org, "/?token=" P1), NULL);
    expect("path", request_target(secrets, &org, "/" P1), "/" P1);
    expect("value in path", request_target(secrets, &org, "/secret/value+1"), NULL);
    expect("value in path", request_target(secrets, &org, "/secret%2Fvalue%2b1"), NULL);
    expect("value in query", request_target(secrets, &org, "/?secret%2fvalue%2b1"), NULL);
    expect("value to its host", request_target(secrets, &com, "/?t=secret%2Fvalue%2B1"),
           "/?t=secret%2Fvalue%2B1");
    expect("empty", request_target(secrets, &com, ""), "");
    secrets_free(secrets);
}

static void bounds_values_and_results(void **state)
{
    static const char *const wrong[] = {"", "line\nbreak", "tab\tbed", "del\x7f"};
    struct error err;
    struct secrets *secrets = secrets_new(&err);
    CLEAN_STRV struct strv hosts = {0};
    CLEAN_SECRET_BUF struct buf out = {0};
    struct secret_uses uses = {0};
    static uint8_t value[SECRET_VALUE_MAX + 1];
    static char text[64 * SECRET_PLACEHOLDER_SIZE];
    char name[32];
    (void)state;
    memset(value, 'v', sizeof value);
    assert_int_equal(secrets_add(secrets, "A", &hosts, value, 10, NULL, &err), -EINVAL);
    assert_int_equal(strv_add(&hosts, "example.com"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_int_equal(secrets_add(secrets, "A", &hosts, (const uint8_t *)wrong[i],
                                     strlen(wrong[i]), NULL, &err),
                         -EINVAL);
    assert_int_equal(secrets_add(secrets, "A", &hosts, value, sizeof value, NULL, &err), -EINVAL);
    assert_int_equal(secrets_add(secrets, "A", &hosts, value, sizeof value - 1, P1, &err), 0);
    /* 33 values of 8 KiB are more than a header may become */
    for (int i = 0; i < 33; i++)
        memcpy(text + i * (SECRET_PLACEHOLDER_SIZE - 1), P1, SECRET_PLACEHOLDER_SIZE);
    assert_int_equal(
        secrets_header(secrets, &com, "x", (const uint8_t *)text, strlen(text), &out, &uses, &err),
        -EMSGSIZE);
    assert_int_equal(buf_len(&out), 0);
    assert_int_equal(secrets_header(secrets, &com, "x", (const uint8_t *)text,
                                    32 * (SECRET_PLACEHOLDER_SIZE - 1), &out, &uses, &err),
                     0);
    assert_int_equal(buf_len(&out), 32 * SECRET_VALUE_MAX);
    assert_int_equal(uses.injected, 1);
    for (int i = 1; i < SECRETS_MAX; i++) {
        snprintf(name, sizeof name, "S%d", i);
        assert_int_equal(secrets_add(secrets, name, &hosts, value, 1, NULL, &err), 0);
    }
    assert_int_equal(secrets_add(secrets, "MORE", &hosts, value, 1, NULL, &err), -ENOSPC);
    secrets_free(secrets);
}

/* Feeds the text in pieces of `step` bytes. */
static void redact(const struct secrets *secrets, uint64_t mask, const char *text, size_t step,
                   struct buf *out)
{
    struct secret_stream *stream = secret_stream_new(secrets, mask);
    size_t size = strlen(text);
    assert_non_null(stream);
    for (size_t at = 0; at < size; at += step) {
        size_t piece = size - at < step ? size - at : step;
        /* an exact copy, so that a read beyond a piece is seen */
        CLEAN_FREE uint8_t *copy = malloc(piece);
        memcpy(copy, text + at, piece);
        assert_int_equal(secret_stream_feed(stream, copy, piece, false, out), 0);
    }
    assert_int_equal(secret_stream_feed(stream, NULL, 0, true, out), 0);
    secret_stream_free(stream);
}

static void redacts_responses(void **state)
{
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"", ""},
        {"nothing here", "nothing here"},
        {"the sec\"ret/value", "the " P1},
        {"sec\"ret/valuesec\"ret/value", P1 P1},
        {"sec\"ret/valu", "sec\"ret/valu"},
        {"ssec\"ret/values", "s" P1 "s"},
        {"sec\"sec\"ret/value", "sec\"" P1},
        {"{\"token\":\"sec\\\"ret/value\"}", "{\"token\":\"" P1 "\"}"},
        {"{\"token\":\"sec\\\"ret\\/value\"}", "{\"token\":\"" P1 "\"}"},
        {"location: /?t=sec%22ret%2Fvalue&x", "location: /?t=" P1 "&x"},
        {"location: /?t=sec%22ret%2fvalue&x", "location: /?t=" P1 "&x"},
        {"\"Basic c2VjInJldC92YWx1ZQ==\"", "\"Basic " P1 "Q==\""},
        /* the longer of two that begin alike, whichever it turns out to be */
        {"token-one-two.", P2 "."},
        {"token-one-tw.", P2 "-tw."},
        {"token-one", P2},
        {"untouched-value", "untouched-value"},
    };
    struct secrets *secrets = make("example.com", "sec\"ret/value");
    (void)state;
    add(secrets, "LONG", "example.com", "token-one-two", P2);
    add(secrets, "OTHER", "example.com", "untouched-value", NULL);
    update(secrets, "LONG", NULL, "token-one");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (size_t step = 1; step <= 40; step++) {
            CLEAN_BUF struct buf out = {0};
            redact(secrets, 3, rows[i].text, step, &out);
            if (strcmp(buf_string(&out), rows[i].expected) != 0)
                fail_msg("'%s' by %zu: '%s'", rows[i].text, step, buf_string(&out));
        }
    CLEAN_BUF struct buf out = {0};
    uint64_t found = 0;
    assert_int_equal(secrets_redact(secrets, 3, (const uint8_t *)"x token-one", 11, &out, &found),
                     0);
    assert_string_equal(buf_string(&out), "x " P2);
    assert_int_equal(found, 2);
    secrets_free(secrets);
}

static void holds_back_only_beginnings(void **state)
{
    struct secrets *secrets = make("example.com", "secret-value");
    struct secret_stream *stream = secret_stream_new(secrets, 1);
    CLEAN_BUF struct buf out = {0};
    (void)state;
    assert_int_equal(secret_stream_feed(stream, (const uint8_t *)"data: 1\n\n", 9, false, &out), 0);
    assert_int_equal(buf_len(&out), 9);
    assert_int_equal(secret_stream_feed(stream, (const uint8_t *)"x secret", 8, false, &out), 0);
    assert_int_equal(buf_len(&out), 11);
    assert_int_equal(secret_stream_found(stream), 0);
    /* goes on although the set changes and goes */
    update(secrets, "API_KEY", NULL, "changed-value");
    secrets_free(secrets);
    assert_int_equal(secret_stream_feed(stream, (const uint8_t *)"-value", 6, false, &out), 0);
    assert_string_equal(buf_string(&out), "data: 1\n\nx " P1);
    assert_int_equal(secret_stream_found(stream), 1);
    secret_stream_free(stream);
}

static void finds_leaks_in_bodies(void **state)
{
    struct secrets *secrets = make("example.com", "secret-value");
    struct secret_stream *stream = secret_stream_new(secrets, secrets_forbidden(secrets, &org));
    struct secret_uses uses = {0};
    struct error err;
    (void)state;
    assert_int_equal(secrets_forbidden(secrets, &com), 0);
    assert_int_equal(secret_stream_feed(stream, (const uint8_t *)"a=secret-", 9, false, NULL), 0);
    assert_int_equal(secret_stream_found(stream), 0);
    assert_int_equal(secret_stream_feed(stream, (const uint8_t *)"value", 5, false, NULL), 0);
    assert_int_equal(secret_stream_found(stream), 1);
    secret_stream_free(stream);
    const uint8_t *text = (const uint8_t *)"x-secret-value";
    assert_int_equal(secrets_check(secrets, &com, text, 14, &uses, &err), 0);
    assert_int_equal(secrets_check(secrets, &org, text, 14, &uses, &err), -EPERM);
    assert_int_equal(uses.blocked, 1);
    secrets_free(secrets);
}

static void leaves_short_values_alone(void **state)
{
    struct secrets *secrets = make("example.com", "alice");
    CLEAN_BUF struct buf out = {0};
    (void)state;
    expect("short", header(secrets, &com, "x", P1), "alice");
    expect("short", header(secrets, &org, "x", "alice in wonderland"), "alice in wonderland");
    assert_int_equal(secrets_redact(secrets, 1, (const uint8_t *)"alice", 5, &out, NULL), 0);
    assert_string_equal(buf_string(&out), "alice");
    secrets_free(secrets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_options),
        cmocka_unit_test(makes_placeholders),
        cmocka_unit_test(substitutes_headers),
        cmocka_unit_test(rotates_and_deletes),
        cmocka_unit_test(forgets_the_oldest_values),
        cmocka_unit_test(substitutes_basic),
        cmocka_unit_test(is_a_single_pass),
        cmocka_unit_test(knows_equal_and_overlapping_values),
        cmocka_unit_test(substitutes_queries),
        cmocka_unit_test(bounds_values_and_results),
        cmocka_unit_test(redacts_responses),
        cmocka_unit_test(holds_back_only_beginnings),
        cmocka_unit_test(finds_leaks_in_bodies),
        cmocka_unit_test(leaves_short_values_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
