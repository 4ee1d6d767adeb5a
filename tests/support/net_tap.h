/*
 * A real TCP peer for a link: Linux's own, in a network namespace behind a TAP device. A child
 * process owns the namespace, carries frames between the device and the link's socket, and runs
 * the client. Needs the right to make namespaces and to open /dev/net/tun.
 */
#ifndef VMDECK_TESTS_NET_TAP_H
#define VMDECK_TESTS_NET_TAP_H

#include <sys/types.h>

struct tap {
    pid_t pid;
    int fd; /* for link_open() */
};

/*
 * Starts the child; call before there are threads or loops. `client` runs in the namespace, where
 * everything is routed to the link; its result is the child's exit status. Negative errno: this
 * system does not permit it.
 */
int tap_start(struct tap *tap, int (*client)(void *argument), void *argument);

/* Waits for the child; the client's result, or -1. */
int tap_wait(const struct tap *tap);

#endif
