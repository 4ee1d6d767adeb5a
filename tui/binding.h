/*
 * Keys: one table with a row per action, from which keys are looked up, the help is drawn, the
 * palette completes and vmdeck-dashboard(5) is written. The user's file may give an action other
 * keys; what collides is reported and the first one wins. Not thread-safe.
 */
#ifndef VMDECK_TUI_BINDING_H
#define VMDECK_TUI_BINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "tui/input.h"

/* Where a key means something; a row may name several. */
#define WHERE_HOME   1u /* the fleet */
#define WHERE_PANE   2u /* the guest gets what is not bound here */
#define WHERE_SCROLL 4u /* a pane's scrollback */
#define WHERE_PAGE   8u /* help, log, network, output */
/* Pages on which some keys mean something else: */
#define WHERE_NETWORK 256u
#define WHERE_REVIEW  512u

/* Lists with keys of their own, which come before those of WHERE_PAGE. */
#define WHERE_SNAPSHOTS 16u
#define WHERE_MOUNTS    32u
#define WHERE_RULES     64u

enum action {
    ACTION_NONE,
    ACTION_HELP,
    ACTION_COMMAND,
    ACTION_BACK,
    ACTION_QUIT,
    ACTION_SUSPEND,
    ACTION_REDRAW,
    ACTION_THEME,
    ACTION_SAVE,
    ACTION_LOG,
    ACTION_NETWORK,
    ACTION_REVIEW,
    ACTION_WAITING,
    ACTION_UP,
    ACTION_DOWN,
    ACTION_PAGE_UP,
    ACTION_PAGE_DOWN,
    ACTION_TOP,
    ACTION_BOTTOM,
    ACTION_ATTACH,
    ACTION_TERMINAL,
    ACTION_NEW,
    ACTION_FILTER,
    ACTION_SORT,
    ACTION_MARK,
    ACTION_MARK_ALL,
    ACTION_SNAPSHOT,
    ACTION_SNAPSHOT_STOP,
    ACTION_PAUSE,
    ACTION_SLEEP,
    ACTION_RESUME,
    ACTION_FORK,
    ACTION_STOP,
    ACTION_ALLOW,
    ACTION_DENY,
    ACTION_ALLOW_SESSION,
    ACTION_ALLOW_ALWAYS,
    ACTION_DENY_SESSION,
    ACTION_DENY_ALWAYS,
    ACTION_UNDO,
    ACTION_WIDER,
    ACTION_PRECISE,
    ACTION_EVERYWHERE,
    ACTION_DETAILS,
    ACTION_ONE,
    ACTION_SNAPSHOTS,
    ACTION_MOUNTS,
    ACTION_RULES,
    ACTION_START,
    ACTION_START_FORM,
    ACTION_RENAME,
    ACTION_INSPECT,
    ACTION_MOUNT,
    ACTION_RULE_ALLOW,
    ACTION_RULE_DENY,
    ACTION_REMOVE,
    ACTION_PANES,
    ACTION_SPLIT_RIGHT,
    ACTION_SPLIT_DOWN,
    ACTION_TILED,
    ACTION_MAIN,
    ACTION_ZOOM,
    ACTION_CLOSE,
    ACTION_FOCUS_LEFT,
    ACTION_FOCUS_DOWN,
    ACTION_FOCUS_UP,
    ACTION_FOCUS_RIGHT,
    ACTION_MOVE_LEFT,
    ACTION_MOVE_DOWN,
    ACTION_MOVE_UP,
    ACTION_MOVE_RIGHT,
    ACTION_GROW_LEFT,
    ACTION_GROW_DOWN,
    ACTION_GROW_UP,
    ACTION_GROW_RIGHT,
    ACTION_SCROLLBACK,
    ACTION_SEARCH,
    ACTION_SEARCH_NEXT,
    ACTION_SELECT,
    ACTION_COPY,
    ACTION_LEAVE,
    ACTIONS
};

struct action_row {
    enum action action;
    const char *name;
    unsigned where;
    const char *keys; /* the defaults, separated by blanks */
    const char *help;
};

extern const struct action_row action_rows[];
extern const size_t action_row_count;
const struct action_row *action_named(const char *name);

/* Behind the help of one that is not for everywhere: " (in the scrollback)"; else "". */
const char *action_place(const struct action_row *row);

#define BINDINGS_MAX 256

struct binding {
    uint32_t key;
    unsigned modifiers, where;
    enum action action;
};

struct bindings {
    struct binding items[BINDINGS_MAX];
    size_t count;
};

void bindings_default(struct bindings *bindings);

/*
 * "key.ACTION" or "pane-key.ACTION" and the keys from the configuration. The first replaces the
 * action's keys, the second adds keys that act while a guest has the keyboard. -ENOENT: no such
 * action; -EINVAL: no such key.
 */
int bindings_set(struct bindings *bindings, const char *name, const char *keys, struct error *err);

/* One line for each key that means two things at one place; returns how many. */
size_t bindings_collisions(const struct bindings *bindings, struct buf *out);

enum action bindings_find(const struct bindings *bindings, unsigned where, uint32_t key,
                          unsigned modifiers);

/* The first key of the action at that place, "" without one. */
void bindings_key(const struct bindings *bindings, unsigned where, enum action action,
                  char out[KEY_NAME_MAX]);

/* All keys of the action, separated by blanks. */
void bindings_keys(const struct bindings *bindings, enum action action, char *out, size_t size);

#endif
