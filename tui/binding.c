/* Letters carry their own Shift: 'S' is a key of its own, so Shift counts for other keys only. */
#include "tui/binding.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define ANY  (WHERE_HOME | WHERE_PAGE)
#define SOME (WHERE_SNAPSHOTS | WHERE_MOUNTS | WHERE_RULES)
#define LIST (WHERE_HOME | WHERE_PAGE | WHERE_SCROLL)

const struct action_row action_rows[] = {
    {ACTION_ATTACH, "attach", ANY, "Enter", "go to the session's terminal"},
    {ACTION_TERMINAL, "terminal", WHERE_HOME, "t", "open one more terminal in the session"},
    {ACTION_NEW, "new", ANY, "n", "new session"},
    {ACTION_STOP, "stop", WHERE_HOME, "x", "stop (asks first)"},
    {ACTION_SNAPSHOT, "snapshot", WHERE_HOME, "s", "snapshot; the session goes on"},
    {ACTION_SNAPSHOT_STOP, "snapshot-stop", WHERE_HOME, "S", "snapshot and stop"},
    {ACTION_FORK, "fork", WHERE_HOME, "f", "a copy of the running session"},
    {ACTION_PAUSE, "pause", WHERE_HOME, "p", "pause, or go on"},
    {ACTION_SLEEP, "suspend", WHERE_HOME, "u", "suspend to disk"},
    {ACTION_RESUME, "resume", WHERE_HOME, "r", "go on with a paused or suspended session"},
    {ACTION_MARK, "mark", WHERE_HOME, "Space", "mark; what follows is done to all marked ones"},
    {ACTION_MARK_ALL, "mark-all", WHERE_HOME, "*", "mark all that are shown, or none"},
    {ACTION_FILTER, "filter", ANY, "/", "show only what matches; empty shows all"},
    {ACTION_SORT, "sort", WHERE_HOME, "o", "another order"},
    {ACTION_WAITING, "waiting", ANY, "w", "to the next session that waits for you"},
    {ACTION_ALLOW, "allow", ANY, "a", "allow the request that waits, this once"},
    {ACTION_DENY, "deny", ANY, "d", "deny the request that waits, this once"},
    {ACTION_ALLOW_SESSION, "allow-session", WHERE_REVIEW, "s", "allow its host for the session"},
    {ACTION_ALLOW_ALWAYS, "allow-always", WHERE_REVIEW, "A", "allow its host for good"},
    {ACTION_DENY_SESSION, "deny-session", WHERE_REVIEW, "D", "deny its host for the session"},
    {ACTION_DENY_ALWAYS, "deny-always", WHERE_REVIEW, "X", "deny its host for good"},
    {ACTION_UNDO, "undo", WHERE_REVIEW, "u", "take the last answer back, then the one before"},
    {ACTION_WIDER, "wider", WHERE_REVIEW, "h", "this host, or *.of its domain"},
    {ACTION_PRECISE, "precise", WHERE_REVIEW, "m", "anything, or this method and path"},
    {ACTION_EVERYWHERE, "everywhere", WHERE_REVIEW, "e", "in this session, or in every one"},
    {ACTION_DETAILS, "details", WHERE_NETWORK | WHERE_REVIEW, "Enter", "all that is known of it"},
    {ACTION_ONE, "one-session", WHERE_NETWORK, "Tab", "of all sessions, or of this one"},
    {ACTION_UP, "up", LIST, "k Up", "up"},
    {ACTION_DOWN, "down", LIST, "j Down", "down"},
    {ACTION_PAGE_UP, "page-up", LIST, "PgUp C-b", "a page up"},
    {ACTION_PAGE_DOWN, "page-down", LIST, "PgDn C-f", "a page down"},
    {ACTION_TOP, "top", LIST, "g Home", "to the beginning"},
    {ACTION_BOTTOM, "bottom", LIST, "G End", "to the end"},
    {ACTION_SNAPSHOTS, "snapshots", ANY, "v", "the snapshots there are"},
    {ACTION_MOUNTS, "mounts", ANY, "m", "what is mounted in the session"},
    {ACTION_RULES, "policy", ANY, "P", "the rules of the session's network"},
    {ACTION_START, "launch", WHERE_SNAPSHOTS, "Enter r", "a new session from the snapshot"},
    {ACTION_START_FORM, "configure", WHERE_SNAPSHOTS, "n",
     "the same, by the form of a new session"},
    {ACTION_RENAME, "rename", WHERE_SNAPSHOTS, "e", "give the snapshot another name"},
    {ACTION_INSPECT, "inspect", WHERE_SNAPSHOTS, "i", "what is in the snapshot's file"},
    {ACTION_MOUNT, "mount-add", WHERE_MOUNTS, "a n", "mount a directory of the host"},
    {ACTION_RULE_ALLOW, "rule-allow", WHERE_RULES, "a", "a rule that allows"},
    {ACTION_RULE_DENY, "rule-deny", WHERE_RULES, "d", "a rule that denies"},
    {ACTION_REMOVE, "remove", SOME, "x Delete", "remove it; a snapshot: asks first"},
    {ACTION_PANES, "panes", WHERE_HOME, "Tab", "back to the panes, or to the next one"},
    {ACTION_SPLIT_RIGHT, "split-right", WHERE_HOME, "|", "the session beside the current pane"},
    {ACTION_SPLIT_DOWN, "split-down", WHERE_HOME, "-", "the session below the current pane"},
    {ACTION_TILED, "tiled", WHERE_HOME, "=", "all panes of the same size"},
    {ACTION_MAIN, "main", WHERE_HOME, "M", "the current pane large, the others stacked"},
    {ACTION_ZOOM, "zoom", WHERE_HOME, "z", "only the current pane, or all again"},
    {ACTION_CLOSE, "close", WHERE_HOME, "c", "close the current pane; the session stays"},
    {ACTION_FOCUS_LEFT, "focus-left", WHERE_HOME, "H S-Left", "to the pane on the left"},
    {ACTION_FOCUS_DOWN, "focus-down", WHERE_HOME, "J S-Down", "to the pane below"},
    {ACTION_FOCUS_UP, "focus-up", WHERE_HOME, "K S-Up", "to the pane above"},
    {ACTION_FOCUS_RIGHT, "focus-right", WHERE_HOME, "L S-Right", "to the pane on the right"},
    {ACTION_MOVE_LEFT, "move-left", WHERE_HOME, "C-Left",
     "change places with the pane on the left"},
    {ACTION_MOVE_DOWN, "move-down", WHERE_HOME, "C-Down", "change places with the pane below"},
    {ACTION_MOVE_UP, "move-up", WHERE_HOME, "C-Up", "change places with the pane above"},
    {ACTION_MOVE_RIGHT, "move-right", WHERE_HOME, "C-Right",
     "change places with the one on the right"},
    {ACTION_GROW_LEFT, "grow-left", WHERE_HOME, "M-Left", "move the border left"},
    {ACTION_GROW_DOWN, "grow-down", WHERE_HOME, "M-Down", "move the border down"},
    {ACTION_GROW_UP, "grow-up", WHERE_HOME, "M-Up", "move the border up"},
    {ACTION_GROW_RIGHT, "grow-right", WHERE_HOME, "M-Right", "move the border right"},
    {ACTION_SCROLLBACK, "scrollback", WHERE_HOME, "[", "look through the pane's scrollback"},
    {ACTION_SEARCH, "search", WHERE_SCROLL, "/ ?", "search backwards"},
    {ACTION_SEARCH_NEXT, "search-next", WHERE_SCROLL, "n", "the next one further back"},
    {ACTION_SELECT, "select", WHERE_SCROLL, "v Space", "begin to select, line by line"},
    {ACTION_COPY, "copy", WHERE_SCROLL, "y Enter", "copy what is selected to the clipboard"},
    {ACTION_LOG, "log", ANY, "l", "event log"},
    {ACTION_NETWORK, "network", ANY, "N", "what the sessions asked of the network"},
    {ACTION_REVIEW, "review", ANY, "R", "requests that wait for an answer"},
    {ACTION_COMMAND, "command", ANY, ":", "any vmdeck command"},
    {ACTION_SAVE, "save-screen", ANY, "C-s", "write what the screen shows to a file"},
    {ACTION_THEME, "theme", ANY, "C-t", "the next theme"},
    {ACTION_HELP, "help", ANY, "? F1", "all keys"},
    {ACTION_REDRAW, "redraw", ANY, "C-l", "draw everything again"},
    {ACTION_SUSPEND, "shell", ANY, "C-z", "back to the shell for a while"},
    {ACTION_BACK, "back", LIST, "Esc", "back; ends filter and marks"},
    {ACTION_QUIT, "quit", LIST, "q C-c", "leave; the sessions stay"},
    {ACTION_LEAVE, "leave", WHERE_PANE | WHERE_SCROLL | ANY, "C-]",
     "from a pane to the dashboard at once; there: back, and send it to the guest"},
};
const size_t action_row_count = sizeof action_rows / sizeof action_rows[0];

const struct action_row *action_named(const char *name)
{
    for (size_t i = 0; i < action_row_count; i++)
        if (strcmp(action_rows[i].name, name) == 0)
            return &action_rows[i];
    return NULL;
}

const char *action_place(const struct action_row *row)
{
    static const struct {
        unsigned where;
        const char *text;
    } places[] = {{WHERE_SCROLL, " (in the scrollback)"},
                  {WHERE_REVIEW, " (in the queue)"},
                  {WHERE_NETWORK, " (in the network)"},
                  {WHERE_NETWORK | WHERE_REVIEW, " (in the queue and the network)"},
                  {WHERE_SNAPSHOTS, " (snapshots)"},
                  {WHERE_MOUNTS, " (mounts)"},
                  {WHERE_RULES, " (policy)"},
                  {SOME, " (snapshots, mounts, policy)"}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (row->where == places[i].where)
            return places[i].text;
    return "";
}

static unsigned significant(uint32_t key, unsigned modifiers)
{
    return key < KEYCODE_UP ? modifiers & ~INPUT_SHIFT : modifiers;
}

static int bindings_add(struct bindings *bindings, const struct action_row *row, unsigned where,
                        const char *keys, struct error *err)
{
    CLEAN_FREE char *copy = strdup(keys);
    char *save = NULL;
    if (copy == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (char *word = strtok_r(copy, " \t", &save); word != NULL;
         word = strtok_r(NULL, " \t", &save)) {
        uint32_t key;
        unsigned modifiers;
        if (key_parse(word, &key, &modifiers, err) < 0)
            return error_wrap(err, "keys of %s", row->name);
        if (bindings->count == BINDINGS_MAX)
            return error_set(err, E2BIG, "more than %d keys", BINDINGS_MAX);
        bindings->items[bindings->count++] =
            (struct binding){key, significant(key, modifiers), where, row->action};
    }
    return 0;
}

void bindings_default(struct bindings *bindings)
{
    bindings->count = 0;
    for (size_t i = 0; i < action_row_count; i++)
        bindings_add(bindings, &action_rows[i], action_rows[i].where, action_rows[i].keys, NULL);
}

int bindings_set(struct bindings *bindings, const char *name, const char *keys, struct error *err)
{
    bool pane = str_starts(name, "pane-key.");
    const char *dot = strchr(name, '.');
    const struct action_row *row = pane || str_starts(name, "key.") ? action_named(dot + 1) : NULL;
    if (row == NULL)
        return error_set(err, ENOENT, "'%.60s': there is no such action", name);
    if (pane)
        return bindings_add(bindings, row, WHERE_PANE, keys, err);
    struct bindings changed = {.count = 0};
    for (size_t i = 0; i < bindings->count; i++)
        if (bindings->items[i].action != row->action || bindings->items[i].where == WHERE_PANE)
            changed.items[changed.count++] = bindings->items[i];
    int rc = bindings_add(&changed, row, row->where, keys, err);
    if (rc == 0)
        *bindings = changed;
    return rc;
}

static const char *name_of(enum action action)
{
    for (size_t i = 0; i < action_row_count; i++)
        if (action_rows[i].action == action)
            return action_rows[i].name;
    return "";
}

size_t bindings_collisions(const struct bindings *bindings, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < bindings->count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct binding *a = &bindings->items[j], *b = &bindings->items[i];
            if (a->key != b->key || a->modifiers != b->modifiers || (a->where & b->where) == 0 ||
                a->action == b->action)
                continue;
            char key[KEY_NAME_MAX];
            key_name(b->key, b->modifiers, key);
            buf_printf(out, "%s means %s and %s: it stays with %s\n", key, name_of(a->action),
                       name_of(b->action), name_of(a->action));
            count++;
        }
    return count;
}

enum action bindings_find(const struct bindings *bindings, unsigned where, uint32_t key,
                          unsigned modifiers)
{
    for (size_t i = 0; i < bindings->count; i++) {
        const struct binding *binding = &bindings->items[i];
        if (binding->key == key && binding->modifiers == significant(key, modifiers) &&
            (binding->where & where) != 0)
            return binding->action;
    }
    return ACTION_NONE;
}

void bindings_key(const struct bindings *bindings, unsigned where, enum action action,
                  char out[KEY_NAME_MAX])
{
    out[0] = '\0';
    for (size_t i = 0; i < bindings->count; i++)
        if (bindings->items[i].action == action && (bindings->items[i].where & where) != 0) {
            key_name(bindings->items[i].key, bindings->items[i].modifiers, out);
            return;
        }
}

void bindings_keys(const struct bindings *bindings, enum action action, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < bindings->count; i++) {
        char name[KEY_NAME_MAX];
        if (bindings->items[i].action != action)
            continue;
        key_name(bindings->items[i].key, bindings->items[i].modifiers, name);
        int more = snprintf(out + used, size - used, "%s%s", used > 0 ? " " : "", name);
        if (more < 0 || (size_t)more >= size - used)
            return;
        used += (size_t)more;
    }
}
