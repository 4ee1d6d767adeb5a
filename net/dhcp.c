/*
 * No state: the lease is the address plan's one guest address, whoever asks. The agent sets the
 * address itself; this is for guests that want to be told.
 * Limit: options that overflow into the sname and file fields (option 52) are not read; clients
 * have no reason to send that much.
 */
#include "net/dhcp.h"

#include <string.h>

#include "net/link.h"
#include "net/packet.h"

/* Offsets in a BOOTP message. */
enum {
    BOOTP_OP = 0,
    BOOTP_HTYPE = 1,
    BOOTP_HLEN = 2,
    BOOTP_XID = 4,
    BOOTP_FLAGS = 10,
    BOOTP_CIADDR = 12,
    BOOTP_YIADDR = 16,
    BOOTP_SIADDR = 20,
    BOOTP_CHADDR = 28,
    BOOTP_COOKIE = 236,
    BOOTP_OPTIONS = 240,
};

enum dhcp_option {
    OPTION_PAD = 0,
    OPTION_NETMASK = 1,
    OPTION_ROUTER = 3,
    OPTION_DNS = 6,
    OPTION_MTU = 26,
    OPTION_BROADCAST = 28,
    OPTION_ADDRESS = 50,
    OPTION_LEASE = 51,
    OPTION_TYPE = 53,
    OPTION_SERVER = 54,
    OPTION_END = 255,
};

enum dhcp_type { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };

#define DHCP_COOKIE         0x63825363u
#define DHCP_FLAG_BROADCAST 0x8000u

struct dhcp_request {
    uint8_t type;
    uint32_t address, server; /* options; 0: absent */
};

/* False for options that reach over the end, or an option we read with a wrong length. */
static bool dhcp_options(const uint8_t *p, const uint8_t *end, struct dhcp_request *out)
{
    while (p < end && *p != OPTION_END) {
        if (*p == OPTION_PAD) {
            p++;
            continue;
        }
        if (end - p < 2 || end - p - 2 < p[1])
            return false;
        uint8_t option = p[0], length = p[1];
        p += 2;
        if (option == OPTION_TYPE && length == 1)
            out->type = *p;
        else if (option == OPTION_ADDRESS && length == 4)
            out->address = net_get32(p);
        else if (option == OPTION_SERVER && length == 4)
            out->server = net_get32(p);
        else if (option == OPTION_TYPE || option == OPTION_ADDRESS || option == OPTION_SERVER)
            return false;
        p += length;
    }
    return true;
}

/* What a message is answered with; 0: with nothing. */
static uint8_t dhcp_decide(const struct dhcp_request *request, uint32_t ciaddr)
{
    if (request->server != 0 && request->server != LINK_GATEWAY)
        return 0;
    if (request->type == DISCOVER)
        return OFFER;
    if (request->type == INFORM)
        return ACK;
    if (request->type != REQUEST)
        return 0;
    uint32_t wanted = request->address != 0 ? request->address : ciaddr;
    return wanted == LINK_GUEST ? ACK : NAK;
}

static uint8_t *dhcp_put(uint8_t *p, enum dhcp_option option, uint8_t length, uint32_t value)
{
    *p++ = (uint8_t)option;
    *p++ = length;
    if (length == 4)
        net_put32(p, value);
    else if (length == 2)
        net_put16(p, (uint16_t)value);
    else
        *p = (uint8_t)value;
    return p + length;
}

static void dhcp_put_options(uint8_t *p, uint8_t type, bool lease)
{
    p = dhcp_put(p, OPTION_TYPE, 1, type);
    p = dhcp_put(p, OPTION_SERVER, 4, LINK_GATEWAY);
    if (type != NAK) {
        if (lease)
            p = dhcp_put(p, OPTION_LEASE, 4, DHCP_LEASE);
        p = dhcp_put(p, OPTION_NETMASK, 4, LINK_NETMASK);
        p = dhcp_put(p, OPTION_BROADCAST, 4, LINK_GATEWAY | ~LINK_NETMASK);
        p = dhcp_put(p, OPTION_ROUTER, 4, LINK_GATEWAY);
        p = dhcp_put(p, OPTION_DNS, 4, LINK_GATEWAY);
        p = dhcp_put(p, OPTION_MTU, 2, IPV4_MTU);
    }
    *p = OPTION_END;
}

bool dhcp_answer(const uint8_t *request, size_t size, const uint8_t mac[6],
                 struct dhcp_reply *reply)
{
    if (size < BOOTP_OPTIONS || request[BOOTP_OP] != 1 || request[BOOTP_HTYPE] != 1 ||
        request[BOOTP_HLEN] != LINK_MAC_SIZE || net_get32(request + BOOTP_COOKIE) != DHCP_COOKIE ||
        memcmp(request + BOOTP_CHADDR, mac, LINK_MAC_SIZE) != 0)
        return false;
    struct dhcp_request asked = {0};
    if (!dhcp_options(request + BOOTP_OPTIONS, request + size, &asked))
        return false;
    uint32_t ciaddr = net_get32(request + BOOTP_CIADDR);
    uint8_t type = dhcp_decide(&asked, ciaddr);
    if (type == 0)
        return false;
    bool inform = asked.type == INFORM;
    *reply = (struct dhcp_reply){0};
    uint8_t *message = reply->message;
    message[BOOTP_OP] = 2;
    message[BOOTP_HTYPE] = 1;
    message[BOOTP_HLEN] = LINK_MAC_SIZE;
    memcpy(message + BOOTP_XID, request + BOOTP_XID, 4);
    memcpy(message + BOOTP_FLAGS, request + BOOTP_FLAGS, 2);
    if (type != NAK) {
        net_put32(message + BOOTP_CIADDR, ciaddr);
        net_put32(message + BOOTP_YIADDR, inform ? 0 : LINK_GUEST);
    }
    memcpy(message + BOOTP_CHADDR, mac, LINK_MAC_SIZE);
    net_put32(message + BOOTP_COOKIE, DHCP_COOKIE);
    dhcp_put_options(message + BOOTP_OPTIONS, type, !inform);
    /* RFC 2131 4.1: a client that has an address is answered there, a NAK is heard by all. */
    bool asked_broadcast = (net_get16(request + BOOTP_FLAGS) & DHCP_FLAG_BROADCAST) != 0;
    reply->broadcast = type == NAK || (ciaddr == 0 && asked_broadcast);
    reply->address = LINK_GUEST;
    return true;
}
