/*
 * Keys from a file instead of from a hand: lines "WORD ARGUMENT", '#' begins a comment. What the
 * words mean is in vmdeck-dashboard(5). Not thread-safe.
 */
#ifndef VMDECK_TUI_SCRIPT_H
#define VMDECK_TUI_SCRIPT_H

#include "base/str.h"

#define SCRIPT_FILE_MAX 1048576
#define SCRIPT_WAIT_S   30 /* for what a screen is to show, unless the script says otherwise */
#define SCRIPT_WAIT_MAX 86400

struct script {
    const char *path;
    struct strv lines; /* also those without a word, so that their numbers are right */
    size_t at;
    unsigned wait_s;
    bool waiting; /* the timer runs */
};

/* Reads and checks the whole of it; `path` must stay. -EINVAL names the line that is wrong. */
int script_read(struct script *script, const char *path, struct error *err);
void script_free(struct script *script);

#endif
