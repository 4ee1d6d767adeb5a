/*
 * Colours by meaning. A theme is a text file: lines "KEY = FG [on BG] [bold|dim|italic|underline|
 * reverse]…", '#' begins a comment; colours are `default`, the 16 names of terminals (red,
 * bright-red, …), 0 to 255, or #rrggbb. vmdeck-dashboard(5) lists the keys. Meaning is never
 * carried by colour alone, so a theme may leave everything out. Not thread-safe.
 */
#ifndef VMDECK_TUI_THEME_H
#define VMDECK_TUI_THEME_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"
#include "tui/canvas.h"

#define THEME_FILE_MAX 65536
#define THEME_NAME_MAX 40

enum theme_role {
    ROLE_TEXT,
    ROLE_DIM,
    ROLE_TITLE,
    ROLE_BORDER,
    ROLE_BORDER_ACTIVE,
    ROLE_SELECTED,
    ROLE_MARKED,
    ROLE_KEY,
    ROLE_STATUS,
    ROLE_ERROR,
    ROLE_INPUT,
    ROLE_MATCH,
    ROLE_GRAPH,
    ROLE_RUNNING,
    ROLE_WAITING,
    ROLE_PAUSED,
    ROLE_STARTING,
    ROLE_ENDED,
    ROLE_FAILED,
    ROLE_ALLOW,
    ROLE_DENY,
    ROLE_ASK,
    THEME_ROLES
};

struct theme {
    char name[THEME_NAME_MAX + 1];
    struct style roles[THEME_ROLES];
};

const char *theme_role_name(enum theme_role role);

/* Reads the text of a theme; what it leaves out looks like ROLE_TEXT. *theme changes on success
 * only. */
int theme_parse(const char *name, const char *text, struct theme *theme, struct error *err);

/*
 * By name: $XDG_CONFIG_HOME/vmdeck/themes/NAME.theme, else one that is built in (themes/).
 * -ENOENT lists what there is.
 */
int theme_load(const char *name, struct theme *theme, struct error *err);

/* Names of all themes, the built-in ones first. */
int theme_names(struct strv *out);

#endif
