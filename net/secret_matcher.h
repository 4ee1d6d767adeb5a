/*
 * Finds secrets in bytes: all placeholders, all real values and the forms a value takes on its
 * way (base64 at any offset, percent-encoded, in a JSON string). Immutable once built and counted,
 * so that a stream goes on with the one it began with while secrets change. Single-threaded.
 */
#ifndef VMDECK_NET_SECRET_MATCHER_H
#define VMDECK_NET_SECRET_MATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum needle_kind {
    NEEDLE_PLACEHOLDER,
    NEEDLE_VALUE,  /* a form of the value in force */
    NEEDLE_FORMER, /* a form of a value that was replaced or deleted */
};

struct needle {
    uint32_t offset, length; /* in the matcher's memory */
    uint8_t secret;          /* index */
    uint8_t kind;
};

/* What to build a matcher from. */
struct needle_source {
    const uint8_t *text;
    size_t length;
    uint8_t secret;
    enum needle_kind kind;
};

struct matcher;

/* Sources shorter than 2 bytes are left out. NULL and *err on failure. */
struct matcher *matcher_new(const struct needle_source *sources, size_t count, struct error *err);
struct matcher *matcher_hold(struct matcher *matcher);
void matcher_release(struct matcher *matcher); /* NULL is fine */

/* The first position from `at` on where a needle may begin; `size` if there is none. */
size_t matcher_next(const struct matcher *matcher, const uint8_t *data, size_t size, size_t at);

/*
 * The needles that begin at data[0] and end within `size`, longest first: call with the previous
 * one (NULL for the first) until NULL.
 */
const struct needle *matcher_at(const struct matcher *matcher, const uint8_t *data, size_t size,
                                const struct needle *previous);

/* The needles that data[0..size) is a proper beginning of, in the same way. */
const struct needle *matcher_begun(const struct matcher *matcher, const uint8_t *data, size_t size,
                                   const struct needle *previous);

#endif
