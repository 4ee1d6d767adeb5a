/* A line's role is kept as its first byte, so that the lines are a plain list of strings. */
#include "tui/page.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/human.h"

#define LINE_MAX_BYTES 1024
#define FIRST_ROLE     1 /* no line contains a NUL */

void page_clear(struct page *page, enum page_kind kind, const char *title)
{
    bool same = page->kind == kind;
    strv_free(&page->lines);
    page->kind = kind;
    page->chosen = same ? page->chosen : 0;
    page->follow = same && page->follow;
    if (!same)
        page->filter[0] = '\0';
    snprintf(page->title, sizeof page->title, "%s", title);
}

int page_add(struct page *page, enum theme_role role, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list arguments;
    line[0] = (char)(role + FIRST_ROLE);
    va_start(arguments, format);
    human_format(line + 1, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (page->filter[0] != '\0' && strcasestr(line + 1, page->filter) == NULL)
        return 0;
    if (page->lines.count >= PAGE_LINES)
        return -E2BIG;
    int rc = strv_add(&page->lines, line);
    if (page->follow)
        page->chosen = (long)page->lines.count - 1;
    return rc;
}

void page_move(struct page *page, long lines)
{
    long last = (long)page->lines.count - 1, at = page->chosen + lines;
    page->chosen = at > last ? last : at;
    if (page->chosen < 0)
        page->chosen = 0;
    page->follow = last >= 0 && page->chosen == last;
}

void page_draw(const struct page *page, struct canvas *canvas, struct rect area,
               const struct theme *theme)
{
    long count = (long)page->lines.count, rows = area.rows - 1, top = page->chosen - rows / 2;
    if (top > count - rows)
        top = count - rows;
    if (top < 0)
        top = 0;
    canvas_fill(canvas, area, theme->roles[ROLE_TEXT]);
    canvas_line(canvas, area.row, area.col, area.cols, theme->roles[ROLE_BORDER]);
    int used = canvas_printf(canvas, area.row, area.col + 1, area.cols - 2,
                             theme->roles[ROLE_TITLE], " %s ", page->title);
    if (page->filter[0] != '\0')
        canvas_printf(canvas, area.row, area.col + 2 + used, area.cols - used - 3,
                      theme->roles[ROLE_MATCH], " /%s ", page->filter);
    for (long i = 0; i < rows && top + i < count; i++) {
        const char *line = page->lines.items[top + i];
        bool chosen = top + i == page->chosen;
        struct style style = theme->roles[chosen ? (int)ROLE_SELECTED : line[0] - FIRST_ROLE];
        int row = area.row + 1 + (int)i;
        canvas_fill(canvas, (struct rect){row, area.col, 1, area.cols}, style);
        canvas_label(canvas, row, area.col + 1, area.cols - 2, style, line + 1);
    }
    if (count == 0 && rows > 0)
        canvas_text(canvas, area.row + 1, area.col + 1, area.cols - 2, theme->roles[ROLE_DIM],
                    page->filter[0] != '\0' ? "nothing matches" : "nothing yet");
}

void page_free(struct page *page)
{
    strv_free(&page->lines);
}
