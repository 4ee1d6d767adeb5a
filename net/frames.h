/*
 * How QEMU's `-netdev stream` carries Ethernet over a byte stream: a 4-byte big-endian length
 * before each frame (net/stream.c of QEMU). The reader is a pure function; the queue holds what
 * the descriptor does not take at once, up to a limit. Not thread-safe.
 */
#ifndef VMDECK_NET_FRAMES_H
#define VMDECK_NET_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define FRAMES_PREFIX 4
#define FRAMES_MAX    69632 /* bytes of one frame: QEMU's NET_BUFSIZE */

/*
 * Takes the next frame off the bytes in `data`. Returns how many bytes it covers (prefix and
 * frame), 0 if it is not complete yet, or -EPROTO for a length over FRAMES_MAX: the stream is then
 * lost. *frame points into `data`; *length may be 0.
 */
int64_t frames_next(uint8_t *data, size_t size, uint8_t **frame, size_t *length);

/*
 * Frames on their way to the guest. A frame of data is refused from FRAMES_FULL queued bytes on;
 * answers (at most FRAMES_SMALL bytes) have a reserve beyond that.
 */
#define FRAMES_FULL    ((size_t)256 * 1024)
#define FRAMES_RESERVE ((size_t)128 * 1024)
#define FRAMES_SMALL   128
#define FRAMES_ROOM    ((size_t)512 * 1024)

struct frame_queue {
    uint8_t *memory; /* FRAMES_ROOM bytes, from the first frame on */
    size_t start, end;
    uint64_t consumed; /* bytes that were ever written: the position of memory[start] */
};

static inline size_t frame_queue_len(const struct frame_queue *queue)
{
    return queue->end - queue->start;
}

static inline bool frame_queue_full(const struct frame_queue *queue)
{
    return frame_queue_len(queue) >= FRAMES_FULL;
}

/*
 * Queues a frame of `size` bytes (at most FRAMES_MAX) whose content the caller writes to the
 * address returned. NULL: full, or no memory; the frame is then not sent. *position (may be NULL)
 * is where it stands in the stream, for frame_queue_at().
 */
uint8_t *frame_queue_add(struct frame_queue *queue, size_t size, uint64_t *position);

/* The frame that was queued at `position`, or NULL when writing it has begun. */
uint8_t *frame_queue_at(const struct frame_queue *queue, uint64_t position);

/* Writes what the socket takes without waiting. */
int frame_queue_write(struct frame_queue *queue, int fd, struct error *err);

void frame_queue_free(struct frame_queue *queue);

#endif
