/* The guest's side of the network: one interface, a fixed address, a gateway that is the DNS server
 * as well (see the address plan in net/net.h: every VM has a link of its own and the same plan). */
#ifndef VMDECK_AGENT_NETWORK_H
#define VMDECK_AGENT_NETWORK_H

/* The loopback interface. Failures are lines on the console. */
void network_loopback(void);

/*
 * Gives the interface its address and its route, and writes /etc/resolv.conf. 0, or -ENODEV: there
 * is no interface (yet); other failures are lines on the console.
 */
int network_up(void);

/*
 * Resets the TCP connections of all processes, except those within the guest: after a restore there
 * is nobody at the other end, and one that only reads would wait for ever.
 */
int network_drop_connections(void);

/* Takes the interface down: every connection fails at once instead of waiting for nobody. */
int network_down(void);

#endif
