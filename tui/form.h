/*
 * The form of a new session: a table of fields, each an option of `vmdeck bash`. Options that this
 * vmdeck does not have are not asked for. What was typed stays until the session is made. No value
 * of a secret is taken: it would be in a command line, for everybody to see.
 */
#ifndef VMDECK_TUI_FORM_H
#define VMDECK_TUI_FORM_H

#include "base/error.h"
#include "base/str.h"
#include "tui/edit.h"
#include "tui/theme.h"
#include "tui/tui.h"

#define FORM_FIELDS 16

struct form {
    struct edit edits[FORM_FIELDS];
    bool on[FORM_FIELDS];          /* of those that are switched */
    bool shown[FORM_FIELDS];       /* the program has the option */
    size_t field;                  /* that has the keyboard */
    bool touched;                  /* since form_command() */
    char problem[128];             /* why it cannot be sent; "": nothing is wrong */
    struct strv images, snapshots; /* what there is to choose from; the caller's to fill */
    struct strv found;             /* what the last Tab found */
};

enum form_result { FORM_NONE, FORM_CHANGED, FORM_DONE, FORM_CANCELLED };

void form_init(struct form *form, const struct tui_program *program);
void form_clear(struct form *form);
void form_free(struct form *form);

/* A snapshot to start from, by a word that a command understands. */
void form_resume(struct form *form, const char *word);

/* FORM_DONE only if form_command() has something to run; else `problem` says why not. */
enum form_result form_event(struct form *form, const struct input_event *event);
void form_draw(const struct form *form, struct canvas *canvas, struct rect area,
               const struct theme *theme);

/* The command that makes the session, without the program's name. 0 or -ENOMEM. */
int form_command(struct form *form, struct strv *argv);

#endif
