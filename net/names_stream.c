/*
 * Connect, one write, and reading until as much is there as the two bytes in front say: the
 * response is all that a resolver can make us hold. Who asks sees to the time.
 */
#include "net/names_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/packet.h"

#define RESPONSE_MAX UINT16_MAX

struct names_stream {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    void (*came)(void *owner, uint8_t *response, size_t size); /* NULL: it came */
    void *owner;
    size_t size, got;
    uint8_t response[2 + RESPONSE_MAX];
    uint8_t query[]; /* behind its length */
};

static void finish(struct names_stream *stream, uint8_t *response, size_t size)
{
    void (*came)(void *owner, uint8_t *response, size_t size) = stream->came;
    stream->came = NULL;
    if (came != NULL)
        came(stream->owner, response, size);
}

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    struct names_stream *stream = handle->data;
    size_t want = 2;
    (void)size;
    if (stream->got >= 2)
        want += net_get16(stream->response);
    *out = uv_buf_init((char *)stream->response + stream->got, (unsigned)(want - stream->got));
}

static void was_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buffer)
{
    struct names_stream *stream = handle->data;
    (void)buffer;
    if (size < 0) {
        uv_read_stop(handle);
        finish(stream, NULL, 0);
        return;
    }
    stream->got += (size_t)size;
    size_t whole = stream->got >= 2 ? net_get16(stream->response) : SIZE_MAX;
    if (whole == SIZE_MAX || stream->got < 2 + whole)
        return;
    uv_read_stop(handle);
    finish(stream, whole > 0 ? stream->response + 2 : NULL, whole);
}

static void was_written(uv_write_t *write, int status)
{
    if (status < 0 && status != UV_ECANCELED)
        finish(write->handle->data, NULL, 0);
}

static void was_connected(uv_connect_t *connect, int status)
{
    struct names_stream *stream = connect->handle->data;
    uv_buf_t query = uv_buf_init((char *)stream->query, (unsigned)stream->size);
    if (status == UV_ECANCELED)
        return;
    if (status == 0)
        status = uv_write(&stream->write, connect->handle, &query, 1, was_written);
    if (status == 0)
        status = uv_read_start(connect->handle, give_buffer, was_read);
    if (status < 0)
        finish(stream, NULL, 0);
}

int names_stream_ask(struct names_stream **out, uv_loop_t *loop, const struct sockaddr *resolver,
                     const uint8_t *query, size_t size,
                     void (*came)(void *owner, uint8_t *response, size_t size), void *owner)
{
    struct names_stream *stream = size <= UINT16_MAX ? calloc(1, sizeof *stream + 2 + size) : NULL;
    if (stream == NULL)
        return -ENOMEM;
    int rc = uv_tcp_init(loop, &stream->tcp);
    if (rc < 0) {
        free(stream);
        return rc;
    }
    stream->tcp.data = stream;
    stream->came = came;
    stream->owner = owner;
    stream->size = 2 + size;
    net_put16(stream->query, (uint16_t)size);
    memcpy(stream->query + 2, query, size);
    rc = uv_tcp_connect(&stream->connect, &stream->tcp, resolver, was_connected);
    if (rc < 0) {
        names_stream_close(stream);
        return rc;
    }
    *out = stream;
    return 0;
}

static void was_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void names_stream_close(struct names_stream *stream)
{
    if (stream == NULL)
        return;
    stream->came = NULL;
    uv_close((uv_handle_t *)&stream->tcp, was_closed);
}
