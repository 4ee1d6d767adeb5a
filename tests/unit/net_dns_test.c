/* DNS: queries of all kinds and their answers, names and their addresses, the options. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/dns_names.h"

#define QUERY(flags, counts) "\xab\xcd" flags counts
#define RD                   "\x01\x00"
#define ONE                  "\x00\x01\x00\x00\x00\x00\x00\x00"
#define ONE_OPT              "\x00\x01\x00\x00\x00\x00\x00\x01"
#define EXAMPLE \
    "\x07"      \
    "eXample"   \
    "\x03"      \
    "com"       \
    "\x00"
#define A           "\x00\x01\x00\x01"
#define AAAA        "\x00\x1c\x00\x01"
#define OPT         "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static const struct parsed {
    const uint8_t *data;
    size_t size;
    int rc;
    const char *name;
    bool edns;
} parsed[] = {
    {BYTES(QUERY(RD, ONE) EXAMPLE A), 0, "example.com", false},
    {BYTES(QUERY(RD, ONE_OPT) EXAMPLE A OPT), 0, "example.com", true},
    {BYTES(QUERY(RD, ONE) "\x00" A), 0, "", false},
    {BYTES(QUERY(RD, ONE) "\x03"
                          "a.b"
                          "\x03"
                          "com"
                          "\x00" A),
     0, "", false},
    {BYTES(QUERY(RD, ONE) "\x03"
                          "a\0b"
                          "\x03"
                          "com"
                          "\x00" A),
     0, "", false},
    {BYTES(QUERY(RD, ONE) "\x02"
                          "\xff\xfe"
                          "\x00" A),
     0, "", false},
    {BYTES(QUERY(RD, ONE) "\x0b"
                          "_xmpp.x-y_z"
                          "\x00" A),
     0, "", false},
    {BYTES(QUERY(RD, ONE) "\x05"
                          "_xmpp"
                          "\x03"
                          "x-y"
                          "\x00" A),
     0, "_xmpp.x-y", false},
    /* no header, a response, another operation */
    {BYTES(""), -EBADMSG, NULL, false},
    {BYTES("\xab\xcd" RD ONE "") - 1, -EBADMSG, NULL, false},
    {BYTES(QUERY("\x80\x00", ONE) EXAMPLE A), -EBADMSG, NULL, false},
    {BYTES(QUERY("\x28\x00", ONE) EXAMPLE A), DNS_NOTIMP, NULL, false},
    /* counts */
    {BYTES(QUERY(RD, "\x00\x00\x00\x00\x00\x00\x00\x00")), DNS_FORMERR, NULL, false},
    {BYTES(QUERY(RD, "\x00\x02\x00\x00\x00\x00\x00\x00") EXAMPLE A EXAMPLE A), DNS_FORMERR, NULL,
     false},
    {BYTES(QUERY(RD, "\x00\x01\x00\x01\x00\x00\x00\x00") EXAMPLE A), DNS_FORMERR, NULL, false},
    {BYTES(QUERY(RD, "\x00\x01\x00\x00\x00\x01\x00\x00") EXAMPLE A), DNS_FORMERR, NULL, false},
    {BYTES(QUERY("\x03\x00", ONE) EXAMPLE A), DNS_FORMERR, NULL, false},
    /* names: compressed, to itself, cut off */
    {BYTES(QUERY(RD, ONE) "\xc0\x0c" A), DNS_FORMERR, NULL, false},
    {BYTES(QUERY(RD, ONE) "\x01"
                          "a"
                          "\xc0\x0c" A),
     DNS_FORMERR, NULL, false},
    {BYTES(QUERY(RD, ONE) "\x40"
                          "a"
                          "\x00" A),
     DNS_FORMERR, NULL, false},
    {BYTES(QUERY(RD, ONE) "\x07"
                          "exam"),
     DNS_FORMERR, NULL, false},
    {BYTES(QUERY(RD, ONE) EXAMPLE "\x00\x01\x00"), DNS_FORMERR, NULL, false},
    {BYTES(QUERY(RD, ONE)), DNS_FORMERR, NULL, false},
    /* additional records */
    {BYTES(QUERY(RD, ONE) EXAMPLE A "x"), DNS_FORMERR, NULL, false},
    {BYTES(QUERY(RD, ONE_OPT) EXAMPLE A), DNS_FORMERR, NULL, false},
    {BYTES(QUERY(RD, ONE_OPT) EXAMPLE A "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x01"),
     DNS_FORMERR, NULL, false},
    {BYTES(QUERY(RD, ONE_OPT) EXAMPLE A "\x00\x00\x29\x04\xd0\x00\x01\x00\x00\x00\x00"),
     DNS_BADVERS, NULL, true},
    {BYTES(QUERY(RD, "\x00\x01\x00\x00\x00\x00\x00\x02") EXAMPLE A OPT OPT), DNS_FORMERR, NULL,
     true},
    {BYTES(QUERY(RD, ONE_OPT) EXAMPLE A "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00"),
     DNS_FORMERR, NULL, false},
};

static void parses_queries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(parsed); i++) {
        struct dns_query query;
        uint8_t reply[DNS_REPLY_MAX];
        int rc = dns_query_parse(parsed[i].data, parsed[i].size, &query);
        if (rc != parsed[i].rc)
            fail_msg("row %zu: %d", i, rc);
        if (rc == 0)
            assert_string_equal(query.name, parsed[i].name);
        if (rc < 0)
            continue;
        assert_int_equal(query.edns, parsed[i].edns);
        size_t size = dns_reply(&query, (enum dns_rcode)rc, NULL, 0, reply);
        assert_memory_equal(reply, "\xab\xcd", 2);
        assert_int_equal(reply[2] & 0x80, 0x80);
        assert_int_equal(reply[3] & 15, rc & 15);
        assert_true(size >= 12 && size <= DNS_REPLY_MAX);
    }
}

static void bounds_queries(void **state)
{
    uint8_t data[DNS_QUERY_MAX + 1] = QUERY(RD, ONE);
    struct dns_query query;
    uint8_t reply[DNS_REPLY_MAX];
    (void)state;
    /* a name of 255 bytes: 3 × 64 + 62 + 1; its text has 253 characters */
    size_t at = 12;
    for (int label = 0; label < 4; label++) {
        uint8_t length = label < 3 ? 63 : 61;
        data[at++] = length;
        memset(data + at, 'a', length);
        at += length;
    }
    data[at++] = 0;
    memcpy(data + at, A, 4);
    assert_int_equal(dns_query_parse(data, at + 4, &query), 0);
    assert_int_equal(strlen(query.name), 253);
    struct address address;
    assert_int_equal(address_parse("2001:db8::1", &address), 0);
    query.edns = true;
    assert_true(dns_reply(&query, DNS_NOERROR, &address, 1, reply) <= DNS_REPLY_MAX);
    /* one more */
    data[12 + 3 * 64] = 62;
    data[at - 1] = 'a';
    data[at] = 0;
    memcpy(data + at + 1, A, 4);
    assert_int_equal(dns_query_parse(data, at + 5, &query), DNS_FORMERR);
    assert_int_equal(dns_query_parse(data, sizeof data, &query), -EBADMSG);
}

static void replies_bytes(void **state)
{
    static const uint8_t expected[] = "\xab\xcd\x81\x80\x00\x01\x00\x01\x00\x00\x00\x01" EXAMPLE A
                                      "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc6\x12"
                                      "\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
    struct dns_names *names = dns_names_new(DNS_MAPPING_SINGLE, DNS_NAMES_MAX);
    struct dns_query query;
    uint8_t reply[DNS_REPLY_MAX];
    (void)state;
    /* E1: the same id, the question as it was asked, one answer */
    assert_int_equal(dns_query_parse(BYTES(QUERY(RD, ONE_OPT) EXAMPLE A OPT), &query), 0);
    size_t size = dns_names_reply(names, &query, 0, reply);
    assert_int_equal(size, sizeof expected - 1);
    assert_memory_equal(reply, expected, size);
    dns_names_free(names);
}

/* Asks for a name; the rcode and the answer's data. */
static int ask(struct dns_names *names, const char *name, unsigned type, unsigned class,
               uint8_t data[16], unsigned *answers)
{
    struct dns_query query = {.type = (uint16_t)type, .class = (uint16_t) class};
    uint8_t reply[DNS_REPLY_MAX];
    if (name[0] != '\0')
        assert_int_equal(host_normalize(name, strlen(name), 0, query.name, NULL), 0);
    query.question_size = name[0] != '\0' ? strlen(name) + 6 : 5;
    size_t size = dns_names_reply(names, &query, 0, reply);
    *answers = reply[7];
    unsigned length = *answers > 0 ? reply[12 + query.question_size + 11] : 0;
    assert_int_equal(size, 12 + query.question_size + (*answers > 0 ? 12 + length : 0));
    memset(data, 0, 16);
    memcpy(data, reply + size - length, length);
    return reply[3] & 15;
}

static void answers_types(void **state)
{
    static const struct {
        const char *name;
        unsigned type, class;
        int rcode;
        unsigned answers;
        const char *data;
    } rows[] = {
        {"example.com", DNS_A, 1, DNS_NOERROR, 1, "\xc6\x12\x00\x01"},
        {"other.example", DNS_A, 1, DNS_NOERROR, 1, "\xc6\x12\x00\x02"},
        {"EXAMPLE.com", DNS_TYPE_ANY, 255, DNS_NOERROR, 1, "\xc6\x12\x00\x01"},
        {"example.com", DNS_AAAA, 1, DNS_NOERROR, 0, NULL},
        {"example.com", DNS_HTTPS, 1, DNS_NOERROR, 0, NULL},
        {"example.com", DNS_SVCB, 1, DNS_NOERROR, 0, NULL},
        {"example.com", 15 /* MX: E10 */, 1, DNS_NOERROR, 0, NULL},
        {"example.com", 16 /* TXT */, 1, DNS_NOERROR, 0, NULL},
        {"example.com", 10 /* NULL */, 1, DNS_NOERROR, 0, NULL},
        {"localhost", DNS_A, 1, DNS_NOERROR, 1, "\x7f\x00\x00\x01"}, /* E2 */
        {"localhost", DNS_AAAA, 1, DNS_NOERROR, 1, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"},
        {"a.localhost", DNS_A, 1, DNS_NOERROR, 1, "\x7f\x00\x00\x01"},
        {"alocalhost", DNS_A, 1, DNS_NOERROR, 1, "\xc6\x12\x00\x03"},
        {"", DNS_A, 1, DNS_NOERROR, 0, NULL}, /* E5 */
        {"", 2 /* NS */, 1, DNS_NOERROR, 0, NULL},
        {"1.2.3.4", DNS_A, 1, DNS_NXDOMAIN, 0, NULL},
        {"1.0.18.198.in-addr.arpa", DNS_PTR, 1, DNS_NXDOMAIN, 0, NULL},
        {"version.bind", 16, 3 /* CH */, DNS_REFUSED, 0, NULL},
    };
    struct dns_names *names = dns_names_new(DNS_MAPPING_PER_HOST, DNS_NAMES_MAX);
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t data[16];
        unsigned answers;
        int rcode = ask(names, rows[i].name, rows[i].type, rows[i].class, data, &answers);
        if (rcode != rows[i].rcode || answers != rows[i].answers)
            fail_msg("row %zu '%s': %d, %u", i, rows[i].name, rcode, answers);
        if (rows[i].data != NULL)
            assert_memory_equal(data, rows[i].data, data[0] == 0 ? 16 : 4);
    }
    dns_names_free(names);
}

static void maps_names(void **state)
{
    struct dns_names *names = dns_names_new(DNS_MAPPING_PER_HOST, 3);
    struct address first, second, third, address;
    (void)state;
    /* E4 */
    assert_int_equal(dns_names_address(names, "example.com", &first), 0);
    assert_int_equal(dns_names_address(names, "github.com", &second), 0);
    assert_int_equal(dns_names_address(names, "example.com", &third), 0);
    assert_true(address_equal(&first, &third));
    assert_false(address_equal(&first, &second));
    assert_string_equal(dns_names_lookup(names, &first), "example.com");
    assert_string_equal(dns_names_lookup(names, &second), "github.com");
    /* E5: what is full forgets what was not used longest, here the first one was */
    assert_int_equal(dns_names_address(names, "c.example", &address), 0);
    assert_string_equal(dns_names_lookup(names, &first), "example.com");
    assert_int_equal(dns_names_address(names, "d.example", &third), 0);
    assert_null(dns_names_lookup(names, &second));
    assert_string_equal(dns_names_lookup(names, &first), "example.com");
    assert_string_equal(dns_names_lookup(names, &third), "d.example");
    assert_int_equal(address_parse("198.20.0.0", &address), 0);
    assert_null(dns_names_lookup(names, &address));
    assert_int_equal(address_parse("198.17.255.255", &address), 0);
    assert_null(dns_names_lookup(names, &address));
    assert_int_equal(address_parse("::ffff:198.18.0.1", &address), 0);
    assert_null(dns_names_lookup(names, &address));
    dns_names_free(names);
}

static void survives_many_names(void **state)
{
    struct dns_names *names = dns_names_new(DNS_MAPPING_PER_HOST, DNS_NAMES_MAX);
    struct address address, kept;
    char name[32];
    (void)state;
    assert_int_equal(dns_names_address(names, "kept.example", &kept), 0);
    /* more than there are addresses, so they are given out again */
    for (int i = 0; i < 150000; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        assert_int_equal(dns_names_address(names, name, &address), 0);
        assert_int_equal(address.bytes[0], 198);
        assert_int_equal(address.bytes[1] & 0xfe, 18);
        if (address.bytes[3] == 0 || address.bytes[3] == 255 || address_equal(&address, &kept))
            fail_msg("%s", name);
        assert_string_equal(dns_names_lookup(names, &address), name);
        if (i % 1000 == 0)
            assert_string_equal(dns_names_lookup(names, &kept), "kept.example");
    }
    dns_names_free(names);
}

static void recognises_responses(void **state)
{
    struct dns_query query;
    (void)state;
    assert_int_equal(dns_query_parse(BYTES(QUERY(RD, ONE) EXAMPLE A), &query), 0);
    assert_true(dns_response_matches(&query, BYTES(QUERY("\x81\x80", ONE) EXAMPLE A "more")));
    assert_false(dns_response_matches(&query, BYTES(QUERY(RD, ONE) EXAMPLE A)));
    assert_false(dns_response_matches(&query, BYTES(QUERY("\x81\x80", ONE) EXAMPLE AAAA)));
    assert_false(dns_response_matches(&query, BYTES(QUERY("\x81\x80", ONE) EXAMPLE)));
    assert_false(dns_response_matches(&query, BYTES("\xab\xce\x81\x80" ONE EXAMPLE A)));
    assert_false(dns_response_matches(&query, BYTES("")));
}

static void settles_options(void **state)
{
    static char *servers[] = {"1.1.1.1", "2606:4700::1111", NULL};
    static char *wrong[] = {"dns.example", NULL};
    static char *many[] = {"1.1.1.1", "1.1.1.1", "1.1.1.1", "1.1.1.1", "1.1.1.1",
                           "1.1.1.1", "1.1.1.1", "1.1.1.1", "1.1.1.1", NULL};
    static const struct {
        struct dns_options options;
        const char *error; /* a part of it; NULL: fine */
        enum dns_mode mode;
        enum dns_mapping mapping;
    } rows[] = {
        {{NULL, NULL, {NULL, 0}, NULL}, NULL, DNS_MODE_SYNTHETIC, DNS_MAPPING_PER_HOST},
        {{"synthetic", "single", {NULL, 0}, NULL}, NULL, DNS_MODE_SYNTHETIC, DNS_MAPPING_SINGLE},
        {{"trusted", NULL, {servers, 2}, NULL}, NULL, DNS_MODE_TRUSTED, DNS_MAPPING_PER_HOST},
        {{"open", NULL, {NULL, 0}, NULL}, NULL, DNS_MODE_OPEN, DNS_MAPPING_PER_HOST},
        /* G2, G3 */
        {{"trusted", NULL, {NULL, 0}, "--tcp-map"}, "requires dns mode 'synthetic'", 0, 0},
        {{NULL, "single", {NULL, 0}, "--tcp-map"}, "'per-host'", 0, 0},
        {{"synthetic", NULL, {NULL, 0}, "--tcp-map"},
         NULL,
         DNS_MODE_SYNTHETIC,
         DNS_MAPPING_PER_HOST},
        {{"dns", NULL, {NULL, 0}, NULL}, "'dns'", 0, 0},
        {{NULL, "double", {NULL, 0}, NULL}, "'double'", 0, 0},
        {{"open", "single", {NULL, 0}, NULL}, "requires --dns synthetic", 0, 0},
        {{NULL, NULL, {servers, 2}, NULL}, "requires --dns trusted", 0, 0},
        {{"trusted", NULL, {wrong, 1}, NULL}, "dns.example", 0, 0},
        {{"trusted", NULL, {many, 9}, NULL}, "more than 8", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct dns_settings settings;
        struct error err = {0};
        int rc = dns_settle(&rows[i].options, &settings, &err);
        if ((rc == 0) != (rows[i].error == NULL) ||
            (rc < 0 && strstr(err.message, rows[i].error) == NULL))
            fail_msg("row %zu: %d %s", i, rc, err.message);
        if (rc < 0)
            continue;
        assert_int_equal(settings.mode, rows[i].mode);
        assert_int_equal(settings.mapping, rows[i].mapping);
        assert_int_equal(settings.server_count, rows[i].options.servers.count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_queries),       cmocka_unit_test(bounds_queries),
        cmocka_unit_test(replies_bytes),        cmocka_unit_test(answers_types),
        cmocka_unit_test(maps_names),           cmocka_unit_test(survives_many_names),
        cmocka_unit_test(recognises_responses), cmocka_unit_test(settles_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
