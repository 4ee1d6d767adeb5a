/* Figures for people: short, of a bounded width. Pure. */
#ifndef VMDECK_TUI_HUMAN_H
#define VMDECK_TUI_HUMAN_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define HUMAN_SIZE 24

/* A duration in ms in its largest unit: 12s, 5m, 3h, 2d. Negative: 0s. */
void human_age(int64_t ms, char out[HUMAN_SIZE]);

/* 12B, 3.4K, 512M, 1.5G (powers of 1024). */
void human_bytes(uint64_t bytes, char out[HUMAN_SIZE]);

/* Local time of day of a time in ms since 1970: 14:02:11. */
void human_clock(int64_t time, char out[HUMAN_SIZE]);

/* vsnprintf() */
void human_format(char *out, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

int64_t human_now(void); /* ms since 1970 */

/* One column of a graph, for a value from 0 to 1. */
const char *human_bar(double value);

#endif
