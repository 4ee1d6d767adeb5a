/* See the header. `written` is also called for dropped bytes: to the sender they are gone. */
#include "session/cli/output.h"

#include <errno.h>

static void output_fail(struct output *output, int code)
{
    output->broken = true;
    watch_stop(output->watch);
    uint32_t dropped = (uint32_t)buf_len(&output->waiting);
    buf_free(&output->waiting);
    output->gone(output->context, output->fd, code);
    output->written(output->context, output->fd, dropped);
}

static void output_ready(void *context)
{
    struct output *output = context;
    ssize_t put = watch_write(output->fd, buf_data(&output->waiting), buf_len(&output->waiting));
    if (put < 0) {
        output_fail(output, (int)-put);
        return;
    }
    buf_consume(&output->waiting, (size_t)put);
    if (buf_len(&output->waiting) == 0)
        watch_stop(output->watch);
    output->written(output->context, output->fd, (uint32_t)put);
}

int output_open(struct output *output, uv_loop_t *loop, int fd,
                void (*written)(void *context, int fd, uint32_t bytes),
                void (*gone)(void *context, int fd, int code), void *context, struct error *err)
{
    *output = (struct output){.fd = fd, .written = written, .gone = gone, .context = context};
    return watch_open(&output->watch, loop, fd, UV_WRITABLE, output_ready, output, err);
}

void output_write(struct output *output, const uint8_t *data, uint32_t size)
{
    if (output->broken) {
        output->written(output->context, output->fd, size);
        return;
    }
    if (size == 0)
        return;
    if (buf_append(&output->waiting, data, size) < 0) {
        output_fail(output, ENOMEM);
        return;
    }
    watch_start(output->watch);
}

bool output_idle(const struct output *output)
{
    return buf_len(&output->waiting) == 0;
}

void output_close(struct output *output)
{
    watch_close(output->watch);
    output->watch = NULL;
    buf_free(&output->waiting);
}
