/*
 * A guest made by hand: the other end of a link's socket, which builds frames byte by byte and
 * takes the link's frames apart again. No TCP of its own, so a test says every segment.
 */
#ifndef VMDECK_TESTS_NET_PEER_H
#define VMDECK_TESTS_NET_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "net/link.h"
#include "net/packet.h"

extern const uint8_t peer_mac[LINK_MAC_SIZE];

struct peer {
    uv_loop_t loop;
    struct net_link *link;
    int fd;
    struct buf in;
};

struct peer_segment {
    uint32_t source, destination; /* to the link: 0 means LINK_GUEST */
    uint16_t source_port, destination_port;
    uint32_t sequence, acknowledge;
    uint8_t flags;
    uint16_t window;
    const uint8_t *options;
    size_t options_size; /* a multiple of 4 */
    const uint8_t *data;
    size_t size;
};

/* Opens a link on a loop of its own. False on failure. */
bool peer_open(struct peer *peer, const struct link_events *events, void *context);
/* Closes the link unless it is closed already (peer->link NULL), and everything else. */
void peer_close(struct peer *peer);

/* Lets the link do what can be done without waiting. */
void peer_run(struct peer *peer);

/* Puts bytes or a frame on the wire, as QEMU would, and lets the link handle them. */
bool peer_bytes(struct peer *peer, const void *bytes, size_t size);
bool peer_frame(struct peer *peer, const void *frame, size_t size);

/* Ethernet header for `type`; returns its size. */
size_t peer_ethernet(uint8_t *frame, uint16_t type);
/* A frame with an IPv4 packet; returns its size. */
size_t peer_ipv4(uint8_t *frame, enum ip_protocol protocol, uint32_t source, uint32_t destination,
                 const void *payload, size_t size);
/* The size of the frame with a UDP datagram. */
size_t peer_udp(uint8_t *frame, uint32_t source, uint32_t destination, uint16_t source_port,
                uint16_t destination_port, const void *data, size_t size);
/* The size of the frame with a segment. */
size_t peer_tcp(uint8_t *frame, const struct peer_segment *segment);
bool peer_send(struct peer *peer, const struct peer_segment *segment);

/* The next frame from the link, valid until the next call; NULL: there is none. */
const uint8_t *peer_receive(struct peer *peer, size_t *size);
/* The same taken apart; false: none, not TCP, or a checksum is wrong. */
bool peer_receive_segment(struct peer *peer, struct peer_segment *segment);

#endif
