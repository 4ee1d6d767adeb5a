/*
 * A buffer that is cut at its front when it has grown to twice the maximum: a guest that prints a
 * gigabyte costs a memmove per 16 KiB. The text is a guest's and goes to somebody's terminal, so
 * it is stripped to printable characters on the way out.
 */
#include "vm/tail.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tail {
    uv_poll_t poll;
    int fd;
    bool ended;
    struct buf kept;
};

/* True while there may be more to read. */
static bool tail_read(struct tail *tail)
{
    uint8_t *room = buf_reserve(&tail->kept, TAIL_MAX);
    ssize_t got = room != NULL ? read(tail->fd, room, TAIL_MAX) : -1;
    if (got > 0) {
        buf_added(&tail->kept, (size_t)got);
        if (buf_len(&tail->kept) > TAIL_MAX)
            buf_consume(&tail->kept, buf_len(&tail->kept) - TAIL_MAX);
        return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        tail->ended = true;
        uv_poll_stop(&tail->poll);
    }
    return false;
}

static void tail_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    tail_read(poll->data);
}

int tail_open(struct tail **out, uv_loop_t *loop, int fd, struct error *err)
{
    struct tail *tail = calloc(1, sizeof *tail);
    int rc = tail != NULL ? uv_poll_init(loop, &tail->poll, fd) : UV_ENOMEM;
    if (rc < 0) {
        close(fd);
        free(tail);
        return error_set(err, -rc, "cannot watch QEMU's output: %s", uv_strerror(rc));
    }
    tail->fd = fd;
    tail->poll.data = tail;
    uv_poll_start(&tail->poll, UV_READABLE, tail_poll);
    *out = tail;
    return 0;
}

void tail_drain(struct tail *tail)
{
    for (int i = 0; i < 64 && !tail->ended && tail_read(tail); i++)
        continue;
}

/* Copies one line without escape sequences and control characters; false if nothing is left. */
static bool tail_clean(const uint8_t *line, size_t len, struct buf *out)
{
    size_t start = buf_len(out);
    bool visible = false;
    for (size_t i = 0; i < len; i++) {
        if (line[i] == 0x1b && i + 1 < len && line[i + 1] == '[') {
            for (i += 2; i < len && (line[i] < 0x40 || line[i] > 0x7e); i++)
                continue;
        } else if (line[i] == 0x1b && i + 1 < len) {
            i++; /* a two-byte escape, as SeaBIOS prints */
        } else if (line[i] >= ' ' && line[i] < 0x7f) {
            visible = visible || line[i] != ' ';
            buf_append(out, line + i, 1);
        }
    }
    if (!visible)
        out->end = out->start + start;
    else
        buf_append(out, "\n", 1);
    return visible;
}

void tail_lines(const struct tail *tail, size_t lines, struct buf *out)
{
    const uint8_t *data = buf_data(&tail->kept);
    size_t at = buf_len(&tail->kept), found = 0;
    CLEAN_BUF struct buf scratch = {0};
    /* backwards to where the last `lines` visible lines begin, then forwards */
    while (at > 0 && found < lines) {
        const uint8_t *newline = memrchr(data, '\n', at - 1);
        size_t begin = newline != NULL ? (size_t)(newline - data) + 1 : 0;
        if (tail_clean(data + begin, at - begin, &scratch))
            found++;
        at = begin;
    }
    while (at < buf_len(&tail->kept)) {
        const uint8_t *newline = memchr(data + at, '\n', buf_len(&tail->kept) - at);
        size_t end = newline != NULL ? (size_t)(newline - data) : buf_len(&tail->kept);
        tail_clean(data + at, end - at, out);
        at = end + 1;
    }
}

static void tail_freed(uv_handle_t *handle)
{
    struct tail *tail = handle->data;
    close(tail->fd);
    buf_free(&tail->kept);
    free(tail);
}

void tail_close(struct tail *tail)
{
    if (tail == NULL)
        return;
    uv_poll_stop(&tail->poll);
    uv_close((uv_handle_t *)&tail->poll, tail_freed);
}
