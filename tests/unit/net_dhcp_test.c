/* net/dhcp: what is answered, and what is not. */
#include "unit.h"

#include <string.h>

#include "net/dhcp.h"
#include "net/packet.h"

static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

#define GUEST   "\xc0\xa8\x7f\x03"
#define GATEWAY "\xc0\xa8\x7f\x01"
#define OTHER   "\x0a\x00\x00\x07"

static size_t dhcp_message(uint8_t *message, uint16_t flags, const char *ciaddr,
                           const char *options, size_t size)
{
    memset(message, 0, 240);
    message[0] = 1;
    message[1] = 1;
    message[2] = 6;
    net_put32(message + 4, 0xdeadbeef);
    net_put16(message + 10, flags);
    memcpy(message + 12, ciaddr, 4);
    memcpy(message + 28, mac, 6);
    memcpy(message + 236, "\x63\x82\x53\x63", 4);
    memcpy(message + 240, options, size);
    return 240 + size;
}

/* The option's value in a reply, or NULL. */
static const uint8_t *reply_option(const struct dhcp_reply *reply, uint8_t option, uint8_t length)
{
    const uint8_t *p = reply->message + 240, *end = reply->message + DHCP_REPLY_SIZE;
    while (p < end && *p != 255) {
        if (p[0] == option)
            return p[1] == length ? p + 2 : NULL;
        p += 2 + p[1];
    }
    assert_true(p < end);
    return NULL;
}

#define ROW(options) (options), sizeof(options) - 1

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *options;
        size_t size;
        const char *ciaddr;
        uint16_t flags;
        uint8_t answer; /* message type; 0: none */
        bool broadcast;
    } rows[] = {
        {"discover", ROW("\x35\x01\x01\xff"), "\0\0\0\0", 0, 2, false},
        {"discover, broadcast", ROW("\x35\x01\x01\xff"), "\0\0\0\0", 0x8000, 2, true},
        {"no end option", ROW("\x35\x01\x01"), "\0\0\0\0", 0, 2, false},
        {"padding", ROW("\0\0\x35\x01\x01\0\xff"), "\0\0\0\0", 0, 2, false},
        {"request", ROW("\x35\x01\x03\x32\x04" GUEST "\x36\x04" GATEWAY "\xff"), "\0\0\0\0", 0, 5,
         false},
        {"init-reboot", ROW("\x35\x01\x03\x32\x04" GUEST "\xff"), "\0\0\0\0", 0x8000, 5, true},
        {"renew", ROW("\x35\x01\x03\xff"), GUEST, 0x8000, 5, false},
        {"another address", ROW("\x35\x01\x03\x32\x04" OTHER "\xff"), "\0\0\0\0", 0, 6, true},
        {"renew another", ROW("\x35\x01\x03\xff"), OTHER, 0, 6, true},
        {"another server", ROW("\x35\x01\x03\x32\x04" GUEST "\x36\x04" OTHER "\xff"), "\0\0\0\0", 0,
         0, false},
        {"inform", ROW("\x35\x01\x08\xff"), GUEST, 0, 5, false},
        {"decline", ROW("\x35\x01\x04\xff"), "\0\0\0\0", 0, 0, false},
        {"release", ROW("\x35\x01\x07\xff"), GUEST, 0, 0, false},
        {"an offer", ROW("\x35\x01\x02\xff"), "\0\0\0\0", 0, 0, false},
        {"no type", ROW("\xff"), "\0\0\0\0", 0, 0, false},
        {"no options", ROW(""), "\0\0\0\0", 0, 0, false},
        {"type of length 2", ROW("\x35\x02\x01\x01\xff"), "\0\0\0\0", 0, 0, false},
        {"type of length 0", ROW("\x35\x00\xff"), "\0\0\0\0", 0, 0, false},
        {"length over the end",
         ROW("\x35\x01\x01\x0c\xff"
             "abc"),
         "\0\0\0\0", 0, 0, false},
        {"no length", ROW("\x35\x01\x01\x0c"), "\0\0\0\0", 0, 0, false},
        {"address cut", ROW("\x35\x01\x03\x32\x04\xc0\xa8"), "\0\0\0\0", 0, 0, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        print_message("%s\n", rows[i].name);
        uint8_t message[512];
        size_t size =
            dhcp_message(message, rows[i].flags, rows[i].ciaddr, rows[i].options, rows[i].size);
        struct dhcp_reply reply = {0};
        bool answered = dhcp_answer(message, size, mac, &reply);
        assert_int_equal(answered, rows[i].answer != 0);
        if (!answered)
            continue;
        assert_int_equal(reply.broadcast, rows[i].broadcast);
        assert_int_equal(reply.message[0], 2);
        assert_int_equal(net_get32(reply.message + 4), 0xdeadbeef);
        assert_memory_equal(reply.message + 28, mac, 6);
        const uint8_t *type = reply_option(&reply, 53, 1);
        assert_non_null(type);
        assert_int_equal(*type, rows[i].answer);
        assert_memory_equal(reply_option(&reply, 54, 4), GATEWAY, 4);
    }
}

static void test_lease(void **state)
{
    (void)state;
    uint8_t message[512];
    struct dhcp_reply reply;
    size_t size = dhcp_message(message, 0, "\0\0\0\0", ROW("\x35\x01\x01\xff"));
    assert_true(dhcp_answer(message, size, mac, &reply));
    assert_memory_equal(reply.message + 16, GUEST, 4);
    assert_memory_equal(reply_option(&reply, 1, 4), "\xff\xff\xff\x00", 4);
    assert_memory_equal(reply_option(&reply, 3, 4), GATEWAY, 4);
    assert_memory_equal(reply_option(&reply, 6, 4), GATEWAY, 4);
    assert_memory_equal(reply_option(&reply, 28, 4), "\xc0\xa8\x7f\xff", 4);
    assert_int_equal(net_get32(reply_option(&reply, 51, 4)), DHCP_LEASE);
    assert_int_equal(net_get16(reply_option(&reply, 26, 2)), 1500);
    /* INFORM has an address and gets no lease; a NAK has nothing at all */
    size = dhcp_message(message, 0, GUEST, ROW("\x35\x01\x08\xff"));
    assert_true(dhcp_answer(message, size, mac, &reply));
    assert_memory_equal(reply.message + 16, "\0\0\0\0", 4);
    assert_null(reply_option(&reply, 51, 4));
    assert_non_null(reply_option(&reply, 6, 4));
    size = dhcp_message(message, 0, OTHER, ROW("\x35\x01\x03\xff"));
    assert_true(dhcp_answer(message, size, mac, &reply));
    assert_memory_equal(reply.message + 16, "\0\0\0\0", 4);
    assert_null(reply_option(&reply, 6, 4));
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        uint8_t value;
    } rows[] = {{0, 2}, {1, 6}, {2, 16}, {28, 0x53}, {33, 0x57}, {236, 0}, {239, 0}};
    struct dhcp_reply reply;
    uint8_t message[512];
    size_t size = dhcp_message(message, 0, "\0\0\0\0", ROW("\x35\x01\x01\xff"));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t changed[512];
        memcpy(changed, message, size);
        changed[rows[i].offset] = rows[i].value;
        assert_false(dhcp_answer(changed, size, mac, &reply));
    }
    for (size_t cut = 0; cut < 243; cut++)
        assert_false(dhcp_answer(message, cut, mac, &reply));
    assert_true(dhcp_answer(message, 243, mac, &reply));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_lease),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
