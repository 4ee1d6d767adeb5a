/*
 * The DHCP server of a link with one address to give (RFC 2131, 2132). A pure function: a request
 * in, the reply out.
 */
#ifndef VMDECK_NET_DHCP_H
#define VMDECK_NET_DHCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP_REPLY_SIZE  300 /* a BOOTP message is never shorter (RFC 951) */
#define DHCP_LEASE       604800u

struct dhcp_reply {
    uint8_t message[DHCP_REPLY_SIZE];
    bool broadcast; /* to 255.255.255.255; otherwise to `address` */
    uint32_t address;
};

/*
 * Answers a client's message (the payload of the datagram) from the card `mac`. False: nothing is
 * to be answered. DISCOVER, REQUEST and INFORM are; a REQUEST for another address gets a NAK.
 */
bool dhcp_answer(const uint8_t *request, size_t size, const uint8_t mac[6],
                 struct dhcp_reply *reply);

#endif
