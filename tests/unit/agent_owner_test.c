/* Which process has a connection: real ones, to a listener of the test's. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent_peer.h"

static int start(void **state)
{
    *state = peer_start();
    return 0;
}

static int stop(void **state)
{
    peer_stop(*state, PEER_SHUTDOWN);
    return 0;
}

static int make_listener(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* A connection to the port, by a socket for IPv4 or for both; *local is its own port. */
static int make_connection(uint16_t port, bool both, uint16_t *local)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr *to = both ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t size = both ? sizeof v6 : sizeof v4;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6.sin6_addr), 1);
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 && both)
        skip(); /* a machine without IPv6 */
    assert_int_equal(connect(fd, to, size), 0);
    assert_int_equal(getsockname(fd, to, &size), 0);
    *local = ntohs(both ? v6.sin6_port : v4.sin_port);
    return fd;
}

static void ask(struct peer *peer, uint32_t id, uint16_t local, uint16_t remote,
                const char *address)
{
    uint8_t payload[8];
    unsigned before = peer->owners;
    put_u16(payload, local);
    put_u16(payload + 2, remote);
    assert_int_equal(inet_pton(AF_INET, address, payload + 4), 1);
    peer_frame(peer, WIRE_SOCKET, 0, id, payload, sizeof payload);
    PEER_UNTIL(peer, peer->owners > before);
    assert_int_equal(peer->owner_id, id);
}

static void test_own_connection(void **state)
{
    struct peer *peer = *state;
    uint16_t port, local;
    int listener = make_listener(&port);
    char before[16];
    assert_int_equal(prctl(PR_GET_NAME, before), 0);
    for (int both = 0; both < 2; both++) {
        int fd = make_connection(port, both == 1, &local);
        assert_int_equal(prctl(PR_SET_NAME, "fifteen bytes\n\033"), 0);
        ask(peer, 7, local, port, "127.0.0.1");
        assert_int_equal(peer->owner_pid, getpid());
        assert_string_equal(peer->owner_name, "fifteen bytes"); /* to the end of the line */
        assert_int_equal(prctl(PR_SET_NAME, before), 0);
        ask(peer, UINT32_MAX, local, port, "127.0.0.1");
        assert_string_equal(peer->owner_name, before);
        /* somebody else's address or port */
        ask(peer, 1, local, port, "127.0.0.2");
        assert_int_equal(peer->owner_pid, 0);
        ask(peer, 2, local, (uint16_t)(port + 1), "127.0.0.1");
        assert_int_equal(peer->owner_pid, 0);
        assert_string_equal(peer->owner_name, "");
        close(fd);
        ask(peer, 3, local, port, "127.0.0.1"); /* nobody's any more */
        assert_int_equal(peer->owner_pid, 0);
    }
    close(listener);
}

/* Of a child, of which the agent has not heard before; and then of another one. */
static void test_others(void **state)
{
    struct peer *peer = *state;
    uint16_t port, local;
    int listener = make_listener(&port);
    for (int i = 0; i < 2; i++) {
        int ends[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        pid_t child = fork();
        if (child == 0) {
            char byte;
            close(ends[0]); /* or it would not see the other one's end */
            make_connection(port, false, &local);
            prctl(PR_SET_NAME, i == 0 ? "one" : "two");
            if (write(ends[1], &local, sizeof local) != sizeof local || read(ends[1], &byte, 1) < 0)
                _exit(1);
            _exit(0);
        }
        assert_true(child > 0);
        assert_int_equal(read(ends[0], &local, sizeof local), sizeof local);
        ask(peer, 9, local, port, "127.0.0.1");
        assert_int_equal(peer->owner_pid, child);
        assert_string_equal(peer->owner_name, i == 0 ? "one" : "two");
        close(ends[1]);
        close(ends[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_own_connection, start, stop),
        cmocka_unit_test_setup_teardown(test_others, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
