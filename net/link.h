/*
 * The VM's network card, seen from the other end of its cable: Ethernet frames on a stream socket
 * (net/frames.h). The link is the gateway: it answers ARP and ICMP echo for LINK_GATEWAY and for
 * no other address, leases LINK_GUEST by DHCP, turns TCP into flows (net/flow.h) and hands out UDP
 * to port 53. Other UDP gets ICMP "port unreachable" so that QUIC gives up at once; IPv6, IP
 * fragments and options, other sources than LINK_GUEST and whatever is malformed are dropped.
 *
 * Nothing is read from the VM while more than FRAMES_FULL bytes wait to be taken by it.
 * One thread: every call and every event on the loop's. One link at a time per process (-EBUSY),
 * because lwIP is a single global instance.
 */
#ifndef VMDECK_NET_LINK_H
#define VMDECK_NET_LINK_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "net/flow.h"

/* IPv4 addresses in host byte order. */
#define LINK_GATEWAY 0xc0a87f01u /* 192.168.127.1: gateway and DNS server */
#define LINK_GUEST   0xc0a87f03u /* 192.168.127.3 */
#define LINK_NETMASK 0xffffff00u

#define LINK_MAC_SIZE     6
#define LINK_DATAGRAM_MAX 1472 /* bytes in one UDP datagram: it is never fragmented */

struct net_link;

/* The ends of a UDP exchange with the guest. */
struct link_datagram {
    uint16_t guest_port;
    uint16_t port;    /* 53 */
    uint32_t address; /* whom the guest asked */
};

struct link_events {
    struct flow_events flow;
    /* A datagram to port 53 of any address; `data` is valid during the call. */
    void (*datagram)(void *context, const struct link_datagram *ends, const uint8_t *data,
                     size_t size);
    /*
     * The VM's end has closed (code 0), or the stream broke. Called once, never from within a call
     * into the link; only link_close() is left to do.
     */
    void (*ended)(void *context, const struct error *why);
};

/*
 * Takes the descriptor over, also when it fails. `guest_mac` NULL: the link goes by the source
 * address of what comes; otherwise frames from another source are dropped.
 */
int link_open(struct net_link **out, uv_loop_t *loop, int fd, const uint8_t *guest_mac,
              const struct link_events *events, void *context, struct error *err);

/*
 * Sends a datagram to the guest, from the address that it had asked. -EMSGSIZE beyond
 * LINK_DATAGRAM_MAX, -ENOBUFS while the VM takes no more (drop it: it is UDP).
 */
int link_reply(struct net_link *link, const struct link_datagram *ends, const void *data,
               size_t size);

/*
 * Resets every flow, with a closed event for each. Segments of connections that are not known are
 * always answered by RST, which is what a restored guest needs.
 */
void link_reset_flows(struct net_link *link);

/* Flows there are, held ones included. */
size_t link_flow_count(const struct net_link *link);

/*
 * Each flow that is left gets its closed event; then no event comes any more. Memory is freed when
 * the loop has run. Not to be called inside an event other than `ended`. NULL is fine.
 */
void link_close(struct net_link *link);

#endif
