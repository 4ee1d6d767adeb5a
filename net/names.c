/*
 * A forwarded query gets a socket (a random port) and an id of its own, both of which an answer
 * must come to, from the resolver it was sent to: the kernel sees to that on a connected socket.
 * Over TCP it gets a connection of its own.
 */
#include "net/names.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/path.h"
#include "net/names_stream.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define ANSWER_MAX  65535
#define HEADER_SIZE 12
#define GATEWAY     "192.168.127.1"

struct names {
    struct core *core;
    struct dns_settings settings;
    struct address gateway;
    size_t forwards, next_server;
    char buffer[ANSWER_MAX];
};

struct forward {
    uv_udp_t udp;
    struct names_stream *stream; /* instead, of a query over TCP */
    uv_timer_t timer;
    unsigned open; /* handles */
    struct names *names;
    struct name_query *query; /* NULL: it was cancelled or answered */
    struct dns_query parsed;  /* with our id */
    uint16_t id;              /* the guest's */
    unsigned tries;
    bool fixed; /* the guest named the resolver */
    struct address server;
    size_t size;
    uint8_t data[]; /* with our id */
};

static void add_server(struct dns_settings *settings, char *line)
{
    char *state = NULL;
    const char *word = strtok_r(line, " \t", &state);
    if (word == NULL || strcmp(word, "nameserver") != 0)
        return;
    word = strtok_r(NULL, " \t", &state);
    if (word != NULL && settings->server_count < DNS_SERVERS_MAX &&
        address_parse(word, &settings->servers[settings->server_count]) == 0)
        settings->server_count++;
}

static int own_resolvers(struct dns_settings *settings, struct error *err)
{
    CLEAN_BUF struct buf text = {0};
    int rc = path_read(RESOLV_CONF, 65536, &text, err);
    if (rc < 0)
        return rc;
    if (buf_string(&text) == NULL)
        return error_set(err, ENOMEM, "out of memory");
    char *state = NULL;
    char *line = strtok_r((char *)buf_data(&text), "\r\n", &state);
    for (; line != NULL; line = strtok_r(NULL, "\r\n", &state))
        add_server(settings, line);
    if (settings->server_count == 0)
        return error_set(err, ENOENT, "%s names no resolver (give one: --dns-trusted-server)",
                         RESOLV_CONF);
    return 0;
}

int names_open(struct names **out, struct core *core, const struct dns_settings *settings,
               struct error *err)
{
    struct names *names = calloc(1, sizeof *names);
    if (names == NULL)
        return error_set(err, ENOMEM, "out of memory");
    names->core = core;
    names->settings = *settings;
    (void)address_parse(GATEWAY, &names->gateway);
    if (settings->mode != DNS_MODE_SYNTHETIC && settings->server_count == 0) {
        int rc = own_resolvers(&names->settings, err);
        if (rc < 0) {
            free(names);
            return rc;
        }
    }
    *out = names;
    return 0;
}

void names_close(struct names *names)
{
    free(names);
}

static void handle_closed(uv_handle_t *handle)
{
    struct forward *forward = handle->data;
    if (--forward->open == 0)
        free(forward);
}

static void forward_end(struct forward *forward)
{
    if (forward->query != NULL)
        forward->query->forward = NULL;
    forward->query = NULL;
    forward->names->forwards--;
    names_stream_close(forward->stream);
    uv_close((uv_handle_t *)&forward->udp, handle_closed);
    uv_close((uv_handle_t *)&forward->timer, handle_closed);
}

void names_cancel(struct name_query *query)
{
    if (query->forward != NULL)
        forward_end(query->forward);
}

static void answer_failure(struct name_query *query, const struct dns_query *parsed)
{
    uint8_t reply[DNS_REPLY_MAX];
    query->answered(query, reply, dns_reply(parsed, DNS_SERVFAIL, NULL, 0, reply));
}

static void forward_fail(struct forward *forward)
{
    struct name_query *query = forward->query;
    struct dns_query parsed = forward->parsed;
    parsed.id = forward->id;
    forward_end(forward);
    answer_failure(query, &parsed);
}

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    (void)size;
    const struct forward *forward = handle->data;
    *out = uv_buf_init(forward->names->buffer, sizeof forward->names->buffer);
}

static void put_id(uint8_t *message, uint16_t id)
{
    message[0] = (uint8_t)(id >> 8);
    message[1] = (uint8_t)id;
}

/* The resolver's: it goes to the guest as it is, or cut off. */
static void answer(struct forward *forward, uint8_t *message, size_t size)
{
    struct name_query *query = forward->query;
    put_id(message, forward->id);
    if (size > query->max) { /* the question alone, and that there is more */
        message[2] |= 2;
        memset(message + 6, 0, 6);
        size = HEADER_SIZE + forward->parsed.question_size;
    }
    forward_end(forward);
    query->answered(query, message, size);
}

static void was_received(uv_udp_t *udp, ssize_t size, const uv_buf_t *buffer,
                         const struct sockaddr *from, unsigned flags)
{
    struct forward *forward = udp->data;
    uint8_t *message = (uint8_t *)buffer->base;
    if (size < 0) { /* nobody is there: ICMP said so */
        forward_fail(forward);
        return;
    }
    if (from == NULL || (flags & UV_UDP_PARTIAL) != 0 ||
        !dns_response_matches(&forward->parsed, message, (size_t)size))
        return;
    answer(forward, message, (size_t)size);
}

static int forward_send(struct forward *forward);

static void try_again(struct forward *forward)
{
    if (forward->tries >= NAMES_TRIES || forward_send(forward) < 0)
        forward_fail(forward);
}

static void took_too_long(uv_timer_t *timer)
{
    try_again(timer->data);
}

static void stream_came(void *owner, uint8_t *message, size_t size)
{
    struct forward *forward = owner;
    if (message == NULL || !dns_response_matches(&forward->parsed, message, size)) {
        try_again(forward);
        return;
    }
    answer(forward, message, size);
}

static void socket_address(const struct address *address, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    if (address->v6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(53);
        memcpy(&in6->sin6_addr, address->bytes, 16);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(53);
        memcpy(&in->sin_addr, address->bytes, 4);
    }
}

static int forward_stream(struct forward *forward, const struct sockaddr_storage *to)
{
    names_stream_close(forward->stream);
    forward->stream = NULL;
    return names_stream_ask(&forward->stream, forward->names->core->loop,
                            (const struct sockaddr *)to, forward->data, forward->size, stream_came,
                            forward);
}

static int forward_datagram(struct forward *forward, const struct sockaddr_storage *to)
{
    if (forward->tries > 1)
        uv_udp_connect(&forward->udp, NULL);
    int rc = uv_udp_connect(&forward->udp, (const struct sockaddr *)to);
    if (rc < 0)
        return rc;
    uv_buf_t data = uv_buf_init((char *)forward->data, (unsigned)forward->size);
    rc = uv_udp_try_send(&forward->udp, &data, 1, NULL);
    if (rc >= 0)
        rc = uv_udp_recv_start(&forward->udp, give_buffer, was_received);
    return rc == UV_EALREADY ? 0 : rc;
}

/* Sends the query to the next resolver, of the same kind of address as the first. */
static int forward_send(struct forward *forward)
{
    struct names *names = forward->names;
    const struct dns_settings *settings = &names->settings;
    struct sockaddr_storage to;
    if (!forward->fixed)
        forward->server = settings->servers[names->next_server++ % settings->server_count];
    forward->tries++;
    socket_address(&forward->server, &to);
    int rc = forward->query->stream ? forward_stream(forward, &to) : forward_datagram(forward, &to);
    uv_timer_start(&forward->timer, took_too_long, NAMES_FORWARD_MS, 0);
    return rc;
}

static struct forward *forward_new(struct names *names, const struct dns_query *parsed,
                                   const uint8_t *data, size_t size)
{
    uint16_t id;
    if (names->forwards == NAMES_FORWARD_MAX || getrandom(&id, sizeof id, 0) != sizeof id)
        return NULL;
    struct forward *forward = calloc(1, sizeof *forward + size);
    if (forward == NULL)
        return NULL;
    forward->names = names;
    forward->parsed = *parsed;
    forward->id = parsed->id;
    forward->parsed.id = id;
    forward->size = size;
    memcpy(forward->data, data, size);
    put_id(forward->data, id);
    uv_udp_init(names->core->loop, &forward->udp); /* the socket is made when it is needed */
    uv_timer_init(names->core->loop, &forward->timer);
    forward->udp.data = forward->timer.data = forward;
    forward->open = 2;
    names->forwards++;
    return forward;
}

/* A resolver of the guest's choice is judged like any address. */
static bool may_ask(const struct names *names, const struct address *to)
{
    return names->settings.mode == DNS_MODE_OPEN && !address_equal(to, &names->gateway) &&
           policy_address_allowed(names->core->policy, "", 53, to, NULL);
}

static void pass_on(struct names *names, struct name_query *query, const struct dns_query *parsed,
                    const uint8_t *data, size_t size)
{
    struct forward *forward = forward_new(names, parsed, data, size);
    if (forward == NULL) {
        answer_failure(query, parsed);
        return;
    }
    forward->query = query;
    forward->fixed = may_ask(names, &query->to);
    if (forward->fixed)
        forward->server = query->to;
    query->forward = forward;
    if (forward_send(forward) < 0)
        forward_fail(forward);
}

static void report_denied(const struct names *names, const struct name_query *query,
                          const char *name)
{
    const struct core *core = names->core;
    struct policy_verdict verdict;
    policy_judge(core->policy, &(struct policy_request){.host = name}, &verdict);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "guest_port", query->guest_port);
    cJSON_AddStringToObject(json, "protocol", "dns");
    cJSON_AddStringToObject(json, "host", name);
    cJSON_AddNumberToObject(json, "port", 53);
    cJSON_AddStringToObject(json, "verdict", "deny");
    cJSON_AddStringToObject(json, "reason", verdict.reason);
    if (verdict.rule != 0)
        cJSON_AddNumberToObject(json, "rule", verdict.rule);
    core->event(core->context, "net", json);
}

static bool is_local(const char *name)
{
    size_t size = strlen(name);
    return strcmp(name, "localhost") == 0 ||
           (size > 10 && strcmp(name + size - 10, ".localhost") == 0);
}

void names_ask(struct names *names, struct name_query *query, const uint8_t *data, size_t size)
{
    struct dns_query parsed;
    uint8_t reply[DNS_REPLY_MAX];
    enum policy_action action = POLICY_ASK;
    query->forward = NULL;
    int rc = dns_query_parse(data, size, &parsed);
    if (rc < 0) {
        query->answered(query, NULL, 0);
        return;
    }
    if (rc == 0 && names->settings.mode != DNS_MODE_SYNTHETIC && parsed.name[0] != '\0' &&
        !is_local(parsed.name))
        action = policy_judge_name(names->core->policy, parsed.name);
    if (action == POLICY_ALLOW) {
        pass_on(names, query, &parsed, data, size);
        return;
    }
    size_t length;
    if (action == POLICY_DENY) {
        report_denied(names, query, parsed.name);
        length = dns_reply(&parsed, DNS_NXDOMAIN, NULL, 0, reply);
    } else {
        length = dns_names_reply(names->core->names, &parsed, rc, reply);
    }
    query->answered(query, reply, length);
}
