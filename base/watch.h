/*
 * Readiness of a descriptor that other programs share (our standard input and output): libuv
 * would make it non-blocking for all of them. watch_*() leaves its flags alone.
 */
#ifndef VMDECK_BASE_WATCH_H
#define VMDECK_BASE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <uv.h>

#include "base/error.h"

struct watch;

typedef void watch_ready(void *context);

/* Watches fd for UV_READABLE or UV_WRITABLE; starts paused. The descriptor stays the caller's. */
int watch_open(struct watch **out, uv_loop_t *loop, int fd, int event, watch_ready *ready,
               void *context, struct error *err);

void watch_start(struct watch *watch);
void watch_stop(struct watch *watch);
void watch_close(struct watch *watch); /* NULL is fine */

/*
 * Writes as much as can be written without waiting, whatever the descriptor's flags, once it was
 * ready. Bytes written (0: wait again) or a negative errno.
 */
ssize_t watch_write(int fd, const void *data, size_t size);

#endif
