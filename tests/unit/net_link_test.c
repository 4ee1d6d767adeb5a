/* net/link: framing, ARP, DHCP and ICMP on the wire, UDP, and everything that must be dropped. */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "net/dhcp.h"
#include "net/frames.h"
#include "net_peer.h"

#define FAR 0x08080808u /* 8.8.8.8 */

struct seen {
    int opened, datagrams, ended;
    int code;
    struct link_datagram ends;
    uint8_t data[2048];
    size_t size;
};

static void seen_open(void *context, struct flow *flow)
{
    ((struct seen *)context)->opened++;
    flow_refuse(flow);
}

static void seen_received(void *context, struct flow *flow, const uint8_t *data, size_t size)
{
    (void)context;
    (void)flow;
    (void)data;
    (void)size;
}

static void seen_flow(void *context, struct flow *flow)
{
    (void)context;
    (void)flow;
}

static void seen_closed(void *context, struct flow *flow, enum flow_end end)
{
    (void)context;
    (void)flow;
    (void)end;
}

static void seen_datagram(void *context, const struct link_datagram *ends, const uint8_t *data,
                          size_t size)
{
    struct seen *seen = context;
    seen->datagrams++;
    seen->ends = *ends;
    seen->size = size;
    assert_true(size <= sizeof seen->data);
    memcpy(seen->data, data, size);
}

static void seen_ended(void *context, const struct error *why)
{
    struct seen *seen = context;
    seen->ended++;
    seen->code = why->code;
}

static const struct link_events events = {
    .flow = {seen_open, seen_received, seen_flow, seen_flow, seen_closed},
    .datagram = seen_datagram,
    .ended = seen_ended,
};

static size_t arp(uint8_t *frame, uint32_t target)
{
    size_t at = peer_ethernet(frame, ETHERNET_ARP);
    memset(frame, 0xff, LINK_MAC_SIZE);
    memcpy(frame + at, "\x00\x01\x08\x00\x06\x04\x00\x01", 8);
    memcpy(frame + at + 8, peer_mac, LINK_MAC_SIZE);
    net_put32(frame + at + 14, LINK_GUEST);
    memset(frame + at + 18, 0, LINK_MAC_SIZE);
    net_put32(frame + at + 24, target);
    return at + 28;
}

static size_t echo(uint8_t *frame, uint32_t target, size_t size)
{
    uint8_t message[IPV4_MTU] = {8, 0, 0, 0, 0x12, 0x34, 0, 9};
    for (size_t i = 8; i < size; i++)
        message[i] = (uint8_t)i;
    net_put16(message + 2, net_checksum(message, size));
    return peer_ipv4(frame, IP_ICMP, LINK_GUEST, target, message, size);
}

static void test_arp(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct peer peer;
    assert_true(peer_open(&peer, &events, &seen));
    uint8_t frame[2048];
    size_t size = 0;
    assert_true(peer_frame(&peer, frame, arp(frame, LINK_GATEWAY)));
    const uint8_t *reply = peer_receive(&peer, &size);
    assert_non_null(reply);
    assert_int_equal(size, 42);
    assert_memory_equal(reply, peer_mac, 6);
    assert_memory_equal(reply + 6, "\x5a\x94\xef\xe4\x0c\xdd\x08\x06", 8);
    assert_memory_equal(reply + 14, "\x00\x01\x08\x00\x06\x04\x00\x02\x5a\x94\xef\xe4\x0c\xdd", 14);
    assert_int_equal(net_get32(reply + 28), LINK_GATEWAY);
    assert_memory_equal(reply + 32, peer_mac, 6);
    assert_int_equal(net_get32(reply + 38), LINK_GUEST);
    static const uint32_t silent[] = {LINK_GUEST, LINK_GATEWAY + 1, FAR, 0, ~0u};
    for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
        assert_true(peer_frame(&peer, frame, arp(frame, silent[i])));
        assert_null(peer_receive(&peer, &size));
    }
    size = arp(frame, LINK_GATEWAY);
    frame[22] ^= 2; /* another sender inside than outside */
    assert_true(peer_frame(&peer, frame, size));
    assert_null(peer_receive(&peer, &size));
    for (size_t cut = 0; cut < 42; cut++) {
        arp(frame, LINK_GATEWAY);
        assert_true(peer_frame(&peer, frame, cut));
        assert_null(peer_receive(&peer, &size));
    }
    peer_close(&peer);
    assert_int_equal(seen.ended, 0);
}

static void test_echo(void **state)
{
    (void)state;
    static const size_t sizes[] = {8, 9, 64, 1480};
    struct seen seen = {0};
    struct peer peer;
    assert_true(peer_open(&peer, &events, &seen));
    uint8_t frame[2048];
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t size = echo(frame, LINK_GATEWAY, sizes[i]), got = 0;
        assert_true(peer_frame(&peer, frame, size));
        uint8_t *reply = (uint8_t *)peer_receive(&peer, &got);
        assert_non_null(reply);
        assert_int_equal(got, size);
        struct ipv4 packet;
        assert_true(ipv4_parse(reply + 14, got - 14, &packet));
        assert_int_equal(packet.source, LINK_GATEWAY);
        assert_int_equal(packet.destination, LINK_GUEST);
        assert_int_equal(packet.payload[0], 0);
        assert_int_equal(net_checksum(packet.payload, packet.payload_size), 0);
        assert_memory_equal(packet.payload + 4, frame + 38, sizes[i] - 4); /* id, seq, data */
        assert_true(peer_frame(&peer, frame, echo(frame, FAR, sizes[i])));
        assert_null(peer_receive(&peer, &got)); /* a ping must not lie */
    }
    peer_close(&peer);
}

/* Each row spoils one byte of a frame that would be answered; the checksum is made right again. */
static void test_spoiled(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t offset;
        uint8_t value;
        bool mend;
    } rows[] = {
        {"not to us", 0, 0x54, false},
        {"another ethertype", 12, 0x86, false},
        {"version 6", 14, 0x65, true},
        {"options", 14, 0x46, true},
        {"short header", 14, 0x44, true},
        {"longer than the frame", 17, 0xff, true},
        {"shorter than a header", 17, 19, true},
        {"more fragments", 20, 0x20, true},
        {"a later fragment", 21, 1, true},
        {"header checksum", 24, 0, false},
        {"source", 29, 4, true},
        {"source is the gateway", 29, 1, true},
        {"no protocol of ours", 23, 2, true},
        {"ICMP checksum", 36, 0x55, true},
    };
    struct seen seen = {0};
    struct peer peer;
    assert_true(peer_open(&peer, &events, &seen));
    uint8_t frame[2048];
    size_t got = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        print_message("%s\n", rows[i].name);
        size_t size = echo(frame, LINK_GATEWAY, 32);
        assert_true(frame[rows[i].offset] != rows[i].value);
        frame[rows[i].offset] = rows[i].value;
        if (rows[i].mend) {
            net_put16(frame + 24, 0);
            net_put16(frame + 24, net_checksum(frame + 14, IPV4_HEADER));
        }
        assert_true(peer_frame(&peer, frame, size));
        assert_null(peer_receive(&peer, &got));
    }
    assert_true(peer_frame(&peer, frame, echo(frame, LINK_GATEWAY, 1481))); /* over the MTU */
    assert_null(peer_receive(&peer, &got));
    assert_true(peer_frame(&peer, frame, echo(frame, LINK_GATEWAY, 7)));
    assert_null(peer_receive(&peer, &got));
    assert_true(peer_frame(&peer, frame, echo(frame, LINK_GATEWAY, 8)));
    assert_non_null(peer_receive(&peer, &got));
    peer_close(&peer);
}

static void test_dns(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct peer peer;
    assert_true(peer_open(&peer, &events, &seen));
    uint8_t frame[2048], data[LINK_DATAGRAM_MAX + 1];
    memset(data, 0x5a, sizeof data);
    size_t size = peer_udp(frame, LINK_GUEST, FAR, 4321, 53, data, LINK_DATAGRAM_MAX);
    assert_true(peer_frame(&peer, frame, size));
    assert_int_equal(seen.datagrams, 1);
    assert_int_equal(seen.ends.guest_port, 4321);
    assert_int_equal(seen.ends.port, 53);
    assert_int_equal(seen.ends.address, FAR);
    assert_int_equal(seen.size, LINK_DATAGRAM_MAX);
    assert_memory_equal(seen.data, data, LINK_DATAGRAM_MAX);

    static const size_t sizes[] = {0, 1, 2, 511, LINK_DATAGRAM_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_int_equal(link_reply(peer.link, &seen.ends, data, sizes[i]), 0);
        peer_run(&peer);
        uint8_t *reply = (uint8_t *)peer_receive(&peer, &size);
        struct ipv4 packet;
        assert_non_null(reply);
        assert_true(ipv4_parse(reply + 14, size - 14, &packet));
        assert_int_equal(packet.source, FAR);
        assert_int_equal(packet.destination, LINK_GUEST);
        assert_int_equal(net_get16(packet.payload), 53);
        assert_int_equal(net_get16(packet.payload + 2), 4321);
        assert_int_equal(packet.payload_size, 8 + sizes[i]);
        assert_int_not_equal(net_get16(packet.payload + 6), 0);
        assert_int_equal(
            net_transport_checksum(IP_UDP, FAR, LINK_GUEST, packet.payload, packet.payload_size),
            0);
    }
    assert_int_equal(link_reply(peer.link, &seen.ends, data, LINK_DATAGRAM_MAX + 1), -EMSGSIZE);
    peer_close(&peer);
}

static void test_udp_dropped(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t source, destination;
        uint16_t source_port, port;
        int change; /* offset in the UDP header to spoil; -1: none */
    } rows[] = {
        {"source", LINK_GUEST + 1, FAR, 4321, 53, -1},
        {"port 0", LINK_GUEST, FAR, 0, 53, -1},
        {"multicast", LINK_GUEST, 0xe00000fb, 5353, 5353, -1},
        {"broadcast", LINK_GUEST, ~0u, 4321, 53, -1},
        {"network broadcast", LINK_GUEST, LINK_GATEWAY | 0xff, 138, 138, -1},
        {"loopback", LINK_GUEST, 0x7f000001, 4321, 53, -1},
        {"to itself", LINK_GUEST, LINK_GUEST, 4321, 53, -1},
        {"checksum", LINK_GUEST, FAR, 4321, 53, 6},
        {"longer than the packet", LINK_GUEST, FAR, 4321, 53, 4},
    };
    struct seen seen = {0};
    struct peer peer;
    assert_true(peer_open(&peer, &events, &seen));
    uint8_t frame[2048];
    size_t got = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        print_message("%s\n", rows[i].name);
        size_t size = peer_udp(frame, rows[i].source, rows[i].destination, rows[i].source_port,
                               rows[i].port, "question", 8);
        if (rows[i].change >= 0)
            frame[34 + rows[i].change] ^= 0x10;
        assert_true(peer_frame(&peer, frame, size));
        assert_int_equal(seen.datagrams, 0);
        assert_null(peer_receive(&peer, &got));
    }
    size_t size = peer_udp(frame, LINK_GUEST, FAR, 4321, 53, "question", 8);
    net_put16(frame + 40, 0); /* no checksum is no wrong one */
    assert_true(peer_frame(&peer, frame, size));
    assert_int_equal(seen.datagrams, 1);
    peer_close(&peer);
}

/* QUIC must fail at once, but a flood of datagrams is not answered by a flood. */
static void test_udp_refused(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct peer peer;
    assert_true(peer_open(&peer, &events, &seen));
    uint8_t frame[2048];
    int answered = 0;
    for (int i = 0; i < 300; i++) {
        size_t size = peer_udp(frame, LINK_GUEST, FAR, 4321, 443, "quic", 4), got = 0;
        assert_true(peer_frame(&peer, frame, size));
        uint8_t *reply = (uint8_t *)peer_receive(&peer, &got);
        if (reply == NULL)
            continue;
        struct ipv4 packet;
        assert_true(ipv4_parse(reply + 14, got - 14, &packet));
        assert_int_equal(packet.protocol, IP_ICMP);
        assert_int_equal(packet.source, FAR);
        assert_memory_equal(packet.payload, "\x03\x03", 2);
        assert_int_equal(net_checksum(packet.payload, packet.payload_size), 0);
        assert_memory_equal(packet.payload + 8, frame + 14, 28);
        answered++;
    }
    assert_in_range(answered, 1, 299);
    assert_int_equal(seen.datagrams, 0);
    peer_close(&peer);
}

static void test_dhcp(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct peer peer;
    assert_true(peer_open(&peer, &events, &seen));
    uint8_t frame[2048], message[300] = {1, 1, 6};
    net_put32(message + 4, 77);
    message[10] = 0x80;
    memcpy(message + 28, peer_mac, 6);
    memcpy(message + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8);
    size_t size = peer_udp(frame, 0, ~0u, 68, 67, message, sizeof message), got = 0;
    memset(frame, 0xff, 6);
    assert_true(peer_frame(&peer, frame, size));
    uint8_t *reply = (uint8_t *)peer_receive(&peer, &got);
    struct ipv4 packet;
    assert_non_null(reply);
    assert_memory_equal(reply, "\xff\xff\xff\xff\xff\xff", 6);
    assert_true(ipv4_parse(reply + 14, got - 14, &packet));
    assert_int_equal(packet.source, LINK_GATEWAY);
    assert_int_equal(packet.destination, ~0u);
    assert_memory_equal(packet.payload, "\x00\x43\x00\x44", 4);
    assert_int_equal(net_get32(packet.payload + 8 + 4), 77);
    assert_int_equal(net_get32(packet.payload + 8 + 16), LINK_GUEST);
    peer_close(&peer);
}

static void test_forged_mac(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct peer peer = {.fd = -1};
    int fds[2];
    uv_loop_init(&peer.loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    peer.fd = fds[0];
    assert_int_equal(link_open(&peer.link, &peer.loop, fds[1], peer_mac, &events, &seen, NULL), 0);
    uint8_t frame[2048];
    size_t size = echo(frame, LINK_GATEWAY, 32), got = 0;
    frame[11] ^= 1;
    assert_true(peer_frame(&peer, frame, size));
    assert_null(peer_receive(&peer, &got));
    frame[11] ^= 1;
    assert_true(peer_frame(&peer, frame, size));
    assert_non_null(peer_receive(&peer, &got));
    struct net_link *second = NULL;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(link_open(&second, &peer.loop, fds[1], NULL, &events, &seen, NULL), -EBUSY);
    assert_null(second);
    char byte;
    assert_int_equal(recv(fds[0], &byte, 1, 0), 0); /* it closed the descriptor */
    close(fds[0]);
    peer_close(&peer);
}

/* A stream is cut anywhere; a frame of the largest size passes, one byte more ends the link. */
static void test_framing(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct peer peer;
    assert_true(peer_open(&peer, &events, &seen));
    uint8_t stream[4 + 2048];
    size_t size = echo(stream + 4, LINK_GATEWAY, 40), got = 0;
    net_put32(stream, (uint32_t)size);
    for (size_t i = 0; i < size + 4; i++) {
        assert_null(peer_receive(&peer, &got));
        assert_true(peer_bytes(&peer, stream + i, 1));
    }
    assert_non_null(peer_receive(&peer, &got));
    static uint8_t large[FRAMES_MAX];
    peer_ethernet(large, 0x86dd);
    assert_true(peer_frame(&peer, large, sizeof large));
    assert_true(peer_frame(&peer, large, 0));
    assert_true(peer_frame(&peer, stream + 4, size));
    assert_non_null(peer_receive(&peer, &got));
    assert_int_equal(seen.ended, 0);
    net_put32(stream, FRAMES_MAX + 1);
    assert_true(peer_bytes(&peer, stream, 4));
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.code, EPROTO);
    peer_close(&peer);

    for (int unread = 0; unread < 2; unread++) { /* QEMU may go with frames of ours unread */
        seen = (struct seen){0};
        assert_true(peer_open(&peer, &events, &seen));
        if (unread != 0)
            assert_true(peer_frame(&peer, stream + 4, size));
        close(peer.fd);
        peer.fd = -1;
        peer_run(&peer);
        assert_int_equal(seen.ended, 1);
        assert_int_equal(seen.code, 0);
        peer_close(&peer);
    }
}

/* A guest that asks and never reads: nothing grows beyond the queue, and nothing is lost that was
 * answered. */
static void test_full_queue(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct peer peer;
    assert_true(peer_open(&peer, &events, &seen));
    uint8_t stream[4 + 2048];
    size_t size = echo(stream + 4, LINK_GATEWAY, 1400), got = 0, sent = 0, answered = 0;
    net_put32(stream, (uint32_t)size);
    for (;;) { /* whole frames only: until neither side's socket takes more */
        ssize_t put = send(peer.fd, stream, size + 4, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0)
            break;
        assert_int_equal(put, size + 4);
        sent++;
        assert_true(sent < 100000);
        peer_run(&peer);
    }
    while (answered < sent) {
        while (peer_receive(&peer, &got) != NULL)
            answered++;
        size_t before = answered;
        peer_run(&peer);
        while (peer_receive(&peer, &got) != NULL)
            answered++;
        if (answered == before)
            break;
    }
    assert_int_equal(seen.ended, 0);
    assert_true(sent > 200);
    /* reading stops at the limit, and one read's worth of answers may be over it */
    assert_in_range(answered, sent - 131072 / size, sent);
    peer_close(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arp),         cmocka_unit_test(test_echo),
        cmocka_unit_test(test_spoiled),     cmocka_unit_test(test_dns),
        cmocka_unit_test(test_udp_dropped), cmocka_unit_test(test_udp_refused),
        cmocka_unit_test(test_dhcp),        cmocka_unit_test(test_forged_mac),
        cmocka_unit_test(test_framing),     cmocka_unit_test(test_full_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
