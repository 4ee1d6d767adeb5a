/*
 * /proc/net/tcp has the socket's inode, and one of the links in /proc/PID/fd has that.
 * (sock_diag(7) would spare reading the list, but needs a module that not every kernel has at
 * hand.) Who was found last is looked at first: a program that opens one connection often opens
 * more. Otherwise the newest process comes first, for it is the one that has just begun to connect.
 *
 * Limits: a socket that several processes share belongs to the first one that is found.
 */
#include "agent/owner.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIST_SIZE     32768
#define PROCESSES_MAX 4096 /* the newest of more are not looked at */

static pid_t last_owner;

/* A line's inode if it is this connection's, else 0. */
static unsigned long line_inode(const char *line, const struct owner_socket *socket)
{
    char remote[33];
    unsigned local_port, remote_port;
    unsigned long inode;
    if (sscanf(line,
               " %*d: %*32[0-9A-Fa-f]:%4x %32[0-9A-Fa-f]:%4x %*x %*x:%*x %*x:%*x %*x %*u %*u %lu",
               &local_port, remote, &remote_port, &inode) != 4 ||
        local_port != socket->local_port || remote_port != socket->remote_port)
        return 0;
    /* words of 32 bits, each printed as this machine's number; a mapped address is in the last */
    size_t length = strlen(remote);
    if (length != 8 && length != 32)
        return 0;
    return strtoul(remote + length - 8, NULL, 16) == socket->remote_address ? inode : 0;
}

/* The inode, from whole lines; those without the port, most of them, are only passed over. */
static unsigned long lines_inode(const char *text, const struct owner_socket *socket)
{
    char port[8];
    unsigned long inode = 0;
    snprintf(port, sizeof port, ":%04X ", socket->local_port);
    while (inode == 0 && (text = strstr(text, port)) != NULL) {
        const char *line = text;
        while (line[-1] != '\n')
            line--;
        inode = line_inode(line, socket);
        text++;
    }
    return inode;
}

/* The kernel begins anew with every read to look for the place, so they are large. */
static unsigned long find_inode(const char *path, const struct owner_socket *socket)
{
    static char text[1 + LIST_SIZE + 1] = "\n";
    char *at = text + 1;
    unsigned long inode = 0;
    size_t kept = 0;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && inode == 0 && (n = read(fd, at + kept, LIST_SIZE - kept)) > 0) {
        size_t size = kept + (size_t)n;
        const char *end = memrchr(at, '\n', size);
        size_t whole = end != NULL ? (size_t)(end + 1 - at) : size;
        char first = at[whole];
        at[whole] = '\0';
        inode = lines_inode(at, socket);
        at[whole] = first;
        kept = size - whole;
        memmove(at, at + whole, kept);
    }
    if (fd >= 0)
        close(fd);
    return inode;
}

static int has_socket(pid_t pid, const char *link)
{
    char path[32], target[32];
    const struct dirent *entry;
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
        ssize_t size = readlinkat(dirfd(dir), entry->d_name, target, sizeof target);
        found = size == (ssize_t)strlen(link) && memcmp(target, link, (size_t)size) == 0;
    }
    if (dir != NULL)
        closedir(dir);
    return found;
}

static pid_t find_process(const char *link)
{
    static pid_t pids[PROCESSES_MAX];
    size_t count = 0;
    const struct dirent *entry;
    if (last_owner > 0 && has_socket(last_owner, link))
        return last_owner;
    DIR *dir = opendir("/proc");
    while (dir != NULL && count < PROCESSES_MAX && (entry = readdir(dir)) != NULL)
        if (atoi(entry->d_name) > 0)
            pids[count++] = atoi(entry->d_name);
    if (dir != NULL)
        closedir(dir);
    while (count > 0)
        if (has_socket(pids[--count], link))
            return pids[count];
    return 0;
}

static void read_name(pid_t pid, char name[WIRE_NAME_MAX + 1])
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, name, WIRE_NAME_MAX) : 0;
    name[size > 0 ? size : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

pid_t owner_find(const struct owner_socket *socket, char name[WIRE_NAME_MAX + 1])
{
    char link[32];
    name[0] = '\0';
    unsigned long inode = find_inode("/proc/net/tcp", socket);
    if (inode == 0)
        inode = find_inode("/proc/net/tcp6", socket); /* IPv4 by a socket for both */
    if (inode == 0)
        return 0;
    snprintf(link, sizeof link, "socket:[%lu]", inode);
    pid_t pid = find_process(link);
    last_owner = pid;
    if (pid > 0)
        read_name(pid, name);
    return pid;
}
