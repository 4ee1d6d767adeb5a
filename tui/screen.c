/*
 * ncurses writes to a file in memory instead of to the terminal: it would wait for a slow line, and
 * spin on a non-blocking one. So a frame becomes bytes that outer.c sends as the line takes them,
 * and the next frame is drawn when they are out. A frame is held together by mode 2026.
 *
 * Colours are those of the terminal: what it lacks is replaced by the nearest that it has. Pairs
 * come from alloc_pair(3), which recycles; with the 65536 of a terminal of 256 colours it need not.
 */
#include "tui/screen.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NCURSES_WIDECHAR 1
#include <ncurses.h>

#include "base/cleanup.h"

#define SYNC_BEGIN "\033[?2026h"
#define SYNC_END   "\033[?2026l"

struct screen {
    SCREEN *curses;
    FILE *file;
    int fd; /* of `file`: memory */
    int colors;
    bool sequences; /* an heir of xterm: knows mode 2026 and cursor shapes */
    struct canvas shown;
    int cursor_shape;
    bool all;
    cchar_t *line;
};

static bool screen_knows(void)
{
    static const char *const plain[] = {"linux", "dumb", "vt", "ansi", "cons"};
    const char *term = getenv("TERM");
    for (size_t i = 0; term != NULL && i < sizeof plain / sizeof plain[0]; i++)
        if (strncmp(term, plain[i], strlen(plain[i])) == 0)
            return false;
    return term != NULL;
}

/* The file has no size to ask for; without one ncurses believes terminfo's (24 lines of a vt100).
 */
static SCREEN *screen_start(FILE *file, int rows, int cols)
{
    char text[2][16];
    snprintf(text[0], sizeof text[0], "%d", rows);
    snprintf(text[1], sizeof text[1], "%d", cols);
    setenv("LINES", text[0], 1);
    setenv("COLUMNS", text[1], 1);
    use_env(TRUE);
    SCREEN *curses = newterm(NULL, file, stdin);
    unsetenv("LINES"); /* from now on resizeterm() says it */
    unsetenv("COLUMNS");
    use_env(FALSE);
    return curses;
}

int screen_open(struct screen **out, int rows, int cols, bool colors, struct error *err)
{
    struct screen *screen = calloc(1, sizeof *screen);
    const char *term = getenv("TERM");
    if (screen == NULL)
        return error_set(err, ENOMEM, "out of memory");
    screen->fd = memfd_create("frame", MFD_CLOEXEC);
    screen->file = screen->fd >= 0 ? fdopen(screen->fd, "w") : NULL;
    screen->curses = screen->file != NULL ? screen_start(screen->file, rows, cols) : NULL;
    if (screen->curses == NULL) {
        screen_close(screen);
        return error_set(err, ENOTSUP,
                         "the terminal '%.40s' ($TERM) is not known or cannot show a screen",
                         term != NULL ? term : "");
    }
    set_term(screen->curses);
    typeahead(-1);
    leaveok(stdscr, FALSE);
    if (colors && has_colors() && start_color() == OK && use_default_colors() == OK)
        screen->colors = COLORS;
    screen->sequences = screen_knows();
    screen->all = true;
    screen->cursor_shape = -1;
    *out = screen;
    return 0;
}

int screen_colors(const struct screen *screen)
{
    return screen->colors;
}

/* The levels of xterm's cube. */
static int cube_level(uint32_t value)
{
    return value < 48 ? 0 : value < 115 ? 1 : (int)(value - 35) / 40;
}

static uint32_t rgb_of(uint32_t index)
{
    static const uint32_t sixteen[] = {0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd,
                                       0x00cdcd, 0xe5e5e5, 0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00,
                                       0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff};
    static const uint32_t levels[] = {0, 95, 135, 175, 215, 255};
    if (index < 16)
        return sixteen[index];
    if (index >= 232)
        return (8 + 10 * (index - 232)) * 0x010101u;
    index -= 16;
    return levels[index / 36] << 16 | levels[index / 6 % 6] << 8 | levels[index % 6];
}

static uint32_t distance(uint32_t a, uint32_t b)
{
    uint32_t sum = 0;
    for (int shift = 0; shift <= 16; shift += 8) {
        int d = (int)(a >> shift & 0xff) - (int)(b >> shift & 0xff);
        sum += (uint32_t)(d * d);
    }
    return sum;
}

static uint32_t nearest(uint32_t rgb, uint32_t from, uint32_t to)
{
    uint32_t best = from;
    for (uint32_t i = from; i < to; i++)
        if (distance(rgb, rgb_of(i)) < distance(rgb, rgb_of(best)))
            best = i;
    return best;
}

static uint32_t index_of(uint32_t rgb)
{
    int r = cube_level(rgb >> 16 & 0xff), g = cube_level(rgb >> 8 & 0xff),
        b = cube_level(rgb & 0xff);
    uint32_t cube = (uint32_t)(16 + 36 * r + 6 * g + b);
    uint32_t mean = ((rgb >> 16 & 0xff) + (rgb >> 8 & 0xff) + (rgb & 0xff)) / 3;
    uint32_t grey = mean < 8 ? 232 : mean > 238 ? 255 : 232 + (mean - 3) / 10;
    return distance(rgb, rgb_of(grey)) < distance(rgb, rgb_of(cube)) ? grey : cube;
}

static int screen_color(const struct screen *screen, uint32_t color)
{
    uint32_t value = color & 0xffffff;
    bool rgb = (color & COLOR_KIND) == COLOR_RGB;
    if ((color & COLOR_KIND) == COLOR_DEFAULT || screen->colors < 8)
        return -1;
    if (screen->colors > 256) { /* direct: 0 to 7 are the palette, the rest is RGB */
        if (!rgb && value < 8)
            return (int)value;
        value = rgb ? value : rgb_of(value);
        return value < 8 ? 0 : (int)value;
    }
    if (screen->colors == 256)
        return (int)(rgb ? index_of(value) : value);
    uint32_t count = screen->colors >= 16 ? 16 : 8;
    if (rgb || value >= count)
        value = nearest(rgb ? value : rgb_of(value), 0, count);
    return (int)value;
}

static attr_t screen_attributes(uint16_t attrs)
{
    static const struct {
        uint16_t bit;
        attr_t attribute;
    } table[] = {{CELL_BOLD, A_BOLD},          {CELL_DIM, A_DIM},         {CELL_ITALIC, A_ITALIC},
                 {CELL_BLINK, A_BLINK},        {CELL_REVERSE, A_REVERSE}, {CELL_CONCEAL, A_INVIS},
                 {CELL_UNDERLINE, A_UNDERLINE}};
    attr_t out = A_NORMAL;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if ((attrs & table[i].bit) != 0)
            out |= table[i].attribute;
    return out;
}

static void screen_row(struct screen *screen, const struct canvas *canvas, int row)
{
    uint32_t fg = 0, bg = 0;
    int pair = 0, count = 0;
    for (int col = 0; col < canvas->cols; col++) {
        const struct canvas_cell *cell = canvas_at(canvas, row, col);
        wchar_t text[CANVAS_POINTS + 1] = {0};
        if (cell->width == 0)
            continue;
        if (count == 0 || cell->fg != fg || cell->bg != bg) {
            int front = screen_color(screen, cell->fg), back = screen_color(screen, cell->bg);
            pair = front < 0 && back < 0 ? 0 : alloc_pair(front, back);
            pair = pair < 0 ? 0 : pair;
            fg = cell->fg;
            bg = cell->bg;
        }
        for (int i = 0; i < CANVAS_POINTS; i++)
            text[i] = (wchar_t)cell->points[i];
        setcchar(&screen->line[count++], text, screen_attributes(cell->attrs), 0, &pair);
    }
    mvadd_wchnstr(row, 0, screen->line, count);
}

static int screen_fit(struct screen *screen, const struct canvas *canvas, struct error *err)
{
    if (screen->shown.rows == canvas->rows && screen->shown.cols == canvas->cols)
        return 0;
    void *line = realloc(screen->line, (size_t)(canvas->cols + 1) * sizeof *screen->line);
    if (line == NULL)
        return error_set(err, ENOMEM, "out of memory");
    screen->line = line;
    int rc = canvas_resize(&screen->shown, canvas->rows, canvas->cols, err);
    if (rc == 0 && resizeterm(canvas->rows, canvas->cols) == ERR)
        rc = error_set(err, ENOMEM, "cannot draw a screen of %d by %d", canvas->rows, canvas->cols);
    screen->all = true;
    return rc;
}

/* Moves what ncurses wrote to `out`. */
static void screen_take(const struct screen *screen, struct buf *out)
{
    fflush(screen->file);
    off_t size = lseek(screen->fd, 0, SEEK_CUR);
    uint8_t *to = size > 0 ? buf_reserve(out, (size_t)size) : NULL;
    ssize_t got = to != NULL ? pread(screen->fd, to, (size_t)size, 0) : 0;
    if (got > 0)
        buf_added(out, (size_t)got);
    lseek(screen->fd, 0, SEEK_SET); /* what is there is written over */
}

int screen_show(struct screen *screen, const struct canvas *canvas, struct buf *out,
                struct error *err)
{
    CLEAN_BUF struct buf frame = {0};
    int rc = screen_fit(screen, canvas, err);
    if (rc < 0)
        return rc;
    size_t size = (size_t)canvas->cols * sizeof *canvas->cells;
    for (int row = 0; row < canvas->rows; row++) {
        const struct canvas_cell *cells = canvas_at(canvas, row, 0);
        struct canvas_cell *shown = canvas_at(&screen->shown, row, 0);
        if (!screen->all && memcmp(cells, shown, size) == 0)
            continue;
        memcpy(shown, cells, size);
        screen_row(screen, canvas, row);
    }
    if (screen->all)
        clearok(curscr, TRUE);
    screen->all = false;
    bool cursor = canvas->cursor_row >= 0 && canvas->cursor_row < canvas->rows &&
                  canvas->cursor_col >= 0 && canvas->cursor_col < canvas->cols;
    curs_set(cursor ? 1 : 0);
    if (cursor)
        move(canvas->cursor_row, canvas->cursor_col);
    wnoutrefresh(stdscr);
    doupdate();
    screen_take(screen, &frame);
    bool shape = cursor && screen->sequences && canvas->cursor_shape != screen->cursor_shape;
    if (buf_len(&frame) == 0 && !shape)
        return 0;
    if (screen->sequences)
        buf_printf(out, SYNC_BEGIN);
    buf_append(out, buf_data(&frame), buf_len(&frame));
    if (shape) {
        screen->cursor_shape = canvas->cursor_shape;
        buf_printf(out, "\033[%d q", canvas->cursor_shape);
    }
    if (screen->sequences)
        buf_printf(out, SYNC_END);
    return 0;
}

void screen_forget(struct screen *screen)
{
    screen->all = true;
}

void screen_leave(struct screen *screen, struct buf *out)
{
    erase(); /* where there is no other screen to go back to */
    refresh();
    endwin();
    screen_take(screen, out);
    if (screen->sequences)
        buf_printf(out, "\033[0 q");
    screen->cursor_shape = -1;
    screen->all = true;
}

void screen_close(struct screen *screen)
{
    if (screen == NULL)
        return;
    if (screen->curses != NULL)
        delscreen(screen->curses);
    if (screen->file != NULL)
        fclose(screen->file);
    canvas_free(&screen->shown);
    free(screen->line);
    free(screen);
}
