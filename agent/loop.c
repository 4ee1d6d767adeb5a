/*
 * A callback may close any watch, also one whose event is later in the same batch: loop_close()
 * takes it out of the batch. It also takes it out of the epoll set by name, because closing alone
 * does not do it while somebody else has the same open file: a child that is between vfork's
 * "go on" to us and the closing of its close-on-exec descriptors.
 */
#include "agent/loop.h"

#include <errno.h>
#include <unistd.h>

int loop_open(struct loop *loop)
{
    loop->count = loop->next = 0;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event) != 0)
        return -errno;
    watch->added = true;
    return 0;
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_close(struct loop *loop, struct watch *watch)
{
    if (watch->fd < 0)
        return;
    if (watch->added)
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    close(watch->fd);
    watch->fd = -1;
    watch->added = false;
    for (int i = loop->next; i < loop->count; i++)
        if (loop->batch[i].data.ptr == watch)
            loop->batch[i].data.ptr = NULL;
}

int loop_run(struct loop *loop, int busy)
{
    loop->next = 0;
    loop->count = epoll_wait(loop->epoll, loop->batch, LOOP_BATCH, busy ? 0 : -1);
    if (loop->count < 0) {
        loop->count = 0;
        return errno == EINTR ? 0 : -errno;
    }
    while (loop->next < loop->count) {
        const struct epoll_event *event = &loop->batch[loop->next++];
        struct watch *watch = event->data.ptr;
        if (watch != NULL)
            watch->ready(watch, event->events);
    }
    return 0;
}
