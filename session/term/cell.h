/*
 * A cell of a terminal, and the style a program writes with ("pen"): 16 bytes, all zero where
 * nothing was ever written. A wide glyph takes two cells, the second of which (CELL_TAIL) holds
 * its style only. Rows are shared between everything that draws, so the layout is fixed here.
 */
#ifndef VMDECK_SESSION_TERM_CELL_H
#define VMDECK_SESSION_TERM_CELL_H

#include <stdbool.h>
#include <stdint.h>

#define CELL_CLUSTER 0x80000000U /* in glyph: the rest is a cluster's id (term_glyph) */
#define CELL_POINTS  7           /* code points of a cluster at most: one and six combining */

#define CELL_BOLD            0x0001U
#define CELL_DIM             0x0002U
#define CELL_ITALIC          0x0004U
#define CELL_BLINK           0x0008U
#define CELL_REVERSE         0x0010U
#define CELL_CONCEAL         0x0020U
#define CELL_STRIKE          0x0040U
#define CELL_OVERLINE        0x0080U
#define CELL_UNDERLINE       0x0700U /* style << CELL_UNDERLINE_SHIFT, as in SGR 4:n, 0 to 5 */
#define CELL_UNDERLINE_SHIFT 8
#define CELL_WIDE            0x0800U /* first half of a glyph of two columns */
#define CELL_TAIL            0x1000U /* second half of it */
#define CELL_STYLE           0x07ffU /* the bits that are style, not width */

/* Colours: kind in the top byte. */
#define COLOR_DEFAULT 0U
#define COLOR_INDEXED 0x01000000U /* | 0…255 */
#define COLOR_RGB     0x02000000U /* | 0xrrggbb */
#define COLOR_KIND    0xff000000U

struct cell {
    uint32_t glyph; /* code point, CELL_CLUSTER | id, or 0: blank */
    uint32_t fg, bg;
    uint16_t attrs;
    uint16_t link; /* 0: none; see term_link */
};

static inline bool cell_same_style(const struct cell *a, const struct cell *b)
{
    return a->fg == b->fg && a->bg == b->bg && a->link == b->link &&
           ((a->attrs ^ b->attrs) & CELL_STYLE) == 0;
}

#endif
