/*
 * Inside of a terminal: what term.c, text.c, pen.c, control.c, modes.c, strings.c, repaint.c,
 * save.c and load.c share. Nobody else includes this.
 */
#ifndef VMDECK_SESSION_TERM_ENGINE_H
#define VMDECK_SESSION_TERM_ENGINE_H

#include "session/term/escape.h"
#include "session/term/grid.h"
#include "session/term/intern.h"
#include "session/term/term.h"
#include "session/term/vt.h"

enum charset { CHARSET_ASCII, CHARSET_DRAWING, CHARSET_UK };

struct charsets {
    uint8_t g[4];   /* enum charset */
    uint8_t locked; /* which of them bytes mean: SI, SO, LS2, LS3 */
    uint8_t single; /* for one character: SS2, SS3; else 0 */
};

/* DECSC; each screen has one. */
struct saved {
    bool set;
    struct grid_mark at;
    bool origin;
    struct cell pen;
    struct charsets charsets;
};

struct utf8 {
    uint32_t point;
    uint8_t need;         /* bytes to come */
    uint8_t lower, upper; /* what the next one may be */
    uint8_t bytes[4], have;
};

enum happened { SAW_TITLE = 1, SAW_BELL = 2, SAW_CWD = 4, SAW_MODES = 8, SAW_REPLY = 16 };

struct term {
    struct grid grid;
    struct vt *vt;
    struct escape escape;
    struct utf8 utf8;

    struct vt_cursor cursor;
    bool pending;  /* the last column is written: the next character wraps */
    bool wrapping; /* a line feed is due to text that goes on */
    enum grid_keep keep;
    int top, bottom; /* margins */
    struct cell pen; /* glyph 0 */
    struct charsets charsets;
    struct saved saved[2];

    uint32_t modes;
    enum term_mouse mouse;
    enum term_mouse_code mouse_code;
    uint8_t cursor_shape;
    size_t frame_bytes;

    struct intern clusters, links;
    char title[TERM_TITLE_MAX + 1];
    char *cwd;
    struct buf replies;

    int dirty_first, dirty_last; /* rows [first, last) */
    unsigned happened;           /* enum happened */
    const struct term_events *events;
    void *context;
};

/* term.c */
void term_dirty(struct term *term, int first, int last);
void term_output(struct term *term, const void *bytes, size_t size);
void term_output_csi(struct term *term, const struct escape_csi *csi);
void term_reply(struct term *term, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint32_t term_add_cluster(struct term *term, const uint32_t *points, size_t count);
uint32_t term_add_link(struct term *term, const char *text, size_t size);
void term_save_cursor(struct term *term);
void term_restore_cursor(struct term *term);
void term_soft_reset(struct term *term);
void term_hard_reset(struct term *term);

/* text.c */
void text_write(struct term *term, const uint8_t *bytes, size_t size);
void text_flush(struct term *term); /* a character that was cut off becomes U+FFFD */
void text_repeat(struct term *term, int count);
size_t text_encode(uint32_t point, char out[4]);

/* pen.c */
void pen_set(struct cell *pen, const struct escape_csi *sgr);

enum pen_colors { PEN_MONO, PEN_256, PEN_TRUECOLOR };
int pen_text(const struct cell *pen, enum pen_colors colors, struct buf *out); /* CSI 0;… m */

/* control.c */
void control_code(struct term *term, uint8_t control);
void control_escape(struct term *term, char intermediate, char final);
void control_csi(struct term *term, const struct escape_csi *csi);

/* modes.c */
#define MODES_RESET (TERM_WRAP | TERM_CURSOR)

void mode_set(struct term *term, bool ansi, int number, bool on);
int mode_report(const struct term *term, bool ansi, int number); /* DECRPM's second parameter */
void mode_origin(struct term *term, bool on);
int modes_text(const struct term_modes *from, const struct term_modes *to, struct buf *out);

/* strings.c */
/* Copies what is UTF-8, without controls; at most `max` bytes and a NUL. Returns its length. */
size_t string_clean(char *out, size_t max, const char *text, size_t size);
void string_take(struct term *term, enum escape_string kind, const char *text, size_t size);

#endif
