/*
 * The escape filter: cuts what a guest writes to its terminal into whole pieces (text, control
 * characters, escape and control sequences, strings) however the bytes were split on the way, and
 * bounds every one of them. Grammar: ECMA-48 and DEC STD 070, 7-bit controls only (UTF-8 needs
 * the bytes of the 8-bit ones). Not thread-safe.
 */
#ifndef VMDECK_SESSION_TERM_ESCAPE_H
#define VMDECK_SESSION_TERM_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define ESCAPE_ARGS          32    /* parameters of a control sequence; further ones are dropped */
#define ESCAPE_ARG_MAX       65535 /* larger values count as this */
#define ESCAPE_STRING_MAX    4096  /* bytes of an OSC or DCS; longer ones are dropped whole */
#define ESCAPE_CLIPBOARD_MAX (1 << 20) /* of an OSC 52 */

struct escape_csi {
    char leader;       /* one of <=>? or 0 */
    char intermediate; /* 0x20…0x2f or 0 */
    char final;
    unsigned count;           /* parameters; 0 if there are none */
    uint32_t joined;          /* bit i: parameter i hangs on the one before it by a colon */
    int32_t arg[ESCAPE_ARGS]; /* -1: left out */
};

/* Parameter `index`, or `other` where it is left out or 0 means that too. */
static inline int escape_arg(const struct escape_csi *csi, unsigned index, int other)
{
    return index < csi->count && csi->arg[index] > 0 ? csi->arg[index] : other;
}

enum escape_string { ESCAPE_OSC, ESCAPE_DCS, ESCAPE_OTHER /* APC, PM, SOS: swallowed */ };

/* Who takes the pieces. `user` is what escape_write was given. */
struct escape_sink {
    void (*text)(void *user, const uint8_t *bytes, size_t size); /* 0x20…0x7e and 0x80…0xff */
    void (*control)(void *user, uint8_t control);                /* C0 but ESC, CAN, SUB */
    void (*escape)(void *user, char intermediate, char final);
    void (*csi)(void *user, const struct escape_csi *csi);
    void (*string)(void *user, enum escape_string kind, const char *text, size_t size);
};

struct escape {
    uint8_t state;
    uint8_t kind;  /* enum escape_string while in one */
    bool overflow; /* the string or sequence is too long */
    char opener;   /* the byte behind ESC that began the string */
    struct escape_csi csi;
    struct buf string; /* NUL-terminated when it is handed out */
};

void escape_write(struct escape *escape, const struct escape_sink *sink, void *user,
                  const uint8_t *bytes, size_t size);

/* Appends what a parser that starts now must be fed to be in the same state. 0 or -ENOMEM. */
int escape_pending(const struct escape *escape, struct buf *out);

/* Appends the sequence as a guest would write it. 0 or -ENOMEM. */
int escape_csi_text(const struct escape_csi *csi, struct buf *out);

void escape_free(struct escape *escape);

#endif
