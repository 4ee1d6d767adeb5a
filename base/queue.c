/*
 * A ring under a mutex, and a uv_async_t that wakes the receiver. uv coalesces wake-ups, so the
 * receiver takes all that waits, a batch at a time: senders are held up for a copy, never for the
 * receiver's work.
 */
#include "base/queue.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define QUEUE_BATCH 64

struct queue {
    uv_async_t wake;
    uv_mutex_t lock;
    queue_receive *receive;
    void *context;
    size_t limit, first, count;
    bool closing;
    void *ring[];
};

static size_t queue_take(struct queue *queue, void *batch[QUEUE_BATCH])
{
    uv_mutex_lock(&queue->lock);
    size_t taken = queue->count < QUEUE_BATCH ? queue->count : QUEUE_BATCH;
    for (size_t i = 0; i < taken; i++)
        batch[i] = queue->ring[(queue->first + i) % queue->limit];
    queue->first = (queue->first + taken) % queue->limit;
    queue->count -= taken;
    uv_mutex_unlock(&queue->lock);
    return taken;
}

static void queue_drain(struct queue *queue)
{
    void *batch[QUEUE_BATCH];
    size_t taken;
    while ((taken = queue_take(queue, batch)) > 0)
        for (size_t i = 0; i < taken; i++)
            queue->receive(queue->context, batch[i]);
}

static void queue_woken(uv_async_t *wake)
{
    queue_drain(wake->data);
}

int queue_open(struct queue **out, uv_loop_t *loop, size_t limit, queue_receive *receive,
               void *context, struct error *err)
{
    struct queue *queue = calloc(1, sizeof *queue + limit * sizeof queue->ring[0]);
    if (queue == NULL)
        return error_set(err, ENOMEM, "out of memory");
    queue->limit = limit;
    queue->receive = receive;
    queue->context = context;
    int rc = uv_mutex_init(&queue->lock);
    if (rc == 0) {
        rc = uv_async_init(loop, &queue->wake, queue_woken);
        if (rc < 0)
            uv_mutex_destroy(&queue->lock);
    }
    if (rc < 0) {
        free(queue);
        return error_set(err, -rc, "cannot make a queue: %s", uv_strerror(rc));
    }
    queue->wake.data = queue;
    *out = queue;
    return 0;
}

int queue_send(struct queue *queue, void *message)
{
    uv_mutex_lock(&queue->lock);
    bool room = !queue->closing && queue->count < queue->limit;
    if (room)
        queue->ring[(queue->first + queue->count++) % queue->limit] = message;
    uv_mutex_unlock(&queue->lock);
    if (!room)
        return -ENOBUFS;
    uv_async_send(&queue->wake);
    return 0;
}

static void queue_closed(uv_handle_t *handle)
{
    struct queue *queue = handle->data;
    uv_mutex_destroy(&queue->lock);
    free(queue);
}

void queue_close(struct queue *queue)
{
    uv_mutex_lock(&queue->lock);
    queue->closing = true;
    uv_mutex_unlock(&queue->lock);
    queue_drain(queue);
    uv_close((uv_handle_t *)&queue->wake, queue_closed);
}
