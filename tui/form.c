/* See the header. */
#include "tui/form.h"

#include <stdio.h>
#include <string.h>

#define LABEL_COLS 16

enum field_kind { FIELD_TEXT, FIELD_LIST, FIELD_SWITCH, FIELD_COMMAND };

static const struct {
    const char *label, *option;
    enum field_kind kind;
    const char *hint;
    bool on; /* of a switch: what it is at first */
} fields[] = {
    {"Name", "name", FIELD_TEXT, "letters, digits, . _ -; none: its id", false},
    {"Image", "image", FIELD_TEXT, "default", false},
    {"Memory", "memory", FIELD_TEXT, "512M", false},
    {"CPUs", "cpus", FIELD_TEXT, "1", false},
    {"Command", "", FIELD_COMMAND, "a shell", false},
    {"Snapshot", "resume", FIELD_TEXT, "start from this one, by id or path", false},
    {"Allowed hosts", "allow-host", FIELD_LIST, "example.org *.example.org", false},
    {"Ask", "ask", FIELD_SWITCH, "about every other host", true},
    {"Mounts", "mount-hostfs", FIELD_LIST, "HOST:GUEST[:ro] ...", false},
    {"Secrets", "host-secret", FIELD_LIST, "NAME@HOST, with the value in $NAME", false},
    {"Boot cold", "cold", FIELD_SWITCH, "do not fork from a template", false},
};
#define FIELDS (sizeof fields / sizeof fields[0])
_Static_assert(FIELDS <= FORM_FIELDS, "room for all fields");

void form_clear(struct form *form)
{
    memset(form->edits, 0, sizeof form->edits);
    for (size_t i = 0; i < FIELDS; i++)
        form->on[i] = fields[i].on;
    form->field = 0;
}

void form_init(struct form *form, const struct tui_program *program)
{
    form_clear(form);
    for (size_t i = 0; i < FIELDS; i++)
        form->shown[i] =
            fields[i].option[0] == '\0' || program->has_option("bash", fields[i].option);
}

static void form_step(struct form *form, size_t by)
{
    do
        form->field = (form->field + by) % FIELDS;
    while (!form->shown[form->field]);
}

enum form_result form_event(struct form *form, const struct input_event *event)
{
    bool key = event->kind == INPUT_KEY;
    size_t at = form->field;
    if (key && event->key == KEYCODE_ESCAPE)
        return FORM_CANCELLED;
    if (key && event->key == KEYCODE_ENTER)
        return FORM_DONE;
    if (key && (event->key == KEYCODE_DOWN || (event->key == KEYCODE_TAB && event->modifiers == 0)))
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
            edit_draw(&form->edits[i], canvas, row, col, cols,
                      theme->roles[focused ? ROLE_INPUT : ROLE_TEXT], focused);
            if (form->edits[i].length == 0)
                canvas_text(canvas, row, col + focused, cols - focused, theme->roles[ROLE_DIM],
                            fields[i].hint);
        }
        row++;
    }
    canvas_text(canvas, area.row + area.rows - 1, area.col + 1, area.cols - 2,
                theme->roles[ROLE_DIM], "Enter starts it  Tab next  Space switches  Esc back");
}

const char *form_name(const struct form *form)
{
    return form->edits[0].text;
}

static int add_list(struct strv *argv, const char *option, const char *text)
{
    int rc = 0;
    while (rc == 0 && *text != '\0') {
        size_t length = strcspn(text, " ,");
        if (length > 0)
            rc = strv_addf(argv, "--%s=%.*s", option, (int)length, text);
        text += length;
        text += strspn(text, " ,");
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
    if (fields[i].kind == FIELD_LIST)
        return add_list(argv, fields[i].option, text);
    return strv_addf(argv, "--%s=%s", fields[i].option, text);
}

int form_command(const struct form *form, struct strv *argv)
{
    const char *command = NULL;
    int rc = strv_add(argv, "bash") | strv_add(argv, "--detached");
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
