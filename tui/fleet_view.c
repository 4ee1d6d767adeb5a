/*
 * The list of sessions. What a column shows of a session that runs, its state shows of one that
 * does not. A session's snapshots stand below it where there is room for all of them.
 */
#include <stdio.h>
#include <string.h>

#include "tui/dashboard.h"
#include "tui/human.h"

#define IMAGE_COLS    44 /* of the list; fewer: no image */
#define NETWORK_COLS  64 /* fewer: an arrow instead of the rate */
#define MEMORY_COLS   76 /* fewer: no graph of it */
#define CHILDREN_MAX  3  /* snapshots below a session; how many more there are is said */
#define MARKS         4  /* columns: network, output out of sight, terminals, none */
#define NETWORK_WIDTH 7

static const struct {
    const char *glyph;
    enum theme_role role;
} states[FLEET_STATES] = {
    [FLEET_WAITING] = {"?", ROLE_WAITING},   [FLEET_FAILED] = {"✗", ROLE_FAILED},
    [FLEET_STARTING] = {"◌", ROLE_STARTING}, [FLEET_RUNNING] = {"●", ROLE_RUNNING},
    [FLEET_STOPPING] = {"◌", ROLE_ENDED},    [FLEET_PAUSED] = {"‖", ROLE_PAUSED},
    [FLEET_SUSPENDED] = {"◇", ROLE_PAUSED},  [FLEET_ENDED] = {"·", ROLE_ENDED},
};

/* The styles of a row: its own, or all that of the selection. */
struct row_style {
    const struct theme *theme;
    const struct style *chosen;
};

static struct style style_of(const struct row_style *style, enum theme_role role)
{
    return style->chosen != NULL ? *style->chosen : style->theme->roles[role];
}

void home_graph(struct canvas *canvas, int row, int col, const double samples[FLEET_SAMPLES],
                unsigned count, struct style style)
{
    for (unsigned i = 0; i < count && i < FLEET_SAMPLES; i++)
        canvas_text(canvas, row, col + (int)(FLEET_SAMPLES - count + i), 1, style,
                    human_bar(samples[FLEET_SAMPLES - count + i]));
}

static int image_width(int cols)
{
    return cols >= IMAGE_COLS ? cols / 16 + 8 : 0;
}

static int detail_width(int cols)
{
    return FLEET_SAMPLES + 6 + (cols >= MEMORY_COLS ? FLEET_SAMPLES + 1 : 0) +
           (cols >= NETWORK_COLS ? NETWORK_WIDTH + 1 : 0);
}

/* Processor, memory, network, in columns. */
static void draw_load(struct canvas *canvas, struct rect line, int col,
                      const struct fleet_row *session, const struct row_style *style)
{
    struct style graph = style_of(style, ROLE_GRAPH), dim = style_of(style, ROLE_DIM);
    char text[HUMAN_SIZE];
    home_graph(canvas, line.row, col, session->samples, session->sample_count, graph);
    col += FLEET_SAMPLES + 1;
    if (line.cols >= MEMORY_COLS) {
        unsigned count = session->memory_max > 0 ? session->sample_count : 0;
        home_graph(canvas, line.row, col, session->memory_samples, count, graph);
        col += FLEET_SAMPLES + 1;
    }
    human_bytes(session->memory, text);
    if (session->memory > 0)
        canvas_printf(canvas, line.row, col, 5, dim, "%5s", text);
    col += 6;
    if (line.cols < NETWORK_COLS || session->network_rate < 1)
        return;
    human_bytes((uint64_t)session->network_rate, text);
    canvas_printf(canvas, line.row, col, NETWORK_WIDTH, dim, "↕%s/s", text);
}

/* A state's; one with a background of its own stands out of the selection too. */
static struct style state_style(const struct row_style *style, enum fleet_state state)
{
    enum theme_role role = states[state].role;
    bool stands_out = state == FLEET_WAITING && style->theme->roles[role].bg != COLOR_DEFAULT;
    return stands_out ? style->theme->roles[role] : style_of(style, role);
}

/* What matters about it now. */
static void draw_detail(struct canvas *canvas, struct rect line, int col,
                        const struct fleet_row *session, const struct row_style *style)
{
    struct style own = state_style(style, session->state);
    int cols = detail_width(line.cols);
    if (session->state == FLEET_WAITING)
        canvas_printf(canvas, line.row, col, cols, own, "%u request%s", session->pending,
                      session->pending == 1 ? "" : "s");
    else if (session->state == FLEET_RUNNING)
        draw_load(canvas, line, col, session, style);
    else if (session->ended != 0 && session->reason[0] != '\0')
        canvas_label(canvas, line.row, col, cols, own, session->reason);
    else
        canvas_label(canvas, line.row, col, cols, own, fleet_state_name(session->state));
}

static void draw_marks(struct canvas *canvas, struct rect line, int col,
                       const struct fleet_row *session, const struct row_style *style)
{
    if (line.cols < NETWORK_COLS && session->network_rate >= 1)
        canvas_text(canvas, line.row, col, 1, style_of(style, ROLE_DIM), "↕");
    if (session->bell)
        canvas_text(canvas, line.row, col + 1, 1, style_of(style, ROLE_ASK), "!");
    else if (fleet_unseen(session))
        canvas_text(canvas, line.row, col + 1, 1, style_of(style, ROLE_KEY), "+");
    if (session->terminals > 1)
        canvas_printf(canvas, line.row, col + 2, 1, style_of(style, ROLE_DIM), "%u",
                      session->terminals < 9 ? session->terminals : 9);
}

static void draw_row(const struct dashboard *d, struct canvas *canvas, struct rect line,
                     const struct fleet_row *session)
{
    bool selected = strcmp(session->id, d->fleet.selected) == 0;
    const struct row_style style = {&d->theme, selected ? &d->theme.roles[ROLE_SELECTED] : NULL};
    struct style text = style_of(&style, session->marked ? ROLE_MARKED : ROLE_TEXT);
    struct style dim = style_of(&style, ROLE_DIM);
    int image = image_width(line.cols), detail = detail_width(line.cols);
    int name = line.cols - 4 - image - 6 - detail - MARKS - 1, col = line.col;
    char age[HUMAN_SIZE];
    if (selected)
        canvas_fill(canvas, line, *style.chosen);
    canvas_text(canvas, line.row, col, 1, text, selected ? "▸" : "");
    canvas_text(canvas, line.row, col + 1, 1, text, session->marked ? "*" : "");
    canvas_text(canvas, line.row, col + 2, 1, state_style(&style, session->state),
                states[session->state].glyph);
    canvas_label(canvas, line.row, col + 4, name, text, fleet_word(session));
    col += 4 + name + 1;
    if (image > 0)
        canvas_label(canvas, line.row, col, image - 1, dim, session->image);
    col += image;
    human_age((session->ended != 0 ? session->ended : d->now) - session->created, age);
    canvas_printf(canvas, line.row, col, 4, dim, "%4s", age);
    col += 5;
    draw_detail(canvas, line, col, session, &style);
    draw_marks(canvas, line, line.col + line.cols - MARKS, session, &style);
}

static size_t children_of(const struct fleet *fleet, const struct fleet_row *session)
{
    size_t count = 0;
    for (size_t i = 0; i < fleet->child_count; i++)
        count += strcmp(fleet->children[i].session, session->id) == 0;
    return count;
}

/* Lines that the session's snapshots take. */
static int child_lines(const struct dashboard *d, const struct fleet_row *session)
{
    size_t count = d->fleet_children ? children_of(&d->fleet, session) : 0;
    return count > CHILDREN_MAX ? CHILDREN_MAX + 1 : (int)count;
}

static void draw_child(struct dashboard *d, struct rect line, const struct fleet_child *child,
                       bool last)
{
    struct style dim = d->theme.roles[ROLE_DIM];
    int end = line.col + line.cols - MARKS - detail_width(line.cols) - 1;
    char age[HUMAN_SIZE], size[HUMAN_SIZE];
    human_age(d->now - child->created, age);
    human_bytes(child->size, size);
    canvas_text(&d->canvas, line.row, line.col + 4, 2, dim, last ? "└" : "├");
    canvas_label(&d->canvas, line.row, line.col + 6, end - 5 - line.col - 7, dim, child->name);
    canvas_printf(&d->canvas, line.row, end - 5, 4, dim, "%4s", age);
    canvas_printf(&d->canvas, line.row, end, 14, dim, "%4s  %s", size, child->kind);
}

/* The newest ones, and how many others there are. */
static void draw_children(struct dashboard *d, struct rect line, const struct fleet_row *session)
{
    int lines = child_lines(d, session), drawn = 0;
    size_t count = children_of(&d->fleet, session);
    for (size_t i = d->fleet.child_count; i > 0 && drawn < lines; i--) {
        const struct fleet_child *child = &d->fleet.children[i - 1];
        if (strcmp(child->session, session->id) != 0)
            continue;
        if (drawn == CHILDREN_MAX)
            canvas_printf(&d->canvas, line.row, line.col + 4, line.cols - 4,
                          d->theme.roles[ROLE_DIM], "└ %zu more", count - CHILDREN_MAX);
        else
            draw_child(d, line, child, drawn == lines - 1);
        drawn++;
        line.row++;
    }
}

/* A column's name in the line above it, if there is room behind the title. */
static void draw_heading(struct dashboard *d, int row, int col, int end, const char *name)
{
    char text[16];
    snprintf(text, sizeof text, " %s ", name);
    if (col - 1 >= end)
        canvas_text(&d->canvas, row, col - 1, (int)sizeof text, d->theme.roles[ROLE_DIM], text);
}

static void draw_fleet_title(struct dashboard *d, struct rect area)
{
    char title[FLEET_TEXT * 2];
    size_t marked = 0;
    for (size_t i = 0; i < d->fleet.shown_count; i++)
        marked += d->fleet.shown[i]->marked;
    int used = snprintf(title, sizeof title, " Fleet · by %s ", fleet_sort_names[d->fleet.sort]);
    if (marked > 0)
        used += snprintf(title + used, sizeof title - (size_t)used, "· %zu marked ", marked);
    if (d->fleet.filter[0] != '\0')
        snprintf(title + used, sizeof title - (size_t)used, "· /%s ", d->fleet.filter);
    home_title(d, area, title, d->view == VIEW_HOME);
    int end = area.col + 2 + canvas_width(title);
    int age = area.col + area.cols - MARKS - detail_width(area.cols) - 5;
    draw_heading(d, area.row, age - image_width(area.cols) - 1, end, "image");
    draw_heading(d, area.row, age, end, "age");
    draw_heading(d, area.row, age + 5, end, "cpu");
    if (area.cols >= MEMORY_COLS)
        draw_heading(d, area.row, age + 5 + FLEET_SAMPLES + 1, end, "memory");
    if (area.cols >= NETWORK_COLS)
        draw_heading(d, area.row, area.col + area.cols - MARKS - NETWORK_WIDTH - 1, end, "net");
}

/* Where the list begins, so that the selection is in sight. */
static void scroll(struct dashboard *d, long rows)
{
    long at = (long)fleet_position(&d->fleet), count = (long)d->fleet.shown_count, lines = 0;
    d->fleet_children = true;
    for (long i = 0; i < count; i++)
        lines += 1 + child_lines(d, d->fleet.shown[i]);
    d->fleet_children = lines <= rows;
    if (at < d->first)
        d->first = at;
    if (at >= d->first + rows)
        d->first = at - rows + 1;
    if (d->first + rows > count)
        d->first = count > rows ? count - rows : 0;
}

void fleet_draw(struct dashboard *d, struct rect area)
{
    struct rect line = {area.row + 1, area.col, 1, area.cols};
    draw_fleet_title(d, area);
    scroll(d, area.rows - 1);
    d->fleet_top = line.row;
    for (size_t i = (size_t)d->first; i < d->fleet.shown_count && line.row < area.row + area.rows;
         i++) {
        const struct fleet_row *session = d->fleet.shown[i];
        draw_row(d, &d->canvas, line, session);
        line.row++;
        draw_children(d, line, session);
        line.row += child_lines(d, session);
    }
    if (d->fleet.shown_count == 0)
        canvas_text(&d->canvas, area.row + 2, area.col + 2, area.cols - 3, d->theme.roles[ROLE_DIM],
                    d->fleet.count > 0 ? "nothing matches the filter"
                                       : "no sessions yet: n makes one, ? shows all keys");
}

struct fleet_row *fleet_at(const struct dashboard *d, int row)
{
    int at = d->fleet_top;
    for (size_t i = (size_t)d->first; i < d->fleet.shown_count && at <= row; i++) {
        int lines = 1 + child_lines(d, d->fleet.shown[i]);
        if (row < at + lines)
            return d->fleet.shown[i];
        at += lines;
    }
    return NULL;
}
