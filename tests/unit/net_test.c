/*
 * net/net.h as its owner sees it: options and their mistakes, calls, the end; DNS on the wire; and
 * Linux's own TCP with curl behind a TAP device, to servers on loopback.
 */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "net/frames.h"
#include "net/packet.h"
#include "net_tap.h"
#include "net_world.h"

#define REPLY_MS 20000

struct owner {
    uv_loop_t loop;
    struct net *net;
    cJSON *events, *result;
    struct error why;
    unsigned answers, pending;
    int fd; /* the guest's end of the cable */
};

static void owner_event(void *context, const char *type, cJSON *fields)
{
    struct owner *owner = context;
    cJSON_AddStringToObject(fields, "type", type);
    cJSON_AddItemToArray(owner->events, fields);
}

static void owner_pending(void *context, unsigned count)
{
    ((struct owner *)context)->pending = count;
}

static void owner_answered(void *context, const cJSON *result, const struct error *why)
{
    struct owner *owner = context;
    owner->answers++;
    cJSON_Delete(owner->result);
    owner->result = cJSON_Duplicate(result, true);
    if (why != NULL)
        owner->why = *why;
}

static const struct net_events owner_events = {.event = owner_event, .pending = owner_pending};

static int owner_open(struct owner *owner, const struct net_options *options, struct error *err)
{
    int pair[2];
    *owner = (struct owner){.events = cJSON_CreateArray()};
    assert_int_equal(uv_loop_init(&owner->loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    owner->fd = pair[1];
    return net_open(&owner->net, &owner->loop, pair[0], options, &owner_events, owner, err);
}

static void owner_close(struct owner *owner)
{
    net_close(owner->net);
    uv_run(&owner->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&owner->loop), 0);
    close(owner->fd);
    cJSON_Delete(owner->events);
    cJSON_Delete(owner->result);
}

/* The answer, or NULL and owner->why. */
static const cJSON *owner_call(struct owner *owner, const char *name, const char *arguments)
{
    unsigned before = owner->answers;
    owner->why = (struct error){0};
    net_call(owner->net, name, cJSON_Parse(arguments), owner_answered, owner);
    while (owner->answers == before)
        uv_run(&owner->loop, UV_RUN_ONCE);
    return owner->result;
}

/* As when a template does not work: lwIP is one per process, and the thread ends when it can. */
static void test_opened_again(void **state)
{
    const struct net_options options = {0};
    struct owner owner;
    struct error err = {0};
    (void)state;
    assert_int_equal(owner_open(&owner, &options, &err), 0);
    for (int i = 0; i < 20; i++) {
        int pair[2];
        net_close(owner.net);
        close(owner.fd);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        owner.fd = pair[1];
        if (net_open(&owner.net, &owner.loop, pair[0], &options, &owner_events, &owner, &err) < 0)
            fail_msg("%s", err.message);
    }
    owner_close(&owner);
}

static void test_options(void **state)
{
    (void)state;
    struct strv bad = {0}, good = {0};
    strv_add(&bad, "http://%");
    strv_add(&good, "a.example:1=127.0.0.1:2");
    const struct {
        struct net_options options;
        const char *message;
    } rows[] = {
        {{.allow = &bad}, "--allow-host 'http://%'"},
        {{.deny = &bad}, "--deny-host"},
        {{.internal = &bad}, "--allow-internal"},
        {{.saved_allow = &bad}, "saved rule"},
        {{.policy = "{\"allow\": 1}"}, "--policy"},
        {{.tcp_map = &bad}, "--tcp-map"},
        {{.resolve = &bad}, "--resolve"},
        {{.dns_servers = &bad}, "--dns-trusted-server"},
        {{.dns = NET_DNS_TRUSTED, .dns_single = true}, "--dns-synthetic-host-mapping"},
        {{.tcp_map = &good, .dns_single = true}, "--tcp-map requires dns host mapping"},
        {{.upstream_ca = &bad}, "http://%"},
        {{.secrets = &(struct net_secret){.name = "A", .hosts = &bad}, .secret_count = 1}, "A"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct owner owner;
        struct error err = {0};
        assert_true(owner_open(&owner, &rows[i].options, &err) < 0);
        if (strstr(err.message, rows[i].message) == NULL)
            fail_msg("%zu: %s", i, err.message);
        char byte;
        assert_int_equal(read(owner.fd, &byte, 1), 0); /* the descriptor was closed */
        owner_close(&owner);
    }
    strv_free(&bad);
    strv_free(&good);
}

static void test_calls(void **state)
{
    (void)state;
    struct owner owner, second;
    struct error err = {0};
    struct strv hosts = {0}, allow = {0};
    strv_add(&hosts, "a.example");
    strv_add(&allow, "*.example");
    struct net_secret secret = {
        .name = "KEY", .hosts = &hosts, .value = (const uint8_t *)"0123456789", .size = 10};
    struct net_options options = {.allow = &allow, .secrets = &secret, .secret_count = 1};
    if (owner_open(&owner, &options, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(owner_open(&second, &options, &err), -EBUSY);
    owner_close(&second);
    assert_non_null(strstr(net_ca(owner.net), "BEGIN CERTIFICATE"));
    assert_true(str_starts(net_placeholders(owner.net)->items[0], "KEY=VMDECK_SECRET_"));

    const cJSON *result =
        owner_call(&owner, "deny", "{\"patterns\":[\"b.example\",\"c.example\"]}");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(result, "rules")), 2);
    result = owner_call(&owner, "rules", "{}");
    assert_string_equal(event_text(result, "default"), "deny");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(result, "rules")), 3);
    assert_null(owner_call(&owner, "deny", "{\"patterns\":[\"d.example\",\"%\"]}")); /* none */
    assert_non_null(owner_call(&owner, "rules_rm", "{\"id\":2}"));
    result = owner_call(&owner, "rules", "null");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(result, "rules")), 2);
    assert_non_null(owner_call(&owner, "stats", "{}"));
    static const char *const wrong[][2] = {{"nonsense", "{}"},
                                           {"rules_rm", "{\"id\":99}"},
                                           {"rules_rm", "{\"id\":-1}"},
                                           {"rules_rm", "{}"},
                                           {"allow", "{\"patterns\":7}"},
                                           {"allow", "{\"patterns\":[7]}"},
                                           {"allow", "{\"patterns\":[],\"scope\":\"x\"}"},
                                           {"answer", "{\"id\":1,\"allow\":true}"},
                                           {"answer", "{\"id\":1}"}};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_null(owner_call(&owner, wrong[i][0], wrong[i][1]));
        assert_true(owner.why.code != 0);
    }
    net_reset(owner.net);
    net_call(owner.net, "rules", NULL, owner_answered, &owner);
    unsigned before = owner.answers;
    owner_close(&owner);
    assert_int_equal(owner.answers, before + 1);
    assert_int_equal(owner.why.code, ECANCELED);
    strv_free(&hosts);
    strv_free(&allow);
}

/* A query on the wire, and the rcode of its answer; *address is that of the first A record. */
static int ask(struct owner *owner, const char *name, uint8_t type, uint32_t *address)
{
    uint8_t frame[512] = {0}, reply[2048];
    uint8_t *ip = frame + FRAMES_PREFIX + ETHERNET_HEADER;
    uint8_t *udp = ip + IPV4_HEADER, *dns = udp + UDP_HEADER, *at = dns + 12;
    dns[1] = 7; /* id */
    dns[2] = 1; /* recursion desired */
    dns[5] = 1; /* one question */
    for (const char *label = name; *label != '\0';) {
        size_t size = strcspn(label, ".");
        *at++ = (uint8_t)size;
        memcpy(at, label, size);
        at += size;
        label += size + (label[size] == '.');
    }
    at[2] = type;
    at[4] = 1;
    at += 5;
    size_t size = (size_t)(at - udp);
    ipv4_write(ip, IP_UDP, LINK_GUEST, LINK_GATEWAY, size);
    net_put16(udp, 5000);
    net_put16(udp + 2, 53);
    net_put16(udp + 4, (uint16_t)size);
    net_put16(udp + 6, net_transport_checksum(IP_UDP, LINK_GUEST, LINK_GATEWAY, udp, size));
    memcpy(frame + FRAMES_PREFIX, "\xff\xff\xff\xff\xff\xff\x52\x54\0\x76\x6d\1\x08\0",
           ETHERNET_HEADER);
    net_put32(frame, (uint32_t)(ETHERNET_HEADER + IPV4_HEADER + size));
    size_t total = FRAMES_PREFIX + ETHERNET_HEADER + IPV4_HEADER + size;
    assert_int_equal(write(owner->fd, frame, total), total);
    struct pollfd wait = {.fd = owner->fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, REPLY_MS), 1);
    ssize_t got = read(owner->fd, reply, sizeof reply);
    assert_true(got > (ssize_t)(total - size) + UDP_HEADER + 12);
    const uint8_t *answer = reply + (dns - frame);
    assert_int_equal(answer[1], 7);
    assert_int_equal(answer[2] & 0x80, 0x80);
    if (answer[7] == 1) /* one answer; it stands behind the question */
        *address = net_get32(answer + (at - dns) + 12);
    return answer[3] & 15;
}

static void test_names(void **state)
{
    (void)state;
    struct strv allow = {0}, servers = {0};
    strv_add(&allow, "*.example");
    strv_add(&servers, "127.254.254.254"); /* nobody listens there: ICMP says so at once */
    const struct {
        struct net_options options;
        const char *name;
        int rcode;
        bool synthetic, event;
    } rows[] = {
        {{.allow = &allow}, "a.example", 0, true, false},
        {{.allow = &allow}, "b.test", 0, true, false}, /* the request is refused, with a reason */
        {{.allow = &allow, .dns = NET_DNS_TRUSTED, .dns_servers = &servers},
         "b.test",
         3,
         false,
         true},
        {{.allow = &allow, .dns = NET_DNS_TRUSTED, .dns_servers = &servers},
         "a.example",
         2,
         false,
         false},
        {{.ask = true, .dns = NET_DNS_TRUSTED, .dns_servers = &servers}, "b.test", 0, true, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct owner owner;
        struct error err = {0};
        uint32_t address = 0;
        if (owner_open(&owner, &rows[i].options, &err) < 0)
            fail_msg("%s", err.message);
        assert_int_equal(ask(&owner, rows[i].name, DNS_A, &address), rows[i].rcode);
        assert_int_equal(address >> 17 == 0xc6120000 >> 17, rows[i].synthetic);
        assert_int_equal(ask(&owner, "localhost", DNS_A, &address), 0);
        assert_int_equal(address, 0x7f000001);
        assert_int_equal(ask(&owner, "localhost", 16 /* TXT */, &address), 0);
        owner_call(&owner, "stats", "{}"); /* events come before its answer */
        assert_int_equal(cJSON_GetArraySize(owner.events), rows[i].event);
        owner_close(&owner);
    }
    strv_free(&allow);
    strv_free(&servers);
}

#define BODY (3u << 20)

struct curl {
    int port_fd; /* the server's port comes here, twice: plain and TLS */
    char body[128];
};

static int curl(const char *script, uint16_t plain, uint16_t tls, const char *body)
{
    char ports[2][8];
    snprintf(ports[0], sizeof ports[0], "%u", plain);
    snprintf(ports[1], sizeof ports[1], "%u", tls);
    const char *argv[] = {
        "sh", "-ec", script, "curl", ports[0], ports[1], body, ca_path("vmdeck/ca/ca.crt"), NULL};
    struct process_spec spec = {
        .argv = argv, .fds = (struct process_fd[]){{1, 1}, {2, 2}}, .fd_count = 2};
    pid_t pid = process_spawn(&spec, NULL);
    return pid > 0 ? process_wait(pid) : -1;
}

/* Two queries over TCP in one piece, cut in the middle: two answers in their order. */
static int names_over_tcp(void)
{
    static const uint8_t query[] = "\0\x1b\0\7\1\0\0\1\0\0\0\0\0\0\1a\7example\0\0\1\0\1";
    uint8_t both[2 * (sizeof query - 1)], answers[2 * 45];
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(LINK_GATEWAY)};
    memcpy(both, query, sizeof query - 1);
    memcpy(both + sizeof query - 1, query, sizeof query - 1);
    both[sizeof query - 1 + 3] = 8; /* another id */
    CLEAN_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 || write(fd, both, 31) != 31 ||
        write(fd, both + 31, sizeof both - 31) != sizeof both - 31 ||
        recv(fd, answers, sizeof answers, MSG_WAITALL) != sizeof answers)
        return -1;
    return answers[3] == 7 && answers[45 + 3] == 8 && answers[41] == 198 ? 0 : -1;
}

/* In the namespace. $1 and $2: ports; $3: a file; $4: the CA. */
static int client(void *argument)
{
    const struct curl *settings = argument;
    uint16_t ports[2];
    if (read(settings->port_fd, ports, sizeof ports) != sizeof ports)
        return 1;
    if (names_over_tcp() < 0)
        return 2;
    return curl("p=$1 t=$2 ca=$4\n"
                "c() { curl -sS --max-time 60 --noproxy '*' --cacert $ca"
                " --resolve a.example:$p:198.18.0.9 --resolve a.example:$t:198.18.0.9"
                " --resolve c.test:$p:198.18.0.8 \"$@\"; }\n"
                "[ \"$(c http://a.example:$p/x https://a.example:$t/y)\" = okok ]\n"
                "[ \"$(c --data-binary @$3 https://a.example:$t/up)\" = ok ]\n"
                "[ \"$(c -o /dev/null -w '%{http_code}' http://c.test:$p/)\" = 403 ]\n"
                "! curl -sS --max-time 60 telnet://93.184.216.34:25 2>/dev/null </dev/null\n",
                ports[0], ports[1], settings->body) == 0
               ? 0
               : 1;
}

static void child_ended(uv_signal_t *signal, int number)
{
    (void)signal; /* the loop has turned: that was all */
    (void)number;
}

static void test_curl(void **state)
{
    (void)state;
    static struct world world;
    struct curl settings = {0};
    struct tap tap = {.fd = -1};
    int ports[2];
    CLEAN_FREE char *program = process_find("curl");
    assert_int_equal(pipe2(ports, O_CLOEXEC), 0);
    settings.port_fd = ports[0];
    snprintf(settings.body, sizeof settings.body, "%s", ca_path("body"));
    CLEAN_FREE char *body = calloc(1, BODY);
    memset(body, 'b', BODY);
    memcpy(body + BODY - 4, "\r\n\r\n", 4);
    assert_int_equal(path_write(settings.body, 0600, body, BODY, NULL), 0);
    int rc = program != NULL ? tap_start(&tap, client, &settings) : -ENOENT;
    if (rc < 0) {
        print_message("no curl, or no TAP device: %s\n", strerror(-rc));
        skip();
    }
    struct server plain = {.until = "\r\n\r\n",
                           .answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"};
    world_open_server(&world, "a.example"); /* TLS */
    world.server.answer = plain.answer;
    server_open(&world, &plain);
    struct owner owner = {.events = cJSON_CreateArray(), .fd = -1};
    struct strv internal = {0}, resolve = {0}, roots = {0};
    struct error err = {0};
    strv_add(&internal, "a.example");
    strv_add(&resolve, "a.example=127.0.0.1");
    strv_add(&roots, ca_path("vmdeck/ca/ca.crt"));
    struct strv allow = {0};
    strv_add(&allow, "a.example");
    struct net_options options = {
        .allow = &allow, .internal = &internal, .resolve = &resolve, .upstream_ca = &roots};
    if (net_open(&owner.net, world.core->loop, tap.fd, &options, &owner_events, &owner, &err) < 0)
        fail_msg("%s", err.message);
    uint16_t numbers[2] = {plain.port, world.server.port};
    assert_int_equal(write(ports[1], numbers, sizeof numbers), sizeof numbers);
    uv_signal_t child;
    int status = 0;
    uv_signal_init(world.core->loop, &child);
    uv_signal_start(&child, child_ended, SIGCHLD);
    while (waitpid(tap.pid, &status, WNOHANG) == 0)
        uv_run(world.core->loop, UV_RUN_ONCE);
    CLEAN_FREE char *events = cJSON_PrintUnformatted(owner.events);
    if (status != 0)
        fail_msg("the client failed (%x); events %s", status, events);
    assert_non_null(world_named(owner.events, "path", "/y"));
    assert_non_null(world_named(owner.events, "reason", "no rule allows c.test"));
    net_close(owner.net);
    world_close(&world);
    buf_free(&plain.seen);
    cJSON_Delete(owner.events);
    strv_free(&internal);
    strv_free(&resolve);
    strv_free(&roots);
    strv_free(&allow);
    close(ports[0]);
    close(ports[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curl),         cmocka_unit_test(test_options),
        cmocka_unit_test(test_opened_again), cmocka_unit_test(test_calls),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, ca_home_make, ca_home_remove);
}
