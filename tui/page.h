/*
 * A page of lines that the user moves through: help, event log, network, a command's output. It
 * stays at the end while lines come, if it was there. Texts may come from guests. Not thread-safe.
 */
#ifndef VMDECK_TUI_PAGE_H
#define VMDECK_TUI_PAGE_H

#include <stdbool.h>

#include "base/str.h"
#include "tui/canvas.h"
#include "tui/theme.h"

#define PAGE_LINES 5000 /* further ones are dropped */

enum page_kind { PAGE_HELP, PAGE_LOG, PAGE_NETWORK, PAGE_REVIEW, PAGE_OUTPUT };

/* The first byte of a line says how it looks; see page_add(). */
struct page {
    enum page_kind kind;
    char title[128], filter[128];
    struct strv lines;
    long chosen;
    bool follow; /* the last line is chosen, also when more come */
};

void page_clear(struct page *page, enum page_kind kind, const char *title);
int page_add(struct page *page, enum theme_role role, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void page_move(struct page *page, long lines);
void page_draw(const struct page *page, struct canvas *canvas, struct rect area,
               const struct theme *theme);
void page_free(struct page *page);

#endif
