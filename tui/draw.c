/* What is where: one view, and the status line below it. */
#include <string.h>

#include "tui/dashboard.h"

#define HINT_COLS 16 /* in less nothing is said */

struct rect dashboard_area(const struct dashboard *d)
{
    return (struct rect){0, 0, d->canvas.rows - 1, d->canvas.cols};
}

/* "key meaning" for what is done most often, as many as fit. */
static void draw_hints(struct dashboard *d, int row, unsigned where, const enum action *actions,
                       size_t count)
{
    struct style key = d->theme.roles[ROLE_KEY], text = d->theme.roles[ROLE_STATUS];
    int col = 1;
    key.bg = text.bg;
    if ((text.attrs & CELL_REVERSE) != 0)
        key.attrs |= CELL_REVERSE;
    for (size_t i = 0; i < count; i++) {
        char name[KEY_NAME_MAX];
        const char *label = "";
        bindings_key(&d->bindings, where, actions[i], name);
        for (size_t k = 0; k < action_row_count; k++)
            if (action_rows[k].action == actions[i])
                label = action_rows[k].name;
        const char *dash = strchr(label, '-');
        if (dash != NULL && (where & (WHERE_MOUNTS | WHERE_RULES)) != 0)
            label = dash + 1; /* of what, the list says */
        int need = canvas_width(name) + 1 + canvas_width(label) + 2;
        if (!dashboard_can(d, actions[i]) || name[0] == '\0' || col + need > d->canvas.cols)
            continue;
        col += canvas_text(&d->canvas, row, col, need, key, name) + 1;
        col += canvas_text(&d->canvas, row, col, need, text, label) + 2;
    }
}

/* The oldest request that waits, and the keys that lead to it; returns the columns that it took. */
static int draw_asked(struct dashboard *d, int row, int col, int end, const char *leave_key)
{
    const struct review_group *group = d->review.waits > 0 ? &d->review.groups[0] : NULL;
    char text[512], key[KEY_NAME_MAX];
    if (group == NULL)
        return 0;
    const struct fleet_row *session = fleet_find(&d->fleet, group->session);
    bindings_key(&d->bindings, WHERE_HOME, ACTION_ALLOW, key);
    snprintf(text, sizeof text, "%s %s answers %s: %.40s %.20s %.200s   ", leave_key, key,
             session != NULL ? fleet_word(session) : group->session, feed_process(group->object),
             feed_method(group->object), group->host);
    return canvas_label(&d->canvas, row, col, end - col - 1, d->theme.roles[ROLE_STATUS], text);
}

static void draw_pane_line(struct dashboard *d, int row, int end)
{
    const struct pane *pane = deck_focused(&d->deck);
    struct style style = d->theme.roles[ROLE_STATUS];
    size_t waiting = fleet_count(&d->fleet, FLEET_WAITING);
    char leave_key[KEY_NAME_MAX];
    int used = 1;
    bindings_key(&d->bindings, WHERE_PANE, ACTION_LEAVE, leave_key);
    if (waiting > 0) {
        used += canvas_printf(&d->canvas, row, used, end - used, d->theme.roles[ROLE_WAITING],
                              " ? %zu waiting ", waiting);
        used += draw_asked(d, row, used + 1, end, leave_key) + 1;
    }
    if (end - used < HINT_COLS)
        return;
    if (pane != NULL && pane->scrolling)
        canvas_printf(&d->canvas, row, used, end - used, style,
                      "scrollback: / search  v select  y copy  Esc back to the guest");
    else if (pane != NULL)
        canvas_printf(&d->canvas, row, used, end - used, style,
                      "%s dashboard   %dx%d   everything else goes to the guest", leave_key,
                      pane->cols, pane->rows);
}

/* What the pages about the network are for. */
static void draw_page_hints(struct dashboard *d, int row)
{
    static const enum action page[] = {ACTION_BACK,   ACTION_FILTER, ACTION_TOP,
                                       ACTION_BOTTOM, ACTION_HELP,   ACTION_QUIT};
    static const enum action network[] = {ACTION_DETAILS, ACTION_ONE,  ACTION_FILTER, ACTION_BOTTOM,
                                          ACTION_REVIEW,  ACTION_BACK, ACTION_HELP};
    static const enum action review[] = {ACTION_DETAILS, ACTION_NETWORK, ACTION_FILTER,
                                         ACTION_WAITING, ACTION_BACK,    ACTION_HELP};
    if (d->page.kind == PAGE_NETWORK)
        draw_hints(d, row, WHERE_NETWORK | WHERE_PAGE, network, sizeof network / sizeof network[0]);
    else if (d->page.kind == PAGE_REVIEW)
        draw_hints(d, row, WHERE_REVIEW | WHERE_PAGE, review, sizeof review / sizeof review[0]);
    else
        draw_hints(d, row, WHERE_PAGE, page, sizeof page / sizeof page[0]);
}

/* What calls for the user from out of sight, at the end of the line; returns where it begins. */
static int draw_marks(struct dashboard *d, int row)
{
    size_t waiting = fleet_count(&d->fleet, FLEET_WAITING), bells = 0;
    const struct fleet_row *first = NULL;
    char text[FLEET_TEXT];
    for (size_t i = 0; i < d->fleet.count; i++) {
        bells += d->fleet.rows[i]->bell;
        if (d->fleet.rows[i]->bell && first == NULL)
            first = d->fleet.rows[i];
    }
    int end = d->canvas.cols;
    if (waiting > 0 &&
        (d->view == VIEW_PAGE || d->view == VIEW_FORM)) { /* else it is shown there */
        snprintf(text, sizeof text, " ? %zu waiting ", waiting);
        end -= canvas_width(text);
        canvas_text(&d->canvas, row, end, d->canvas.cols - end, d->theme.roles[ROLE_WAITING], text);
    }
    if (first == NULL || d->view == VIEW_HOME)
        return end;
    if (bells > 1)
        snprintf(text, sizeof text, "  ! %zu bells ", bells);
    else
        snprintf(text, sizeof text, "  ! %.40s ", fleet_word(first));
    int width = canvas_width(text);
    struct style style = d->theme.roles[ROLE_ASK];
    style.bg = d->theme.roles[ROLE_STATUS].bg;
    style.attrs |= d->theme.roles[ROLE_STATUS].attrs & CELL_REVERSE;
    canvas_text(&d->canvas, row, end - width, width, style, text);
    return end - width;
}

static void draw_home_hints(struct dashboard *d, int row)
{
    static const enum action moving[] = {
        ACTION_ATTACH, ACTION_NEW,    ACTION_HELP,        ACTION_STOP,      ACTION_SNAPSHOT,
        ACTION_FORK,   ACTION_FILTER, ACTION_MOUNTS,      ACTION_COMMAND,   ACTION_WAITING,
        ACTION_PANES,  ACTION_REVIEW, ACTION_SPLIT_RIGHT, ACTION_SNAPSHOTS, ACTION_NETWORK,
        ACTION_LOG,    ACTION_QUIT};
    static const enum action still[] = {ACTION_RESUME,  ACTION_NEW,       ACTION_HELP,
                                        ACTION_STOP,    ACTION_SNAPSHOTS, ACTION_FILTER,
                                        ACTION_COMMAND, ACTION_WAITING,   ACTION_QUIT};
    const struct fleet_row *selected = fleet_selected(&d->fleet);
    if (selected != NULL && (selected->state == FLEET_PAUSED || selected->state == FLEET_SUSPENDED))
        draw_hints(d, row, WHERE_HOME, still, sizeof still / sizeof still[0]);
    else
        draw_hints(d, row, WHERE_HOME, moving, sizeof moving / sizeof moving[0]);
}

static void draw_status(struct dashboard *d)
{
    static const char *const prompts[] = {[PROMPT_FILTER] = "/",
                                          [PROMPT_COMMAND] = ":vmdeck ",
                                          [PROMPT_SEARCH] = "search ",
                                          [PROMPT_CONFIRM] = ""};
    int row = d->canvas.rows - 1, cols = d->canvas.cols;
    struct style style = d->theme.roles[d->notice_error ? ROLE_ERROR : ROLE_STATUS];
    canvas_fill(&d->canvas, (struct rect){row, 0, 1, cols}, d->theme.roles[ROLE_STATUS]);
    if (d->prompt == PROMPT_CONFIRM) {
        int used = canvas_label(&d->canvas, row, 1, cols - 2, d->theme.roles[ROLE_ASK], d->ask);
        canvas_text(&d->canvas, row, used + 3, cols - used - 3, style, "y yes, any other key no");
    } else if (d->prompt != PROMPT_NONE) {
        const char *label = d->prompt == PROMPT_WORD ? d->label : prompts[d->prompt];
        int used = canvas_text(&d->canvas, row, 0, cols, d->theme.roles[ROLE_INPUT], label);
        edit_draw(&d->edit, &d->canvas, row, used, cols - used, d->theme.roles[ROLE_INPUT], true);
    } else if (d->notice[0] != '\0') {
        canvas_fill(&d->canvas, (struct rect){row, 0, 1, cols}, style);
        canvas_label(&d->canvas, row, 1, cols - 2, style, d->notice);
    } else if (d->view == VIEW_FORM) {
        canvas_label(&d->canvas, row, 1, cols - 2, style,
                     "Enter starts it   Tab completes, or next   Space switches   Esc back");
        draw_marks(d, row);
    } else if (d->view == VIEW_PANES) {
        draw_pane_line(d, row, draw_marks(d, row));
    } else if (lists_where(d) != 0) {
        const enum action *hints = lists_hints(d);
        size_t count = 0;
        while (hints[count] != ACTION_NONE)
            count++;
        draw_hints(d, row, lists_where(d) | WHERE_PAGE, hints, count);
        draw_marks(d, row);
    } else if (d->view == VIEW_PAGE) {
        draw_page_hints(d, row);
        draw_marks(d, row);
    } else {
        draw_home_hints(d, row);
    }
}

void dashboard_draw(struct dashboard *d)
{
    struct canvas *canvas = &d->canvas;
    canvas->cursor_row = canvas->cursor_col = -1;
    canvas->cursor_shape = 0;
    canvas_fill(canvas, (struct rect){0, 0, canvas->rows, canvas->cols}, d->theme.roles[ROLE_TEXT]);
    if (canvas->rows < DASHBOARD_MIN_ROWS || canvas->cols < DASHBOARD_MIN_COLS) {
        canvas_printf(canvas, 0, 0, canvas->cols, d->theme.roles[ROLE_TEXT],
                      "vmdeck needs %dx%d, this is %dx%d", DASHBOARD_MIN_COLS, DASHBOARD_MIN_ROWS,
                      canvas->cols, canvas->rows);
        return;
    }
    if (d->view == VIEW_PANES) {
        deck_show(&d->deck, dashboard_area(d));
        deck_draw(&d->deck, canvas, &d->theme);
    } else if (d->view == VIEW_PAGE) {
        pages_draw(d, dashboard_area(d));
    } else {
        home_draw(d);
    }
    draw_status(d);
}
