/*
 * Things that wait for a moment, all for equally long: until hold_over() or the clock. One thread;
 * `over` comes from the loop or from within hold_over(), never from within hold_add().
 */
#ifndef VMDECK_NET_HOLD_H
#define VMDECK_NET_HOLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "base/error.h"

/* Zeroed memory waits for nothing. */
struct hold {
    void (*over)(void *owner); /* by who waits */
    void *owner;

    /* Private. */
    bool waits;
    uint64_t until; /* loop time */
    TAILQ_ENTRY(hold) entry;
};

struct holds {
    uv_timer_t timer;
    unsigned ms;
    TAILQ_HEAD(hold_list, hold) waiting; /* in order of expiry */
};

int holds_open(struct holds *holds, uv_loop_t *loop, unsigned ms, struct error *err);
void holds_close(struct holds *holds); /* nothing waits; the timer closes */

void hold_add(struct holds *holds, struct hold *hold);
void hold_over(struct holds *holds, struct hold *hold); /* it waits no longer, if it did */
void hold_drop(struct holds *holds, struct hold *hold); /* the same without `over` */

#endif
