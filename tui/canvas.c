/* Cells are compared bytewise by screen.c, so every cell is written whole. */
#include "tui/canvas.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/human.h"
#include "tui/wide.h"

#define LINE_MAX_BYTES 2048
#define ELLIPSIS       0x2026u
#define HORIZONTAL     0x2500u
#define VERTICAL       0x2502u

int canvas_resize(struct canvas *canvas, int rows, int cols, struct error *err)
{
    struct canvas_cell *cells = calloc((size_t)rows * (size_t)cols + 1, sizeof *cells);
    if (cells == NULL)
        return error_set(err, ENOMEM, "out of memory");
    free(canvas->cells);
    *canvas = (struct canvas){rows, cols, cells, -1, -1, 0};
    canvas_fill(canvas, (struct rect){0, 0, rows, cols}, (struct style){0});
    return 0;
}

void canvas_free(struct canvas *canvas)
{
    free(canvas->cells);
    *canvas = (struct canvas){0};
}

struct canvas_cell *canvas_at(const struct canvas *canvas, int row, int col)
{
    if (row < 0 || row >= canvas->rows || col < 0 || col >= canvas->cols)
        return NULL;
    return &canvas->cells[(size_t)row * (size_t)canvas->cols + (size_t)col];
}

static void canvas_blank(struct canvas_cell *cell)
{
    cell->points[0] = ' ';
    memset(&cell->points[1], 0, sizeof cell->points - sizeof cell->points[0]);
    cell->width = 1;
}

/* A wide character that [col, col+width) cuts in two becomes blanks. */
static void canvas_cut(const struct canvas *canvas, int row, int col, int width)
{
    struct canvas_cell *first = canvas_at(canvas, row, col);
    struct canvas_cell *behind = canvas_at(canvas, row, col + width);
    if (first != NULL && first->width == 0 && col > 0)
        canvas_blank(first - 1);
    if (behind != NULL && behind->width == 0)
        canvas_blank(behind);
}

void canvas_glyph(struct canvas *canvas, int row, int col, const uint32_t *points, int count,
                  int width, struct style style)
{
    struct canvas_cell *cell = canvas_at(canvas, row, col);
    if (cell == NULL || col + width > canvas->cols || width < 1)
        return;
    canvas_cut(canvas, row, col, width);
    *cell = (struct canvas_cell){
        .fg = style.fg, .bg = style.bg, .attrs = style.attrs, .width = (uint16_t)width};
    int at = 0;
    for (int i = 0; i < count && at < CANVAS_POINTS - 1; i++)
        if (wide_width(points[i]) >= (at > 0 ? 0 : 1))
            cell->points[at++] = points[i];
    if (at == 0)
        cell->points[0] = count == 0 ? ' ' : '?';
    else if (wide_width(cell->points[0]) != width) { /* the guest disagrees about its width */
        canvas_blank(cell);
        cell->points[0] = WIDE_REPLACEMENT;
    }
    cell->width = 1;
    for (int i = 1; i < width; i++) {
        cell[i] = *cell;
        canvas_blank(&cell[i]);
    }
    if (width == 2 && wide_width(cell->points[0]) == 2) {
        cell->width = 2;
        cell[1].width = 0;
    }
}

void canvas_fill(struct canvas *canvas, struct rect area, struct style style)
{
    static const uint32_t space = ' ';
    for (int row = area.row; row < area.row + area.rows; row++)
        for (int col = area.col; col < area.col + area.cols; col++)
            canvas_glyph(canvas, row, col, &space, 1, 1, style);
}

int canvas_text(struct canvas *canvas, int row, int col, int max, struct style style,
                const char *text)
{
    size_t left = strnlen(text, LINE_MAX_BYTES);
    int used = 0;
    while (left > 0) {
        uint32_t points[CANVAS_POINTS], next;
        int count = 1;
        size_t size = wide_decode(text, left, &points[0]);
        int width = wide_width(points[0]);
        if (width <= 0) {
            points[0] = '?';
            width = 1;
        }
        if (used + width > max)
            break;
        text += size;
        left -= size;
        while (left > 0 && (size = wide_decode(text, left, &next), wide_width(next) == 0)) {
            if (count < CANVAS_POINTS)
                points[count++] = next;
            text += size;
            left -= size;
        }
        canvas_glyph(canvas, row, col + used, points, count, width, style);
        used += width;
    }
    return used;
}

int canvas_printf(struct canvas *canvas, int row, int col, int max, struct style style,
                  const char *format, ...)
{
    char text[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    human_format(text, sizeof text, format, arguments);
    va_end(arguments);
    return canvas_label(canvas, row, col, max, style, text);
}

int canvas_width(const char *text)
{
    size_t left = strnlen(text, LINE_MAX_BYTES);
    int width = 0;
    while (left > 0) {
        uint32_t point;
        size_t size = wide_decode(text, left, &point);
        int columns = wide_width(point);
        width += columns < 0 ? 1 : columns;
        text += size;
        left -= size;
    }
    return width;
}

int canvas_label(struct canvas *canvas, int row, int col, int max, struct style style,
                 const char *text)
{
    static const uint32_t ellipsis = ELLIPSIS;
    if (max <= 0)
        return 0;
    if (canvas_width(text) <= max)
        return canvas_text(canvas, row, col, max, style, text);
    int used = canvas_text(canvas, row, col, max - 1, style, text);
    canvas_glyph(canvas, row, col + used, &ellipsis, 1, 1, style);
    return used + 1;
}

int canvas_row(const struct canvas *canvas, int row, struct buf *out)
{
    int last = canvas->cols - 1, rc = 0;
    while (last >= 0 && canvas_at(canvas, row, last)->points[0] == ' ')
        last--;
    for (int col = 0; col <= last && rc == 0; col++) {
        const struct canvas_cell *cell = canvas_at(canvas, row, col);
        for (int i = 0; i < CANVAS_POINTS && cell->width > 0 && cell->points[i] != 0; i++) {
            char bytes[4];
            rc |= buf_append(out, bytes, wide_encode(cell->points[i], bytes));
        }
    }
    return rc != 0 ? -ENOMEM : 0;
}

void canvas_line(struct canvas *canvas, int row, int col, int cols, struct style style)
{
    static const uint32_t line = HORIZONTAL;
    for (int i = 0; i < cols; i++)
        canvas_glyph(canvas, row, col + i, &line, 1, 1, style);
}

void canvas_column(struct canvas *canvas, int row, int col, int rows, struct style style)
{
    static const uint32_t line = VERTICAL;
    for (int i = 0; i < rows; i++)
        canvas_glyph(canvas, row + i, col, &line, 1, 1, style);
}
