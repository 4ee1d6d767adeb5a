/*
 * A bounded table of byte strings that cells refer to by a small number: clusters of combining
 * characters, and hyperlinks. Equal strings get the same number. What no cell names any more is
 * reclaimed by the owner: it marks what is in use and sweeps. Not thread-safe.
 */
#ifndef VMDECK_SESSION_TERM_INTERN_H
#define VMDECK_SESSION_TERM_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intern_entry {
    char *bytes; /* NULL: free */
    uint32_t size;
    uint32_t next; /* of the same bucket, or of the free entries; 0 ends */
    bool used;
};

struct intern {
    struct intern_entry *entries; /* 1…count are in use or on the free list */
    uint32_t *buckets;
    uint32_t limit; /* entries at most */
    uint32_t count, capacity;
    uint32_t free;
    uint32_t refused; /* since the last sweep: too few were free */
};

/* `limit` is a power of two. Memory is taken when the first string comes. */
void intern_init(struct intern *table, uint32_t limit);

/* The string's number, 1…limit; 0 when the table is full or memory is short. */
uint32_t intern_add(struct intern *table, const void *bytes, size_t size);

/* The string, NULL for a number that is none. */
const char *intern_get(const struct intern *table, uint32_t id, size_t *size);

/*
 * True when a full table has refused so many strings that looking at every cell of the terminal
 * is worth it again: a guest that fills the table with living entries must not cost us that for
 * every one it adds.
 */
bool intern_should_sweep(const struct intern *table);
void intern_mark(struct intern *table, uint32_t id);
void intern_sweep(struct intern *table);

void intern_free(struct intern *table);

#endif
