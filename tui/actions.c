/*
 * What the keys do: one handler per action. What changes a session is a command of vmdeck itself,
 * run beside the dashboard (runner.h): nothing blocks, and the status line shows what to type in a
 * shell for the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/protocol/json.h"
#include "session/store/snapshots.h"
#include "tui/dashboard.h"

/* Actions that are a command about sessions. */
static const struct command {
    enum action action;
    const char *verb, *option; /* option NULL: none */
    bool each;                 /* one command for each session */
    bool asks;                 /* first; about several sessions every command does */
    const char *question;
} commands[] = {
    {ACTION_STOP, "stop", NULL, false, true, "Stop"},
    {ACTION_SNAPSHOT, "snapshot", "--keep-running", true, false, "Snapshot"},
    {ACTION_SNAPSHOT_STOP, "snapshot", NULL, true, true, "Snapshot and stop"},
    {ACTION_FORK, "fork", NULL, true, false, "Fork"},
    {ACTION_PAUSE, "pause", NULL, false, false, "Pause"},
    {ACTION_SLEEP, "suspend", NULL, false, false, "Suspend"},
    {ACTION_RESUME, "unpause", NULL, false, false, "Go on with"},
};

static bool has_verb(const struct dashboard *d, const char *name)
{
    for (const struct tui_verb *verb = d->program->verbs; verb->name != NULL; verb++)
        if (strcmp(verb->name, name) == 0)
            return true;
    return false;
}

/* What runs now, or NULL. */
struct runner *dashboard_run(struct dashboard *d, const struct strv *argv, bool show)
{
    struct error err = {0};
    if (argv->count == 0)
        return NULL;
    if (!has_verb(d, argv->items[0])) {
        dashboard_say(d, true, "this vmdeck has no command '%.40s'", argv->items[0]);
        return NULL;
    }
    if (runner_start(&d->runners, argv, show, &err) < 0) {
        dashboard_say(d, true, "%s", err.message);
        return NULL;
    }
    struct runner *runner = d->runners.first;
    dashboard_say(d, false, "%s", runner->line != NULL ? runner->line : "");
    return runner;
}

/* Words, where '…' and "…" hold blanks; nothing else is special. */
static int split(const char *line, struct strv *out)
{
    char word[EDIT_MAX + 1];
    size_t length = 0;
    char quote = '\0';
    bool inside = false;
    int rc = 0;
    for (const char *p = line; rc == 0; p++) {
        if (*p == '\0' || (quote == '\0' && *p == ' ')) {
            word[length] = '\0';
            rc = inside ? strv_add(out, word) : 0;
            length = 0;
            inside = false;
            if (*p == '\0')
                return rc;
        } else if (*p == quote || (quote == '\0' && (*p == '\'' || *p == '"'))) {
            quote = quote == '\0' ? *p : '\0';
            inside = true;
        } else if (length < EDIT_MAX) {
            word[length++] = *p;
            inside = true;
        }
    }
    return rc;
}

/* Words of the palette that are the dashboard's own; everything else is a command of vmdeck. */
static bool own_command(struct dashboard *d, const struct strv *words)
{
    const char *name = words->items[0];
    const struct action_row *row = action_named(name);
    struct error err = {0};
    if (strcmp(name, "theme") == 0 && words->count == 2) {
        dashboard_theme(d, words->items[1]);
        return true;
    }
    if (strcmp(name, "save-screen") == 0 && words->count == 2) {
        if (dashboard_save(d, words->items[1], &err) < 0)
            dashboard_say(d, true, "%s", err.message);
        return true;
    }
    if ((strcmp(name, "attach") == 0 || strcmp(name, "bash") == 0) && words->count == 2 &&
        words->items[1][0] != '-') {
        for (size_t i = 0; i < d->fleet.count; i++)
            if (strcmp(fleet_word(d->fleet.rows[i]), words->items[1]) == 0 ||
                strcmp(d->fleet.rows[i]->id, words->items[1]) == 0) {
                dashboard_attach(d, d->fleet.rows[i], 0, DECK_REPLACE);
                return true;
            }
    }
    if (row == NULL || (has_verb(d, name) && words->count > 1))
        return false;
    dashboard_act(d, row->action);
    return true;
}

void dashboard_command(struct dashboard *d, const char *line)
{
    CLEAN_STRV struct strv words = {0};
    if (split(line, &words) < 0 || words.count == 0)
        return;
    if (!own_command(d, &words))
        dashboard_run(d, &words, true);
}

/* What the command is for this session; NULL: it makes no sense. */
static const char *verb_for(const struct dashboard *d, const struct command *command,
                            const struct fleet_row *row)
{
    bool paused = row->state == FLEET_PAUSED;
    if (command->action == ACTION_PAUSE && paused) { /* of several all do the same */
        for (size_t i = 0; i < d->asked_about.count; i++) {
            const struct fleet_row *other = fleet_find(&d->fleet, d->asked_about.items[i]);
            if (other != NULL && other->state <= FLEET_RUNNING)
                return NULL;
        }
        return "unpause";
    }
    if (command->action != ACTION_RESUME)
        return command->verb;
    return paused ? "unpause" : row->state == FLEET_SUSPENDED ? "start" : NULL;
}

/* One verb about all sessions that it is for. */
static void verb_run(struct dashboard *d, const struct command *command, const char *verb)
{
    struct strv argv = {0};
    for (size_t i = 0; i < d->asked_about.count; i++) {
        struct fleet_row *row = fleet_find(&d->fleet, d->asked_about.items[i]);
        const char *own = row != NULL ? verb_for(d, command, row) : NULL;
        if (own == NULL || strcmp(own, verb) != 0)
            continue;
        if (argv.count == 0)
            strv_add(&argv, verb);
        strv_add(&argv, fleet_word(row));
        if (!command->each)
            continue;
        if (command->option != NULL)
            strv_add(&argv, command->option);
        dashboard_run(d, &argv, false);
        strv_free(&argv);
        argv = (struct strv){0};
    }
    if (argv.count > 0)
        dashboard_run(d, &argv, false);
    strv_free(&argv);
}

static void command_run(struct dashboard *d, const struct command *command)
{
    verb_run(d, command, command->verb);
    if (command->action == ACTION_PAUSE)
        verb_run(d, command, "unpause");
    if (command->action == ACTION_RESUME)
        verb_run(d, command, "start");
    for (size_t i = 0; i < d->asked_about.count; i++) {
        struct fleet_row *row = fleet_find(&d->fleet, d->asked_about.items[i]);
        if (row != NULL)
            row->marked = false;
    }
}

static const struct command *command_of(enum action action)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (commands[i].action == action)
            return &commands[i];
    return NULL;
}

bool dashboard_can(const struct dashboard *d, enum action action)
{
    static const struct {
        enum action action;
        const char *verb;
    } others[] = {{ACTION_ALLOW, "allow"},         {ACTION_DENY, "deny"},
                  {ACTION_ALLOW_SESSION, "allow"}, {ACTION_ALLOW_ALWAYS, "allow"},
                  {ACTION_DENY_SESSION, "deny"},   {ACTION_DENY_ALWAYS, "deny"},
                  {ACTION_REVIEW, "requests"},     {ACTION_SNAPSHOTS, "snapshot"},
                  {ACTION_MOUNTS, "mount"},        {ACTION_RULES, "rules"}};
    const struct command *command = command_of(action);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i].action == action)
            return has_verb(d, others[i].verb);
    return command == NULL || has_verb(d, command->verb);
}

/* Whom it is about is settled now: whatever comes or goes until the answer changes nothing. */
static void act_command(struct dashboard *d, enum action action)
{
    const struct command *command = command_of(action);
    struct fleet_row **rows = calloc(d->fleet.count + 1, sizeof(void *));
    size_t count = rows != NULL ? fleet_targets(&d->fleet, rows) : 0;
    const char *verb = NULL, *question = command->question;
    strv_free(&d->asked_about);
    d->asked_about = (struct strv){0};
    for (size_t i = 0; i < count; i++)
        strv_add(&d->asked_about, rows[i]->id);
    for (size_t i = 0; i < count && verb == NULL; i++)
        verb = verb_for(d, command, rows[i]);
    if (verb != NULL && strcmp(verb, "unpause") == 0)
        question = "Go on with";
    if (count > 0 && verb == NULL)
        dashboard_say(d, true, "%s is neither paused nor suspended", fleet_word(rows[0]));
    else if (count == 1 && command->asks)
        dashboard_ask(d, action, "%s %s?", question, fleet_word(rows[0]));
    else if (count > 1)
        dashboard_ask(d, action, "%s %zu sessions?", question, count);
    else if (count == 1)
        command_run(d, command);
    free(rows);
}

void dashboard_confirmed(struct dashboard *d, enum action action)
{
    const struct command *command = command_of(action);
    if (command != NULL)
        command_run(d, command);
    else
        lists_confirmed(d, action);
}

/* --- terminals and panes */

static void show_panes(struct dashboard *d, const char *session, unsigned terminal,
                       enum deck_place place)
{
    layout_arrange(&d->deck.layout, dashboard_area(d)); /* it may not have been drawn so yet */
    if (!deck_open(&d->deck, session, terminal, place)) {
        dashboard_say(d, true, "no room for one more pane: z zooms, c closes one");
        return;
    }
    dashboard_view(d, VIEW_PANES);
}

static void on_opened(void *context, const cJSON *reply, const struct error *why)
{
    struct asking *opening = context;
    if (reply == NULL)
        dashboard_say(opening->d, true, "%s", why->message);
    else
        show_panes(opening->d, opening->session, (unsigned)json_number(reply, "terminal", 0),
                   opening->place);
    asking_free(opening);
}

static void open_terminal(struct dashboard *d, const struct fleet_row *row, enum deck_place place)
{
    struct client *client = links_client(row);
    struct asking *opening = client != NULL ? asking_new(d, row->id) : NULL;
    if (opening == NULL)
        return;
    opening->place = place;
    cJSON *request = cJSON_CreateObject();
    cJSON_AddNumberToObject(request, "rows", d->canvas.rows - 2);
    cJSON_AddNumberToObject(request, "columns", d->canvas.cols);
    client_request(client, "open", request, on_opened, opening);
}

void dashboard_attach(struct dashboard *d, struct fleet_row *row, unsigned terminal,
                      enum deck_place place)
{
    if (row->state == FLEET_SUSPENDED) {
        dashboard_say(d, true, "%s is suspended: r goes on with it", fleet_word(row));
    } else if (row->ended != 0) {
        dashboard_say(d, true, "%s has ended%s%s", fleet_word(row),
                      row->reason[0] != '\0' ? ": " : "", row->reason);
    } else if (links_client(row) == NULL || row->state == FLEET_STARTING) {
        dashboard_say(d, true, "%s is only just starting", fleet_word(row));
    } else if (row->terminals == 0 || (place != DECK_REPLACE && deck_shows(&d->deck, row->id))) {
        open_terminal(d, row, place); /* a second look at the same terminal helps nobody */
    } else {
        row->bell = false;
        show_panes(d, row->id, terminal != 0 ? terminal : links_terminal(row).id, place);
    }
}

static void act_attach(struct dashboard *d, enum action action)
{
    struct fleet_row *row = fleet_selected(&d->fleet);
    if (row == NULL)
        return;
    if (action == ACTION_TERMINAL)
        open_terminal(d, row, DECK_REPLACE);
    else
        dashboard_attach(d, row, 0,
                         action == ACTION_SPLIT_RIGHT  ? DECK_BESIDE
                         : action == ACTION_SPLIT_DOWN ? DECK_BELOW
                                                       : DECK_REPLACE);
}

/* In the order of the actions. */
static const enum layout_direction directions[] = {LAYOUT_LEFT, LAYOUT_DOWN, LAYOUT_UP,
                                                   LAYOUT_RIGHT};

/* Actions on the panes: done, and the panes are shown. */
static void act_deck(struct dashboard *d, enum action action)
{
    struct pane *pane = deck_focused(&d->deck);
    if (pane == NULL) {
        dashboard_say(d, true, "there are no panes: Enter opens one");
        return;
    }
    switch (action) {
    case ACTION_PANES:
        if (d->view == VIEW_PANES)
            deck_next(&d->deck);
        break;
    case ACTION_TILED:
        deck_tiled(&d->deck);
        break;
    case ACTION_MAIN:
        deck_main(&d->deck);
        break;
    case ACTION_ZOOM:
        d->deck.zoom = !d->deck.zoom && d->deck.layout.count > 1;
        break;
    case ACTION_CLOSE:
        deck_close(&d->deck, pane);
        break;
    case ACTION_SCROLLBACK:
        pane_scroll(pane, true);
        break;
    default:
        if (action >= ACTION_FOCUS_LEFT && action <= ACTION_FOCUS_RIGHT)
            deck_focus(&d->deck, directions[action - ACTION_FOCUS_LEFT]);
        if (action >= ACTION_MOVE_LEFT && action <= ACTION_MOVE_RIGHT)
            deck_move(&d->deck, directions[action - ACTION_MOVE_LEFT]);
        break;
    }
    dashboard_view(d, d->deck.layout.count > 0 ? VIEW_PANES : VIEW_HOME);
}

static void act_grow(struct dashboard *d, enum action action)
{
    if (deck_focused(&d->deck) == NULL)
        return;
    layout_grow(&d->deck.layout, d->deck.focus, directions[action - ACTION_GROW_LEFT], 4);
    dashboard_view(d, VIEW_PANES);
}

static void act_leave(struct dashboard *d, enum action action)
{
    static const uint8_t literal[] = {0x1d};
    struct pane *pane = deck_focused(&d->deck);
    (void)action;
    if (d->view == VIEW_PANES && pane != NULL) {
        pane_scroll(pane, false);
        memcpy(d->fleet.selected, pane->session, sizeof d->fleet.selected);
        fleet_arrange(&d->fleet);
        dashboard_view(d, VIEW_HOME);
    } else if (pane != NULL) {
        const struct input_event key = {.kind = INPUT_KEY,
                                        .key = ']',
                                        .modifiers = INPUT_CTRL,
                                        .bytes = literal,
                                        .size = sizeof literal};
        dashboard_view(d, VIEW_PANES);
        pane_input(pane, &key);
    }
}

/* --- the list, pages, and the rest */

static void act_move(struct dashboard *d, enum action action)
{
    long page = d->canvas.rows > 4 ? d->canvas.rows - 4 : 1;
    const long by[] = {-1, 1, -page, page, -1000000, 1000000};
    long lines = by[action - ACTION_UP];
    struct pane *pane = deck_focused(&d->deck);
    if (d->view == VIEW_PANES && pane != NULL && lines != 1 && lines != -1)
        pane_page(pane, lines);
    else if (d->view == VIEW_PANES && pane != NULL)
        pane_move(pane, lines);
    else if (d->view == VIEW_PAGE)
        pages_move(d, lines);
    else
        fleet_move(&d->fleet, lines);
    dashboard_settle(d);
}

static void act_mark(struct dashboard *d, enum action action)
{
    struct fleet_row *row = fleet_selected(&d->fleet);
    bool all = true;
    for (size_t i = 0; i < d->fleet.shown_count; i++)
        all = all && d->fleet.shown[i]->marked;
    for (size_t i = 0; i < d->fleet.shown_count && action == ACTION_MARK_ALL; i++)
        d->fleet.shown[i]->marked = !all;
    if (action == ACTION_MARK && row != NULL) {
        row->marked = !row->marked;
        fleet_move(&d->fleet, 1);
        dashboard_settle(d);
    }
}

static void act_waiting(struct dashboard *d, enum action action)
{
    size_t from = fleet_position(&d->fleet), count = d->fleet.shown_count;
    (void)action;
    for (size_t i = 1; i <= count; i++) {
        const struct fleet_row *row = d->fleet.shown[(from + i) % count];
        if (row->state != FLEET_WAITING && !row->bell)
            continue;
        memcpy(d->fleet.selected, row->id, sizeof d->fleet.selected);
        dashboard_view(d, VIEW_HOME);
        return;
    }
    dashboard_say(d, false, "no session waits for you");
}

static void act_prompt(struct dashboard *d, enum action action)
{
    d->prompt = action == ACTION_FILTER   ? PROMPT_FILTER
                : action == ACTION_SEARCH ? PROMPT_SEARCH
                                          : PROMPT_COMMAND;
    edit_set(&d->edit, action != ACTION_FILTER ? ""
                       : d->view == VIEW_PAGE  ? d->page.filter
                                               : d->fleet.filter);
}

static void act_sort(struct dashboard *d, enum action action)
{
    (void)action;
    d->fleet.sort = (d->fleet.sort + 1) % FLEET_SORTS;
    fleet_arrange(&d->fleet);
}

static void act_back(struct dashboard *d, enum action action)
{
    struct pane *pane = deck_focused(&d->deck);
    (void)action;
    if (d->view == VIEW_PANES && pane != NULL) {
        pane_scroll(pane, false);
    } else if (d->view == VIEW_PAGE && d->page.card) {
        d->page.card = false;
    } else if (d->view == VIEW_PAGE && d->page.filter[0] != '\0') {
        d->page.filter[0] = '\0';
        pages_again(d);
        pages_move(d, 0); /* a line is chosen */
    } else if (d->view == VIEW_PAGE && d->page.kind == PAGE_OUTPUT && d->over != ACTION_NONE) {
        lists_show(d, d->over);
    } else if (d->view != VIEW_HOME) {
        dashboard_view(d, VIEW_HOME);
    } else {
        for (size_t i = 0; i < d->fleet.count; i++)
            d->fleet.rows[i]->marked = false;
        d->fleet.filter[0] = '\0';
        fleet_arrange(&d->fleet);
    }
}

static void act_page(struct dashboard *d, enum action action)
{
    if (action == ACTION_HELP)
        pages_help(d);
    else if (action == ACTION_REVIEW)
        pages_review(d);
    else
        pages_log(d, action == ACTION_NETWORK);
    dashboard_view(d, VIEW_PAGE);
}

static void act_list(struct dashboard *d, enum action action)
{
    if (action >= ACTION_START)
        lists_act(d, action);
    else
        lists_show(d, action);
}

/* Elsewhere than on the queue the first key opens it: what is answered is seen. */
static void act_answer(struct dashboard *d, enum action action)
{
    static const struct {
        enum action action;
        struct answer answer;
    } answers[] = {
        {ACTION_ALLOW, {"allow", "once"}},          {ACTION_ALLOW_SESSION, {"allow", "session"}},
        {ACTION_ALLOW_ALWAYS, {"allow", "saved"}},  {ACTION_DENY, {"deny", "once"}},
        {ACTION_DENY_SESSION, {"deny", "session"}}, {ACTION_DENY_ALWAYS, {"deny", "saved"}}};
    if (d->view != VIEW_PAGE || d->page.kind != PAGE_REVIEW) {
        act_page(d, ACTION_REVIEW);
        return;
    }
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (answers[i].action == action)
            answers_give(d, &answers[i].answer);
}

/* What the next answer covers, and what of it is shown. */
static void act_review(struct dashboard *d, enum action action)
{
    const struct review_group *group = review_find(&d->review, page_ref(&d->page));
    if (action == ACTION_UNDO)
        answers_undo(d);
    else if (action == ACTION_DETAILS)
        d->page.card = !d->page.card && page_ref(&d->page) != 0;
    else if (action == ACTION_PRECISE)
        d->review.precise = !d->review.precise;
    else if (action == ACTION_EVERYWHERE)
        d->review.everywhere = !d->review.everywhere;
    else if (group != NULL)
        review_widen(&d->review, group);
}

static void act_one(struct dashboard *d, enum action action)
{
    const struct feed_entry *entry = feed_find(&d->feed, page_ref(&d->page));
    (void)action;
    if (d->feed_of[0] != '\0')
        d->feed_of[0] = '\0';
    else if (entry != NULL)
        memcpy(d->feed_of, entry->session, sizeof d->feed_of);
    pages_again(d);
}

void dashboard_form(struct dashboard *d)
{
    CLEAN_SNAPSHOTS struct snapshot_list list = {0};
    struct form *form = &d->form;
    strv_free(&form->images);
    strv_free(&form->snapshots);
    form->images = form->snapshots = (struct strv){0};
    if (d->program->images != NULL)
        d->program->images(&form->images);
    snapshot_list(links_registry(d->links), &list, NULL);
    for (size_t i = 0; i < list.count; i++)
        strv_add(&form->snapshots,
                 list.items[i].name[0] != '\0' ? list.items[i].name : list.items[i].id);
    dashboard_view(d, VIEW_FORM);
}

static void act_form(struct dashboard *d, enum action action)
{
    (void)action;
    dashboard_form(d);
}

/* RFC 4648 of what is selected, as OSC 52 to the user's terminal. */
static void copy_out(struct dashboard *d, const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    CLEAN_BUF struct buf out = {0};
    buf_printf(&out, "\033]52;c;");
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16 | (i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0) |
                        (i + 2 < size ? data[i + 2] : 0);
        const char four[] = {digits[bits >> 18], digits[bits >> 12 & 63],
                             i + 1 < size ? digits[bits >> 6 & 63] : '=',
                             i + 2 < size ? digits[bits & 63] : '='};
        buf_append(&out, four, sizeof four);
    }
    buf_printf(&out, "\a");
    outer_write(&d->outer, buf_data(&out), buf_len(&out));
}

static void act_scroll(struct dashboard *d, enum action action)
{
    struct pane *pane = deck_focused(&d->deck);
    if (pane == NULL || d->view != VIEW_PANES)
        return;
    if (action == ACTION_SEARCH_NEXT) {
        if (!pane_search(pane, NULL))
            dashboard_say(d, true, "not found further back: %s", pane->search);
    } else if (action == ACTION_SELECT) {
        pane_select(pane);
    } else {
        CLEAN_BUF struct buf text = {0};
        pane_copy(pane, &text);
        copy_out(d, buf_data(&text), buf_len(&text));
        dashboard_say(d, false, "copied %zu bytes to the terminal's clipboard", buf_len(&text));
        pane_scroll(pane, false);
    }
}

static void act_program(struct dashboard *d, enum action action)
{
    if (action == ACTION_QUIT)
        dashboard_quit(d);
    else if (action == ACTION_SUSPEND)
        dashboard_suspend(d);
    else if (action == ACTION_THEME)
        dashboard_theme(d, NULL);
    else
        screen_forget(d->screen);
}

static void act_save(struct dashboard *d, enum action action)
{
    struct error err = {0};
    (void)action;
    if (dashboard_save(d, NULL, &err) < 0)
        dashboard_say(d, true, "%s", err.message);
}

static void (*const handlers[ACTIONS])(struct dashboard *, enum action) = {
    [ACTION_HELP] = act_page,
    [ACTION_COMMAND] = act_prompt,
    [ACTION_BACK] = act_back,
    [ACTION_QUIT] = act_program,
    [ACTION_SUSPEND] = act_program,
    [ACTION_REDRAW] = act_program,
    [ACTION_THEME] = act_program,
    [ACTION_LOG] = act_page,
    [ACTION_NETWORK] = act_page,
    [ACTION_REVIEW] = act_page,
    [ACTION_WAITING] = act_waiting,
    [ACTION_UP] = act_move,
    [ACTION_DOWN] = act_move,
    [ACTION_PAGE_UP] = act_move,
    [ACTION_PAGE_DOWN] = act_move,
    [ACTION_TOP] = act_move,
    [ACTION_BOTTOM] = act_move,
    [ACTION_ATTACH] = act_attach,
    [ACTION_TERMINAL] = act_attach,
    [ACTION_NEW] = act_form,
    [ACTION_FILTER] = act_prompt,
    [ACTION_SORT] = act_sort,
    [ACTION_MARK] = act_mark,
    [ACTION_MARK_ALL] = act_mark,
    [ACTION_SNAPSHOT] = act_command,
    [ACTION_SNAPSHOT_STOP] = act_command,
    [ACTION_PAUSE] = act_command,
    [ACTION_SLEEP] = act_command,
    [ACTION_RESUME] = act_command,
    [ACTION_FORK] = act_command,
    [ACTION_STOP] = act_command,
    [ACTION_ALLOW] = act_answer,
    [ACTION_DENY] = act_answer,
    [ACTION_ALLOW_SESSION] = act_answer,
    [ACTION_ALLOW_ALWAYS] = act_answer,
    [ACTION_DENY_SESSION] = act_answer,
    [ACTION_DENY_ALWAYS] = act_answer,
    [ACTION_UNDO] = act_review,
    [ACTION_WIDER] = act_review,
    [ACTION_PRECISE] = act_review,
    [ACTION_EVERYWHERE] = act_review,
    [ACTION_DETAILS] = act_review,
    [ACTION_ONE] = act_one,
    [ACTION_PANES] = act_deck,
    [ACTION_SPLIT_RIGHT] = act_attach,
    [ACTION_SPLIT_DOWN] = act_attach,
    [ACTION_TILED] = act_deck,
    [ACTION_MAIN] = act_deck,
    [ACTION_ZOOM] = act_deck,
    [ACTION_CLOSE] = act_deck,
    [ACTION_FOCUS_LEFT] = act_deck,
    [ACTION_FOCUS_DOWN] = act_deck,
    [ACTION_FOCUS_UP] = act_deck,
    [ACTION_FOCUS_RIGHT] = act_deck,
    [ACTION_MOVE_LEFT] = act_deck,
    [ACTION_MOVE_DOWN] = act_deck,
    [ACTION_MOVE_UP] = act_deck,
    [ACTION_MOVE_RIGHT] = act_deck,
    [ACTION_GROW_LEFT] = act_grow,
    [ACTION_GROW_DOWN] = act_grow,
    [ACTION_GROW_UP] = act_grow,
    [ACTION_GROW_RIGHT] = act_grow,
    [ACTION_SCROLLBACK] = act_deck,
    [ACTION_SEARCH] = act_prompt,
    [ACTION_SEARCH_NEXT] = act_scroll,
    [ACTION_SELECT] = act_scroll,
    [ACTION_COPY] = act_scroll,
    [ACTION_LEAVE] = act_leave,
    [ACTION_SAVE] = act_save,
    [ACTION_SNAPSHOTS] = act_list,
    [ACTION_MOUNTS] = act_list,
    [ACTION_RULES] = act_list,
    [ACTION_START] = act_list,
    [ACTION_START_FORM] = act_list,
    [ACTION_RENAME] = act_list,
    [ACTION_INSPECT] = act_list,
    [ACTION_MOUNT] = act_list,
    [ACTION_RULE_ALLOW] = act_list,
    [ACTION_RULE_DENY] = act_list,
    [ACTION_REMOVE] = act_list,
};

void dashboard_act(struct dashboard *d, enum action action)
{
    if (!dashboard_can(d, action))
        dashboard_say(d, true, "this version of vmdeck cannot do that");
    else if (handlers[action] != NULL)
        handlers[action](d, action);
    dashboard_damage(d);
}
