/*
 * SGR, both ways. One row per parameter; colours and underline styles, which have parameters of
 * their own, are read by hand, in the forms with colons (ISO 8613-6) and with semicolons (xterm).
 * Underline colours (58) are read over, fonts (10 to 20) ignored: no cell keeps them.
 */
#include "session/term/engine.h"

struct sgr {
    uint8_t number;
    uint16_t clear, set;
};

#define LINE(style) ((uint16_t)((style) << CELL_UNDERLINE_SHIFT))

static const struct sgr attributes[] = {
    {1, 0, CELL_BOLD},
    {2, 0, CELL_DIM},
    {3, 0, CELL_ITALIC},
    {4, CELL_UNDERLINE, LINE(1U)},
    {5, 0, CELL_BLINK},
    {6, 0, CELL_BLINK},
    {7, 0, CELL_REVERSE},
    {8, 0, CELL_CONCEAL},
    {9, 0, CELL_STRIKE},
    {21, CELL_UNDERLINE, LINE(2U)},
    {22, CELL_BOLD | CELL_DIM, 0},
    {23, CELL_ITALIC, 0},
    {24, CELL_UNDERLINE, 0},
    {25, CELL_BLINK, 0},
    {27, CELL_REVERSE, 0},
    {28, CELL_CONCEAL, 0},
    {29, CELL_STRIKE, 0},
    {53, 0, CELL_OVERLINE},
    {55, CELL_OVERLINE, 0},
};

struct range {
    uint8_t from, to; /* parameters */
    bool background;
    uint32_t color; /* of the first */
};

static const struct range ranges[] = {
    {30, 37, false, COLOR_INDEXED},     {40, 47, true, COLOR_INDEXED},
    {90, 97, false, COLOR_INDEXED | 8}, {100, 107, true, COLOR_INDEXED | 8},
    {39, 39, false, COLOR_DEFAULT},     {49, 49, true, COLOR_DEFAULT},
};

static bool is_byte(int32_t value)
{
    return value >= 0 && value <= 255;
}

/* Parameters that hang on `at` by colons. */
static unsigned joined(const struct escape_csi *sgr, unsigned at)
{
    unsigned count = 0;
    while (at + count + 1 < sgr->count && (sgr->joined >> (at + count + 1) & 1) != 0)
        count++;
    return count;
}

/* Reads the colour at args[0..count); false if it is none. */
static bool read_color(const int32_t *args, unsigned count, bool colons, uint32_t *color)
{
    if (count >= 2 && args[0] == 5 && is_byte(args[1] < 0 ? 0 : args[1])) {
        *color = COLOR_INDEXED | (uint32_t)(args[1] < 0 ? 0 : args[1]);
        return true;
    }
    unsigned first = colons && count >= 5 ? 2 : 1; /* 38:2:SPACE:r:g:b */
    if (count < first + 3 || args[0] != 2)
        return false;
    uint32_t rgb = 0;
    for (unsigned i = 0; i < 3; i++) {
        int32_t value = args[first + i] < 0 ? 0 : args[first + i];
        if (!is_byte(value))
            return false;
        rgb = rgb << 8 | (uint32_t)value;
    }
    *color = COLOR_RGB | rgb;
    return true;
}

/* 38, 48 or 58 at `at`. Returns the parameters that belong to it. */
static unsigned extended(struct cell *pen, const struct escape_csi *sgr, unsigned at)
{
    unsigned count = joined(sgr, at);
    bool colons = count > 0;
    if (!colons) {
        unsigned left = sgr->count - at - 1;
        int kind = escape_arg(sgr, at + 1, 0);
        count = kind == 2 ? 4 : kind == 5 ? 2 : 1;
        count = count > left ? left : count;
    }
    uint32_t color;
    if (read_color(&sgr->arg[at + 1], count, colons, &color)) {
        if (sgr->arg[at] == 38)
            pen->fg = color;
        else if (sgr->arg[at] == 48)
            pen->bg = color;
    }
    return count;
}

static void simple(struct cell *pen, int32_t number)
{
    if (number <= 0) {
        *pen = (struct cell){.link = pen->link};
        return;
    }
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        if (attributes[i].number == number)
            pen->attrs = (uint16_t)((pen->attrs & ~attributes[i].clear) | attributes[i].set);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (number >= ranges[i].from && number <= ranges[i].to) {
            uint32_t color = ranges[i].color + (uint32_t)(number - ranges[i].from);
            *(ranges[i].background ? &pen->bg : &pen->fg) = color;
        }
}

void pen_set(struct cell *pen, const struct escape_csi *sgr)
{
    if (sgr->count == 0)
        simple(pen, 0);
    for (unsigned i = 0; i < sgr->count; i++) {
        int32_t number = sgr->arg[i];
        unsigned more = joined(sgr, i);
        if (number == 38 || number == 48 || number == 58) {
            i += extended(pen, sgr, i);
        } else if (more == 0) {
            simple(pen, number);
        } else {
            int32_t style = sgr->arg[i + 1];
            if (number == 4 && style >= 0 && style <= 5)
                pen->attrs = (uint16_t)((pen->attrs & ~CELL_UNDERLINE) | LINE((unsigned)style));
            i += more;
        }
    }
}

/* The nearest of xterm's 256 colours: the cube's or the grey ramp's. */
static unsigned quantise(uint32_t rgb)
{
    static const uint8_t levels[] = {0, 95, 135, 175, 215, 255};
    int best = 0, index[3], distance[2] = {0, 0}, sum = 0;
    for (int i = 0; i < 3; i++) {
        int value = (int)(rgb >> (16 - 8 * i) & 0xff);
        index[i] = value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40;
        int off = value - levels[index[i]];
        distance[0] += off * off;
        sum += value;
    }
    int grey = sum / 3 > 238 ? 23 : sum / 3 < 3 ? 0 : (sum / 3 - 3) / 10;
    for (int i = 0; i < 3; i++) {
        int off = (int)(rgb >> (16 - 8 * i) & 0xff) - (8 + 10 * grey);
        distance[1] += off * off;
    }
    best = distance[1] < distance[0] ? 232 + grey : 16 + 36 * index[0] + 6 * index[1] + index[2];
    return (unsigned)best;
}

static int color_text(uint32_t color, bool background, enum pen_colors colors, struct buf *out)
{
    if ((color & COLOR_KIND) == COLOR_DEFAULT || colors == PEN_MONO)
        return 0;
    uint32_t value = color & ~COLOR_KIND;
    bool rgb = (color & COLOR_KIND) == COLOR_RGB;
    if (rgb && colors == PEN_TRUECOLOR)
        return buf_printf(out, ";%d;2;%u;%u;%u", background ? 48 : 38, value >> 16,
                          value >> 8 & 0xff, value & 0xff);
    if (rgb)
        value = quantise(value);
    if (value < 16)
        return buf_printf(out, ";%u", (value < 8 ? 30 : 82) + value + (background ? 10 : 0));
    return buf_printf(out, ";%d;5;%u", background ? 48 : 38, value);
}

int pen_text(const struct cell *pen, enum pen_colors colors, struct buf *out)
{
    if (buf_append(out, "\033[0", 3) != 0)
        return -1;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        const struct sgr *row = &attributes[i];
        bool line = (row->set & CELL_UNDERLINE) != 0;
        bool has = line ? (pen->attrs & CELL_UNDERLINE) == row->set : (pen->attrs & row->set) != 0;
        if (has && row->set != 0 && row->number != 6 && buf_printf(out, ";%u", row->number) != 0)
            return -1;
    }
    unsigned style = (pen->attrs & CELL_UNDERLINE) >> CELL_UNDERLINE_SHIFT;
    /* old parsers take 4:3 for 4;3 */
    if (style > 2 &&
        (colors == PEN_TRUECOLOR ? buf_printf(out, ";4:%u", style) : buf_append(out, ";4", 2)) != 0)
        return -1;
    if (color_text(pen->fg, false, colors, out) != 0 || color_text(pen->bg, true, colors, out) != 0)
        return -1;
    return buf_append(out, "m", 1) != 0 ? -1 : 0;
}
