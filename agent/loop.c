/*
 * A callback may close any watch, also one whose event is later in the same batch: loop_close()
 * takes it out of the batch. The descriptor is also taken out of the epoll set by name, because
 * closing alone does not do it while somebody else has the same open file: a child that is between
 * vfork's "go on" to us and the closing of its close-on-exec descriptors. The host waits for none
 * of that, so it is done once a turn, when the answers are out.
 */
#include "agent/loop.h"

#include <errno.h>
#include <unistd.h>

int loop_open(struct loop *loop)
{
    loop->count = loop->next = loop->closing_count = 0;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, watch->fd, &event) != 0 ? -errno : 0;
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
    if (loop->closing_count == LOOP_CLOSING)
        loop_sweep(loop);
    loop->closing[loop->closing_count++] = watch->fd;
    watch->fd = -1;
    for (int i = loop->next; i < loop->count; i++)
        if (loop->batch[i].data.ptr == watch)
            loop->batch[i].data.ptr = NULL;
}

void loop_sweep(struct loop *loop)
{
    for (int i = 0; i < loop->closing_count; i++) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, loop->closing[i], NULL); /* most are in it */
        close(loop->closing[i]);
    }
    loop->closing_count = 0;
}

void loop_end(struct loop *loop)
{
    loop_sweep(loop);
    close(loop->epoll);
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
