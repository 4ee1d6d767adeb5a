/*
 * Strings: allocation with format, strict number parsing, lists of strings. Everything returned
 * is the caller's to free. "Strict" means: the whole text must be the value, no blanks, no sign
 * where none makes sense.
 */
#ifndef VMDECK_BASE_STR_H
#define VMDECK_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The formatted text, or NULL without memory. */
char *str_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

bool str_starts(const char *text, const char *prefix);

/* Decimal number from min to max. -EINVAL, *err saying what was expected of `what`. */
int str_number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *out,
               struct error *err);

/* Size in bytes: digits and an optional K, M, G or T (powers of 1024, an optional B or iB). */
int str_size(const char *text, const char *what, uint64_t *out, struct error *err);

/* A list of strings, always NULL-terminated once it is not empty. Zeroed memory is empty. */
struct strv {
    char **items;
    size_t count;
};

int strv_add(struct strv *list, const char *text); /* copies; 0 or -ENOMEM */
int strv_addf(struct strv *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strv_free(struct strv *list);
#define CLEAN_STRV __attribute__((cleanup(strv_free)))

/* Lower-case hexadecimal of `size` bytes into 2*size+1 chars. */
void str_hex(char *out, const uint8_t *data, size_t size);

#endif
