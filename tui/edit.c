/* The keys are readline's that people's fingers know. A pasted line break becomes a blank. */
#include "tui/edit.h"

#include <string.h>

#include "tui/wide.h"

static void edit_insert(struct edit *edit, const void *bytes, size_t size)
{
    if (edit->length + size > EDIT_MAX)
        return;
    memmove(edit->text + edit->cursor + size, edit->text + edit->cursor,
            edit->length - edit->cursor + 1);
    memcpy(edit->text + edit->cursor, bytes, size);
    edit->length += size;
    edit->cursor += size;
}

static void edit_cut(struct edit *edit, size_t from, size_t to)
{
    memmove(edit->text + from, edit->text + to, edit->length - to + 1);
    edit->length -= to - from;
    edit->cursor = from;
}

static size_t edit_left(const struct edit *edit)
{
    size_t at = edit->cursor;
    while (at > 0 && (edit->text[--at] & 0xc0) == 0x80)
        ;
    return at;
}

static size_t edit_right(const struct edit *edit)
{
    size_t at = edit->cursor;
    while (at < edit->length && (edit->text[++at] & 0xc0) == 0x80)
        ;
    return at;
}

static size_t edit_word(const struct edit *edit)
{
    size_t at = edit->cursor;
    while (at > 0 && edit->text[at - 1] == ' ')
        at--;
    while (at > 0 && edit->text[at - 1] != ' ')
        at--;
    return at;
}

void edit_set(struct edit *edit, const char *text)
{
    *edit = (struct edit){0};
    edit_insert(edit, text, strnlen(text, EDIT_MAX));
}

static void edit_paste(struct edit *edit, const struct input_event *event)
{
    for (size_t i = 0; i < event->size; i++) {
        char c = (char)event->bytes[i];
        if (c == '\n' || c == '\r' || c == '\t')
            c = ' ';
        if ((unsigned char)c >= ' ' && c != 0x7f)
            edit_insert(edit, &c, 1);
    }
}

static bool edit_control(struct edit *edit, uint32_t key)
{
    switch (key) {
    case 'a':
        edit->cursor = 0;
        return true;
    case 'e':
        edit->cursor = edit->length;
        return true;
    case 'u':
        edit_cut(edit, 0, edit->cursor);
        return true;
    case 'k':
        edit->text[edit->cursor] = '\0';
        edit->length = edit->cursor;
        return true;
    case 'w':
        edit_cut(edit, edit_word(edit), edit->cursor);
        return true;
    default:
        return false;
    }
}

bool edit_event(struct edit *edit, const struct input_event *event)
{
    if (event->kind == INPUT_PASTE) {
        edit_paste(edit, event);
        return true;
    }
    if (event->kind != INPUT_KEY)
        return false;
    if ((event->modifiers & INPUT_CTRL) != 0)
        return edit_control(edit, event->key);
    switch (event->key) {
    case KEYCODE_LEFT:
        edit->cursor = edit_left(edit);
        return true;
    case KEYCODE_RIGHT:
        edit->cursor = edit_right(edit);
        return true;
    case KEYCODE_HOME:
        edit->cursor = 0;
        return true;
    case KEYCODE_END:
        edit->cursor = edit->length;
        return true;
    case KEYCODE_BACKSPACE:
        edit_cut(edit, edit_left(edit), edit->cursor);
        return true;
    case KEYCODE_DELETE:
        edit_cut(edit, edit->cursor, edit_right(edit));
        return true;
    default:
        break;
    }
    if (event->key >= KEYCODE_UP || event->modifiers != 0 || wide_width(event->key) < 0)
        return false;
    char bytes[4];
    size_t size = wide_encode(event->key, bytes);
    edit_insert(edit, bytes, size);
    return true;
}

void edit_draw(const struct edit *edit, struct canvas *canvas, int row, int col, int cols,
               struct style style, bool focused)
{
    char before[EDIT_MAX + 1];
    size_t from = 0;
    memcpy(before, edit->text, edit->cursor);
    before[edit->cursor] = '\0';
    while (canvas_width(before + from) >= cols && before[from] != '\0') {
        from++; /* until the cursor is in sight */
        while ((before[from] & 0xc0) == 0x80)
            from++;
    }
    canvas_fill(canvas, (struct rect){row, col, 1, cols}, style);
    canvas_text(canvas, row, col, cols, style, edit->text + from);
    if (focused) {
        canvas->cursor_row = row;
        canvas->cursor_col = col + canvas_width(before + from);
        canvas->cursor_shape = 0;
    }
}
