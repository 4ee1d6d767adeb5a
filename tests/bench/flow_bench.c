/*
 * The link and its flows without a VM: Linux's TCP in a network namespace against the services of
 * tests/support/net_service.h.
 *
 *     flow_bench [MiB]        throughput each way, connections per second, 10,000 held open
 *
 * Process CPU time is of the link's side alone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/path.h"
#include "net/packet.h"
#include "net_service.h"
#include "net_tap.h"

#define FAR         "93.184.216.34"
#define CONNECTIONS 5000
#define CHUNK       ((size_t)256 * 1024)

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, FAR, &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

static void put_count(uint8_t out[8], uint64_t count)
{
    net_put32(out, (uint32_t)(count >> 32));
    net_put32(out + 4, (uint32_t)count);
}

static uint64_t read_to_end(int fd)
{
    static uint8_t data[CHUNK];
    uint64_t got = 0;
    ssize_t n;
    while ((n = read(fd, data, sizeof data)) > 0)
        got += (uint64_t)n;
    return n < 0 ? 0 : got;
}

static void upload(uint64_t size)
{
    static uint8_t data[CHUNK];
    double start = now();
    int fd = connect_to(SERVICE_SINK);
    for (uint64_t left = size; left > 0; left -= left < CHUNK ? left : CHUNK)
        if (fd_write_all(fd, data, left < CHUNK ? (size_t)left : CHUNK) < 0)
            exit(1);
    shutdown(fd, SHUT_WR);
    uint8_t said[8] = {0}, want[8];
    put_count(want, size);
    if (recv(fd, said, 8, MSG_WAITALL) != 8 || memcmp(said, want, 8) != 0) {
        fprintf(stderr, "upload: bytes are missing\n");
        exit(1);
    }
    close(fd);
    printf("to host    %7.1f MB/s\n", (double)size / 1e6 / (now() - start));
}

static void download(uint64_t size)
{
    double start = now();
    int fd = connect_to(SERVICE_SOURCE);
    uint8_t order[8];
    put_count(order, size);
    if (fd_write_all(fd, order, 8) < 0 || read_to_end(fd) != size) {
        fprintf(stderr, "download: bytes are missing\n");
        exit(1);
    }
    close(fd);
    printf("to guest   %7.1f MB/s\n", (double)size / 1e6 / (now() - start));
}

static void ask(int fd)
{
    char byte = 'x';
    if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1 || byte != 'x') {
        fprintf(stderr, "echo: no answer: %s\n", strerror(errno));
        exit(1);
    }
}

static void connections(void)
{
    double start = now();
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = connect_to(SERVICE_ECHO);
        ask(fd);
        close(fd);
    }
    printf("connect, byte, close, one by one %7.0f/s\n", CONNECTIONS / (now() - start));
}

static void held(void)
{
    static int fds[FLOW_MAX];
    double start = now();
    for (int i = 0; i < FLOW_MAX; i++)
        fds[i] = connect_to(SERVICE_ECHO);
    printf("open %d connections          %7.0f/s\n", FLOW_MAX, FLOW_MAX / (now() - start));
    start = now();
    for (int i = 0; i < FLOW_MAX; i++)
        ask(fds[i]);
    printf("a byte there and back on each    %7.0f/s\n", FLOW_MAX / (now() - start));
    for (int i = 0; i < FLOW_MAX; i++)
        close(fds[i]);
}

static void round_trips(void)
{
    int fd = connect_to(SERVICE_ECHO);
    double start = now();
    for (int i = 0; i < CONNECTIONS; i++)
        ask(fd);
    printf("round trip                       %7.1f us\n", (now() - start) / CONNECTIONS * 1e6);
    close(fd);
}

/* A guest that lets 9,000 servers send and never reads; what the others then get. */
static void deaf(uint64_t size)
{
    static int fds[FLOW_MAX - 1000];
    uint8_t order[8];
    int small = 4096;
    put_count(order, 1 << 30);
    for (int i = 0; i < FLOW_MAX - 1000; i++) {
        fds[i] = connect_to(SERVICE_SOURCE);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        if (fd_write_all(fds[i], order, 8) < 0)
            exit(1);
    }
    printf("beside 9,000 downloads that nobody reads:\n");
    fflush(stdout);
    upload(size);
    download(size);
    round_trips();
    for (int i = 0; i < FLOW_MAX - 1000; i++)
        close(fds[i]);
}

static int client(void *argument)
{
    uint64_t size = *(const uint64_t *)argument;
    upload(size);
    download(size);
    round_trips();
    connections();
    held();
    deaf(size / 16);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t size = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1024) << 20;
    struct tap tap;
    int rc = tap_start(&tap, client, &size);
    if (rc < 0) {
        fprintf(stderr, "flow_bench: no TAP device in a network namespace: %s\n", strerror(-rc));
        return 2;
    }
    struct service_count count = {0};
    rc = service_run(tap.fd, &count);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("link: %.2f s CPU, %ld MiB at most; %llu opened, %llu closed, %llu reset\n",
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
           used.ru_maxrss >> 10, (unsigned long long)count.opened, (unsigned long long)count.closed,
           (unsigned long long)count.reset);
    return rc < 0 || tap_wait(&tap) != 0;
}
