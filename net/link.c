/*
 * One uv_poll_t on the socket, and a uv_prepare_t: everything that one turn of the loop produced
 * for the guest (replies, lwIP's segments) is written by a single send() before the loop sleeps.
 *
 * Frames are handled in place in the read buffer, one after the other. When the queue to the guest
 * is full, reading stops, and so QEMU stops taking frames from the guest's driver: back-pressure
 * without loss. Every frame brings at most one answer, so the queue's reserve holds the answers to
 * what one read brought.
 */
#include "net/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/dhcp.h"
#include "net/flow_internal.h"
#include "net/icmp.h"

#define LINK_READ         ((size_t)128 * 1024) /* room for a whole frame of the largest size */
#define LINK_HANDLES      5
#define LINK_UNREACHABLE  50 /* ICMP errors in a burst, and per second */
#define LINK_DNS_PORT     53
#define LINK_FLUSH_ROUNDS 8

static const uint8_t gateway_mac[LINK_MAC_SIZE] = {0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd};
static const uint8_t broadcast_mac[LINK_MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct net_link {
    uv_poll_t poll;
    uv_prepare_t prepare;
    int handles; /* not closed yet, those of `flows` included */
    int fd;
    int watching; /* what `poll` waits for */
    struct link_events events;
    void *context;
    uint8_t guest_mac[LINK_MAC_SIZE];
    bool mac_fixed, mac_known;
    bool ended;
    struct frame_queue queue;
    struct flow_table flows;
    uint64_t unreachable_since; /* loop time at which the allowance was counted */
    uint32_t unreachable_left;
    size_t filled; /* bytes in `buffer` */
    uint8_t buffer[LINK_READ];
};

/* ---- to the guest ---- */

static uint8_t *link_frame(struct net_link *link, uint16_t type, size_t size, uint64_t *position)
{
    uint8_t *frame = frame_queue_add(&link->queue, ETHERNET_HEADER + size, position);
    if (frame == NULL)
        return NULL;
    memcpy(frame, link->mac_known ? link->guest_mac : broadcast_mac, LINK_MAC_SIZE);
    memcpy(frame + LINK_MAC_SIZE, gateway_mac, LINK_MAC_SIZE);
    net_put16(frame + 12, type);
    return frame + ETHERNET_HEADER;
}

uint8_t *link_packet(struct net_link *link, size_t size, uint64_t *position)
{
    return link_frame(link, ETHERNET_IPV4, size, position);
}

/* `ports` is source and destination. Returns the Ethernet frame, or NULL while the queue is full.
 */
static uint8_t *link_send_udp(struct net_link *link, uint32_t source, uint32_t destination,
                              const uint16_t ports[2], const void *data, size_t size)
{
    uint8_t *packet = link_packet(link, IPV4_HEADER + UDP_HEADER + size, NULL);
    if (packet == NULL)
        return NULL;
    uint8_t *udp = packet + IPV4_HEADER;
    ipv4_write(packet, IP_UDP, source, destination, UDP_HEADER + size);
    net_put16(udp, ports[0]);
    net_put16(udp + 2, ports[1]);
    net_put16(udp + 4, (uint16_t)(UDP_HEADER + size));
    net_put16(udp + 6, 0);
    if (size > 0)
        memcpy(udp + UDP_HEADER, data, size);
    uint16_t sum = net_transport_checksum(IP_UDP, source, destination, udp, UDP_HEADER + size);
    net_put16(udp + 6, sum != 0 ? sum : 0xffff); /* 0 would mean: no checksum */
    return packet - ETHERNET_HEADER;
}

int link_reply(struct net_link *link, const struct link_datagram *ends, const void *data,
               size_t size)
{
    if (size > LINK_DATAGRAM_MAX)
        return -EMSGSIZE;
    const uint16_t ports[] = {ends->port, ends->guest_port};
    if (link_send_udp(link, ends->address, LINK_GUEST, ports, data, size) == NULL)
        return -ENOBUFS;
    return 0;
}

/* ---- from the guest ---- */

enum { ARP_SIZE = 28, ARP_REQUEST = 1, ARP_REPLY = 2 };

static void link_arp(struct net_link *link, const uint8_t *request, size_t size)
{
    static const uint8_t ethernet_ipv4[] = {0, 1, 8, 0, LINK_MAC_SIZE, 4, 0, ARP_REQUEST};
    if (size < ARP_SIZE || memcmp(request, ethernet_ipv4, sizeof ethernet_ipv4) != 0 ||
        memcmp(request + 8, link->guest_mac, LINK_MAC_SIZE) != 0 ||
        net_get32(request + 24) != LINK_GATEWAY)
        return;
    uint8_t *reply = link_frame(link, ETHERNET_ARP, ARP_SIZE, NULL);
    if (reply == NULL)
        return;
    memcpy(reply, ethernet_ipv4, sizeof ethernet_ipv4);
    reply[7] = ARP_REPLY;
    memcpy(reply + 8, gateway_mac, LINK_MAC_SIZE);
    net_put32(reply + 14, LINK_GATEWAY);
    memcpy(reply + 18, request + 8, LINK_MAC_SIZE + 4); /* the asker's addresses */
}

static void link_dhcp(struct net_link *link, const uint8_t *request, size_t size)
{
    static const uint16_t ports[] = {DHCP_SERVER_PORT, DHCP_CLIENT_PORT};
    struct dhcp_reply reply;
    if (!dhcp_answer(request, size, link->guest_mac, &reply))
        return;
    uint8_t *frame = link_send_udp(link, LINK_GATEWAY, reply.broadcast ? ~0u : reply.address, ports,
                                   reply.message, sizeof reply.message);
    if (frame != NULL && reply.broadcast)
        memcpy(frame, broadcast_mac, LINK_MAC_SIZE);
}

static void link_unreachable(struct net_link *link, const struct ipv4 *packet)
{
    uint64_t now = uv_now(link->poll.loop);
    if (now - link->unreachable_since >= 1000) {
        link->unreachable_since = now;
        link->unreachable_left = LINK_UNREACHABLE;
    }
    if (link->unreachable_left == 0)
        return;
    link->unreachable_left--;
    uint8_t *reply = link_packet(link, ICMP_UNREACHABLE_SIZE, NULL);
    if (reply != NULL)
        icmp_port_unreachable(packet, reply);
}

/* A datagram may be shorter than its packet, never longer. */
static void link_udp(struct net_link *link, const struct ipv4 *packet)
{
    const uint8_t *udp = packet->payload;
    if (packet->payload_size < UDP_HEADER)
        return;
    size_t size = net_get16(udp + 4);
    if (size < UDP_HEADER || size > packet->payload_size)
        return;
    if (net_get16(udp + 6) != 0 &&
        net_transport_checksum(IP_UDP, packet->source, packet->destination, udp, size) != 0)
        return;
    uint16_t source = net_get16(udp), port = net_get16(udp + 2);
    const uint8_t *data = udp + UDP_HEADER;
    size -= UDP_HEADER;
    bool ours = packet->destination == LINK_GATEWAY || packet->destination == ~0u;
    if (port == DHCP_SERVER_PORT && source == DHCP_CLIENT_PORT && ours) {
        link_dhcp(link, data, size);
        return;
    }
    if (packet->source != LINK_GUEST || !ipv4_unicast(packet->destination) || source == 0)
        return;
    if (packet->destination == LINK_GUEST || packet->destination == (LINK_GATEWAY | ~LINK_NETMASK))
        return;
    struct link_datagram ends = {
        .guest_port = source, .port = port, .address = packet->destination};
    if (port == LINK_DNS_PORT)
        link->events.datagram(link->context, &ends, data, size);
    else
        link_unreachable(link, packet);
}

static void link_icmp(struct net_link *link, const struct ipv4 *packet)
{
    if (packet->destination != LINK_GATEWAY || !icmp_is_echo(packet))
        return;
    uint8_t *reply = link_packet(link, IPV4_HEADER + packet->payload_size, NULL);
    if (reply != NULL)
        icmp_echo_reply(packet, reply);
}

/* Only DHCP may come from another address than the guest's. */
static void link_ipv4(struct net_link *link, uint8_t *data, size_t size)
{
    struct ipv4 packet;
    if (!ipv4_parse(data, size, &packet))
        return;
    if (packet.protocol == IP_UDP) {
        link_udp(link, &packet);
        return;
    }
    if (packet.source != LINK_GUEST || packet.destination == LINK_GUEST ||
        !ipv4_unicast(packet.destination))
        return;
    if (packet.protocol == IP_TCP)
        flow_table_input(&link->flows, &packet);
    else if (packet.protocol == IP_ICMP)
        link_icmp(link, &packet);
}

static bool link_source_known(struct net_link *link, const uint8_t *source)
{
    if (link->mac_fixed)
        return memcmp(source, link->guest_mac, LINK_MAC_SIZE) == 0;
    if ((source[0] & 1) != 0 || memcmp(source, gateway_mac, LINK_MAC_SIZE) == 0)
        return false;
    memcpy(link->guest_mac, source, LINK_MAC_SIZE);
    link->mac_known = true;
    return true;
}

static void link_ethernet(struct net_link *link, uint8_t *frame, size_t size)
{
    if (size < ETHERNET_HEADER || !link_source_known(link, frame + LINK_MAC_SIZE))
        return;
    if (memcmp(frame, gateway_mac, LINK_MAC_SIZE) != 0 &&
        memcmp(frame, broadcast_mac, LINK_MAC_SIZE) != 0)
        return;
    uint16_t type = net_get16(frame + 12);
    if (type == ETHERNET_IPV4)
        link_ipv4(link, frame + ETHERNET_HEADER, size - ETHERNET_HEADER);
    else if (type == ETHERNET_ARP)
        link_arp(link, frame + ETHERNET_HEADER, size - ETHERNET_HEADER);
}

/* ---- the socket ---- */

static void link_end(struct net_link *link, const struct error *why)
{
    if (link->ended)
        return;
    link->ended = true;
    uv_poll_stop(&link->poll);
    uv_prepare_stop(&link->prepare);
    link->events.ended(link->context, why);
}

static void link_end_system(struct net_link *link, int code, const char *what)
{
    struct error err = {0};
    if (code != 0)
        error_system(&err, code, "%s", what);
    link_end(link, &err);
}

static void link_read(struct net_link *link)
{
    ssize_t got = read(link->fd, link->buffer + link->filled, LINK_READ - link->filled);
    if (got < 0) {
        if (errno == ECONNRESET)
            link_end_system(link, 0, NULL); /* QEMU ended with frames of ours unread */
        else if (errno != EAGAIN && errno != EINTR)
            link_end_system(link, errno, "cannot read frames from the VM");
        return;
    }
    if (got == 0) {
        link_end_system(link, 0, NULL);
        return;
    }
    link->filled += (size_t)got;
    size_t used = 0, length = 0;
    uint8_t *frame = NULL;
    int64_t taken;
    while ((taken = frames_next(link->buffer + used, link->filled - used, &frame, &length)) > 0) {
        used += (size_t)taken;
        link_ethernet(link, frame, length);
    }
    if (taken < 0) {
        link_end_system(link, EPROTO, "a frame from the VM is longer than QEMU ever sends");
        return;
    }
    link->filled -= used;
    memmove(link->buffer, link->buffer + used, link->filled);
}

/* libuv says EBADF for any POLLERR and stops watching; read() knows what it was. */
static void link_ready(uv_poll_t *poll, int status, int events)
{
    struct net_link *link = poll->data;
    if (status < 0)
        link->watching = 0;
    if (status < 0 || (events & UV_READABLE) != 0)
        link_read(link);
}

static void link_watch(struct net_link *link, bool more)
{
    int events = frame_queue_full(&link->queue) ? 0 : UV_READABLE;
    if (more || frame_queue_len(&link->queue) > 0)
        events |= UV_WRITABLE;
    if (events == link->watching)
        return;
    link->watching = events;
    uv_poll_start(&link->poll, events, link_ready);
}

/* Written frames make room for more; a guest that reads fast must not keep the loop here. */
static void link_flush(uv_prepare_t *prepare)
{
    struct net_link *link = prepare->data;
    struct error err = {0};
    bool more = true;
    for (int round = 0; more && round < LINK_FLUSH_ROUNDS; round++) {
        more = flow_table_flush(&link->flows);
        if (frame_queue_write(&link->queue, link->fd, &err) < 0) {
            if (err.code == EPIPE || err.code == ECONNRESET)
                err = (struct error){0}; /* QEMU has ended */
            link_end(link, &err);
            return;
        }
        if (frame_queue_len(&link->queue) > 0)
            break;
    }
    link_watch(link, more);
}

/* ---- life ---- */

static void link_handle_closed(struct net_link *link)
{
    if (--link->handles > 0)
        return;
    close(link->fd);
    frame_queue_free(&link->queue);
    free(link);
}

static void link_closed(uv_handle_t *handle)
{
    link_handle_closed(handle->data);
}

static void link_flows_closed(uv_handle_t *handle)
{
    struct flow_table *table = handle->data;
    link_handle_closed(table->link);
}

static int link_start(struct net_link *link, uv_loop_t *loop, struct error *err)
{
    int flags = fcntl(link->fd, F_GETFL);
    if (flags < 0 || fcntl(link->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return error_system(err, errno, "cannot use the VM's network socket");
    int rc = stack_open(&link->flows, err);
    if (rc < 0)
        return rc;
    rc = uv_poll_init(loop, &link->poll, link->fd);
    if (rc < 0) {
        stack_close();
        return error_system(err, -rc, "cannot watch the VM's network socket");
    }
    flow_table_open(&link->flows);
    uv_prepare_init(loop, &link->prepare);
    link->handles = LINK_HANDLES;
    link->poll.data = link->prepare.data = link;
    uv_prepare_start(&link->prepare, link_flush);
    link_watch(link, false);
    return 0;
}

int link_open(struct net_link **out, uv_loop_t *loop, int fd, const uint8_t *guest_mac,
              const struct link_events *events, void *context, struct error *err)
{
    *out = NULL;
    struct net_link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        close(fd);
        return error_system(err, ENOMEM, "cannot open the VM's network link");
    }
    link->fd = fd;
    link->events = *events;
    link->context = context;
    link->mac_fixed = link->mac_known = guest_mac != NULL;
    if (guest_mac != NULL)
        memcpy(link->guest_mac, guest_mac, LINK_MAC_SIZE);
    struct flow_table *flows = &link->flows;
    flows->link = link;
    flows->loop = loop;
    flows->queue = &link->queue;
    flows->events = &link->events.flow;
    flows->context = context;
    int rc = link_start(link, loop, err);
    if (rc < 0) {
        close(fd);
        free(link);
        return rc;
    }
    *out = link;
    return 0;
}

void link_reset_flows(struct net_link *link)
{
    flow_table_reset(&link->flows);
}

size_t link_flow_count(const struct net_link *link)
{
    return link->flows.count;
}

void link_close(struct net_link *link)
{
    if (link == NULL)
        return;
    link->ended = true;
    flow_table_close(&link->flows, link_flows_closed);
    stack_close();
    frame_queue_write(&link->queue, link->fd, NULL); /* the resets, if the guest is still there */
    uv_close((uv_handle_t *)&link->poll, link_closed);
    uv_close((uv_handle_t *)&link->prepare, link_closed);
}
