/*
 * The network's core on one loop, without a link: guests are byte strings that are pushed into
 * proxies, upstreams are real servers on 127.0.0.1, with and without TLS, that answer by script and
 * keep what they were sent.
 */
#ifndef VMDECK_TESTS_NET_WORLD_H
#define VMDECK_TESTS_NET_WORLD_H

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "ca_fixture.h"
#include "net/ca.h"
#include "net/net_internal.h"
#include "net/proxy.h"

#define WORLD_OK      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define WORLD_SECONDS 20 /* until a test has failed */

struct server;

/* A connection to the server, with TLS where the server has it. */
struct server_conn {
    uv_tcp_t tcp;
    struct server *server;
    struct tls *tls;
    struct buf in; /* plaintext not answered yet */
    char buffer[65536];
};

struct server {
    uv_tcp_t listener;
    uint16_t port;
    struct tls_context *tls; /* NULL: without */
    const char *host;        /* of its certificate */
    const char *until;       /* answers when this has come; NULL: echoes everything */
    const char *answer;      /* NULL: closes without one */
    size_t answer_size;      /* 0: its length as text */
    bool close;              /* … behind the answer */
    const char *big;         /* only to requests with this; the others get two bytes */
    struct buf seen;         /* all plaintext that came */
    unsigned connections, requests;
};

struct world {
    struct net_thread thread;
    struct core *core;
    struct server server;
    struct ca *ca;
    struct tls_context *client_tls;
    cJSON *events;
    unsigned pending;
    uv_timer_t watchdog;
};

/* The guest's half of a connection. */
struct peer {
    struct world *world;
    struct proxy *proxy;
    struct tls *tls;
    struct buf got; /* plaintext */
    struct buf raw; /* what the proxy wrote */
    size_t room;    /* bytes that may still be written to it */
    size_t consumed;
    bool accepted, refused, aborted, shut;
};

static inline void world_event(void *context, const char *type, cJSON *fields)
{
    struct world *world = context;
    cJSON_AddStringToObject(fields, "type", type);
    cJSON_AddItemToArray(world->events, fields);
}

static void world_pending(void *context, unsigned count)
{
    ((struct world *)context)->pending = count;
}

static void world_stuck(uv_timer_t *timer)
{
    struct world *world = timer->data;
    char *events = cJSON_PrintUnformatted(world->events);
    fail_msg("stuck; server saw '%.*s'; events %s", (int)buf_len(&world->server.seen),
             (const char *)buf_data(&world->server.seen), events);
}

static void conn_closed(uv_handle_t *handle)
{
    struct server_conn *conn = handle->data;
    tls_free(conn->tls);
    buf_free(&conn->in);
    free(conn);
}

static void conn_close(struct server_conn *conn)
{
    if (!uv_is_closing((uv_handle_t *)&conn->tcp))
        uv_close((uv_handle_t *)&conn->tcp, conn_closed);
}

struct conn_write {
    uv_write_t request;
    struct server_conn *conn;
    bool close;
    char data[];
};

static void conn_written(uv_write_t *request, int status)
{
    struct conn_write *write = (struct conn_write *)request;
    (void)status;
    if (write->close)
        conn_close(write->conn);
    free(write);
}

static void conn_write_raw(struct server_conn *conn, const void *data, size_t size, bool close)
{
    struct conn_write *write = malloc(sizeof *write + size);
    write->conn = conn;
    write->close = close;
    memcpy(write->data, data, size);
    uv_buf_t buffer = uv_buf_init(write->data, (unsigned)size);
    uv_write(&write->request, (uv_stream_t *)&conn->tcp, &buffer, 1, conn_written);
}

static void conn_flush_tls(struct server_conn *conn, bool close)
{
    size_t size;
    const void *out = tls_output(conn->tls, &size);
    if (size > 0 || close)
        conn_write_raw(conn, out, size, close);
    tls_output_sent(conn->tls, size);
}

static void conn_send(struct server_conn *conn, const void *data, size_t size, bool close)
{
    if (conn->tls == NULL) {
        conn_write_raw(conn, data, size, close);
        return;
    }
    const char *at = data;
    while (size > 0) {
        ssize_t taken = tls_write(conn->tls, at, size, NULL);
        assert_true(taken > 0);
        at += taken;
        size -= (size_t)taken;
        conn_flush_tls(conn, false);
    }
    if (close)
        tls_close(conn->tls);
    conn_flush_tls(conn, close);
}

static void conn_answer(struct server_conn *conn)
{
    struct server *server = conn->server;
    for (;;) {
        size_t size = buf_len(&conn->in);
        if (size == 0)
            return;
        if (server->until == NULL) {
            conn_send(conn, buf_data(&conn->in), size, false);
            buf_consume(&conn->in, size);
            return;
        }
        size_t length = strlen(server->until);
        uint8_t *end = memmem(buf_data(&conn->in), size, server->until, length);
        if (end == NULL)
            return;
        size_t whole = (size_t)(end - buf_data(&conn->in)) + length;
        bool small = server->big != NULL &&
                     memmem(buf_data(&conn->in), whole, server->big, strlen(server->big)) == NULL;
        buf_consume(&conn->in, whole);
        server->requests++;
        if (small)
            conn_send(conn, WORLD_OK, strlen(WORLD_OK), false);
        else if (server->answer == NULL)
            conn_close(conn);
        else
            conn_send(conn, server->answer,
                      server->answer_size > 0 ? server->answer_size : strlen(server->answer),
                      server->close);
    }
}

static void conn_came(struct server_conn *conn, const void *data, size_t size)
{
    buf_append(&conn->server->seen, data, size);
    buf_append(&conn->in, data, size);
}

static void conn_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    (void)size;
    struct server_conn *conn = handle->data;
    *out = uv_buf_init(conn->buffer, sizeof conn->buffer);
}

static void conn_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct server_conn *conn = stream->data;
    if (size < 0) {
        conn_close(conn);
        return;
    }
    if (conn->tls == NULL) {
        conn_came(conn, buffer->base, (size_t)size);
    } else {
        size_t fed = 0;
        char plain[20000];
        ssize_t got;
        do {
            fed += tls_feed(conn->tls, buffer->base + fed, (size_t)size - fed);
            while ((got = tls_read(conn->tls, plain, sizeof plain, NULL)) > 0)
                conn_came(conn, plain, (size_t)got);
        } while (fed < (size_t)size && got == -EAGAIN);
        conn_flush_tls(conn, got != -EAGAIN);
        if (got != -EAGAIN)
            return;
    }
    conn_answer(conn);
}

static void server_connected(uv_stream_t *listener, int status)
{
    struct server *server = listener->data;
    struct server_conn *conn = calloc(1, sizeof *conn);
    assert_int_equal(status, 0);
    server->connections++;
    conn->server = server;
    conn->tcp.data = conn;
    uv_tcp_init(listener->loop, &conn->tcp);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&conn->tcp), 0);
    if (server->tls != NULL)
        assert_int_equal(tls_accept(server->tls, server->host, &conn->tls, NULL), 0);
    uv_read_start((uv_stream_t *)&conn->tcp, conn_alloc, conn_read);
}

static inline void server_open(struct world *world, struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int size = sizeof address;
    uv_tcp_init(world->core->loop, &server->listener);
    server->listener.data = server;
    uv_tcp_bind(&server->listener, (struct sockaddr *)&address, 0);
    assert_int_equal(uv_listen((uv_stream_t *)&server->listener, 64, server_connected), 0);
    uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &size);
    server->port = ntohs(address.sin_port);
}

/* `tls_host`: what the server's certificate is for; NULL: it speaks plain HTTP. The port is known
 * before the options are used, for secrets and mappings that name it. */
static inline void world_open_server(struct world *world, const char *tls_host)
{
    struct error err = {0};
    *world = (struct world){0};
    signal(SIGPIPE, SIG_IGN); /* the network's own thread takes no signals */
    world->core = &world->thread.core;
    assert_int_equal(uv_loop_init(&world->thread.loop), 0);
    world->core->loop = &world->thread.loop;
    world->events = cJSON_CreateArray();
    world->server.until = "\r\n\r\n";
    if (ca_open(&world->ca, &err) < 0)
        fail_msg("%s", err.message);
    const char *roots[] = {ca_path("vmdeck/ca/ca.crt"), NULL};
    if (tls_context_new(world->ca, roots, &world->client_tls, &err) < 0)
        fail_msg("%s", err.message);
    if (tls_host != NULL) {
        world->server.tls = world->client_tls;
        world->server.host = tls_host;
    }
    server_open(world, &world->server);
}

static inline void world_open_core(struct world *world, struct net_options options)
{
    struct error err = {0};
    struct strv roots = {0};
    strv_add(&roots, ca_path("vmdeck/ca/ca.crt"));
    options.upstream_ca = &roots;
    world->core->event = world_event;
    world->core->context = world->core->questions.context = world;
    world->core->questions.changed = world_pending;
    if (setup_make(&world->thread, &options, &err) < 0)
        fail_msg("%s", err.message);
    strv_free(&roots);
    uv_timer_init(world->core->loop, &world->watchdog);
    world->watchdog.data = world;
    uv_timer_start(&world->watchdog, world_stuck, WORLD_SECONDS * 1000, 0);
}

static void world_close_handle(uv_handle_t *handle, void *context)
{
    (void)context;
    if (uv_is_closing(handle) || handle->type == UV_ASYNC) /* a queue ends by itself */
        return;
    if (handle->type == UV_TCP && handle->data != NULL && !uv_is_readable((uv_stream_t *)handle) &&
        !uv_is_writable((uv_stream_t *)handle))
        uv_close(handle, NULL); /* the listener */
    else if (handle->type == UV_TCP)
        conn_close(handle->data);
    else
        uv_close(handle, NULL);
}

static inline void world_close(struct world *world)
{
    struct core *core = world->core;
    assert_true(TAILQ_EMPTY(&core->proxies));
    assert_int_equal(core->held, 0);
    assert_int_equal(core->tls_flows, 0);
    setup_close(&world->thread);
    uv_timer_stop(&world->watchdog);
    uv_run(core->loop, UV_RUN_NOWAIT);
    uv_walk(core->loop, world_close_handle, NULL);
    uv_run(core->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(core->loop), 0);
    setup_free(&world->thread);
    tls_context_free(world->client_tls);
    ca_close(world->ca);
    buf_free(&world->server.seen);
    cJSON_Delete(world->events);
}

static inline size_t peer_write(void *guest, const void *data, size_t size)
{
    struct peer *peer = guest;
    if (size > peer->room)
        size = peer->room;
    peer->room -= size;
    assert_int_equal(buf_append(&peer->raw, data, size), 0);
    return size;
}

static inline void peer_consumed(void *guest, size_t size)
{
    ((struct peer *)guest)->consumed += size;
}

static inline void peer_shutdown(void *guest)
{
    ((struct peer *)guest)->shut = true;
}

static inline void peer_accept(void *guest)
{
    ((struct peer *)guest)->accepted = true;
}

static inline void peer_refuse(void *guest)
{
    struct peer *peer = guest;
    assert_false(peer->accepted);
    peer->refused = true;
    peer->proxy = NULL;
}

static inline void peer_abort(void *guest)
{
    struct peer *peer = guest;
    assert_true(peer->accepted);
    peer->aborted = true;
    peer->proxy = NULL;
}

static inline void peer_set_idle(void *guest, uint32_t seconds)
{
    (void)guest;
    assert_true(seconds > 0);
}

static const struct proxy_guest peer_ops = {
    .stream = {.write = peer_write, .consumed = peer_consumed, .shutdown = peer_shutdown},
    .accept = peer_accept,
    .refuse = peer_refuse,
    .abort = peer_abort,
    .set_idle = peer_set_idle,
};

/* Decrypts what the proxy wrote, and sends what TLS has to say. */
static inline void peer_turn(struct peer *peer)
{
    if (peer->tls == NULL) {
        buf_append(&peer->got, buf_data(&peer->raw), buf_len(&peer->raw));
        buf_consume(&peer->raw, buf_len(&peer->raw));
        return;
    }
    bool moved = true;
    while (moved) {
        uint8_t plain[20000];
        size_t size, fed = tls_feed(peer->tls, buf_data(&peer->raw), buf_len(&peer->raw));
        buf_consume(&peer->raw, fed);
        ssize_t got;
        while ((got = tls_read(peer->tls, plain, sizeof plain, NULL)) > 0)
            buf_append(&peer->got, plain, (size_t)got);
        const void *out = tls_output(peer->tls, &size);
        moved = fed > 0 || size > 0;
        CLEAN_BUF struct buf copy = {0};
        buf_append(&copy, out, size);
        tls_output_sent(peer->tls, size);
        if (size > 0 && peer->proxy != NULL)
            proxy_received(peer->proxy, buf_data(&copy), size);
    }
}

static inline void peer_connect(struct world *world, struct peer *peer, const char *address,
                                uint16_t port)
{
    struct proxy_ends ends = {.port = port, .guest_port = 40000};
    *peer = (struct peer){.world = world, .room = SIZE_MAX};
    assert_int_equal(address_parse(address, &ends.address), 0);
    struct proxy *proxy = proxy_open(world->core, &peer_ops, peer, &ends);
    if (!peer->refused && !peer->aborted)
        peer->proxy = proxy;
    assert_true((peer->proxy == NULL) == (proxy == NULL));
}

/* With TLS for `sni`; the handshake is done when it returns, or the proxy is gone. */
static inline void peer_start_tls(struct peer *peer, const char *sni)
{
    struct error err = {0};
    if (tls_connect(peer->world->client_tls, sni, &peer->tls, &err) < 0)
        fail_msg("%s", err.message);
    peer_turn(peer);
}

/* Bytes, in pieces of at most `piece`. Stops when the proxy is gone. */
static inline void peer_send(struct peer *peer, const void *data, size_t size, size_t piece)
{
    const uint8_t *at = data;
    while (size > 0 && peer->proxy != NULL) {
        size_t part = size < piece ? size : piece;
        if (peer->tls == NULL) {
            proxy_received(peer->proxy, at, part);
        } else {
            assert_int_equal(tls_write(peer->tls, at, part, NULL), part);
            peer_turn(peer);
        }
        at += part;
        size -= part;
    }
}

/* Runs the loop until `text` has come, or the connection is over. */
static inline bool peer_wait(struct peer *peer, const char *text)
{
    for (;;) {
        peer_turn(peer);
        if (text != NULL && buf_len(&peer->got) > 0 &&
            memmem(buf_data(&peer->got), buf_len(&peer->got), text, strlen(text)) != NULL)
            return true;
        if (peer->proxy == NULL || (peer->shut && buf_len(&peer->raw) == 0))
            return text == NULL;
        uv_run(peer->world->core->loop, UV_RUN_ONCE);
    }
}

static inline const char *peer_text(struct peer *peer)
{
    return buf_string(&peer->got);
}

static inline void peer_close(struct peer *peer)
{
    if (peer->proxy != NULL)
        proxy_closed(peer->proxy);
    peer->proxy = NULL;
    tls_free(peer->tls);
    buf_free(&peer->got);
    buf_free(&peer->raw);
}

static inline const char *seen_text(struct world *world)
{
    return buf_string(&world->server.seen);
}

/* The last event that has this member with this value. */
static const cJSON *world_named(const cJSON *events, const char *name, const char *value)
{
    const cJSON *event, *found = NULL;
    cJSON_ArrayForEach(event, events)
    {
        const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(event, name));
        if (text != NULL && strcmp(text, value) == 0)
            found = event;
    }
    return found;
}

static inline const cJSON *world_find_event(const struct world *world, const char *name,
                                            const char *value)
{
    return world_named(world->events, name, value);
}

static inline const char *event_text(const cJSON *event, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(event, name));
    return text != NULL ? text : "";
}

#endif
