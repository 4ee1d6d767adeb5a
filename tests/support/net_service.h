/*
 * What tests and benchmarks put behind a link's flows: the small services of inetd, by port. All
 * others are refused.
 */
#ifndef VMDECK_TESTS_NET_SERVICE_H
#define VMDECK_TESTS_NET_SERVICE_H

#include "net/link.h"

enum {
    SERVICE_ECHO = 7, /* what came goes back, with all back-pressure; closes when it is told to */
    SERVICE_SINK = 9, /* at the end says how many bytes came (big-endian u64) */
    SERVICE_SOURCE = 19, /* sends as many bytes as it is told (big-endian u64), then closes */
};

struct service_count {
    uint64_t opened, refused, closed, reset;
};

#define SERVICE_PATTERN 251 /* byte n of a source is n % SERVICE_PATTERN */

/*
 * Serves a link on `fd` in a loop of its own until its other end closes. 0, or a negative errno.
 */
int service_run(int fd, struct service_count *count);

#endif
