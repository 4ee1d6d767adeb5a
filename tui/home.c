/* The fleet, beside it the selected session's screen; below 100 columns above it. */
#include <stdio.h>
#include <string.h>

#include "tui/dashboard.h"
#include "tui/human.h"
#include "tui/network.h"

#define BESIDE_COLS     100 /* fewer: fleet above preview */
#define BELOW_ROWS      20  /* fewer: the fleet alone */
#define FLEET_COLS      56
#define FEED_ROWS       30 /* fewer: two lines of the network feed */
#define FEED_LINES      6
#define FEED_ROWS_SMALL 14 /* fewer: none */

static const struct {
    const char *glyph;
    enum theme_role role;
} states[FLEET_STATES] = {
    [FLEET_WAITING] = {"?", ROLE_WAITING},   [FLEET_FAILED] = {"✗", ROLE_FAILED},
    [FLEET_STARTING] = {"◌", ROLE_STARTING}, [FLEET_RUNNING] = {"●", ROLE_RUNNING},
    [FLEET_STOPPING] = {"◌", ROLE_ENDED},    [FLEET_PAUSED] = {"‖", ROLE_PAUSED},
    [FLEET_SUSPENDED] = {"◇", ROLE_PAUSED},  [FLEET_ENDED] = {"·", ROLE_ENDED},
};

static void draw_header(struct dashboard *d)
{
    struct canvas *canvas = &d->canvas;
    struct style text = d->theme.roles[ROLE_TEXT];
    char memory[HUMAN_SIZE], clock[HUMAN_SIZE];
    size_t waiting = fleet_count(&d->fleet, FLEET_WAITING), live = 0;
    size_t failed = fleet_count(&d->fleet, FLEET_FAILED);
    uint64_t bytes = 0;
    for (size_t i = 0; i < d->fleet.count; i++) {
        bool lives = d->fleet.rows[i]->ended == 0;
        live += lives;
        bytes += lives ? d->fleet.rows[i]->memory : 0;
    }
    int col = 1;
    col += canvas_text(canvas, 0, col, 10, d->theme.roles[ROLE_TITLE], "vmdeck") + 3;
    col += canvas_printf(canvas, 0, col, 20, text, "%zu session%s", live, live == 1 ? "" : "s") + 3;
    if (waiting > 0)
        col += canvas_printf(canvas, 0, col, 20, d->theme.roles[ROLE_WAITING], " %zu waiting ",
                             waiting) +
               3;
    if (failed > 0)
        col +=
            canvas_printf(canvas, 0, col, 20, d->theme.roles[ROLE_FAILED], "%zu failed", failed) +
            3;
    human_bytes(bytes, memory);
    human_clock(d->now, clock);
    clock[5] = '\0'; /* no seconds: they would draw every second */
    char right[HUMAN_SIZE * 2 + 8];
    snprintf(right, sizeof right, "mem %s   %s", memory, clock);
    int width = canvas_width(right);
    if (col + width + 1 < canvas->cols)
        canvas_text(canvas, 0, canvas->cols - width - 1, width, d->theme.roles[ROLE_DIM], right);
}

static int draw_graph(struct canvas *canvas, int row, int col, const struct fleet_row *session,
                      struct style style)
{
    for (unsigned i = 0; i < session->sample_count; i++)
        canvas_text(canvas, row, col + (int)i, 1, style,
                    human_bar(session->samples[FLEET_SAMPLES - session->sample_count + i]));
    return FLEET_SAMPLES;
}

/* What matters about it now, in `cols` columns. */
static void draw_detail(const struct dashboard *d, struct canvas *canvas, int row, int col,
                        int cols, const struct fleet_row *session, const struct style *chosen)
{
    struct style style = chosen != NULL ? *chosen : d->theme.roles[states[session->state].role];
    struct style dim = chosen != NULL ? *chosen : d->theme.roles[ROLE_DIM];
    char memory[HUMAN_SIZE];
    if (session->state == FLEET_WAITING) {
        canvas_printf(canvas, row, col, cols, style, "%u request%s", session->pending,
                      session->pending == 1 ? "" : "s");
    } else if (session->state == FLEET_RUNNING && cols >= FLEET_SAMPLES) {
        struct style graph = chosen != NULL ? *chosen : d->theme.roles[ROLE_GRAPH];
        draw_graph(canvas, row, col, session, graph);
        human_bytes(session->memory, memory);
        if (session->memory > 0)
            canvas_printf(canvas, row, col + FLEET_SAMPLES, cols - FLEET_SAMPLES, dim, " %4s",
                          memory);
    } else if (session->ended != 0 && session->reason[0] != '\0') {
        canvas_label(canvas, row, col, cols, style, session->reason);
    } else {
        canvas_label(canvas, row, col, cols, style, fleet_state_name(session->state));
    }
}

static void draw_row(const struct dashboard *d, struct canvas *canvas, struct rect line,
                     const struct fleet_row *session)
{
    bool selected = strcmp(session->id, d->fleet.selected) == 0;
    const struct style *chosen = selected ? &d->theme.roles[ROLE_SELECTED] : NULL;
    struct style text = d->theme.roles[session->marked ? ROLE_MARKED : ROLE_TEXT];
    struct style dim = d->theme.roles[ROLE_DIM],
                 glyph = d->theme.roles[states[session->state].role];
    char age[HUMAN_SIZE];
    int row = line.row, detail = line.cols >= 48 ? 14 : 9, image = line.cols >= 44 ? 11 : 0;
    if (chosen != NULL) {
        canvas_fill(canvas, line, *chosen);
        text = dim = glyph = *chosen;
    }
    int name = line.cols - 5 - image - 5 - detail - 4;
    int col = line.col;
    canvas_text(canvas, row, col, 1, text, selected ? "▸" : "");
    canvas_text(canvas, row, col + 1, 1, text, session->marked ? "*" : "");
    canvas_text(canvas, row, col + 2, 1, glyph, states[session->state].glyph);
    canvas_label(canvas, row, col + 4, name, text, fleet_word(session));
    col += 4 + name + 1;
    if (image > 0)
        canvas_label(canvas, row, col, image - 1, dim, session->image);
    col += image;
    human_age((session->ended != 0 ? session->ended : d->now) - session->created, age);
    canvas_printf(canvas, row, col, 4, dim, "%4s", age);
    col += 5;
    draw_detail(d, canvas, row, col, detail, session, chosen);
    col += detail + 1;
    if (session->bell)
        canvas_text(canvas, row, col, 1, chosen != NULL ? *chosen : d->theme.roles[ROLE_ASK], "!");
    if (session->terminals > 1)
        canvas_printf(canvas, row, col + 1, 2, dim, "%u", session->terminals);
}

static void draw_title(const struct dashboard *d, struct canvas *canvas, struct rect area,
                       const char *title, bool active)
{
    canvas_line(canvas, area.row, area.col, area.cols,
                d->theme.roles[active ? ROLE_BORDER_ACTIVE : ROLE_BORDER]);
    canvas_label(canvas, area.row, area.col + 1, area.cols - 2,
                 d->theme.roles[active ? ROLE_TITLE : ROLE_DIM], title);
}

static void draw_fleet(struct dashboard *d, struct rect area)
{
    char title[FLEET_TEXT * 2];
    long rows = area.rows - 1, at = (long)fleet_position(&d->fleet);
    size_t marked = 0;
    for (size_t i = 0; i < d->fleet.shown_count; i++)
        marked += d->fleet.shown[i]->marked;
    int used = snprintf(title, sizeof title, " Fleet · by %s ", fleet_sort_names[d->fleet.sort]);
    if (marked > 0)
        used += snprintf(title + used, sizeof title - (size_t)used, "· %zu marked ", marked);
    if (d->fleet.filter[0] != '\0')
        snprintf(title + used, sizeof title - (size_t)used, "· /%s ", d->fleet.filter);
    draw_title(d, &d->canvas, area, title, d->view == VIEW_HOME);
    if (at < d->first)
        d->first = at;
    if (at >= d->first + rows)
        d->first = at - rows + 1;
    if (d->first + rows > (long)d->fleet.shown_count)
        d->first = (long)d->fleet.shown_count > rows ? (long)d->fleet.shown_count - rows : 0;
    d->fleet_top = area.row + 1;
    for (long i = 0; i < rows && d->first + i < (long)d->fleet.shown_count; i++)
        draw_row(d, &d->canvas, (struct rect){area.row + 1 + (int)i, area.col, 1, area.cols},
                 d->fleet.shown[d->first + i]);
    if (d->fleet.shown_count == 0)
        canvas_text(&d->canvas, area.row + 2, area.col + 2, area.cols - 3, d->theme.roles[ROLE_DIM],
                    d->fleet.count > 0 ? "nothing matches the filter"
                                       : "no sessions yet: n makes one, ? shows all keys");
}

static void draw_preview(struct dashboard *d, struct rect area)
{
    const struct fleet_row *row = fleet_selected(&d->fleet);
    char title[FLEET_TEXT * 3] = " ";
    if (row != NULL)
        snprintf(title, sizeof title, " %s%s%s ", fleet_word(row),
                 row->title[0] != '\0' ? " · " : "", row->title);
    draw_title(d, &d->canvas, area, title, false);
    struct rect inside = {area.row + 1, area.col, area.rows - 1, area.cols};
    if (row != NULL && strcmp(d->preview.session, row->id) == 0 && d->preview.term != NULL)
        pane_draw(&d->preview, &d->canvas, inside, false, &d->theme);
    else if (row != NULL && row->ended != 0)
        canvas_printf(&d->canvas, inside.row, inside.col + 1, inside.cols - 2,
                      d->theme.roles[ROLE_DIM], "ended%s%s", row->reason[0] != '\0' ? ": " : "",
                      row->reason);
    else if (row != NULL && row->terminals == 0 && row->state == FLEET_RUNNING)
        canvas_text(&d->canvas, inside.row, inside.col + 1, inside.cols - 2,
                    d->theme.roles[ROLE_DIM], "no terminal: Enter opens one");
}

static void draw_decision(struct dashboard *d, int row, const struct feed_entry *entry)
{
    const struct fleet_row *session = fleet_find(&d->fleet, entry->session);
    const struct network_line look = {.theme = &d->theme,
                                      .who = session != NULL ? fleet_word(session) : entry->session,
                                      .processes = d->feed.processes};
    network_draw_line(&look, entry, &d->canvas, (struct rect){row, 1, 1, d->canvas.cols - 2});
}

/* What waits, and the newest decisions, if there ever was one. Returns the rows that it took. */
static int draw_feed(struct dashboard *d, struct rect area)
{
    int lines = area.rows >= FEED_ROWS ? FEED_LINES : area.rows >= FEED_ROWS_SMALL ? 2 : 0;
    int waits = (int)d->review.waits, found = 0;
    waits = waits < (lines + 1) / 2 ? waits : (lines + 1) / 2;
    const struct feed_entry *last[FEED_LINES];
    for (size_t i = d->feed.count; i > 0 && found < lines - waits; i--)
        if ((feed_at(&d->feed, i - 1)->type & (EVENT_NET | EVENT_SECRET)) != 0)
            last[found++] = feed_at(&d->feed, i - 1);
    if (waits + found == 0)
        return 0;
    int top = area.row + area.rows - waits - found - 1;
    draw_title(d, &d->canvas, (struct rect){top, 0, 1, area.cols}, " Network ", false);
    if (waits > 0) {
        char key[KEY_NAME_MAX];
        bindings_key(&d->bindings, WHERE_HOME, ACTION_ALLOW, key);
        canvas_printf(&d->canvas, top, area.cols - canvas_width(key) - 12, 20,
                      d->theme.roles[ROLE_ASK], " %s answers ", key);
    }
    for (int i = 0; i < waits; i++) {
        const struct review_group *group = &d->review.groups[i];
        struct feed_entry entry = {.time = group->asked,
                                   .until = group->time,
                                   .verdict = '?',
                                   .role = ROLE_ASK,
                                   .object = (cJSON *)(uintptr_t)group->object};
        memcpy(entry.session, group->session, sizeof entry.session);
        draw_decision(d, top + 1 + i, &entry);
    }
    for (int i = 0; i < found; i++)
        draw_decision(d, top + 1 + waits + i, last[i]);
    return waits + found + 1;
}

void home_draw(struct dashboard *d)
{
    struct rect area = dashboard_area(d);
    bool beside = area.cols >= BESIDE_COLS, had = d->preview_area.rows > 0;
    draw_header(d);
    area.row++;
    area.rows--;
    area.rows -= draw_feed(d, area);
    struct rect fleet = area, preview = area;
    if (beside) {
        fleet.cols = FLEET_COLS;
        preview.col = FLEET_COLS + 1;
        preview.cols = area.cols - FLEET_COLS - 1;
        canvas_column(&d->canvas, area.row, FLEET_COLS, area.rows, d->theme.roles[ROLE_BORDER]);
    } else if (area.rows >= BELOW_ROWS - 2) {
        fleet.rows = area.rows * 2 / 5;
        preview.row += fleet.rows;
        preview.rows -= fleet.rows;
    } else {
        preview.rows = 0;
    }
    d->preview_area = preview;
    if (had != (preview.rows > 0))
        dashboard_settle(d);
    if (d->view != VIEW_FORM || preview.rows > 0)
        draw_fleet(d, fleet);
    if (d->view == VIEW_FORM)
        form_draw(&d->form, &d->canvas, preview.rows > 0 ? preview : fleet, &d->theme);
    else if (preview.rows > 0)
        draw_preview(d, preview);
}

bool home_click(struct dashboard *d, const struct input_event *event)
{
    long at = d->first + event->row - d->fleet_top;
    if (event->button == MOUSE_UP || event->button == MOUSE_DOWN) {
        fleet_move(&d->fleet, event->button == MOUSE_UP ? -1 : 1);
        return true;
    }
    bool beside = d->preview_area.col > 0 && event->col >= d->preview_area.col;
    bool below =
        d->preview_area.col == 0 && d->preview_area.rows > 0 && event->row >= d->preview_area.row;
    if (!event->press || event->drag || event->button != MOUSE_LEFT || event->row < d->fleet_top)
        return false;
    if (beside || below ||
        (at < (long)d->fleet.shown_count &&
         strcmp(d->fleet.shown[at]->id, d->fleet.selected) == 0)) {
        dashboard_act(d, ACTION_ATTACH);
        return true;
    }
    if (at >= 0 && at < (long)d->fleet.shown_count)
        memcpy(d->fleet.selected, d->fleet.shown[at]->id, sizeof d->fleet.selected);
    return true;
}
