/*
 * Characters as a terminal shows them: UTF-8 to code points, and how many columns they take. The
 * locale must be a UTF-8 one (outer_open() sees to that) for widths to be right. Pure, any thread.
 */
#ifndef VMDECK_TUI_WIDE_H
#define VMDECK_TUI_WIDE_H

#include <stddef.h>
#include <stdint.h>

#define WIDE_REPLACEMENT 0xfffdu

/*
 * The next code point of `size` (at least 1) bytes; returns how many bytes it took. What is not
 * UTF-8, surrogates and overlong forms among it, is WIDE_REPLACEMENT and takes one byte.
 */
size_t wide_decode(const void *bytes, size_t size, uint32_t *point);

/* Writes the UTF-8 of the code point, returns its length. */
size_t wide_encode(uint32_t point, char out[4]);

/*
 * Columns: 0 (combines with the one before), 1 or 2. -1: must never reach a terminal: controls,
 * what the locale cannot print, and the characters that change the direction of text.
 */
int wide_width(uint32_t point);

#endif
