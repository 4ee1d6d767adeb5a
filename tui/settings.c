/*
 * $XDG_CONFIG_HOME/vmdeck/dashboard.conf: lines "NAME = VALUE". A line that is wrong is reported in
 * the status line and skipped: a typing error must not keep anybody from their sessions.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "tui/dashboard.h"

#define SETTINGS_MAX 65536

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1]) != NULL)
        text[--length] = '\0';
    return text;
}

static int settings_line(struct dashboard *d, char *line, struct error *err)
{
    char *equals = strchr(line, '=');
    line = trim(line);
    if (*line == '#' || *line == '\0')
        return 0;
    if (equals == NULL)
        return error_set(err, EINVAL, "'%.40s': neither NAME = VALUE nor a comment", line);
    *equals = '\0';
    const char *name = trim(line), *value = trim(equals + 1);
    if (strcmp(name, "theme") == 0) {
        const char *no_color = getenv("NO_COLOR");
        return no_color != NULL && *no_color != '\0' ? 0 : theme_load(value, &d->theme, err);
    }
    if (strcmp(name, "mouse") == 0 && (strcmp(value, "on") == 0 || strcmp(value, "off") == 0)) {
        d->mouse = strcmp(value, "on") == 0;
        return 0;
    }
    return bindings_set(&d->bindings, name, value, err);
}

void settings_read(struct dashboard *d)
{
    CLEAN_FREE char *path = NULL;
    CLEAN_BUF struct buf text = {0}, collisions = {0};
    struct error err = {0};
    if (path_xdg(PATH_CONFIG, "dashboard.conf", &path, NULL) < 0)
        return;
    int rc = path_read(path, SETTINGS_MAX, &text, &err);
    if (rc < 0 && rc != -ENOENT)
        dashboard_say(d, true, "%s", err.message);
    CLEAN_FREE char *copy = rc == 0 && buf_string(&text) != NULL ? strdup(buf_string(&text)) : NULL;
    int number = 1;
    for (char *line = copy; line != NULL; number++) {
        char *next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        if (settings_line(d, line, &err) < 0)
            dashboard_say(d, true, "dashboard.conf, line %d: %s", number, err.message);
        line = next;
    }
    if (bindings_collisions(&d->bindings, &collisions) > 0)
        dashboard_say(d, true, "dashboard.conf: %s", buf_string(&collisions));
}
