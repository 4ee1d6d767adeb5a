/*
 * An event is "action@path" and NAME=VALUE strings, NUL-separated (lib/kobject_uevent.c). Only the
 * subsystem is looked at: an event means "look again", so it may be wrong but never missed.
 */
#include "agent/uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENT_MAX     8192
#define RECEIVE_BYTES (1024 * 1024)
#define KERNEL_GROUP  1

int uevent_open(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
    int size = RECEIVE_BYTES;
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static bool is_about(const char *event, size_t size, const char *subsystem)
{
    static const char key[] = "SUBSYSTEM=";
    for (size_t at = 0; at < size; at += strlen(event + at) + 1)
        if (strncmp(event + at, key, sizeof key - 1) == 0)
            return strcmp(event + at + sizeof key - 1, subsystem) == 0;
    return false;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int uevent_wait(int fd, const char *subsystem)
{
    char event[EVENT_MAX + 1];
    int64_t end = now_ms() + UEVENT_PATIENCE_MS;
    for (;;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        ssize_t n = recv(fd, event, EVENT_MAX, 0);
        if (n > 0) {
            event[n] = '\0';
            if (is_about(event, (size_t)n, subsystem))
                return 0;
        } else if (n < 0 && errno == ENOBUFS) {
            return 0;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return -errno;
        } else {
            int64_t left = end - now_ms();
            if (left <= 0)
                return -ETIMEDOUT;
            poll(&poller, 1, (int)left);
        }
    }
}
