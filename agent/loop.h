/*
 * The event loop: epoll, one callback per descriptor. Single-threaded. A watch is part of the
 * object that owns the descriptor; it must stay in place from loop_add() to loop_close().
 */
#ifndef VMDECK_AGENT_LOOP_H
#define VMDECK_AGENT_LOOP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#define LOOP_BATCH   64
#define LOOP_CLOSING 64

struct watch {
    int fd; /* -1: none */
    void (*ready)(struct watch *watch, uint32_t events);
};

struct loop {
    int epoll;
    int count, next; /* the batch being delivered */
    struct epoll_event batch[LOOP_BATCH];
    int closing[LOOP_CLOSING], closing_count;
};

/* The object that has `watch` as its member. */
#define WATCH_OWNER(watch, type, member) ((type *)(void *)((char *)(watch)-offsetof(type, member)))

int loop_open(struct loop *loop); /* 0 or -errno */
int loop_add(struct loop *loop, struct watch *watch, uint32_t events);
void loop_change(struct loop *loop, struct watch *watch, uint32_t events);

/*
 * No event of the watch is delivered any more. Its descriptor is closed by the next loop_sweep(),
 * which must come before loop_run().
 */
void loop_close(struct loop *loop, struct watch *watch);
void loop_sweep(struct loop *loop);

void loop_end(struct loop *loop); /* what loop_open() did */

/* Waits (not at all if `busy`), then delivers what is ready. 0 or -errno. */
int loop_run(struct loop *loop, int busy);

#endif
