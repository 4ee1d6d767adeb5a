/* Two threads carry the frames, each as many at once as it can get: the pump must not be what a
 * benchmark measures. The child dies with its parent. */
#include "net_tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "net/frames.h"
#include "net/link.h"
#include "net/packet.h"

#define TAP_BATCH ((size_t)256 * 1024)
#define TAP_FRAME 1514

struct tap_pump {
    int tap, link;
};

static void *tap_to_link(void *argument)
{
    const struct tap_pump *pump = argument;
    static uint8_t batch[TAP_BATCH];
    struct pollfd wait = {.fd = pump->tap, .events = POLLIN};
    for (;;) {
        size_t size = 0;
        ssize_t got = 0;
        while (size + FRAMES_PREFIX + TAP_FRAME <= TAP_BATCH &&
               (got = read(pump->tap, batch + size + FRAMES_PREFIX, TAP_FRAME)) > 0) {
            net_put32(batch + size, (uint32_t)got);
            size += FRAMES_PREFIX + (size_t)got;
        }
        if (size > 0 && fd_write_all(pump->link, batch, size) < 0)
            return NULL;
        if (got < 0 && errno == EAGAIN)
            poll(&wait, 1, -1);
    }
}

static void *tap_from_link(void *argument)
{
    const struct tap_pump *pump = argument;
    static uint8_t batch[TAP_BATCH];
    size_t filled = 0;
    for (;;) {
        ssize_t got = read(pump->link, batch + filled, TAP_BATCH - filled);
        if (got <= 0)
            return NULL;
        filled += (size_t)got;
        size_t used = 0, length = 0;
        uint8_t *frame = NULL;
        int64_t taken;
        while ((taken = frames_next(batch + used, filled - used, &frame, &length)) > 0) {
            used += (size_t)taken;
            if (write(pump->tap, frame, length) < 0 && errno != EAGAIN)
                return NULL;
        }
        filled -= used;
        memmove(batch, batch + used, filled);
    }
}

static struct sockaddr tap_address(uint32_t address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    struct sockaddr out;
    memcpy(&out, &in, sizeof out);
    return out;
}

static int tap_configure(const char *name)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {0};
    memcpy(request.ifr_name, name, strlen(name) + 1);
    struct rtentry route = {.rt_dst = tap_address(0),
                            .rt_genmask = tap_address(0),
                            .rt_gateway = tap_address(LINK_GATEWAY),
                            .rt_flags = RTF_UP | RTF_GATEWAY};
    request.ifr_addr = tap_address(LINK_GUEST);
    int rc = fd < 0 ? -1 : ioctl(fd, SIOCSIFADDR, &request);
    request.ifr_netmask = tap_address(LINK_NETMASK);
    rc = rc < 0 ? rc : ioctl(fd, SIOCSIFNETMASK, &request);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    rc = rc < 0 ? rc : ioctl(fd, SIOCSIFFLAGS, &request);
    request.ifr_qlen = 4096; /* a cable does not drop */
    rc = rc < 0 ? rc : ioctl(fd, SIOCSIFTXQLEN, &request);
    rc = rc < 0 ? rc : ioctl(fd, SIOCADDRT, &route);
    int saved = errno;
    close(fd);
    return rc < 0 ? -saved : 0;
}

/* Returns the device, or a negative errno. */
static int tap_device(void)
{
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        int saved = errno;
        close(fd);
        return -saved;
    }
    close(fd); /* a device belongs to the namespace in which the file was opened */
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI, .ifr_name = "tap0"};
    int rc = fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : tap_configure("tap0");
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

static int tap_child(int link, int ready, int (*client)(void *), void *argument)
{
    static struct tap_pump pump;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit files = {0};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    pump.link = link;
    pump.tap = tap_device();
    int rc = pump.tap < 0 ? pump.tap : 0;
    pthread_t thread;
    if (rc == 0)
        rc = -pthread_create(&thread, NULL, tap_to_link, &pump);
    if (rc == 0)
        rc = -pthread_create(&thread, NULL, tap_from_link, &pump);
    if (write(ready, &rc, sizeof rc) != (ssize_t)sizeof rc || rc < 0)
        return 1;
    close(ready);
    return client(argument);
}

int tap_start(struct tap *tap, int (*client)(void *argument), void *argument)
{
    int fds[2], ready[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return -errno;
    if (pipe(ready) < 0) {
        close(fds[0]);
        close(fds[1]);
        return -errno;
    }
    tap->pid = fork();
    if (tap->pid == 0) {
        close(fds[0]);
        close(ready[0]);
        _exit(tap_child(fds[1], ready[1], client, argument));
    }
    close(fds[1]);
    close(ready[1]);
    int rc = -EPERM;
    if (tap->pid < 0 || read(ready[0], &rc, sizeof rc) != (ssize_t)sizeof rc || rc < 0) {
        close(fds[0]);
        if (tap->pid > 0)
            waitpid(tap->pid, NULL, 0);
    }
    close(ready[0]);
    tap->fd = fds[0];
    return rc;
}

int tap_wait(const struct tap *tap)
{
    int status = 0;
    while (waitpid(tap->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
