/* The fleet, beside it the selected session's screen; below 100 columns above it. */
#include <stdio.h>
#include <string.h>

#include "tui/dashboard.h"
#include "tui/human.h"
#include "tui/network.h"

#define BESIDE_COLS     100 /* fewer: fleet above preview */
#define BELOW_ROWS      20  /* fewer: the fleet alone */
#define FLEET_COLS      56  /* beside the preview, at least */
#define FLEET_WIDE      84  /* and at most */
#define FEED_ROWS       30  /* fewer: two lines of the network feed */
#define FEED_LINES      6
#define FEED_ROWS_SMALL 14 /* fewer: none */

static void draw_header(struct dashboard *d)
{
    struct canvas *canvas = &d->canvas;
    struct style text = d->theme.roles[ROLE_TEXT];
    struct style dim = d->theme.roles[ROLE_DIM];
    char memory[HUMAN_SIZE], all[HUMAN_SIZE], clock[HUMAN_SIZE];
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
    human_bytes(d->host_memory, all);
    human_clock(d->now, clock);
    clock[5] = '\0'; /* no seconds: they would draw every second */
    char right[HUMAN_SIZE * 3 + 16];
    snprintf(right, sizeof right, "mem %s%s%s   %s", memory, d->host_memory > 0 ? "/" : "",
             d->host_memory > 0 ? all : "", clock);
    if (live == 0) /* nothing to measure */
        snprintf(right, sizeof right, "%s", clock);
    int at = canvas->cols - canvas_width(right) - 1, graph = at - FLEET_SAMPLES - 2;
    if (col < at)
        canvas_text(canvas, 0, at, canvas->cols - at, dim, right);
    if (col + 4 >= graph || d->host_cpus == 0 || live == 0)
        return;
    canvas_text(canvas, 0, graph - 4, 4, dim, "cpu");
    home_graph(canvas, 0, graph, d->fleet.load, d->fleet.load_count, d->theme.roles[ROLE_GRAPH]);
}

void home_title(struct dashboard *d, struct rect area, const char *title, bool active)
{
    struct canvas *canvas = &d->canvas;
    canvas_line(canvas, area.row, area.col, area.cols,
                d->theme.roles[active ? ROLE_BORDER_ACTIVE : ROLE_BORDER]);
    canvas_label(canvas, area.row, area.col + 1, area.cols - 2,
                 d->theme.roles[active ? ROLE_TITLE : ROLE_DIM], title);
}

static void draw_preview(struct dashboard *d, struct rect area)
{
    const struct fleet_row *row = fleet_selected(&d->fleet);
    char title[FLEET_TEXT * 3] = "";
    if (row != NULL)
        snprintf(title, sizeof title, " %s%s%s ", fleet_word(row),
                 row->title[0] != '\0' ? " · " : "", row->title);
    home_title(d, area, title, false);
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
    bool processes = d->feed.processes;
    for (size_t i = 0; i < d->review.waits && !processes; i++)
        processes = *feed_process(d->review.groups[i].object) != '\0';
    const struct network_line look = {.theme = &d->theme,
                                      .who = session != NULL ? fleet_word(session) : entry->session,
                                      .processes = processes};
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
    home_title(d, (struct rect){top, 0, 1, area.cols}, " Network ", false);
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
    int feed = draw_feed(d, area);
    area.rows -= feed;
    struct rect fleet = area, preview = area;
    if (beside) {
        int wide = area.cols * 2 / 5;
        fleet.cols = wide < FLEET_COLS ? FLEET_COLS : wide > FLEET_WIDE ? FLEET_WIDE : wide;
        preview.col = fleet.cols + 1;
        preview.cols = area.cols - preview.col;
        canvas_column(&d->canvas, area.row, fleet.cols, area.rows, d->theme.roles[ROLE_BORDER]);
        canvas_text(&d->canvas, area.row, fleet.cols, 1, d->theme.roles[ROLE_BORDER], "┬");
        if (feed > 0)
            canvas_text(&d->canvas, area.row + area.rows, fleet.cols, 1,
                        d->theme.roles[ROLE_BORDER], "┴");
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
        fleet_draw(d, fleet);
    if (d->view == VIEW_FORM)
        form_draw(&d->form, &d->canvas, preview.rows > 0 ? preview : fleet, &d->theme);
    else if (preview.rows > 0)
        draw_preview(d, preview);
}

bool home_click(struct dashboard *d, const struct input_event *event)
{
    const struct fleet_row *at = fleet_at(d, event->row);
    if (event->button == MOUSE_UP || event->button == MOUSE_DOWN) {
        fleet_move(&d->fleet, event->button == MOUSE_UP ? -1 : 1);
        return true;
    }
    bool beside = d->preview_area.col > 0 && event->col >= d->preview_area.col;
    bool below =
        d->preview_area.col == 0 && d->preview_area.rows > 0 && event->row >= d->preview_area.row;
    if (!event->press || event->drag || event->button != MOUSE_LEFT || event->row < d->fleet_top)
        return false;
    if (beside || below || (at != NULL && strcmp(at->id, d->fleet.selected) == 0)) {
        dashboard_act(d, ACTION_ATTACH);
        return true;
    }
    if (at != NULL)
        memcpy(d->fleet.selected, at->id, sizeof d->fleet.selected);
    return true;
}
