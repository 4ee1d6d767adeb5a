/*
 * An echo is answered for the gateway only (link.c): a ping of the world must not lie. The
 * "unreachable" comes from the address that was asked, which is what connected UDP sockets of
 * every system accept; it quotes the IP and the UDP header, as RFC 792 wants.
 */
#include "net/icmp.h"

#include <string.h>

enum { ICMP_TYPE = 0, ICMP_CODE = 1, ICMP_CHECKSUM = 2, ICMP_HEADER = 8 };
enum { ECHO_REPLY = 0, UNREACHABLE = 3, ECHO_REQUEST = 8, UNREACHABLE_PORT = 3 };

bool icmp_is_echo(const struct ipv4 *packet)
{
    return packet->payload_size >= ICMP_HEADER && packet->payload[ICMP_TYPE] == ECHO_REQUEST &&
           packet->payload[ICMP_CODE] == 0 &&
           net_checksum(packet->payload, packet->payload_size) == 0;
}

void icmp_echo_reply(const struct ipv4 *packet, uint8_t *reply)
{
    ipv4_write(reply, IP_ICMP, packet->destination, packet->source, packet->payload_size);
    uint8_t *message = reply + IPV4_HEADER;
    memcpy(message, packet->payload, packet->payload_size);
    message[ICMP_TYPE] = ECHO_REPLY;
    net_put16(message + ICMP_CHECKSUM, 0);
    net_put16(message + ICMP_CHECKSUM, net_checksum(message, packet->payload_size));
}

void icmp_port_unreachable(const struct ipv4 *packet, uint8_t reply[ICMP_UNREACHABLE_SIZE])
{
    size_t size = ICMP_UNREACHABLE_SIZE - IPV4_HEADER;
    ipv4_write(reply, IP_ICMP, packet->destination, packet->source, size);
    uint8_t *message = reply + IPV4_HEADER;
    memset(message, 0, ICMP_HEADER);
    message[ICMP_TYPE] = UNREACHABLE;
    message[ICMP_CODE] = UNREACHABLE_PORT;
    memcpy(message + ICMP_HEADER, packet->header, IPV4_HEADER + UDP_HEADER);
    net_put16(message + ICMP_CHECKSUM, net_checksum(message, size));
}
