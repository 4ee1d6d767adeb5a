/* peer_run() turns the loop a fixed number of times without waiting: a frame is read in one turn
 * and the answers are written in the next, so no test depends on time. */
#include "net_peer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/frames.h"

#define PEER_TURNS 4

const uint8_t peer_mac[LINK_MAC_SIZE] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t link_mac[LINK_MAC_SIZE] = {0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd};

bool peer_open(struct peer *peer, const struct link_events *events, void *context)
{
    *peer = (struct peer){.fd = -1};
    int fds[2];
    if (uv_loop_init(&peer->loop) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return false;
    peer->fd = fds[0];
    return link_open(&peer->link, &peer->loop, fds[1], NULL, events, context, NULL) == 0;
}

void peer_close(struct peer *peer)
{
    link_close(peer->link);
    uv_run(&peer->loop, UV_RUN_DEFAULT);
    uv_loop_close(&peer->loop);
    if (peer->fd >= 0)
        close(peer->fd);
    buf_free(&peer->in);
}

void peer_run(struct peer *peer)
{
    for (int i = 0; i < PEER_TURNS; i++)
        uv_run(&peer->loop, UV_RUN_NOWAIT);
}

bool peer_bytes(struct peer *peer, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    while (size > 0) {
        ssize_t put = send(peer->fd, p, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put > 0) {
            p += put;
            size -= (size_t)put;
        }
        peer_run(peer);
        if (put <= 0)
            return false;
    }
    return true;
}

bool peer_frame(struct peer *peer, const void *frame, size_t size)
{
    uint8_t prefix[FRAMES_PREFIX];
    net_put32(prefix, (uint32_t)size);
    return send(peer->fd, prefix, sizeof prefix, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof prefix &&
           peer_bytes(peer, frame, size);
}

size_t peer_ethernet(uint8_t *frame, uint16_t type)
{
    memcpy(frame, link_mac, LINK_MAC_SIZE);
    memcpy(frame + LINK_MAC_SIZE, peer_mac, LINK_MAC_SIZE);
    net_put16(frame + 12, type);
    return ETHERNET_HEADER;
}

size_t peer_ipv4(uint8_t *frame, enum ip_protocol protocol, uint32_t source, uint32_t destination,
                 const void *payload, size_t size)
{
    size_t at = peer_ethernet(frame, ETHERNET_IPV4);
    ipv4_write(frame + at, protocol, source, destination, size);
    if (size > 0)
        memmove(frame + at + IPV4_HEADER, payload, size);
    return at + IPV4_HEADER + size;
}

size_t peer_udp(uint8_t *frame, uint32_t source, uint32_t destination, uint16_t source_port,
                uint16_t destination_port, const void *data, size_t size)
{
    uint8_t *udp = frame + ETHERNET_HEADER + IPV4_HEADER;
    net_put16(udp, source_port);
    net_put16(udp + 2, destination_port);
    net_put16(udp + 4, (uint16_t)(UDP_HEADER + size));
    net_put16(udp + 6, 0);
    if (size > 0)
        memcpy(udp + UDP_HEADER, data, size);
    net_put16(udp + 6, net_transport_checksum(IP_UDP, source, destination, udp, UDP_HEADER + size));
    return peer_ipv4(frame, IP_UDP, source, destination, udp, UDP_HEADER + size);
}

size_t peer_tcp(uint8_t *frame, const struct peer_segment *segment)
{
    uint8_t *tcp = frame + ETHERNET_HEADER + IPV4_HEADER;
    uint32_t source = segment->source != 0 ? segment->source : LINK_GUEST;
    size_t header = TCP_HEADER + segment->options_size;
    memset(tcp, 0, TCP_HEADER);
    net_put16(tcp + SEGMENT_SOURCE_PORT, segment->source_port);
    net_put16(tcp + SEGMENT_DESTINATION_PORT, segment->destination_port);
    net_put32(tcp + SEGMENT_SEQUENCE, segment->sequence);
    net_put32(tcp + SEGMENT_ACKNOWLEDGE, segment->acknowledge);
    tcp[SEGMENT_OFFSET] = (uint8_t)(header / 4 << 4);
    tcp[SEGMENT_FLAGS] = segment->flags;
    net_put16(tcp + 14, segment->window);
    if (segment->options_size > 0)
        memcpy(tcp + TCP_HEADER, segment->options, segment->options_size);
    if (segment->size > 0)
        memcpy(tcp + header, segment->data, segment->size);
    size_t size = header + segment->size;
    net_put16(tcp + SEGMENT_CHECKSUM,
              net_transport_checksum(IP_TCP, source, segment->destination, tcp, size));
    return peer_ipv4(frame, IP_TCP, source, segment->destination, tcp, size);
}

bool peer_send(struct peer *peer, const struct peer_segment *segment)
{
    uint8_t frame[2048];
    return peer_frame(peer, frame, peer_tcp(frame, segment));
}

const uint8_t *peer_receive(struct peer *peer, size_t *size)
{
    uint8_t *frame = NULL;
    for (;;) {
        int64_t taken = frames_next(buf_data(&peer->in), buf_len(&peer->in), &frame, size);
        if (taken > 0) {
            buf_consume(&peer->in, 0);
            peer->in.start += (size_t)taken; /* the frame stays readable until more is read */
            return frame;
        }
        uint8_t *room = buf_reserve(&peer->in, 65536);
        ssize_t got = room != NULL ? recv(peer->fd, room, 65536, MSG_DONTWAIT) : -1;
        if (taken < 0 || got <= 0)
            return NULL;
        buf_added(&peer->in, (size_t)got);
    }
}

bool peer_receive_segment(struct peer *peer, struct peer_segment *segment)
{
    size_t size = 0;
    const uint8_t *frame = peer_receive(peer, &size);
    struct ipv4 packet;
    if (frame == NULL || size < ETHERNET_HEADER || net_get16(frame + 12) != ETHERNET_IPV4 ||
        memcmp(frame, peer_mac, LINK_MAC_SIZE) != 0 ||
        !ipv4_parse((uint8_t *)frame + ETHERNET_HEADER, size - ETHERNET_HEADER, &packet) ||
        packet.protocol != IP_TCP || packet.payload_size < TCP_HEADER ||
        net_transport_checksum(IP_TCP, packet.source, packet.destination, packet.payload,
                               packet.payload_size) != 0)
        return false;
    const uint8_t *tcp = packet.payload;
    size_t header = (size_t)(tcp[SEGMENT_OFFSET] >> 4) * 4;
    *segment = (struct peer_segment){
        .source = packet.source,
        .destination = packet.destination,
        .source_port = net_get16(tcp + SEGMENT_SOURCE_PORT),
        .destination_port = net_get16(tcp + SEGMENT_DESTINATION_PORT),
        .sequence = net_get32(tcp + SEGMENT_SEQUENCE),
        .acknowledge = net_get32(tcp + SEGMENT_ACKNOWLEDGE),
        .flags = tcp[SEGMENT_FLAGS],
        .window = net_get16(tcp + 14),
        .data = tcp + header,
        .size = packet.payload_size - header,
    };
    return true;
}
