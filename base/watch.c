/*
 * epoll descriptors can be polled themselves, so the shared descriptor sits in an epoll set of
 * its own and libuv watches that set. Regular files and some devices cannot be in one (EPERM):
 * they are always ready, which an idle handle says.
 *
 * A blocking write after "writable" can still wait if it is larger than the room. RWF_NOWAIT
 * avoids that where the kernel supports it for the file; elsewhere a pipe that is writable has
 * room for PIPE_BUF bytes (pipe(7)), and a terminal or a regular file is written in such steps.
 */
#include "base/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct watch {
    union {
        uv_handle_t handle;
        uv_poll_t poll;
        uv_idle_t idle;
    } uv;
    int set; /* the epoll descriptor; -1: always ready */
    watch_ready *ready;
    void *context;
};

static void watch_polled(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    const struct watch *watch = poll->data;
    watch->ready(watch->context);
}

static void watch_idle(uv_idle_t *idle)
{
    const struct watch *watch = idle->data;
    watch->ready(watch->context);
}

int watch_open(struct watch **out, uv_loop_t *loop, int fd, int event, watch_ready *ready,
               void *context, struct error *err)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return error_set(err, ENOMEM, "out of memory");
    watch->ready = ready;
    watch->context = context;
    struct epoll_event wanted = {.events = event == UV_READABLE ? EPOLLIN : EPOLLOUT};
    watch->set = epoll_create1(EPOLL_CLOEXEC);
    int rc = watch->set < 0 ? -errno : 0;
    if (rc == 0 && epoll_ctl(watch->set, EPOLL_CTL_ADD, fd, &wanted) < 0)
        rc = -errno;
    if (rc == 0)
        rc = uv_poll_init(loop, &watch->uv.poll, watch->set);
    if (rc < 0 && watch->set >= 0)
        close(watch->set);
    if (rc == -EPERM) {
        watch->set = -1;
        rc = uv_idle_init(loop, &watch->uv.idle);
    }
    if (rc < 0) {
        free(watch);
        return error_system(err, -rc, "cannot watch descriptor %d", fd);
    }
    watch->uv.handle.data = watch;
    *out = watch;
    return 0;
}

void watch_start(struct watch *watch)
{
    if (watch->set >= 0)
        uv_poll_start(&watch->uv.poll, UV_READABLE, watch_polled);
    else
        uv_idle_start(&watch->uv.idle, watch_idle);
}

void watch_stop(struct watch *watch)
{
    if (watch->set >= 0)
        uv_poll_stop(&watch->uv.poll);
    else
        uv_idle_stop(&watch->uv.idle);
}

static void watch_freed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    if (watch->set >= 0)
        close(watch->set);
    free(watch);
}

void watch_close(struct watch *watch)
{
    if (watch == NULL)
        return;
    watch_stop(watch);
    uv_close(&watch->uv.handle, watch_freed);
}

static ssize_t watch_result(ssize_t put)
{
    if (put >= 0)
        return put;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

ssize_t watch_write(int fd, const void *data, size_t size)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISREG(st.st_mode))
        return watch_result(write(fd, data, size));
    if (S_ISSOCK(st.st_mode))
        return watch_result(send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL));
    struct iovec part = {(void *)data, size};
    ssize_t put = pwritev2(fd, &part, 1, -1, RWF_NOWAIT);
    if (put >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
        return watch_result(put);
    return watch_result(write(fd, data, size < PIPE_BUF ? size : PIPE_BUF));
}
