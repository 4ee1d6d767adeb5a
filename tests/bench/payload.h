/* What the benchmarks of terminals print: lines of 68 bytes, and cells of 256 colours. */
#ifndef VMDECK_TESTS_PAYLOAD_H
#define VMDECK_TESTS_PAYLOAD_H

#include <stdio.h>

/* Both fill at most `size` bytes and return how many. */
static size_t payload_ascii(char *out, size_t size)
{
    size_t at = 0;
    for (unsigned line = 0; at + 68 <= size; line++) {
        for (unsigned i = 0; i < 67; i++)
            out[at++] = (char)('!' + (line + i) % 94);
        out[at++] = '\n';
    }
    return at;
}

static size_t payload_colour(char *out, size_t size)
{
    size_t at = 0;
    for (unsigned cell = 0; at + 32 < size; cell++)
        at += (size_t)snprintf(out + at, size - at, "\033[38;5;%u;48;5;%um%c", cell % 256,
                               (cell / 7) % 256, 'A' + (int)(cell % 26));
    return at;
}

#endif
