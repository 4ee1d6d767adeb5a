/* Between template.c (the cache) and template_build.c (what fills it). */
#ifndef VMDECK_VM_TEMPLATE_CACHE_H
#define VMDECK_VM_TEMPLATE_CACHE_H

#include <stdint.h>

#include "base/error.h"

/* The path of an entry of the cache, whose directory is made; the caller frees it. */
int template_path(const char *name, char **out, struct error *err);

/*
 * Whoever makes the template of a key holds its lock (*fd, to be closed). Does not wait: 1, or 0
 * while somebody else has it. The lock is a byte of one file, the key's own, so that keys that
 * nobody uses any more leave nothing.
 */
int template_try_lock(const char *key, int *fd, struct error *err);
#define TEMPLATE_RETRY_MS 50

/*
 * Entries come and go under this lock (a descriptor to close), so that nobody takes one that is
 * being made for a left-over. Blocks.
 */
int templates_lock(int *fd, struct error *err);

/*
 * A new entry, under a name of its own until it is renamed; held through *hold. The caller frees
 * *directory (set also after a failure where it has been made).
 */
int template_entry(char **directory, int *hold, struct error *err);

/*
 * Removes what was left by who was killed, and the least recently used templates that nobody holds
 * until `limit` bytes are left.
 */
void templates_trim(uint64_t limit);

#endif
