/*
 * The old ioctls (netdevice(7), rtnetlink(7)'s predecessors) do all there is to do here in a few
 * calls. It is done once, at boot, and so is part of every template: a fork has its address from
 * its first instruction on, without asking a DHCP server (which answers all the same).
 *
 * The link carries IPv4 only, so IPv6 is switched off on it: the kernel would send router
 * solicitations and wait for duplicate addresses, for nobody.
 */
#include "agent/network.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/console.h"

#define INTERFACE "eth0"
#define ADDRESS   "192.168.127.3"
#define NETMASK   "255.255.255.0"
#define GATEWAY   "192.168.127.1"

static void set_address(struct sockaddr *out, const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    inet_pton(AF_INET, text, &address.sin_addr);
    memcpy(out, &address, sizeof address);
}

static int interface_flags(int fd, const char *name, bool up)
{
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    request.ifr_flags = up ? IFF_UP | IFF_RUNNING : 0;
    return ioctl(fd, SIOCSIFFLAGS, &request) != 0 ? -errno : 0;
}

void network_loopback(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -errno : interface_flags(fd, "lo", true);
    if (rc < 0)
        console_log("cannot bring up the loopback interface: %s", strerror(-rc));
    if (fd >= 0)
        close(fd);
}

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        console_log("cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

static int interface_address(int fd, bool mask, const char *text)
{
    struct ifreq request = {.ifr_name = INTERFACE};
    set_address(&request.ifr_addr, text);
    return ioctl(fd, mask ? SIOCSIFNETMASK : SIOCSIFADDR, &request) != 0 ? -errno : 0;
}

static int default_route(int fd)
{
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
    set_address(&route.rt_dst, "0.0.0.0");
    set_address(&route.rt_genmask, "0.0.0.0");
    set_address(&route.rt_gateway, GATEWAY);
    return ioctl(fd, SIOCADDRT, &route) != 0 && errno != EEXIST ? -errno : 0;
}

int network_up(void)
{
    if (access("/sys/class/net/" INTERFACE, F_OK) != 0)
        return -ENODEV;
    if (access("/proc/sys/net/ipv6/conf/" INTERFACE, F_OK) == 0)
        write_text("/proc/sys/net/ipv6/conf/" INTERFACE "/disable_ipv6", "1");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -errno : interface_address(fd, false, ADDRESS);
    if (rc == 0)
        rc = interface_address(fd, true, NETMASK);
    if (rc == 0)
        rc = interface_flags(fd, INTERFACE, true);
    if (rc == 0)
        rc = default_route(fd);
    if (rc < 0)
        console_log("cannot set up the network: %s", strerror(-rc));
    if (fd >= 0)
        close(fd);
    write_text("/etc/resolv.conf", "nameserver " GATEWAY "\n");
    return 0;
}

/* A TCP socket that is connected to another machine. */
static bool is_remote(int fd)
{
    struct sockaddr_in6 peer = {0}; /* the larger of the two */
    socklen_t size = sizeof peer, number = sizeof(int);
    int type = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &number) != 0 || type != SOCK_STREAM ||
        getpeername(fd, (struct sockaddr *)&peer, &size) != 0)
        return false;
    struct sockaddr_in v4;
    memcpy(&v4, &peer, sizeof v4);
    if (peer.sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr))
        memcpy(&v4.sin_addr, peer.sin6_addr.s6_addr + 12, 4);
    else if (peer.sin6_family != AF_INET)
        return false;
    return ntohl(v4.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
}

/* connect(2): AF_UNSPEC dissolves the association; who waits on the socket gets an error. */
static void reset_sockets(pid_t pid)
{
    static const struct sockaddr none = {.sa_family = AF_UNSPEC};
    char path[64], target[16];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    int process = dir != NULL ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    const struct dirent *entry;
    while (process >= 0 && (entry = readdir(dir)) != NULL) {
        if (readlinkat(dirfd(dir), entry->d_name, target, sizeof target) < 8 ||
            memcmp(target, "socket:[", 8) != 0)
            continue;
        int fd = (int)syscall(SYS_pidfd_getfd, process, atoi(entry->d_name), 0);
        if (fd >= 0 && is_remote(fd) && connect(fd, &none, sizeof none) != 0)
            console_log("a connection of process %d stays: %s", (int)pid, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    if (process >= 0)
        close(process);
    if (dir != NULL)
        closedir(dir);
}

int network_drop_connections(void)
{
    if (getpid() != 1)
        return -EPERM;
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    if (dir == NULL)
        return -errno;
    while ((entry = readdir(dir)) != NULL)
        if (atoi(entry->d_name) > 1)
            reset_sockets(atoi(entry->d_name));
    closedir(dir);
    return 0;
}

int network_down(void)
{
    if (getpid() != 1)
        return -EPERM; /* anywhere else it would be somebody's own */
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -errno : interface_flags(fd, INTERFACE, false);
    if (fd >= 0)
        close(fd);
    return rc == -ENODEV ? 0 : rc;
}
