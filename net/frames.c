/*
 * The queue is one piece of memory that is filled behind and written in front, so that a batch of
 * frames is a single send(). It keeps its memory: a busy link would otherwise map and unmap it a
 * thousand times a second.
 */
#include "net/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/packet.h"

int64_t frames_next(uint8_t *data, size_t size, uint8_t **frame, size_t *length)
{
    if (size < FRAMES_PREFIX)
        return 0;
    uint32_t announced = net_get32(data);
    if (announced > FRAMES_MAX)
        return -EPROTO;
    if (size - FRAMES_PREFIX < announced)
        return 0;
    *frame = data + FRAMES_PREFIX;
    *length = announced;
    return (int64_t)announced + FRAMES_PREFIX;
}

uint8_t *frame_queue_add(struct frame_queue *queue, size_t size, uint64_t *position)
{
    size_t queued = frame_queue_len(queue);
    size_t limit = FRAMES_FULL + (size <= FRAMES_SMALL ? FRAMES_RESERVE : 0);
    if (size > FRAMES_MAX || queued >= limit)
        return NULL;
    if (queue->memory == NULL && (queue->memory = malloc(FRAMES_ROOM)) == NULL)
        return NULL;
    if (FRAMES_ROOM - queue->end < FRAMES_PREFIX + size) {
        memmove(queue->memory, queue->memory + queue->start, queued);
        queue->start = 0;
        queue->end = queued;
    }
    uint8_t *to = queue->memory + queue->end;
    net_put32(to, (uint32_t)size);
    if (position != NULL)
        *position = queue->consumed + queued;
    queue->end += FRAMES_PREFIX + size;
    return to + FRAMES_PREFIX;
}

uint8_t *frame_queue_at(const struct frame_queue *queue, uint64_t position)
{
    if (position < queue->consumed || position >= queue->consumed + frame_queue_len(queue))
        return NULL;
    return queue->memory + queue->start + (size_t)(position - queue->consumed) + FRAMES_PREFIX;
}

int frame_queue_write(struct frame_queue *queue, int fd, struct error *err)
{
    while (queue->start < queue->end) {
        ssize_t put = send(fd, queue->memory + queue->start, queue->end - queue->start,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return 0;
        if (put < 0)
            return error_system(err, errno, "cannot send frames to the VM");
        queue->start += (size_t)put;
        queue->consumed += (uint64_t)put;
    }
    queue->start = queue->end = 0;
    return 0;
}

void frame_queue_free(struct frame_queue *queue)
{
    free(queue->memory);
    *queue = (struct frame_queue){0};
}
