/*
 * An array; the id is the index plus one, and above bit 32 how often the place was used before.
 * Places that state from elsewhere leaves unused become free ones.
 */
#include "vm/vfs/slots.h"

#include <errno.h>
#include <stdlib.h>

struct slot {
    void *thing;
    uint32_t reuse; /* how often the place was given up */
    uint32_t next;  /* 1 + the next free place */
};

static int slots_grow(struct slots *slots, uint32_t count)
{
    uint32_t capacity = slots->capacity != 0 ? slots->capacity : 16;
    while (capacity < count)
        capacity *= 2;
    if (capacity == slots->capacity)
        return 0;
    struct slot *items = realloc(slots->items, capacity * sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    slots->items = items;
    slots->capacity = capacity;
    return 0;
}

uint64_t slots_add(struct slots *slots, void *thing)
{
    if (slots->used >= slots->max)
        return 0;
    uint32_t at = slots->free;
    if (at != 0) {
        slots->free = slots->items[at - 1].next;
    } else {
        if (slots_grow(slots, slots->count + 1) < 0)
            return 0;
        at = ++slots->count;
        slots->items[at - 1].reuse = 0;
    }
    struct slot *slot = &slots->items[at - 1];
    slot->thing = thing;
    slots->used++;
    return (uint64_t)slot->reuse << 32 | at;
}

int slots_restore(struct slots *slots, uint64_t id, void *thing)
{
    uint32_t at = (uint32_t)id;
    if (at <= slots->count || at > slots->max)
        return -EINVAL;
    if (slots_grow(slots, at) < 0)
        return -ENOMEM;
    while (slots->count < at - 1) {
        slots->items[slots->count] = (struct slot){.next = slots->free};
        slots->free = ++slots->count;
    }
    slots->items[slots->count++] = (struct slot){.thing = thing, .reuse = (uint32_t)(id >> 32)};
    slots->used++;
    return 0;
}

void *slots_get(const struct slots *slots, uint64_t id)
{
    uint32_t at = (uint32_t)id;
    if (at == 0 || at > slots->count || slots->items[at - 1].reuse != (uint32_t)(id >> 32))
        return NULL;
    return slots->items[at - 1].thing;
}

void slots_remove(struct slots *slots, uint64_t id)
{
    if (slots_get(slots, id) == NULL)
        return;
    struct slot *slot = &slots->items[(uint32_t)id - 1];
    slot->thing = NULL;
    slot->reuse++;
    slot->next = slots->free;
    slots->free = (uint32_t)id;
    slots->used--;
}

void *slots_next(const struct slots *slots, uint32_t *at)
{
    while (*at < slots->count) {
        void *thing = slots->items[(*at)++].thing;
        if (thing != NULL)
            return thing;
    }
    return NULL;
}

void slots_free(struct slots *slots)
{
    free(slots->items);
    *slots = (struct slots){.max = slots->max};
}
