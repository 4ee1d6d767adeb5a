/* A line's role is kept as its first byte, so that the lines are a plain list of strings. */
#include "tui/page.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/human.h"
#include "tui/wide.h"

#define LINE_MAX_BYTES 1024
#define FIRST_ROLE     1 /* no line contains a NUL */

void page_clear(struct page *page, enum page_kind kind, const char *title)
{
    bool same = page->kind == kind;
    page->kept = same ? page_ref(page) : 0;
    page->card = same && page->card;
    page->draw = NULL;
    const char *word = page_word(page);
    if (word != NULL || !same) {
        free(page->word);
        page->word = same ? strdup(word) : NULL;
    }
    strv_free(&page->lines);
    strv_free(&page->words);
    page->heading[0] = page->hint[0] = '\0';
    page->kind = kind;
    page->chosen = same ? page->chosen : 0;
    page->follow = same && page->follow;
    if (!same)
        page->filter[0] = '\0';
    snprintf(page->title, sizeof page->title, "%s", title);
}

static int page_put(struct page *page, enum theme_role role, int64_t ref, const char *format,
                    va_list arguments) __attribute__((format(printf, 4, 0)));

static int page_put(struct page *page, enum theme_role role, int64_t ref, const char *format,
                    va_list arguments)
{
    char line[LINE_MAX_BYTES];
    line[0] = (char)(role + FIRST_ROLE);
    human_format(line + 1, sizeof line - 1, format, arguments);
    if (page->filter[0] != '\0' && strcasestr(line + 1, page->filter) == NULL)
        return 0;
    if (page->lines.count >= PAGE_LINES)
        return -E2BIG;
    int rc = strv_add(&page->lines, line);
    if (rc == 0)
        page->refs[page->lines.count - 1] = ref;
    if (page->follow || (ref != 0 && ref == page->kept))
        page->chosen = (long)page->lines.count - 1;
    return rc;
}

int page_add(struct page *page, enum theme_role role, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = page_put(page, role, 0, format, arguments);
    va_end(arguments);
    return rc;
}

int page_add_ref(struct page *page, int64_t ref, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = page_put(page, ROLE_TEXT, ref, format, arguments);
    va_end(arguments);
    return rc;
}

int64_t page_ref(const struct page *page)
{
    bool valid = page->chosen >= 0 && page->chosen < (long)page->lines.count;
    return valid ? page->refs[page->chosen] : 0;
}

int page_item(struct page *page, const char *word, enum theme_role role, const char *text)
{
    size_t before = page->lines.count;
    int rc = page_add(page, role, "%s", text);
    if (rc < 0 || page->lines.count == before)
        return rc;
    if (page->word != NULL && strcmp(page->word, word) == 0)
        page->chosen = (long)before;
    return strv_add(&page->words, word);
}

const char *page_word(const struct page *page)
{
    return page->chosen >= 0 && (size_t)page->chosen < page->words.count
               ? page->words.items[page->chosen]
               : NULL;
}

void page_column(struct buf *line, const char *text, int cols)
{
    int all = canvas_width(text), used = 0, room = all > cols ? cols - 1 : cols;
    size_t left = strlen(text);
    while (left > 0) {
        uint32_t point;
        size_t size = wide_decode(text, left, &point);
        int width = wide_width(point);
        if (used + (width < 0 ? 1 : width) > room)
            break;
        buf_append(line, text, size);
        used += width < 0 ? 1 : width; /* it will be drawn as '?' */
        text += size;
        left -= size;
    }
    if (all > cols && room >= 0) {
        buf_printf(line, "…");
        used++;
    }
    buf_printf(line, "%*s", cols - used + 1, "");
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
    int above = page->heading[0] != '\0' ? 2 : 1;
    long count = (long)page->lines.count, rows = area.rows - above, top = page->chosen - rows / 2;
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
    if (above == 2)
        canvas_label(canvas, area.row + 1, area.col + 1, area.cols - 2, theme->roles[ROLE_DIM],
                     page->heading);
    for (long i = 0; i < rows && top + i < count; i++) {
        const char *line = page->lines.items[top + i];
        bool chosen = top + i == page->chosen;
        struct style style = theme->roles[chosen ? (int)ROLE_SELECTED : line[0] - FIRST_ROLE];
        int row = area.row + above + (int)i;
        canvas_fill(canvas, (struct rect){row, area.col, 1, area.cols}, style);
        struct rect place = {row, area.col + 1, 1, area.cols - 2};
        if (page->draw != NULL)
            page->draw(page->context, page->refs[top + i], canvas, place, chosen ? &style : NULL);
        else
            canvas_label(canvas, row, place.col, place.cols, style, line + 1);
    }
    if (count == 0 && rows > 0)
        canvas_text(canvas, area.row + above, area.col + 1, area.cols - 2, theme->roles[ROLE_DIM],
                    page->filter[0] != '\0' ? "nothing matches"
                    : page->hint[0] != '\0' ? page->hint
                                            : "nothing yet");
}

void page_free(struct page *page)
{
    strv_free(&page->lines);
    strv_free(&page->words);
    free(page->word);
    page->word = NULL;
}
