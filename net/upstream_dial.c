/*
 * Addresses are tried one after the other, each with its share of the time that is left, so that a
 * dead one does not use it all up. libuv's resolver works in threads that the whole process
 * shares, so a guest may only use some of them. A lookup that nobody waits for any more is
 * cancelled, or frees itself when it is done.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "net/core.h"
#include "net/pins.h"
#include "net/upstream_internal.h"

#define LOOKUPS_MAX 2 /* of libuv's four threads */

static void try_next(struct connection *connection);
static void look_up(struct connection *connection);

void dial_stop(struct connection *connection)
{
    uv_timer_stop(&connection->timer);
    if (connection->lookup_waits)
        TAILQ_REMOVE(&connection->all->resolving, connection, resolving);
    connection->lookup_waits = false;
    if (connection->lookup == NULL)
        return;
    connection->lookup->connection = NULL;
    (void)uv_cancel((uv_req_t *)&connection->lookup->request);
    connection->lookup = NULL;
}

static void ready(struct connection *connection)
{
    uv_timer_stop(&connection->timer);
    connection->phase = PHASE_READY;
    connection->public.state = UPSTREAM_READY;
    connection->public.via = connection->proxy != NULL && !connection->tls && !connection->tunnel;
    if (connection->public.via && connection->proxy->auth[0] != '\0')
        connection->public.via_auth = connection->proxy->auth;
    connection_tell(connection);
}

static void failed(struct connection *connection)
{
    connection_fail(connection);
    connection_tell(connection);
}

static void start_tls(struct connection *connection)
{
    struct upstream *public = &connection->public;
    struct tls *tls;
    if (!connection->tls) {
        ready(connection);
        return;
    }
    if (tls_connect(connection->all->core->tls, connection->host, &tls, &public->error) < 0) {
        failed(connection);
        return;
    }
    stream_start_tls(&public->stream, tls);
    connection->phase = PHASE_TLS;
    dial_progress(connection);
}

/* CONNECT's answer. */
static void read_via(struct connection *connection)
{
    struct upstream *public = &connection->public;
    struct stream *stream = &public->stream;
    struct http_event event;
    size_t used;
    do {
        int rc = http_read(&connection->via_reader, buf_data(&stream->in), buf_len(&stream->in),
                           &used, &event, &public->error);
        stream_consume(stream, used);
        if (rc < 0) {
            error_wrap(&public->error, "the HTTP proxy %s", connection->proxy->host);
            failed(connection);
            return;
        }
        if (event.kind != HTTP_EVENT_HEAD)
            continue;
        int status = event.head->status;
        http_head_free(event.head);
        if (status >= 300) {
            error_set(&public->error, EACCES, "the HTTP proxy %s answers CONNECT %s:%u with %d",
                      connection->proxy->host, connection->host, connection->port, status);
            failed(connection);
            return;
        }
    } while (event.kind != HTTP_EVENT_MORE && event.kind != HTTP_EVENT_TUNNEL);
    if (event.kind == HTTP_EVENT_TUNNEL) {
        start_tls(connection);
    } else if (stream->ended) {
        error_set(&public->error, ECONNRESET, "the HTTP proxy %s closed the connection",
                  connection->proxy->host);
        failed(connection);
    }
}

static void shake(struct connection *connection)
{
    struct stream *stream = &connection->public.stream;
    do {
        (void)stream_fill(stream);
    } while (stream_flush(stream) && stream->failed == 0 && !stream->open);
    if (stream->failed != 0) {
        error_set(&connection->public.error, stream->failed, "%s port %u: %s", connection->host,
                  connection->port, stream->why);
        failed(connection);
    } else if (stream->open) {
        ready(connection);
    }
}

void dial_progress(struct connection *connection)
{
    if (connection->phase == PHASE_VIA) {
        (void)stream_flush(&connection->public.stream);
        read_via(connection);
    } else if (connection->phase == PHASE_TLS) {
        shake(connection);
    }
}

static void ask_via(struct connection *connection)
{
    struct buf *out = &connection->public.stream.out;
    const struct via_proxy *proxy = connection->proxy;
    bool v6 = strchr(connection->host, ':') != NULL;
    const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";
    connection->phase = PHASE_VIA;
    http_reader_responses(&connection->via_reader);
    http_reader_expect_connect(&connection->via_reader);
    int rc =
        buf_printf(out, "CONNECT %s%s%s:%u HTTP/1.1\r\nHost: %s%s%s:%u\r\n", open, connection->host,
                   close, connection->port, open, connection->host, close, connection->port);
    if (rc == 0 && proxy->auth[0] != '\0')
        rc = buf_printf(out, "Proxy-Authorization: %s\r\n", proxy->auth);
    if (rc == 0)
        rc = buf_append(out, "\r\n", 2);
    if (rc < 0) {
        error_set(&connection->public.error, ENOMEM, "out of memory");
        failed(connection);
        return;
    }
    dial_progress(connection);
}

/* The time of an address, or of what comes behind the connect, is over. */
static void took_too_long(uv_timer_t *timer)
{
    struct connection *connection = timer->data;
    error_set(&connection->public.error, ETIMEDOUT, "%s port %u did not answer in time",
              connection->host, connection->port);
    if (connection->phase == PHASE_CONNECTING) {
        socket_drop(connection);
        try_next(connection);
        if (connection->public.state == UPSTREAM_FAILED)
            connection_tell(connection);
        return;
    }
    failed(connection);
}

static void start_timer(struct connection *connection, size_t shares)
{
    uint64_t used = uv_now(connection->all->core->loop) - connection->started;
    uint64_t left = used < UPSTREAM_CONNECT_MS ? UPSTREAM_CONNECT_MS - used : 1;
    uv_timer_start(&connection->timer, took_too_long, left / shares + 1, 0);
}

static void was_connected(uv_connect_t *request, int status)
{
    struct socket *socket = request->data;
    struct connection *connection = socket->connection;
    if (connection == NULL)
        return;
    if (status < 0) {
        error_set(&connection->public.error, -status, "cannot connect to %s port %u: %s",
                  connection->host, connection->port, uv_strerror(status));
        socket_drop(connection);
        try_next(connection);
        if (connection->public.state == UPSTREAM_FAILED)
            connection_tell(connection);
        return;
    }
    start_timer(connection, 1);
    (void)uv_tcp_nodelay(&socket->tcp, 1);
    socket_start(socket);
    if (connection->proxy != NULL && (connection->tls || connection->tunnel))
        ask_via(connection);
    else
        start_tls(connection);
}

static int connect_to(struct connection *connection, const struct address *address, uint16_t port)
{
    struct sockaddr_storage to = {0};
    if (address->v6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&to;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        memcpy(&in6->sin6_addr, address->bytes, 16);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)&to;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, address->bytes, 4);
    }
    int rc = socket_open(connection);
    if (rc < 0)
        return rc;
    connection->socket->connect.data = connection->socket;
    rc = uv_tcp_connect(&connection->socket->connect, &connection->socket->tcp,
                        (struct sockaddr *)&to, was_connected);
    if (rc < 0)
        socket_drop(connection);
    return rc;
}

static bool may_connect(struct connection *connection, const struct address *address)
{
    struct upstream *public = &connection->public;
    const char *why = "";
    char text[ADDRESS_TEXT_MAX];
    bool trusted = connection->mapped || connection->internal || connection->proxy != NULL;
    public->refused =
        !trusted && !policy_address_allowed(connection->all->core->policy, connection->host,
                                            connection->port, address, &why);
    if (!public->refused)
        return true;
    address_print(address, text);
    return error_set(&public->error, EACCES,
                     "%s is not a public address (%s), and %s is not allowed internally", text, why,
                     connection->host) == 0;
}

/* Connects to the next address that may be connected to; fails when there is none left. */
static void try_next(struct connection *connection)
{
    struct upstream *public = &connection->public;
    uint16_t port = connection->proxy != NULL ? connection->proxy->port : connection->port;
    connection->phase = PHASE_CONNECTING;
    while (connection->next_address < connection->address_count) {
        const struct address *address = &connection->addresses[connection->next_address++];
        public->address = *address;
        public->addressed = true;
        if (!may_connect(connection, address))
            continue;
        start_timer(connection, connection->address_count - connection->next_address + 1);
        int rc = connect_to(connection, address, port);
        if (rc == 0)
            return;
        error_set(&public->error, -rc, "cannot connect to %s port %u: %s", connection->host, port,
                  uv_strerror(rc));
    }
    connection_fail(connection);
}

static void take_addresses(struct connection *connection, const struct addrinfo *list)
{
    for (; list != NULL && connection->address_count < DIAL_ADDRESSES_MAX; list = list->ai_next) {
        struct address address;
        if (address_from_socket(list->ai_addr, &address) == 0)
            connection->addresses[connection->address_count++] = address;
    }
}

static const char *name_to_resolve(const struct connection *connection)
{
    return connection->proxy != NULL ? connection->proxy->host : connection->host;
}

/* The next in line, now that a lookup is over. */
static void next_lookup(const struct core *core)
{
    struct connection *next =
        core->upstreams != NULL ? TAILQ_FIRST(&core->upstreams->resolving) : NULL;
    if (next == NULL)
        return;
    TAILQ_REMOVE(&core->upstreams->resolving, next, resolving);
    next->lookup_waits = false;
    look_up(next);
    if (next->public.state == UPSTREAM_FAILED)
        connection_tell(next);
}

static void was_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct lookup *lookup = request->data;
    struct connection *connection = lookup->connection;
    struct core *core = lookup->core;
    free(lookup);
    core->lookups--;
    if (connection != NULL) {
        connection->lookup = NULL;
        if (status == 0)
            take_addresses(connection, list);
        error_set(&connection->public.error, EHOSTUNREACH, "cannot resolve %s: %s",
                  name_to_resolve(connection),
                  status < 0 ? uv_strerror(status) : "it has no address");
        try_next(connection);
        if (connection->public.state == UPSTREAM_FAILED)
            connection_tell(connection);
    }
    uv_freeaddrinfo(list);
    next_lookup(core);
}

static void look_up(struct connection *connection)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct core *core = connection->all->core;
    const char *host = name_to_resolve(connection);
    struct lookup *lookup = calloc(1, sizeof *lookup);
    int rc = UV_ENOMEM;
    if (lookup != NULL) {
        lookup->connection = connection;
        lookup->core = core;
        lookup->request.data = lookup;
        rc = uv_getaddrinfo(core->loop, &lookup->request, was_resolved, host, NULL, &hints);
    }
    if (rc < 0) {
        free(lookup);
        error_set(&connection->public.error, -rc, "cannot resolve %s: %s", host, uv_strerror(rc));
        connection_fail(connection);
        return;
    }
    connection->lookup = lookup;
    core->lookups++;
}

static void resolve(struct connection *connection)
{
    struct upstreams *all = connection->all;
    connection->phase = PHASE_RESOLVING;
    start_timer(connection, 1);
    if (all->core->lookups < LOOKUPS_MAX) {
        look_up(connection);
        return;
    }
    connection->lookup_waits = true;
    TAILQ_INSERT_TAIL(&all->resolving, connection, resolving);
}

void dial_begin(struct connection *connection)
{
    struct upstreams *all = connection->all;
    connection->started = uv_now(all->core->loop);
    connection->address_count =
        pins_find(all->core->pins, connection->host, connection->addresses, DIAL_ADDRESSES_MAX);
    if (connection->address_count == 0 && !connection->mapped)
        connection->proxy =
            via_find(&all->via, connection->tls, connection->host, connection->port);
    const char *host = name_to_resolve(connection);
    if (connection->address_count == 0 && address_parse(host, &connection->addresses[0]) == 0)
        connection->address_count = 1;
    if (connection->address_count > 0)
        try_next(connection);
    else
        resolve(connection);
}
