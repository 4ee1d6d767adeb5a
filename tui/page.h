/*
 * A page of lines that the user moves through: help, event log, network, a command's output. It
 * stays at the end while lines come, if it was there. Texts may come from guests. Not thread-safe.
 */
#ifndef VMDECK_TUI_PAGE_H
#define VMDECK_TUI_PAGE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"
#include "tui/canvas.h"
#include "tui/theme.h"

#define PAGE_LINES 5000 /* further ones are dropped */

enum page_kind {
    PAGE_HELP,
    PAGE_LOG,
    PAGE_NETWORK,
    PAGE_REVIEW,
    PAGE_OUTPUT,
    PAGE_SNAPSHOTS,
    PAGE_MOUNTS,
    PAGE_RULES
};

/* Draws what the line is about; `chosen` is how all of it looks, or NULL. */
typedef void page_line(void *context, int64_t ref, struct canvas *canvas, struct rect line,
                       const struct style *chosen);

/* The first byte of a line says how it looks; see page_add(). */
struct page {
    enum page_kind kind;
    char title[128], filter[128];
    char heading[256]; /* above the lines; "": none */
    char hint[128];    /* instead of "nothing yet" */
    struct strv lines;
    int64_t refs[PAGE_LINES]; /* what each is about, for those who draw it themselves */
    int64_t kept;             /* of the line that was chosen before page_clear() */
    page_line *draw;          /* NULL: lines are their texts; page_clear() forgets it */
    void *context;
    bool card;         /* what the chosen line is about is shown in full */
    struct strv words; /* what a command calls the lines of page_item(), which fill a page alone */
    char *word;        /* the chosen one's while the page is filled anew */
    long chosen;
    bool follow; /* the last line is chosen, also when more come */
};

void page_clear(struct page *page, enum page_kind kind, const char *title);
int page_add(struct page *page, enum theme_role role, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One that is about `ref`, which is not 0; its text is what a filter looks at. */
int page_add_ref(struct page *page, int64_t ref, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int64_t page_ref(const struct page *page); /* of the chosen line; 0: none */
/* The same for a line that is about something; the one that was chosen stays so. */
int page_item(struct page *page, const char *word, enum theme_role role, const char *text);
const char *page_word(const struct page *page); /* the chosen one's; NULL: none */

/* Appends the text as a column of that width, cut or filled, and a blank behind it. */
void page_column(struct buf *line, const char *text, int cols);
void page_move(struct page *page, long lines);
void page_draw(const struct page *page, struct canvas *canvas, struct rect area,
               const struct theme *theme);
void page_free(struct page *page);

#endif
