/*
 * --resolve HOST=ADDRESS: names whose addresses the user says. A name may have several; no resolver
 * is asked for it. Single-threaded.
 */
#ifndef VMDECK_NET_PINS_H
#define VMDECK_NET_PINS_H

#include <stddef.h>

#include "base/error.h"
#include "base/str.h"
#include "net/address.h"

#define PINS_MAX 1024

struct pins;

/* `texts` may be NULL or empty: no pins. */
int pins_new(const struct strv *texts, struct pins **out, struct error *err);
void pins_free(struct pins *pins); /* NULL is fine */

/* The addresses of a normalised host, at most `max`; how many there are. */
size_t pins_find(const struct pins *pins, const char *host, struct address *out, size_t max);

#endif
