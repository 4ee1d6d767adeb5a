/*
 * The format of a saved terminal: what save.c writes and load.c reads. Nobody else includes this.
 *
 * "VDT" and the format's number (one byte), then numbers and byte strings: a number is LEB128
 * (seven bits a byte, the lowest first, the top bit says that more follow), a string its length
 * and its bytes. In this order:
 *
 *   rows, columns
 *   format_fields[], one number each
 *   bytes of the frame that is held (0: none is)
 *   clusters: their count; of each, the count of code points, and these
 *   hyperlinks: their count; of each, its id and its URI
 *   pens: the current one, the primary screen's saved one, the alternate screen's
 *   title, directory, replies
 *   tab stops: a bit a column, the lowest first, filled up to whole bytes, without a length
 *   the primary screen's rows; 1 and the alternate screen's rows, or 0
 *   history: its count, and its lines, the oldest first
 *   the bytes of an unfinished character; those of an unfinished sequence (escape_pending)
 *
 * A colour is 0 (default), 1 + index, or 257 + 0xrrggbb; a pen is foreground, background,
 * attributes, link. Clusters and links are numbered from 1 in their tables' order.
 *
 * A row is `cells << 1 | wrapped`, where `cells` leaves out the blank ones at its end, and then
 * runs, each `count << FORMAT_RUN_BITS | enum format_run`. The style that runs are written in
 * starts as the default one and goes on from row to row. A change of meaning of any of this, of
 * TERM_* bits or of CELL_* attributes is another format.
 */
#ifndef VMDECK_SESSION_TERM_FORMAT_H
#define VMDECK_SESSION_TERM_FORMAT_H

#include "session/term/engine.h"

#define FORMAT_MAGIC   "VDT"
#define FORMAT_VERSION 1

#define FORMAT_INDEXED 1U   /* + index */
#define FORMAT_RGB     257U /* + 0xrrggbb */
#define FORMAT_COLOR   (FORMAT_RGB + 0xffffffU)

#define FORMAT_CLUSTER 0x110000U /* + number: a glyph that is not a code point */

enum format_run {
    RUN_ASCII,  /* `count` bytes: narrow glyphs 0x20…0x7e */
    RUN_GLYPHS, /* `count` numbers: code point or cluster << 1 | wide */
    RUN_BLANK,  /* `count` blank cells */
    RUN_FILL,   /* the same in the style's background */
    RUN_STYLE,  /* `count` is the style's attributes; foreground, background and link follow */
};
#define FORMAT_RUN_BITS 3

/* A number of struct term, an unsigned or never negative one. */
struct format_field {
    uint16_t offset;
    uint8_t size; /* 1, 4 or 8 */
    uint64_t max;
    const char *name;
};

extern const struct format_field format_fields[];
extern const size_t format_field_count;

#endif
