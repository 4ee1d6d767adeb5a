/*
 * Headers of Ethernet, IPv4, UDP and TCP as bytes (RFC 791, 768, 9293): where their fields are,
 * how they are checked and written. Pure functions. IPv4 addresses and ports are in host byte
 * order everywhere outside of a packet.
 */
#ifndef VMDECK_NET_PACKET_H
#define VMDECK_NET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint16_t net_get16(const uint8_t *p)
{
    return (uint16_t)((uint16_t)(p[0] << 8) | p[1]);
}

static inline uint32_t net_get32(const uint8_t *p)
{
    return (uint32_t)net_get16(p) << 16 | net_get16(p + 2);
}

static inline void net_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void net_put32(uint8_t *p, uint32_t v)
{
    net_put16(p, (uint16_t)(v >> 16));
    net_put16(p + 2, (uint16_t)v);
}

#define ETHERNET_HEADER 14
#define ETHERNET_IPV4   0x0800
#define ETHERNET_ARP    0x0806
#define IPV4_HEADER     20 /* packets with options are refused */
#define IPV4_MTU        1500
#define UDP_HEADER      8
#define TCP_HEADER      20
#define TCP_HEADER_MAX  60

enum ip_protocol { IP_ICMP = 1, IP_TCP = 6, IP_UDP = 17 };
enum tcp_flag { SEGMENT_FIN = 1, SEGMENT_SYN = 2, SEGMENT_RST = 4, SEGMENT_ACK = 16 };

/* Offsets of the fields used outside of packet.c. */
enum {
    IPV4_CHECKSUM = 10,
    IPV4_SOURCE = 12,
    IPV4_DESTINATION = 16,
    SEGMENT_SOURCE_PORT = 0,
    SEGMENT_DESTINATION_PORT = 2,
    SEGMENT_SEQUENCE = 4,
    SEGMENT_ACKNOWLEDGE = 8,
    SEGMENT_OFFSET = 12,
    SEGMENT_FLAGS = 13,
    SEGMENT_CHECKSUM = 16,
};

struct ipv4 {
    uint8_t *header, *payload;
    size_t payload_size;
    uint32_t source, destination;
    uint8_t protocol;
};

/*
 * Takes an IPv4 packet apart. False: shorter than it says, over IPV4_MTU, with options, a
 * fragment, or with a wrong header checksum. Bytes behind the packet (padding) are ignored.
 */
bool ipv4_parse(uint8_t *data, size_t size, struct ipv4 *out);

/* Writes a header of IPV4_HEADER bytes for `payload_size` bytes behind it. */
void ipv4_write(uint8_t *header, enum ip_protocol protocol, uint32_t source, uint32_t destination,
                size_t payload_size);

/* The Internet checksum (RFC 1071), as it is written into a header. 0 over data that holds it. */
uint16_t net_checksum(const uint8_t *data, size_t size);

/* The same for UDP and TCP, with the pseudo header. */
uint16_t net_transport_checksum(enum ip_protocol protocol, uint32_t source, uint32_t destination,
                                const uint8_t *segment, size_t size);

/* Adds to the one's complement sum; for several pieces, each of even length. */
uint32_t net_sum(uint32_t sum, const uint8_t *data, size_t size);
uint16_t net_fold(uint32_t sum);

/* Applies the sum of a change (new words and the complements of the old ones) to a checksum. */
void net_checksum_change(uint8_t *checksum, uint16_t change);

/* True where a packet may be sent to: not 0/8, 127/8, multicast, class E or broadcast. */
bool ipv4_unicast(uint32_t address);

#endif
