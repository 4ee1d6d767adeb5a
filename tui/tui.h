/* The dashboard: `vmdeck` without a verb, on a terminal. */
#ifndef VMDECK_TUI_TUI_H
#define VMDECK_TUI_TUI_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

/* What the program can do beside it, for the palette and the form of a new session. */
struct tui_verb {
    const char *name, *summary; /* name NULL ends the list */
};

struct tui_program {
    const struct tui_verb *verbs;
    bool (*has_option)(const char *verb, const char *option); /* without the dashes */
    const char *script;              /* a file of keys (script.h); NULL: none */
    int (*images)(struct strv *out); /* names of the images there are; may be NULL */
};

/*
 * Returns when the user leaves: 0; the number of the signal that ended it, with the terminal given
 * back; or why it could not be shown (-ENOTTY: no terminal).
 */
int tui_main(const struct tui_program *program, struct error *err);

#endif
