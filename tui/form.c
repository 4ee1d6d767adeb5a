/*
 * Tab completes where there is something to complete, else it goes to the next field: so it never
 * changes what is empty. What there is to choose from is shown below the fields, as it is typed.
 */
#include "tui/form.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tui/complete.h"

#define LABEL_COLS 16

enum field_kind { FIELD_TEXT, FIELD_LIST, FIELD_WORDS, FIELD_SWITCH, FIELD_COMMAND };
enum field_source { SOURCE_NONE, SOURCE_IMAGES, SOURCE_SNAPSHOTS, SOURCE_PATHS, SOURCE_NAMES };

static const struct {
    const char *label, *option;
    enum field_kind kind;
    const char *hint;
    bool on; /* of a switch: what it is at first */
    enum field_source source;
} fields[] = {
    {"Name", "name", FIELD_TEXT, "letters, digits, . _ -; none: its id", false, SOURCE_NONE},
    {"Image", "image", FIELD_TEXT, "default", false, SOURCE_IMAGES},
    {"Memory", "memory", FIELD_TEXT, "512M", false, SOURCE_NONE},
    {"CPUs", "cpus", FIELD_TEXT, "1", false, SOURCE_NONE},
    {"Command", "", FIELD_COMMAND, "a shell", false, SOURCE_NONE},
    {"Snapshot", "resume", FIELD_TEXT, "start from this one, by name, id or path", false,
     SOURCE_SNAPSHOTS},
    {"Allowed hosts", "allow-host", FIELD_LIST, "example.org *.example.org", false, SOURCE_NONE},
    {"Ask", "ask", FIELD_SWITCH, "about every other host", true, SOURCE_NONE},
    {"Mounts", "mount-hostfs", FIELD_WORDS, "HOST:GUEST[:ro] ...", false, SOURCE_PATHS},
    {"Secrets", "host-secret", FIELD_WORDS, "NAME@HOST, with the value in $NAME", false,
     SOURCE_NAMES},
    {"Boot cold", "cold", FIELD_SWITCH, "do not fork from a template", false, SOURCE_NONE},
};
#define FIELDS (sizeof fields / sizeof fields[0])
_Static_assert(FIELDS <= FORM_FIELDS, "room for all fields");

static size_t field_of(enum field_source source)
{
    size_t at = 0;
    while (fields[at].source != source)
        at++;
    return at;
}

static void form_forget(struct form *form)
{
    strv_free(&form->found);
    form->found = (struct strv){0};
}

void form_clear(struct form *form)
{
    memset(form->edits, 0, sizeof form->edits);
    for (size_t i = 0; i < FIELDS; i++)
        form->on[i] = fields[i].on;
    form->field = 0;
    form->problem[0] = '\0';
    form_forget(form);
}

void form_init(struct form *form, const struct tui_program *program)
{
    form_clear(form);
    for (size_t i = 0; i < FIELDS; i++)
        form->shown[i] =
            fields[i].option[0] == '\0' || program->has_option("bash", fields[i].option);
}

void form_free(struct form *form)
{
    strv_free(&form->images);
    strv_free(&form->snapshots);
    strv_free(&form->found);
    *form = (struct form){0};
}

void form_resume(struct form *form, const char *word)
{
    edit_set(&form->edits[field_of(SOURCE_SNAPSHOTS)], word);
    form->field = 0;
    form->touched = true;
}

static void form_step(struct form *form, size_t by)
{
    do
        form->field = (form->field + by) % FIELDS;
    while (!form->shown[form->field]);
}

/* The word that is typed in the field, up to the cursor. */
static size_t word_from(const struct form *form, size_t field)
{
    bool many = fields[field].kind == FIELD_WORDS;
    return many ? complete_from(&form->edits[field], " ") : 0;
}

extern char **environ;

/* Names of variables: what may be a secret. Their values are looked at by nobody here. */
static int find_names(struct strv *out)
{
    int rc = 0;
    for (char **at = environ; rc == 0 && *at != NULL && out->count < COMPLETE_MAX; at++) {
        const char *equals = strchr(*at, '=');
        if (equals != NULL)
            rc = strv_addf(out, "%.*s@", (int)(equals - *at), *at);
    }
    return rc;
}

/* True: the text changed. */
static bool form_complete(struct form *form)
{
    size_t at = form->field, from = word_from(form, at);
    struct edit *edit = &form->edits[at];
    size_t length = edit->cursor - from;
    char word[EDIT_MAX + 1];
    form_forget(form);
    memcpy(word, edit->text + from, length);
    word[length] = '\0';
    if (length == 0)
        return false;
    switch (fields[at].source) {
    case SOURCE_IMAGES:
        return complete_word(edit, from, &form->images);
    case SOURCE_SNAPSHOTS:
        return complete_word(edit, from, &form->snapshots);
    case SOURCE_PATHS:
        return strchr(word, ':') == NULL && complete_directories(word, &form->found) == 0 &&
               complete_word(edit, from, &form->found);
    case SOURCE_NAMES:
        return strchr(word, '@') == NULL && find_names(&form->found) == 0 &&
               complete_word(edit, from, &form->found);
    default:
        return false;
    }
}

/* A secret's value would be in a command line: it is to stay in a variable, or a file. */
static bool form_ready(struct form *form)
{
    size_t at = field_of(SOURCE_NAMES);
    form->problem[0] = '\0';
    for (const char *equals = form->edits[at].text; (equals = strchr(equals, '=')) != NULL;
         equals++)
        if (equals[1] != '@') {
            snprintf(form->problem, sizeof form->problem,
                     "no value here: it comes from $NAME, or with =@FILE from there");
            form->field = at;
            return false;
        }
    return true;
}

static enum form_result form_tab(struct form *form)
{
    if (form_complete(form))
        return FORM_CHANGED;
    if (form->found.count < 2) /* else they are shown, for one more letter */
        form_step(form, 1);
    return FORM_CHANGED;
}

enum form_result form_event(struct form *form, const struct input_event *event)
{
    bool key = event->kind == INPUT_KEY;
    size_t at = form->field;
    if (key && event->key == KEYCODE_ESCAPE)
        return FORM_CANCELLED;
    if (key && event->key == KEYCODE_ENTER)
        return form_ready(form) ? FORM_DONE : FORM_CHANGED;
    form->touched = true;
    form->problem[0] = '\0';
    if (key && event->key == KEYCODE_TAB && event->modifiers == 0)
        return form_tab(form);
    form_forget(form);
    if (key && event->key == KEYCODE_DOWN)
        form_step(form, 1);
    else if (key && (event->key == KEYCODE_UP || event->key == KEYCODE_TAB))
        form_step(form, FIELDS - 1);
    else if (fields[at].kind != FIELD_SWITCH)
        return edit_event(&form->edits[at], event) ? FORM_CHANGED : FORM_NONE;
    else if (key && event->key == ' ')
        form->on[at] = !form->on[at];
    else
        return FORM_NONE;
    return FORM_CHANGED;
}

/* What a secret's value would be is not shown, though it will not be taken either. */
static struct edit masked(const struct edit *edit)
{
    struct edit copy = *edit;
    bool hide = false;
    for (size_t i = 0; i < copy.length; i++) {
        if (copy.text[i] == ' ')
            hide = false;
        else if (hide)
            copy.text[i] = '*';
        else
            hide = copy.text[i] == '=' && edit->text[i + 1] != '@';
    }
    return copy;
}

/* What there is to choose from and begins like what is typed, or what is wrong. */
static void draw_choices(const struct form *form, struct canvas *canvas, struct rect line,
                         const struct theme *theme)
{
    size_t at = form->field, from = word_from(form, at);
    const struct edit *edit = &form->edits[at];
    const struct strv *choices = fields[at].source == SOURCE_IMAGES      ? &form->images
                                 : fields[at].source == SOURCE_SNAPSHOTS ? &form->snapshots
                                                                         : &form->found;
    int col = line.col, end = line.col + line.cols;
    if (form->problem[0] != '\0') {
        canvas_label(canvas, line.row, col, line.cols, theme->roles[ROLE_ERROR], form->problem);
        return;
    }
    for (size_t i = 0; i < choices->count && col < end; i++) {
        const char *item = choices->items[i], *slash = strrchr(item, '/');
        size_t length = strlen(item);
        if (strncmp(item, edit->text + from, edit->cursor - from) != 0)
            continue;
        if (fields[at].source == SOURCE_PATHS && slash != NULL) /* the last part only */
            while (slash > item && slash[-1] != '/')
                slash--;
        else
            slash = NULL;
        col += canvas_label(canvas, line.row, col, end - col, theme->roles[ROLE_KEY],
                            slash != NULL && length > 1 ? slash : item) +
               2;
    }
}

void form_draw(const struct form *form, struct canvas *canvas, struct rect area,
               const struct theme *theme)
{
    canvas_fill(canvas, area, theme->roles[ROLE_TEXT]);
    canvas_line(canvas, area.row, area.col, area.cols, theme->roles[ROLE_BORDER_ACTIVE]);
    canvas_text(canvas, area.row, area.col + 1, area.cols - 2, theme->roles[ROLE_TITLE],
                " New session ");
    size_t first = 0, rows = area.rows > 3 ? (size_t)area.rows - 2 : 1, above = 0;
    for (size_t i = 0; i < form->field; i++)
        above += form->shown[i];
    while (above >= rows) { /* the field that has the keyboard stays in sight */
        above -= form->shown[first];
        first++;
    }
    int row = area.row + 1, cols = area.cols - LABEL_COLS - 3;
    for (size_t i = first; i < FIELDS && row < area.row + 1 + (int)rows; i++) {
        bool focused = i == form->field;
        int col = area.col + LABEL_COLS + 1;
        if (!form->shown[i])
            continue;
        canvas_text(canvas, row, area.col + 1, LABEL_COLS - 1,
                    theme->roles[focused ? ROLE_TITLE : ROLE_TEXT], fields[i].label);
        if (fields[i].kind == FIELD_SWITCH) {
            canvas_printf(canvas, row, col, cols, theme->roles[focused ? ROLE_INPUT : ROLE_TEXT],
                          "[%c] %s", form->on[i] ? 'x' : ' ', fields[i].hint);
            if (focused) {
                canvas->cursor_row = row;
                canvas->cursor_col = col + 1;
            }
        } else {
            const struct edit shown = masked(&form->edits[i]);
            edit_draw(fields[i].source == SOURCE_NAMES ? &shown : &form->edits[i], canvas, row, col,
                      cols, theme->roles[focused ? ROLE_INPUT : ROLE_TEXT], focused);
            if (form->edits[i].length == 0)
                canvas_text(canvas, row, col + focused, cols - focused, theme->roles[ROLE_DIM],
                            fields[i].hint);
        }
        row++;
    }
    draw_choices(form, canvas,
                 (struct rect){area.row + area.rows - 1, area.col + LABEL_COLS + 1, 1, cols},
                 theme);
}

static int add_words(struct strv *argv, size_t field, const char *text)
{
    const char *between = fields[field].kind == FIELD_LIST ? " ," : " ";
    int rc = 0;
    while (rc == 0 && *text != '\0') {
        size_t length = strcspn(text, between);
        CLEAN_FREE char *word = strndup(text, length);
        CLEAN_FREE char *home = word != NULL ? complete_home(word) : NULL;
        if (home == NULL)
            return -ENOMEM;
        if (length > 0)
            rc = strv_addf(argv, "--%s=%s", fields[field].option, home);
        text += length;
        text += strspn(text, between);
    }
    return rc;
}

static int add_field(const struct form *form, size_t i, struct strv *argv)
{
    const char *text = form->edits[i].text;
    if (fields[i].kind == FIELD_SWITCH)
        return form->on[i] ? strv_addf(argv, "--%s", fields[i].option) : 0;
    if (*text == '\0' || fields[i].kind == FIELD_COMMAND)
        return 0;
    if (fields[i].kind == FIELD_LIST || fields[i].kind == FIELD_WORDS)
        return add_words(argv, i, text);
    return strv_addf(argv, "--%s=%s", fields[i].option, text);
}

int form_command(struct form *form, struct strv *argv)
{
    const char *command = NULL;
    int rc = strv_add(argv, "bash") | strv_add(argv, "--detached");
    form->touched = false;
    for (size_t i = 0; i < FIELDS && rc == 0; i++) {
        if (fields[i].kind == FIELD_COMMAND && form->edits[i].length > 0)
            command = form->edits[i].text;
        if (form->shown[i])
            rc = add_field(form, i, argv);
    }
    if (rc == 0 && command != NULL) /* its output is still there when it has ended */
        rc = strv_add(argv, "--keep") | strv_add(argv, "--") | strv_add(argv, "bash") |
             strv_add(argv, "-c") | strv_add(argv, command);
    return rc;
}
