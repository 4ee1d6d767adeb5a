/* Where a key goes: a prompt, the form, the guest, or the table of bindings. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "tui/complete.h"
#include "tui/dashboard.h"

static void prompt_done(struct dashboard *d)
{
    enum prompt prompt = d->prompt;
    struct pane *pane = deck_focused(&d->deck);
    d->prompt = PROMPT_NONE;
    if (prompt == PROMPT_COMMAND)
        dashboard_command(d, d->edit.text);
    else if (prompt == PROMPT_WORD)
        lists_typed(d, d->confirm, d->edit.text);
    else if (prompt == PROMPT_SEARCH && pane != NULL && !pane_search(pane, d->edit.text))
        dashboard_say(d, true, "not found further back: %s", d->edit.text);
}

/* The filter is in force while it is typed. */
static void prompt_changed(struct dashboard *d)
{
    if (d->prompt != PROMPT_FILTER)
        return;
    if (d->view == VIEW_PAGE) {
        snprintf(d->page.filter, sizeof d->page.filter, "%.*s", (int)sizeof d->page.filter - 1,
                 d->edit.text);
        pages_again(d);
        pages_move(d, 0);
        return;
    }
    snprintf(d->fleet.filter, sizeof d->fleet.filter, "%.*s", FLEET_TEXT, d->edit.text);
    fleet_arrange(&d->fleet);
    dashboard_settle(d);
}

/* Tab completes a command's name from the tables, or the directory to mount. */
static void prompt_complete(struct dashboard *d)
{
    if (d->prompt == PROMPT_WORD) {
        CLEAN_STRV struct strv found = {0};
        if (d->confirm == ACTION_MOUNT && strchr(d->edit.text, ':') == NULL &&
            complete_directories(d->edit.text, &found) == 0)
            complete_word(&d->edit, 0, &found);
        return;
    }
    for (const struct tui_verb *verb = d->program->verbs; verb->name != NULL; verb++)
        if (strncmp(verb->name, d->edit.text, d->edit.length) == 0) {
            char text[64];
            snprintf(text, sizeof text, "%s ", verb->name);
            edit_set(&d->edit, text);
            return;
        }
}

static void prompt_event(struct dashboard *d, const struct input_event *event)
{
    bool key = event->kind == INPUT_KEY;
    if (d->prompt == PROMPT_CONFIRM) {
        if (!key)
            return;
        d->prompt = PROMPT_NONE;
        d->notice[0] = '\0';
        if (event->key == 'y' || event->key == 'Y')
            dashboard_confirmed(d, d->confirm);
        else
            dashboard_say(d, false, "nothing done");
    } else if (key && event->key == KEYCODE_ENTER) {
        prompt_done(d);
    } else if (key && event->key == KEYCODE_TAB &&
               (d->prompt == PROMPT_COMMAND || d->prompt == PROMPT_WORD)) {
        prompt_complete(d);
    } else if (key && (event->key == KEYCODE_ESCAPE ||
                       (event->key == 'c' && (event->modifiers & INPUT_CTRL) != 0))) {
        edit_set(&d->edit, "");
        prompt_changed(d);
        d->prompt = PROMPT_NONE;
    } else if (edit_event(&d->edit, event)) {
        prompt_changed(d);
    }
}

static void form_key(struct dashboard *d, const struct input_event *event)
{
    CLEAN_STRV struct strv argv = {0};
    enum form_result result = form_event(&d->form, event);
    if (result == FORM_CANCELLED)
        dashboard_view(d, VIEW_HOME);
    if (result != FORM_DONE)
        return;
    if (form_command(&d->form, &argv) == 0)
        d->making = dashboard_run(d, &argv, false);
    dashboard_view(d, VIEW_HOME);
}

/* What the pane's own mode wants, before the guest gets anything. */
static void pane_event(struct dashboard *d, struct pane *pane, const struct input_event *event)
{
    enum action action = ACTION_NONE;
    if (event->kind == INPUT_KEY)
        action = bindings_find(&d->bindings, pane->scrolling ? WHERE_SCROLL : WHERE_PANE,
                               event->key, event->modifiers);
    if (pane->scrolling && action == ACTION_QUIT)
        action = ACTION_BACK; /* one step at a time */
    if (action != ACTION_NONE) {
        dashboard_act(d, action);
    } else if (!pane->scrolling) {
        d->typed = true;
        pane_input(pane, event);
    }
}

static void list_event(struct dashboard *d, const struct input_event *event)
{
    unsigned where = d->view == VIEW_PAGE ? WHERE_PAGE : WHERE_HOME;
    if (event->kind == INPUT_MOUSE) {
        if (d->view == VIEW_PAGE && (event->button == MOUSE_UP || event->button == MOUSE_DOWN))
            pages_move(d, event->button == MOUSE_UP ? -3 : 3);
        else if (d->view == VIEW_HOME && home_click(d, event))
            dashboard_settle(d);
        return;
    }
    if (event->kind != INPUT_KEY)
        return;
    enum action action = ACTION_NONE;
    if (d->view == VIEW_PAGE && d->page.kind == PAGE_REVIEW)
        action = bindings_find(&d->bindings, WHERE_REVIEW, event->key, event->modifiers);
    else if (d->view == VIEW_PAGE && d->page.kind == PAGE_NETWORK)
        action = bindings_find(&d->bindings, WHERE_NETWORK, event->key, event->modifiers);
    else
        action = bindings_find(&d->bindings, lists_where(d), event->key, event->modifiers);
    if (action == ACTION_NONE)
        action = bindings_find(&d->bindings, where, event->key, event->modifiers);
    d->notice[0] = '\0';
    d->notice_error = false;
    if (action != ACTION_NONE) {
        dashboard_act(d, action);
    } else if (event->key >= '1' && event->key <= '9' && event->modifiers == 0 &&
               d->deck.layout.count > 0) {
        deck_go(&d->deck, (int)(event->key - '0'));
        dashboard_view(d, VIEW_PANES);
    }
}

void dashboard_event(struct dashboard *d, const struct input_event *event)
{
    struct pane *pane = deck_focused(&d->deck);
    bool tiny = d->canvas.rows < DASHBOARD_MIN_ROWS || d->canvas.cols < DASHBOARD_MIN_COLS;
    if (tiny && event->kind != INPUT_KEY)
        return;
    if (d->prompt != PROMPT_NONE && event->kind != INPUT_MOUSE) {
        prompt_event(d, event);
    } else if (d->view == VIEW_PANES && pane != NULL) {
        if (d->notice[0] != '\0' && event->kind == INPUT_KEY) {
            d->notice[0] = '\0';
            dashboard_damage(d);
        }
        if (event->kind != INPUT_MOUSE) {
            pane_event(d, pane, event);
            if (!pane->scrolling)
                return; /* what the guest makes of it is damage of its own */
        } else if (!deck_mouse(&d->deck, event)) {
            return;
        }
    } else if (d->view == VIEW_FORM && event->kind != INPUT_MOUSE) {
        d->notice[0] = '\0';
        form_key(d, event);
    } else {
        list_event(d, event);
    }
    dashboard_damage(d);
}
