/*
 * Chained hashing over an array that doubles up to its limit; as many buckets as the limit. The
 * hash (FNV-1a) is not keyed: a guest that makes its own strings collide walks chains of at most
 * `limit` entries in its own terminal.
 */
#include "session/term/intern.h"

#include <stdlib.h>
#include <string.h>

void intern_init(struct intern *table, uint32_t limit)
{
    *table = (struct intern){.limit = limit};
}

static uint32_t hash(const uint8_t *bytes, size_t size)
{
    uint32_t value = 2166136261U;
    for (size_t i = 0; i < size; i++)
        value = (value ^ bytes[i]) * 16777619U;
    return value ^ value >> 15;
}

/* An entry that is free, or 0. */
static uint32_t take_entry(struct intern *table)
{
    uint32_t id = table->free;
    if (id != 0) {
        table->free = table->entries[id].next;
        return id;
    }
    if (table->count == table->limit)
        return 0;
    if (table->count + 1 >= table->capacity) {
        uint32_t capacity = table->capacity == 0 ? 16 : table->capacity * 2;
        struct intern_entry *entries = realloc(table->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return 0;
        table->entries = entries;
        table->capacity = capacity;
    }
    return ++table->count;
}

uint32_t intern_add(struct intern *table, const void *bytes, size_t size)
{
    if (table->buckets == NULL) {
        table->buckets = calloc(table->limit, sizeof *table->buckets);
        if (table->buckets == NULL)
            return 0;
    }
    uint32_t *bucket = &table->buckets[hash(bytes, size) & (table->limit - 1)];
    for (uint32_t id = *bucket; id != 0; id = table->entries[id].next)
        if (table->entries[id].size == size && memcmp(table->entries[id].bytes, bytes, size) == 0)
            return id;
    char *copy = malloc(size + 1);
    if (copy == NULL)
        return 0;
    uint32_t id = take_entry(table);
    if (id == 0) {
        free(copy);
        table->refused++;
        return 0;
    }
    memcpy(copy, bytes, size);
    copy[size] = '\0';
    table->entries[id] =
        (struct intern_entry){.bytes = copy, .size = (uint32_t)size, .next = *bucket};
    *bucket = id;
    return id;
}

const char *intern_get(const struct intern *table, uint32_t id, size_t *size)
{
    if (id == 0 || id > table->count || table->entries[id].bytes == NULL)
        return NULL;
    *size = table->entries[id].size;
    return table->entries[id].bytes;
}

bool intern_should_sweep(const struct intern *table)
{
    return table->refused == 1 || table->refused >= table->limit;
}

void intern_mark(struct intern *table, uint32_t id)
{
    if (id <= table->count && id != 0)
        table->entries[id].used = true;
}

void intern_sweep(struct intern *table)
{
    uint32_t freed = 0;
    for (uint32_t i = 0; table->buckets != NULL && i < table->limit; i++) {
        uint32_t *link = &table->buckets[i];
        while (*link != 0) {
            uint32_t id = *link;
            struct intern_entry *entry = &table->entries[id];
            if (entry->used) {
                entry->used = false;
                link = &entry->next;
                continue;
            }
            *link = entry->next;
            free(entry->bytes);
            *entry = (struct intern_entry){.next = table->free};
            table->free = id;
            freed++;
        }
    }
    table->refused = freed >= table->limit / 4 ? 0 : 2;
}

void intern_free(struct intern *table)
{
    for (uint32_t id = 1; id <= table->count; id++)
        free(table->entries[id].bytes);
    free(table->entries);
    free(table->buckets);
    intern_init(table, table->limit);
}
