/*
 * The link and its flows against Linux's own TCP (tests/support/net_tap.h): what a guest's kernel
 * really sends. Skipped where network namespaces or TAP devices are not permitted.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "net/packet.h"
#include "net_service.h"
#include "net_tap.h"

#define FAR  "93.184.216.34"
#define SIZE ((size_t)8 << 20)

/* In the child: a failed check says where, and fails the whole client. */
#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno)); \
            return 1;                                                                             \
        }                                                                                         \
    } while (0)

static int socket_to(int type, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, FAR, &to.sin_addr);
    CLEAN_FD int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        return -1;
    return take_fd(&fd);
}

static int order(int fd, uint64_t size)
{
    uint8_t bytes[8];
    net_put32(bytes, (uint32_t)(size >> 32));
    net_put32(bytes + 4, (uint32_t)size);
    return fd_write_all(fd, bytes, sizeof bytes);
}

static int client_source(void *argument)
{
    (void)argument;
    static uint8_t data[65536];
    CLEAN_FD int fd = socket_to(SOCK_STREAM, SERVICE_SOURCE);
    CHECK(fd >= 0 && order(fd, SIZE) == 0);
    size_t got = 0;
    ssize_t n;
    while ((n = read(fd, data, sizeof data)) > 0)
        for (ssize_t i = 0; i < n; i++, got++)
            CHECK(data[i] == got % SERVICE_PATTERN);
    CHECK(n == 0 && got == SIZE);
    return 0;
}

/* Sends while the other direction fills up, then reads it all: windows close on both sides. */
static int client_echo(void *argument)
{
    (void)argument;
    static uint8_t out[SIZE], in[SIZE];
    for (size_t i = 0; i < SIZE; i++)
        out[i] = (uint8_t)(i * 31 >> 3);
    CLEAN_FD int fd = socket_to(SOCK_STREAM, SERVICE_ECHO);
    CHECK(fd >= 0);
    size_t sent = 0, got = 0;
    while (got < SIZE) {
        struct pollfd wait = {.fd = fd, .events = sent < SIZE ? POLLIN | POLLOUT : POLLIN};
        CHECK(poll(&wait, 1, -1) == 1);
        ssize_t n = 0;
        if ((wait.revents & POLLOUT) != 0 &&
            (n = send(fd, out + sent, SIZE - sent, MSG_DONTWAIT)) > 0)
            sent += (size_t)n;
        else if ((wait.revents & POLLIN) != 0 && (n = recv(fd, in + got, SIZE - got, 0)) > 0)
            got += (size_t)n;
        CHECK(n > 0 || errno == EAGAIN);
    }
    CHECK(memcmp(in, out, SIZE) == 0);
    shutdown(fd, SHUT_WR);
    CHECK(read(fd, in, 1) == 0);
    return 0;
}

/* Half-close: the answer comes after the guest's FIN. */
static int client_sink(void *argument)
{
    (void)argument;
    static uint8_t data[SIZE];
    CLEAN_FD int fd = socket_to(SOCK_STREAM, SERVICE_SINK);
    CHECK(fd >= 0 && fd_write_all(fd, data, SIZE) == 0 && shutdown(fd, SHUT_WR) == 0);
    uint8_t said[9];
    CHECK(recv(fd, said, sizeof said, MSG_WAITALL) == 8);
    CHECK(net_get32(said) == 0 && net_get32(said + 4) == SIZE);
    return 0;
}

static int client_refusals(void *argument)
{
    (void)argument;
    CHECK(socket_to(SOCK_STREAM, 81) < 0 && errno == ECONNREFUSED);
    CLEAN_FD int quic = socket_to(SOCK_DGRAM, 443);
    char byte = 'x';
    CHECK(quic >= 0 && send(quic, &byte, 1, 0) == 1);
    CHECK(recv(quic, &byte, 1, 0) < 0 && errno == ECONNREFUSED);
    CLEAN_FD int dns = socket_to(SOCK_DGRAM, 53);
    CHECK(dns >= 0 && send(dns, &byte, 1, 0) == 1);
    CHECK(recv(dns, &byte, 1, 0) == 1 && byte == 'x');
    return 0;
}

/* More connections than there may be: the rest is refused, and those that stand go on. */
static int client_many(void *argument)
{
    (void)argument;
    static int fds[FLOW_MAX];
    char byte = 'x';
    int count = 0;
    while (count < FLOW_MAX && (fds[count] = socket_to(SOCK_STREAM, SERVICE_ECHO)) >= 0)
        count++;
    if (count < FLOW_MAX) {
        CHECK(errno == EMFILE); /* the limit on descriptors is below what the test needs */
        return 0;
    }
    CHECK(socket_to(SOCK_STREAM, SERVICE_ECHO) < 0 && errno == ECONNREFUSED);
    for (int i = 0; i < FLOW_MAX; i++)
        CHECK(write(fds[i], &byte, 1) == 1);
    for (int i = 0; i < FLOW_MAX; i++)
        CHECK(read(fds[i], &byte, 1) == 1);
    for (int i = 0; i < FLOW_MAX; i++) {
        shutdown(fds[i], SHUT_WR);
        CHECK(read(fds[i], &byte, 1) == 0);
        close(fds[i]);
    }
    CLEAN_FD int again = socket_to(SOCK_STREAM, SERVICE_ECHO);
    CHECK(again >= 0);
    return 0;
}

static void run(int (*client)(void *), struct service_count *count)
{
    struct tap tap;
    int rc = tap_start(&tap, client, NULL);
    if (rc < 0) {
        print_message("no TAP device: %s\n", strerror(-rc));
        skip();
    }
    *count = (struct service_count){0};
    assert_int_equal(service_run(tap.fd, count), 0);
    assert_int_equal(tap_wait(&tap), 0);
}

static void test_source(void **state)
{
    (void)state;
    struct service_count count;
    run(client_source, &count);
    assert_int_equal(count.opened, 1);
}

static void test_echo(void **state)
{
    (void)state;
    struct service_count count;
    run(client_echo, &count);
    assert_int_equal(count.opened, 1);
}

static void test_sink(void **state)
{
    (void)state;
    struct service_count count;
    run(client_sink, &count);
    assert_int_equal(count.opened, 1);
}

static void test_refusals(void **state)
{
    (void)state;
    struct service_count count;
    run(client_refusals, &count);
    assert_int_equal(count.refused, 1);
    assert_int_equal(count.opened, 0);
}

static void test_many(void **state)
{
    (void)state;
    struct service_count count;
    run(client_many, &count);
    if (count.opened >= FLOW_MAX)
        assert_true(count.closed >= FLOW_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source),   cmocka_unit_test(test_echo), cmocka_unit_test(test_sink),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
