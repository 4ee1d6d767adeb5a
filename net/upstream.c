/*
 * A connection holds one of UPSTREAM_MAX places from its name's resolution to its close, so that
 * neither descriptors nor memory can be used up by a guest; who finds none waits in line. Places
 * in the pool are given up first.
 */
#include "net/upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/core.h"
#include "net/upstream_internal.h"

#define READ_MAX  65536 /* bytes that came and were not used: then reading stops */
#define WRITE_MAX 65536

static struct connection *connection_of(struct upstream *upstream)
{
    return (struct connection *)upstream;
}

void connection_fail(struct connection *connection)
{
    connection->public.state = UPSTREAM_FAILED;
    connection->phase = PHASE_OVER;
    dial_stop(connection);
    socket_drop(connection);
}

void connection_tell(struct connection *connection)
{
    connection->changed(connection->owner);
}

/* Something came, or could be sent. */
static void socket_event(struct connection *connection)
{
    switch (connection->phase) {
    case PHASE_READY:
        connection_tell(connection);
        break;
    case PHASE_IDLE: /* nothing is expected any more: closed, or confused */
        upstream_close(&connection->public);
        break;
    default:
        dial_progress(connection);
        break;
    }
}

static void socket_broke(struct connection *connection, int status)
{
    enum phase phase = connection->phase;
    error_set(&connection->public.error, -status, "%s port %u: %s", connection->host,
              connection->port, uv_strerror(status));
    if (phase == PHASE_READY || phase == PHASE_IDLE) {
        stream_transport_ended(&connection->public.stream);
        connection->public.state = UPSTREAM_FAILED;
        socket_event(connection);
        return;
    }
    connection_fail(connection);
    connection_tell(connection);
}

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    (void)size;
    struct socket *socket = handle->data;
    *out = (uv_buf_t){0};
    if (socket->connection != NULL)
        *out = uv_buf_init(socket->connection->all->buffer, sizeof socket->connection->all->buffer);
}

static void was_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buffer)
{
    struct socket *socket = handle->data;
    struct connection *connection = socket->connection;
    if (connection == NULL || size == 0)
        return;
    struct stream *stream = &connection->public.stream;
    if (size < 0) {
        uv_read_stop(handle);
        socket->reading = false;
        stream_transport_ended(stream);
        if (size != UV_EOF)
            socket_broke(connection, (int)size);
        else
            socket_event(connection);
        return;
    }
    connection->all->core->received += (uint64_t)size;
    stream_received(stream, buffer->base, (size_t)size);
    if (buf_len(&stream->in) + buf_len(&stream->raw) >= READ_MAX) {
        uv_read_stop(handle);
        socket->reading = false;
    }
    socket_event(connection);
}

void socket_start(struct socket *socket)
{
    const struct stream *stream = &socket->connection->public.stream;
    if (!socket->reading && !stream->transport_end)
        socket->reading = uv_read_start((uv_stream_t *)&socket->tcp, give_buffer, was_read) == 0;
}

static void was_written(uv_write_t *write, int status)
{
    struct socket *socket = write->data;
    buf_free(&socket->writing);
    if (socket->connection == NULL)
        return;
    if (status < 0)
        socket_broke(socket->connection, status);
    else
        socket_event(socket->connection);
}

static size_t socket_write(void *transport, const void *data, size_t size)
{
    struct connection *connection = transport;
    struct socket *socket = connection->socket;
    if (socket == NULL)
        return size; /* it broke: where this would have gone nobody is */
    if (buf_len(&socket->writing) > 0)
        return 0;
    uv_buf_t now = uv_buf_init((char *)data, (unsigned)size);
    int taken = uv_try_write((uv_stream_t *)&socket->tcp, &now, 1);
    size_t done = taken > 0 ? (size_t)taken : 0;
    size_t rest = size - done < WRITE_MAX ? size - done : WRITE_MAX;
    connection->all->core->sent += done + rest;
    if (rest == 0 || buf_append(&socket->writing, (const char *)data + done, rest) < 0)
        return done;
    uv_buf_t later = uv_buf_init((char *)buf_data(&socket->writing), (unsigned)rest);
    socket->write.data = socket;
    if (uv_write(&socket->write, (uv_stream_t *)&socket->tcp, &later, 1, was_written) < 0)
        buf_free(&socket->writing);
    return done + rest;
}

static void socket_consumed(void *transport, size_t size)
{
    (void)size;
    struct connection *connection = transport;
    const struct stream *stream = &connection->public.stream;
    if (connection->socket != NULL && buf_len(&stream->in) + buf_len(&stream->raw) < READ_MAX)
        socket_start(connection->socket);
}

static void was_shut(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

static void socket_shutdown(void *transport)
{
    struct connection *connection = transport;
    uv_shutdown_t *request = connection->socket != NULL ? calloc(1, sizeof *request) : NULL;
    if (request != NULL &&
        uv_shutdown(request, (uv_stream_t *)&connection->socket->tcp, was_shut) < 0)
        free(request);
}

static const struct stream_ops socket_ops = {
    .write = socket_write,
    .consumed = socket_consumed,
    .shutdown = socket_shutdown,
};

static void socket_closed(uv_handle_t *handle)
{
    struct socket *socket = handle->data;
    buf_free(&socket->writing);
    free(socket);
}

int socket_open(struct connection *connection)
{
    struct socket *socket = calloc(1, sizeof *socket);
    if (socket == NULL)
        return -ENOMEM;
    int rc = uv_tcp_init(connection->all->core->loop, &socket->tcp);
    if (rc < 0) {
        free(socket);
        return rc;
    }
    socket->tcp.data = socket;
    socket->connection = connection;
    connection->socket = socket;
    return 0;
}

void socket_drop(struct connection *connection)
{
    struct socket *socket = connection->socket;
    if (socket == NULL)
        return;
    connection->socket = NULL;
    socket->connection = NULL;
    uv_close((uv_handle_t *)&socket->tcp, socket_closed);
}

int upstreams_new(struct core *core, struct upstreams **out, struct error *err)
{
    struct upstreams *all = calloc(1, sizeof *all);
    if (all == NULL)
        return error_set(err, ENOMEM, "out of memory");
    all->core = core;
    TAILQ_INIT(&all->used);
    TAILQ_INIT(&all->waiting);
    TAILQ_INIT(&all->pool);
    TAILQ_INIT(&all->resolving);
    int rc = via_read(&all->via, err);
    if (rc < 0) {
        free(all);
        return rc;
    }
    *out = all;
    return 0;
}

void upstreams_free(struct upstreams *all)
{
    if (all == NULL)
        return;
    while (!TAILQ_EMPTY(&all->pool))
        upstream_close(&TAILQ_FIRST(&all->pool)->public);
    via_free(&all->via);
    free(all);
}

static void unpool(struct connection *connection)
{
    TAILQ_REMOVE(&connection->all->pool, connection, entry);
    connection->all->pooled--;
    connection->phase = PHASE_OVER;
    uv_timer_stop(&connection->timer);
}

static void was_waited(uv_timer_t *timer)
{
    struct connection *connection = timer->data;
    dial_begin(connection);
    if (connection->public.state != UPSTREAM_CONNECTING)
        connection_tell(connection);
}

/* Gives a free place to whoever waits longest. */
static void next_waiting(struct upstreams *all)
{
    struct connection *next = TAILQ_FIRST(&all->waiting);
    if (next == NULL || all->count >= UPSTREAM_MAX)
        return;
    TAILQ_REMOVE(&all->waiting, next, entry);
    TAILQ_INSERT_TAIL(&all->used, next, entry);
    all->count++;
    next->phase = PHASE_RESOLVING;
    uv_timer_start(&next->timer, was_waited, 0, 0);
}

static void was_closed(uv_handle_t *timer)
{
    free(timer->data);
}

void upstream_close(struct upstream *upstream)
{
    if (upstream == NULL)
        return;
    struct connection *connection = connection_of(upstream);
    struct upstreams *all = connection->all;
    if (connection->phase == PHASE_WAITING) {
        TAILQ_REMOVE(&all->waiting, connection, entry);
    } else {
        if (connection->phase == PHASE_IDLE)
            unpool(connection);
        else
            TAILQ_REMOVE(&all->used, connection, entry);
        all->count--;
    }
    dial_stop(connection);
    socket_drop(connection);
    stream_free(&upstream->stream);
    http_reader_free(&connection->via_reader);
    uv_close((uv_handle_t *)&connection->timer, was_closed);
    next_waiting(all);
}

static void idle_too_long(uv_timer_t *timer)
{
    upstream_close(&((struct connection *)timer->data)->public);
}

static bool same_origin(const struct connection *connection, const char *host, uint16_t port,
                        bool tls)
{
    return connection->tls == tls && connection->port == port &&
           strcmp(connection->host, host) == 0;
}

void upstream_release(struct upstream *upstream)
{
    struct connection *connection = connection_of(upstream);
    struct upstreams *all = connection->all;
    const struct stream *stream = &upstream->stream;
    if (upstream->state != UPSTREAM_READY || stream->ended || stream->transport_end ||
        stream->failed != 0 || stream->shut || buf_len(&stream->in) > 0 ||
        !stream_drained(stream) || connection->mapped || connection->tunnel ||
        !TAILQ_EMPTY(&all->waiting)) {
        upstream_close(upstream);
        return;
    }
    size_t same = 0;
    struct connection *other = TAILQ_FIRST(&all->pool), *oldest = NULL;
    for (; other != NULL; other = TAILQ_NEXT(other, entry)) {
        if (!same_origin(other, connection->host, connection->port, connection->tls))
            continue;
        same++;
        oldest = oldest != NULL ? oldest : other;
    }
    if (same >= UPSTREAM_POOL_HOST)
        upstream_close(&oldest->public);
    else if (all->pooled >= UPSTREAM_POOL_MAX)
        upstream_close(&TAILQ_FIRST(&all->pool)->public);
    TAILQ_REMOVE(&all->used, connection, entry);
    TAILQ_INSERT_TAIL(&all->pool, connection, entry);
    all->pooled++;
    connection->phase = PHASE_IDLE;
    connection->owner = NULL;
    connection->idle_since = uv_now(all->core->loop);
    stream_trim(&upstream->stream);
    socket_start(connection->socket); /* or its end would not be noticed */
    uv_timer_start(&connection->timer, idle_too_long, UPSTREAM_IDLE, 0);
}

/* Its address is judged again: rules may have changed. */
static struct connection *from_pool(struct upstreams *all, const struct upstream_target *target)
{
    struct connection *connection, *next;
    uint64_t now = uv_now(all->core->loop);
    uint64_t age = target->body ? UPSTREAM_IDLE_BODY : UPSTREAM_IDLE;
    for (connection = TAILQ_LAST(&all->pool, connection_list); connection != NULL;
         connection = next) {
        next = TAILQ_PREV(connection, connection_list, entry);
        if (!same_origin(connection, target->host, target->port, target->tls))
            continue;
        if (connection->proxy == NULL &&
            !policy_address_allowed(all->core->policy, target->host, target->port,
                                    &connection->public.address, NULL)) {
            upstream_close(&connection->public);
            continue;
        }
        if (now - connection->idle_since <= age)
            return connection;
    }
    return NULL;
}

static struct connection *connection_new(struct upstreams *all,
                                         const struct upstream_target *target)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    uv_timer_init(all->core->loop, &connection->timer);
    connection->timer.data = connection;
    connection->all = all;
    connection->public.stream.ops = &socket_ops;
    connection->public.stream.transport = connection;
    strncpy(connection->host, target->host, sizeof connection->host - 1);
    connection->port = target->port;
    connection->tls = target->tls;
    connection->mapped = target->mapped;
    connection->tunnel = target->tunnel;
    connection->internal = target->internal;
    return connection;
}

struct upstream *upstream_open(struct upstreams *all, const struct upstream_target *target,
                               upstream_changed *changed, void *owner)
{
    bool may_pool = !target->fresh && !target->mapped && !target->tunnel;
    struct connection *connection = may_pool ? from_pool(all, target) : NULL;
    if (connection != NULL) {
        unpool(connection);
        TAILQ_INSERT_TAIL(&all->used, connection, entry);
        connection->phase = PHASE_READY;
        connection->public.reused = true;
        connection->changed = changed;
        connection->owner = owner;
        return &connection->public;
    }
    connection = connection_new(all, target);
    if (connection == NULL)
        return NULL;
    connection->changed = changed;
    connection->owner = owner;
    if (all->count >= UPSTREAM_MAX && all->pooled > 0)
        upstream_close(&TAILQ_FIRST(&all->pool)->public);
    if (all->count >= UPSTREAM_MAX) {
        TAILQ_INSERT_TAIL(&all->waiting, connection, entry);
        return &connection->public;
    }
    TAILQ_INSERT_TAIL(&all->used, connection, entry);
    all->count++;
    dial_begin(connection);
    return &connection->public;
}
