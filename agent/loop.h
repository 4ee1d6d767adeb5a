/*
 * The event loop: epoll, one callback per descriptor. Single-threaded. A watch is part of the
 * object that owns the descriptor; it must stay in place from loop_add() to loop_close().
 */
#ifndef VMDECK_AGENT_LOOP_H
#define VMDECK_AGENT_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#define LOOP_BATCH 64

struct watch {
    int fd; /* -1: none */
    void (*ready)(struct watch *watch, uint32_t events);
    bool added; /* it is in the loop */
};

struct loop {
    int epoll;
    int count, next; /* the batch being delivered */
    struct epoll_event batch[LOOP_BATCH];
};

/* The object that has `watch` as its member. */
#define WATCH_OWNER(watch, type, member) ((type *)(void *)((char *)(watch)-offsetof(type, member)))

int loop_open(struct loop *loop); /* 0 or -errno */
int loop_add(struct loop *loop, struct watch *watch, uint32_t events);
void loop_change(struct loop *loop, struct watch *watch, uint32_t events);

/* Closes the watch's descriptor; no event of it is delivered any more. */
void loop_close(struct loop *loop, struct watch *watch);

/* Waits (not at all if `busy`), then delivers what is ready. 0 or -errno. */
int loop_run(struct loop *loop, int busy);

#endif
