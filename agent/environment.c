/* A hash table of the names seen, from the last entry to the first: linear also for 65,536. */
#include "agent/environment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool environment_valid(const uint8_t *entry, uint32_t length)
{
    const uint8_t *equals = length > 0 ? memchr(entry, '=', length) : NULL;
    return equals != NULL && equals != entry && memchr(entry, '\0', length) == NULL;
}

static size_t name_length(const char *entry)
{
    return strcspn(entry, "=");
}

/* FNV-1a */
static uint32_t name_hash(const char *entry, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)entry[i]) * 16777619u;
    return hash;
}

long environment_unique(char **entries, size_t count)
{
    size_t slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    char **table = calloc(slots, sizeof *table);
    if (table == NULL)
        return -ENOMEM;
    size_t first = count; /* entries[first..count) are kept */
    for (size_t i = count; i-- > 0;) {
        size_t length = name_length(entries[i]);
        size_t slot = name_hash(entries[i], length) & (slots - 1);
        while (table[slot] != NULL &&
               (name_length(table[slot]) != length || memcmp(table[slot], entries[i], length) != 0))
            slot = (slot + 1) & (slots - 1);
        if (table[slot] != NULL)
            continue;
        table[slot] = entries[i];
        entries[--first] = entries[i];
    }
    free(table);
    memmove(entries, entries + first, (count - first) * sizeof *entries);
    entries[count - first] = NULL;
    return (long)(count - first);
}

const char *environment_get(char *const *entries, const char *name)
{
    size_t length = strlen(name);
    for (; *entries != NULL; entries++)
        if (strncmp(*entries, name, length) == 0 && (*entries)[length] == '=')
            return *entries + length + 1;
    return NULL;
}
