/*
 * The form of a new session: a table of fields, each an option of `vmdeck bash`. Options that this
 * vmdeck does not have are not asked for. What was typed stays until the session is made.
 */
#ifndef VMDECK_TUI_FORM_H
#define VMDECK_TUI_FORM_H

#include "base/str.h"
#include "tui/edit.h"
#include "tui/theme.h"
#include "tui/tui.h"

#define FORM_FIELDS 16

struct form {
    struct edit edits[FORM_FIELDS];
    bool on[FORM_FIELDS];    /* of those that are switched */
    bool shown[FORM_FIELDS]; /* the program has the option */
    size_t field;            /* that has the keyboard */
};

enum form_result { FORM_NONE, FORM_CHANGED, FORM_DONE, FORM_CANCELLED };

void form_init(struct form *form, const struct tui_program *program);
void form_clear(struct form *form);
enum form_result form_event(struct form *form, const struct input_event *event);
void form_draw(const struct form *form, struct canvas *canvas, struct rect area,
               const struct theme *theme);

/* The command that makes the session, without the program's name. 0 or -ENOMEM. */
int form_command(const struct form *form, struct strv *argv);

/* The same as a shell takes it is the runner's business; this is the session's name, "" without. */
const char *form_name(const struct form *form);

#endif
