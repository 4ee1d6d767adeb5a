/* Between template.c (the cache) and template_build.c (what fills it). */
#ifndef VMDECK_VM_TEMPLATE_CACHE_H
#define VMDECK_VM_TEMPLATE_CACHE_H

#include <stdint.h>

#include "base/error.h"

/* The path of an entry of the cache, whose directory is made; the caller frees it. */
int template_path(const char *name, char **out, struct error *err);

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
