/*
 * A message queue between two libuv loops: any thread sends, one loop receives. Messages are
 * pointers whose ownership goes along; `limit` bounds how many may wait, so a fast sender cannot
 * fill the memory of a slow receiver.
 */
#ifndef VMDECK_BASE_QUEUE_H
#define VMDECK_BASE_QUEUE_H

#include <stddef.h>
#include <uv.h>

#include "base/error.h"

struct queue;

/* Called on the receiving loop, in order of sending; owns the message. */
typedef void queue_receive(void *context, void *message);

/* Call on the receiving loop's thread. */
int queue_open(struct queue **out, uv_loop_t *loop, size_t limit, queue_receive *receive,
               void *context, struct error *err);

/* Any thread. 0; -ENOBUFS when `limit` messages wait or the queue closes: the sender keeps it. */
int queue_send(struct queue *queue, void *message);

/*
 * Receiving loop's thread, after the last sender has gone. Delivers what still waits, then frees
 * the queue once the loop has run.
 */
void queue_close(struct queue *queue);

#endif
