/* Small helpers without state; see the header. */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *str_vprintf(const char *format, va_list args)
{
    char *text = NULL;
    return vasprintf(&text, format, args) < 0 ? NULL : text;
}

char *str_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    return text;
}

bool str_starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Digits up to `end`; false on overflow or without any. */
static bool str_digits(const char *text, const char **end, uint64_t *out)
{
    uint64_t value = 0;
    const char *p = text;
    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    *end = p;
    *out = value;
    return p != text;
}

int str_number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *out,
               struct error *err)
{
    const char *end;
    uint64_t value;
    if (!str_digits(text, &end, &value) || *end != '\0' || value < min || value > max)
        return error_set(err, EINVAL, "%s '%.40s': not a number from %llu to %llu", what, text,
                         (unsigned long long)min, (unsigned long long)max);
    *out = value;
    return 0;
}

int str_size(const char *text, const char *what, uint64_t *out, struct error *err)
{
    static const char units[] = "KMGT";
    const char *end;
    uint64_t value;
    if (str_digits(text, &end, &value) && value > 0) {
        const char *unit = *end != '\0' ? strchr(units, toupper((unsigned char)*end)) : NULL;
        unsigned shift = 0;
        if (unit != NULL) {
            shift = 10 * (unsigned)(unit - units + 1);
            end++;
            if (*end == 'i')
                end++;
            if (*end == 'B')
                end++;
        }
        if (*end == '\0' && value <= UINT64_MAX >> 1 >> shift) {
            *out = value << shift;
            return 0;
        }
    }
    return error_set(err, EINVAL, "%s '%.40s': not a size (a number with K, M, G or T, like 512M)",
                     what, text);
}

static int strv_take(struct strv *list, char *text)
{
    char **items = text != NULL ? realloc(list->items, (list->count + 2) * sizeof *items) : NULL;
    if (items == NULL) {
        free(text);
        return -ENOMEM;
    }
    list->items = items;
    items[list->count++] = text;
    items[list->count] = NULL;
    return 0;
}

int strv_add(struct strv *list, const char *text)
{
    return strv_take(list, strdup(text));
}

int strv_addf(struct strv *list, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    return strv_take(list, text);
}

void strv_free(struct strv *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct strv){0};
}

void str_hex(char *out, const uint8_t *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * size] = '\0';
}
