/* Environments: NULL-terminated lists of NAME=VALUE. */
#ifndef VMDECK_AGENT_ENVIRONMENT_H
#define VMDECK_AGENT_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENVIRONMENT_MAX 65536 /* entries in one request */

/* True for "NAME=…" with a name that is not empty. */
bool environment_valid(const uint8_t *entry, uint32_t length);

/*
 * Of entries with the same name keeps the last, in its place. Returns how many are left (a NULL
 * goes behind them: entries[count] must exist), or -ENOMEM.
 */
long environment_unique(char **entries, size_t count);

/* The value of `name`, or NULL. */
const char *environment_get(char *const *entries, const char *name);

#endif
