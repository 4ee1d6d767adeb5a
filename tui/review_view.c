/* The review queue: groups in columns, below them what the next answer covers, and secrets. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "tui/dashboard.h"
#include "tui/human.h"
#include "tui/network.h"

#define ANSWER_ROWS  7  /* with its title */
#define SECRET_ROWS  5  /* lines, at most */
#define SECRETS_FROM 22 /* fewer rows: none */
#define WIDE_COLS    96

static void draw_group(void *context, int64_t ref, struct canvas *canvas, struct rect line,
                       const struct style *chosen)
{
    struct dashboard *d = context;
    const struct review_group *group = review_find(&d->review, ref);
    const struct network_line look = {.theme = &d->theme, .chosen = chosen};
    if (group == NULL)
        return;
    const struct fleet_row *row = fleet_find(&d->fleet, group->session);
    const cJSON *object = group->object;
    bool wide = line.cols >= WIDE_COLS;
    int who = wide ? 14 : 10, process = !wide ? 0 : 11, note = wide ? 34 : 20;
    int host = (line.cols - 2 - 7 - who - 1 - process - note) * (wide ? 3 : 5) / 5;
    const struct style *role = network_style(&look, group->waits ? ROLE_ASK : ROLE_DENY);
    const struct style *dim = network_style(&look, ROLE_DIM);
    char text[1024], clock[HUMAN_SIZE];
    int col = line.col;
    canvas_text(canvas, line.row, col, 1, *role, group->waits ? "?" : "D");
    canvas_label(canvas, line.row, col + 2, host - 1, *network_style(&look, ROLE_TEXT),
                 group->host);
    col += 2 + host;
    if (group->count > 1)
        canvas_printf(canvas, line.row, col, 6, *role, "%5ux", group->count);
    col += 7;
    canvas_label(canvas, line.row, col, who, *network_style(&look, ROLE_TEXT),
                 row != NULL ? fleet_word(row) : group->session);
    col += who + 1;
    if (process > 0)
        canvas_label(canvas, line.row, col, process - 1, *dim, feed_process(object));
    col += process;
    human_clock(group->time, clock);
    if (wide) {
        snprintf(text, sizeof text, "%.20s %.900s", feed_method(object), feed_text(object, "path"));
        canvas_label(canvas, line.row, col, line.col + line.cols - note - col - 1, *dim, text);
    }
    if (group->waits)
        snprintf(text, sizeof text, "waits until %s", clock);
    else
        snprintf(text, sizeof text, "%s %s", clock, feed_text(object, "reason"));
    canvas_label(canvas, line.row, line.col + line.cols - note, note, *role, text);
}

void review_fill(struct dashboard *d)
{
    struct page *page = &d->page;
    page->draw = draw_group;
    page->context = d;
    for (size_t i = 0; i < d->review.group_count; i++) {
        const struct review_group *group = &d->review.groups[i];
        const struct fleet_row *row = fleet_find(&d->fleet, group->session);
        page_add_ref(page, group->ref, "%s %s %s %s %.200s %s", group->host,
                     row != NULL ? fleet_word(row) : group->session, feed_process(group->object),
                     feed_method(group->object), feed_text(group->object, "path"),
                     group->waits ? "waiting" : "refused");
    }
}

static void draw_title(const struct dashboard *d, struct canvas *canvas, struct rect area,
                       const char *title)
{
    canvas_line(canvas, area.row, area.col, area.cols, d->theme.roles[ROLE_BORDER]);
    canvas_text(canvas, area.row, area.col + 1, area.cols - 2, d->theme.roles[ROLE_DIM], title);
}

/* "label  > one   other": which of two it is, and the key that changes it. */
static void draw_choice(struct dashboard *d, struct rect line, enum action action,
                        const char *label, const char *const names[2], int which)
{
    struct canvas *canvas = &d->canvas;
    char key[KEY_NAME_MAX];
    bindings_key(&d->bindings, WHERE_REVIEW, action, key);
    int col = line.col;
    canvas_text(canvas, line.row, col, 2, d->theme.roles[ROLE_KEY], key);
    canvas_text(canvas, line.row, col + 2, 7, d->theme.roles[ROLE_DIM], label);
    col += 8;
    for (int i = 0; i < 2 && names[i] != NULL; i++) {
        bool on = i == which;
        int room = line.col + line.cols - col - 2;
        canvas_text(canvas, line.row, col, 1, d->theme.roles[ROLE_TITLE], on ? "▸" : "");
        int used = canvas_label(canvas, line.row, col + 2, i == 0 ? room / 2 : room,
                                d->theme.roles[on ? ROLE_TITLE : ROLE_DIM], names[i]);
        col += (used < 24 ? 24 : used) + 4;
    }
}

static void draw_keys(struct dashboard *d, struct rect line)
{
    static const struct {
        enum action action;
        const char *word;
        int gap;
    } keys[] = {
        {ACTION_ALLOW, "allow once", 2},
        {ACTION_ALLOW_SESSION, "session", 2},
        {ACTION_ALLOW_ALWAYS, "always", 3},
        {ACTION_DENY, "deny once", 2},
        {ACTION_DENY_SESSION, "session", 2},
        {ACTION_DENY_ALWAYS, "always", 3},
        {ACTION_UNDO, "undo", 2},
    };
    int col = line.col, end = line.col + line.cols;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && col < end; i++) {
        char key[KEY_NAME_MAX];
        bindings_key(&d->bindings, WHERE_REVIEW | WHERE_PAGE, keys[i].action, key);
        col += canvas_text(&d->canvas, line.row, col, end - col, d->theme.roles[ROLE_KEY], key) + 1;
        col += canvas_text(&d->canvas, line.row, col, end - col, d->theme.roles[ROLE_TEXT],
                           keys[i].word) +
               keys[i].gap;
    }
}

static void draw_answer(struct dashboard *d, struct rect area, const struct review_group *group)
{
    CLEAN_BUF struct buf exact = {0}, command = {0}, wide = {0};
    static const struct answer answer = {"allow", "session"};
    const struct fleet_row *row = fleet_find(&d->fleet, group->session);
    const cJSON *object = group->object;
    struct review other = d->review; /* what the choices would be, whichever is on */
    struct error err = {0};
    char what[512];
    const char *names[2] = {group->host, NULL};
    draw_title(d, &d->canvas, area, " Answer ");
    struct rect line = {area.row + 1, area.col + 1, 1, area.cols - 2};
    snprintf(what, sizeof what, "%s%s%s %s://%s%.300s",
             row != NULL ? fleet_word(row) : group->session,
             *feed_process(object) != '\0' ? ": " : "", feed_process(object),
             feed_text(object, "protocol"), group->host, feed_text(object, "path"));
    canvas_label(&d->canvas, line.row++, line.col, line.cols, d->theme.roles[ROLE_TEXT], what);
    other.precise = false;
    if (other.wide == 0)
        review_widen(&other, group);
    if (other.wide > 0 && review_pattern(&other, group, &wide, NULL) == 0)
        names[1] = buf_string(&wide);
    draw_choice(d, line, ACTION_WIDER, "host", names, d->review.wide > 0);
    line.row++;
    snprintf(what, sizeof what, "%.20s %.400s", feed_text(object, "method"),
             feed_text(object, "path"));
    draw_choice(d, line, ACTION_PRECISE, "what",
                (const char *const[2]){"anything", *what != ' ' ? what : NULL}, d->review.precise);
    line.row++;
    draw_choice(
        d, line, ACTION_EVERYWHERE, "in",
        (const char *const[2]){row != NULL ? fleet_word(row) : group->session, "every session"},
        d->review.everywhere);
    line.row++;
    draw_keys(d, line);
    line.row++;
    if (review_pattern(&d->review, group, &exact, &err) == 0) {
        buf_printf(&command, "= ");
        answers_command(d, group, &answer, buf_string(&exact), &command);
        canvas_label(&d->canvas, line.row, line.col, line.cols, d->theme.roles[ROLE_DIM],
                     buf_string(&command));
    } else {
        canvas_label(&d->canvas, line.row, line.col, line.cols, d->theme.roles[ROLE_DENY],
                     err.message);
    }
}

/* The newest secret events; returns the rows that they took. */
static int draw_secrets(struct dashboard *d, struct rect area)
{
    const struct feed_entry *last[SECRET_ROWS];
    int count = 0;
    for (size_t i = d->feed.count; i > 0 && count < SECRET_ROWS; i--)
        if (feed_at(&d->feed, i - 1)->type == EVENT_SECRET)
            last[count++] = feed_at(&d->feed, i - 1);
    if (count == 0 || area.rows < SECRETS_FROM)
        return 0;
    struct rect line = {area.row + area.rows - count - 1, area.col, 1, area.cols};
    draw_title(d, &d->canvas, line, " Secrets ");
    for (int i = count; i > 0; i--) {
        const struct fleet_row *row = fleet_find(&d->fleet, last[i - 1]->session);
        const struct network_line look = {
            .theme = &d->theme, .who = row != NULL ? fleet_word(row) : last[i - 1]->session};
        line.row++;
        network_draw_line(&look, last[i - 1], &d->canvas,
                          (struct rect){line.row, line.col + 1, 1, line.cols - 2});
    }
    return count + 1;
}

void review_draw(struct dashboard *d, struct rect area)
{
    const struct review_group *group = review_find(&d->review, page_ref(&d->page));
    struct rect list = area;
    list.rows -= draw_secrets(d, list);
    if (group != NULL && list.rows > ANSWER_ROWS + 2) {
        list.rows -= ANSWER_ROWS;
        draw_answer(d, (struct rect){list.row + list.rows, list.col, ANSWER_ROWS, list.cols},
                    group);
    }
    page_draw(&d->page, &d->canvas, list, &d->theme);
}
