/* Times and texts as the verbs that list things show and read them. */
#ifndef VMDECK_SESSION_CLI_SHOW_H
#define VMDECK_SESSION_CLI_SHOW_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

int64_t show_now(void); /* ms since 1970 */

/* A duration in the largest unit that makes it at least 1: 12s, 5m, 3h, 2d. Negative: 0s. */
#define SHOW_SIZE 24
void show_age(int64_t ms, char out[SHOW_SIZE]);

/*
 * A point in time, in ms since 1970: RFC 3339 (2026-01-31T23:59:59[.123]Z or with +02:00), or so
 * long before `now`: 30s, 10m, 2h, 1d. -EINVAL for anything else, which *err names `what`.
 */
int show_time_parse(const char *text, const char *what, int64_t now, int64_t *out,
                    struct error *err);

/* 12B, 3.4K, 512M, 1.5G (powers of 1024). */
void show_size(uint64_t bytes, char out[SHOW_SIZE]);

/*
 * At most `max` bytes of a text that others chose, safe on a terminal: control characters (C0,
 * DEL, C1) become '?', a character is not cut in two. `out` has max+1 bytes. Returns out.
 */
const char *show_plain(const char *text, size_t max, char *out);

/* The same bytes, those that are no UTF-8 (and NULs) as U+FFFD. */
void show_utf8(const struct buf *in, struct buf *out);

/* A line of JSON on stdout, made valid by show_utf8(). */
void show_json(const char *json);

#endif
