/*
 * Numbers for things: each pointer gets a 64-bit id that is never given out again, so that a
 * stale or invented id finds nothing. Not thread-safe.
 */
#ifndef VMDECK_VM_VFS_SLOTS_H
#define VMDECK_VM_VFS_SLOTS_H

#include <stddef.h>
#include <stdint.h>

struct slots {
    struct slot *items;
    uint32_t count, capacity, used, free; /* free: 1 + first free slot; 0: none */
    uint32_t max;                         /* ids at once */
};

/* The id (never 0, the first is 1), or 0: no memory, or `max` are in use. */
uint64_t slots_add(struct slots *slots, void *thing);

/* Gives exactly this id: for state that comes back, in ascending order. 0, -EINVAL, -ENOMEM. */
int slots_restore(struct slots *slots, uint64_t id, void *thing);

/* The thing or NULL. */
void *slots_get(const struct slots *slots, uint64_t id);
void slots_remove(struct slots *slots, uint64_t id);

/* Goes through all: NULL at the end. *at starts as 0. */
void *slots_next(const struct slots *slots, uint32_t *at);

void slots_free(struct slots *slots);

#endif
