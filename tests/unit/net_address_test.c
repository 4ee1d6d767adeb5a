/* Addresses: what is read as one, and which of them the Internet is behind. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "net/address.h"

static void parses_and_prints(void **state)
{
    static const struct {
        const char *text, *printed; /* printed NULL: not an address */
    } rows[] = {
        {"8.8.8.8", "8.8.8.8"},
        {"0.0.0.0", "0.0.0.0"},
        {"2001:DB8:0:0::1", "2001:db8::1"},
        {"::ffff:8.8.8.8", "::ffff:8.8.8.8"},
        {"::", "::"},
        {"", NULL},
        {"zzzz::1", NULL},
        {"fe80::1%eth0", NULL},
        {"[::1]", NULL},
        {"127.1", NULL},
        {"2130706433", NULL},
        {"0x7f.0.0.1", NULL},
        {"0177.0.0.1", NULL},
        {"127.0.0.01", NULL},
        {"1.2.3.4.", NULL},
        {" 1.2.3.4", NULL},
        {"256.0.0.1", NULL},
        {"1:2:3:4:5:6:7:8:9", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct address address;
        char printed[ADDRESS_TEXT_MAX];
        int rc = address_parse(rows[i].text, &address);
        if ((rc == 0) != (rows[i].printed != NULL))
            fail_msg("'%s': %d", rows[i].text, rc);
        if (rc < 0)
            continue;
        address_print(&address, printed);
        assert_string_equal(printed, rows[i].printed);
    }
}

static const char *const global[] = {
    "8.8.8.8",         "1.1.1.1",
    "93.184.216.34",   "172.32.0.1",
    "172.15.255.255",  "100.128.0.1",
    "100.63.255.255",  "169.255.0.1",
    "192.0.0.9",       "192.0.0.10",
    "192.0.1.0",       "198.17.255.255",
    "198.20.0.0",      "223.255.255.255",
    "11.0.0.0",        "9.255.255.255",
    "126.255.255.255", "128.0.0.0",
    "192.31.196.1",    "192.52.193.1",
    "192.175.48.1",    "::ffff:8.8.8.8",
    "::8.8.8.8",       "64:ff9b::8.8.8.8",
    "2002:808:808::1", "2001:0:808:808::f7f7:f7f7",
    "2606:4700::1111", "2001:4860:4860::8888",
    "2001:1::1",       "2001:1::2",
    "2001:3::1",       "2001:4:112::1",
    "2001:20::1",      "2620:4f:8000::1",
    "2001:200::1",     "2003::1",
    "3ffe::1",
};

static const char *const internal[] = {
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "172.16.0.0",
    "172.31.255.255",
    "192.168.0.0",
    "192.168.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "255.0.0.0",
    "255.255.255.255",
    "192.0.0.0",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.10",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "::",
    "::1",
    "::2",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:0:1::8.8.8.8",
    "100::1",
    "100:0:0:1::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:0:808:808::80ff:fffe",
    "2001:0:a00:1::f7f7:f7f7",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2001:1::4",
    "2001:1ff::1",
    "3fff::1",
    "3fff:fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "4000::1",
    "1fff::1",
    "f000::1",
};

static void knows_what_is_public(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(global) + ARRAY_SIZE(internal); i++) {
        bool expected = i < ARRAY_SIZE(global);
        const char *text = expected ? global[i] : internal[i - ARRAY_SIZE(global)];
        struct address address;
        const char *why = NULL;
        assert_int_equal(address_parse(text, &address), 0);
        if (address_public(&address, &why) != expected)
            fail_msg("%s is %s, expected to be %s", text, why, expected ? "public" : "refused");
        assert_non_null(why);
        assert_int_equal(address_public(&address, NULL), expected);
    }
}

static void parses_networks(void **state)
{
    static const struct {
        const char *text, *inside, *outside; /* inside NULL: not a network */
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
        {"10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"},
        {"10.1.2.3", "10.1.2.3", "10.1.2.2"},
        {"0.0.0.0/0", "255.255.255.255", "::1"},
        {"172.16.0.0/12", "172.31.255.255", "172.32.0.0"},
        {"192.168.1.128/25", "192.168.1.128", "192.168.1.127"},
        {"fd00::/8", "fdff::1", "fe00::1"},
        {"::/0", "ffff::", "1.2.3.4"},
        {"::1", "::1", "::2"},
        {"10.0.0.1/8", NULL, NULL},
        {"10.0.0.0/33", NULL, NULL},
        {"10.0.0.0/", NULL, NULL},
        {"10.0.0.0/-1", NULL, NULL},
        {"10.0.0/8", NULL, NULL},
        {"fd00::/129", NULL, NULL},
        {"fd00::1/8", NULL, NULL},
        {"example.com", NULL, NULL},
        {"example.com/8", NULL, NULL},
        {"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/8", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct network network;
        struct address inside, outside;
        struct error err = {0};
        int rc = network_parse(rows[i].text, &network, &err);
        if ((rc == 0) != (rows[i].inside != NULL))
            fail_msg("'%s': %d %s", rows[i].text, rc, err.message);
        if (rc < 0)
            continue;
        assert_int_equal(address_parse(rows[i].inside, &inside), 0);
        assert_int_equal(address_parse(rows[i].outside, &outside), 0);
        if (!network_contains(&network, &inside) || network_contains(&network, &outside))
            fail_msg("'%s'", rows[i].text);
    }
}

static void takes_sockets_addresses(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct address address, expected;
    (void)state;
    assert_int_equal(address_from_socket((struct sockaddr *)&in, &address), 0);
    assert_int_equal(address_parse("127.0.0.1", &expected), 0);
    assert_true(address_equal(&address, &expected));
    assert_int_equal(address_from_socket((struct sockaddr *)&in6, &address), 0);
    assert_false(address_equal(&address, &expected));
    assert_int_equal(address_parse("::1", &expected), 0);
    assert_true(address_equal(&address, &expected));
    in6.sin6_scope_id = 2;
    assert_int_equal(address_from_socket((struct sockaddr *)&in6, &address), -EINVAL);
    assert_int_equal(address_from_socket(&other, &address), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_and_prints),
        cmocka_unit_test(knows_what_is_public),
        cmocka_unit_test(parses_networks),
        cmocka_unit_test(takes_sockets_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
