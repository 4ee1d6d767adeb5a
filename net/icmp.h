/* ICMP as the gateway speaks it (RFC 792, 1122). Pure functions over whole IPv4 packets. */
#ifndef VMDECK_NET_ICMP_H
#define VMDECK_NET_ICMP_H

#include "net/packet.h"

#define ICMP_UNREACHABLE_SIZE (IPV4_HEADER + 8 + IPV4_HEADER + 8)

/* True if the packet is a valid echo request. */
bool icmp_is_echo(const struct ipv4 *packet);

/* Writes the reply to an echo request: IPV4_HEADER + payload_size bytes. */
void icmp_echo_reply(const struct ipv4 *packet, uint8_t *reply);

/*
 * Writes "port unreachable" for a UDP packet, from the address that it was sent to. The payload
 * must hold at least its UDP header.
 */
void icmp_port_unreachable(const struct ipv4 *packet, uint8_t reply[ICMP_UNREACHABLE_SIZE]);

#endif
