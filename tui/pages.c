/* What fills the page: help from the table of actions, the event log, the network, the queue. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/protocol/json.h"
#include "tui/dashboard.h"
#include "tui/human.h"
#include "tui/network.h"

#define KEYS_MAX   96
#define SETTLED_MS 1000

/* Above the row of that action. */
static const struct {
    enum action action;
    const char *title;
} headings[] = {
    {ACTION_ATTACH, "Sessions"},       {ACTION_MARK, "Their list"},
    {ACTION_WAITING, "Requests"},      {ACTION_UP, "Moving"},
    {ACTION_SNAPSHOTS, "Lists"},       {ACTION_PANES, "Panes"},
    {ACTION_SCROLLBACK, "Scrollback"}, {ACTION_LOG, "Views and program"},
};

static void help_heading(struct dashboard *d, enum action action)
{
    for (size_t i = 0; i < sizeof headings / sizeof headings[0]; i++)
        if (headings[i].action == action) {
            if (d->page.lines.count > 0)
                page_add(&d->page, ROLE_DIM, " ");
            page_add(&d->page, ROLE_TITLE, "%s", headings[i].title);
        }
}

void pages_help(struct dashboard *d)
{
    struct buf collisions = {0};
    page_clear(&d->page, PAGE_HELP, "Keys");
    for (size_t i = 0; i < action_row_count; i++) {
        char keys[KEYS_MAX];
        const struct action_row *row = &action_rows[i];
        if (!dashboard_can(d, row->action))
            continue;
        help_heading(d, row->action);
        bindings_keys(&d->bindings, row->action, keys, sizeof keys);
        page_add(&d->page, ROLE_TEXT, "%-14s %-14s %s%s", keys, row->name, row->help,
                 action_place(row));
    }
    page_add(&d->page, ROLE_TEXT, "%-14s %-14s %s", "1 to 9", "", "to the pane of that number");
    if (bindings_collisions(&d->bindings, &collisions) > 0)
        page_add(&d->page, ROLE_ERROR, "collisions: %s", buf_string(&collisions));
    page_add(&d->page, ROLE_DIM, " ");
    page_add(&d->page, ROLE_TITLE, "Commands, after : (as in a shell behind vmdeck)");
    for (const struct tui_verb *verb = d->program->verbs; verb->name != NULL; verb++)
        page_add(&d->page, ROLE_TEXT, "%-14s %s", verb->name, verb->summary);
    page_add(&d->page, ROLE_TEXT, "%-14s %s", "theme NAME", "dark, light, high-contrast, ...");
    page_add(&d->page, ROLE_DIM, " ");
    page_add(&d->page, ROLE_DIM, "All keys can be changed: vmdeck-dashboard(5)");
    buf_free(&collisions);
}

static const char *word_of(const struct dashboard *d, const char *session)
{
    const struct fleet_row *row = fleet_find(&d->fleet, session);
    return row != NULL ? fleet_word(row) : session;
}

static void draw_entry(void *context, int64_t ref, struct canvas *canvas, struct rect line,
                       const struct style *chosen)
{
    const struct dashboard *d = context;
    const struct feed_entry *entry = feed_find(&d->feed, ref);
    const struct network_line look = {.theme = &d->theme,
                                      .chosen = chosen,
                                      .who = entry != NULL ? word_of(d, entry->session) : NULL,
                                      .processes = d->feed.processes};
    if (entry != NULL)
        network_draw_line(&look, entry, canvas, line);
}

static void add_decision(struct dashboard *d, const struct feed_entry *entry)
{
    bool other = d->feed_of[0] != '\0' && strcmp(d->feed_of, entry->session) != 0;
    if ((entry->type == EVENT_NET || entry->type == EVENT_SECRET) && !other)
        page_add_ref(&d->page, entry->row, "%s %s", word_of(d, entry->session), entry->text);
}

void pages_log(struct dashboard *d, bool net)
{
    bool fresh = d->view != VIEW_PAGE || d->page.kind != (net ? PAGE_NETWORK : PAGE_LOG);
    char title[FLEET_TEXT];
    snprintf(title, sizeof title, "Network · %s",
             d->feed_of[0] != '\0' ? word_of(d, d->feed_of) : "all sessions");
    page_clear(&d->page, net ? PAGE_NETWORK : PAGE_LOG, net ? title : "Event log");
    if (fresh)
        d->page.follow = true;
    if (net) {
        d->page.draw = draw_entry;
        d->page.context = d;
    }
    for (size_t i = 0; i < d->feed.count; i++) {
        const struct feed_entry *entry = feed_at(&d->feed, i);
        char clock[HUMAN_SIZE];
        if (net) {
            add_decision(d, entry);
            continue;
        }
        human_clock(entry->time, clock);
        page_add(&d->page, entry->role, "%s %-14.40s %s", clock, word_of(d, entry->session),
                 entry->text != NULL ? entry->text : "");
    }
    page_move(&d->page, 0);
}

void pages_review(struct dashboard *d)
{
    bool fresh = d->view != VIEW_PAGE || d->page.kind != PAGE_REVIEW;
    bool empty = fresh || d->page.lines.count == 0;
    char title[96];
    snprintf(title, sizeof title, "Review · %zu waiting · %zu refused", d->review.waits,
             d->review.group_count - d->review.waits);
    page_clear(&d->page, PAGE_REVIEW, title);
    d->page.follow = false;
    for (size_t i = 0; fresh && i < d->review.group_count && d->page.kept == 0; i++)
        if (strcmp(d->review.groups[i].session, d->fleet.selected) == 0)
            d->page.kept = d->review.groups[i].ref;
    /* who was about to answer one must not answer the one that came into its place */
    if (d->page.kept != 0 && review_find(&d->review, d->page.kept) == NULL)
        d->page.chosen = -1;
    /* what comes into an empty list is chosen, but not while a key may be meant for what it had */
    else if (d->page.kept == 0 && empty)
        d->page.chosen = human_now() - d->answers.given_at > SETTLED_MS ? 0 : -1;
    review_fill(d);
    answers_moved(d);
}

void pages_move(struct dashboard *d, long lines)
{
    page_move(&d->page, lines);
    if (d->page.kind == PAGE_REVIEW)
        d->page.follow = false;
    answers_moved(d);
}

/* What the chosen line is about, in full. */
static void draw_card(struct dashboard *d, struct rect area)
{
    const struct review_group *group =
        d->page.kind == PAGE_REVIEW ? review_find(&d->review, page_ref(&d->page)) : NULL;
    const struct feed_entry *entry =
        d->page.kind == PAGE_NETWORK ? feed_find(&d->feed, page_ref(&d->page)) : NULL;
    const char *session = group != NULL ? group->session : entry != NULL ? entry->session : "";
    const cJSON *object = group != NULL ? group->object : entry != NULL ? entry->object : NULL;
    const struct fleet_row *row = fleet_find(&d->fleet, session);
    bool waits = group != NULL && group->waits;
    char title[FLEET_TEXT];
    if (object == NULL)
        return;
    snprintf(title, sizeof title, " %s%s · %s ", row != NULL ? fleet_word(row) : session,
             waits ? " asks" : "", session);
    int64_t time = waits ? group->asked : group != NULL ? group->time : entry->time;
    network_draw_card(&d->theme, title, time, waits ? group->time : 0, object, &d->canvas, area);
}

void pages_draw(struct dashboard *d, struct rect area)
{
    if (d->page.kind == PAGE_REVIEW)
        review_draw(d, area);
    else
        page_draw(&d->page, &d->canvas, area, &d->theme);
    if (d->page.card)
        draw_card(d, area);
}

void pages_again(struct dashboard *d)
{
    if (d->view != VIEW_PAGE)
        return;
    if (d->page.kind == PAGE_LOG || d->page.kind == PAGE_NETWORK)
        pages_log(d, d->page.kind == PAGE_NETWORK);
    else if (d->page.kind == PAGE_REVIEW)
        pages_review(d);
    else if (d->page.kind == PAGE_HELP)
        pages_help(d);
    else
        lists_again(d);
    dashboard_damage(d);
}
