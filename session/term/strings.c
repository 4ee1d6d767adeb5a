/*
 * Operating system commands and device control strings, whole and bounded by the filter. What a
 * guest may say: title, directory, hyperlinks, the clipboard's new content. What it may not ask:
 * the clipboard's content, colours, titles; anything that would carry the user's data, or the
 * guest's own bytes, back into the guest's input.
 */
#include <stdlib.h>
#include <string.h>

#include "session/term/engine.h"

/* Length of the UTF-8 character at text[0..size), 0 if it is none or a control. */
static size_t character(const char *text, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)text;
    if (size == 0 || bytes[0] < 0x20 || bytes[0] == 0x7f)
        return 0;
    if (bytes[0] < 0x80)
        return 1;
    size_t length = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4 || size < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    /* C1 controls, surrogates, overlong forms, beyond Unicode */
    if ((bytes[0] == 0xc2 && bytes[1] < 0xa0) || (bytes[0] == 0xe0 && bytes[1] < 0xa0) ||
        (bytes[0] == 0xed && bytes[1] > 0x9f) || (bytes[0] == 0xf0 && bytes[1] < 0x90) ||
        (bytes[0] == 0xf4 && bytes[1] > 0x8f))
        return 0;
    return length;
}

size_t string_clean(char *out, size_t max, const char *text, size_t size)
{
    size_t at = 0;
    while (size > 0) {
        size_t length = character(text, size);
        if (length > max - at)
            break;
        memcpy(out + at, text, length);
        at += length;
        size_t step = length != 0 ? length : 1;
        text += step;
        size -= step;
    }
    out[at] = '\0';
    return at;
}

static void osc_title(struct term *term, const char *text, size_t size)
{
    string_clean(term->title, TERM_TITLE_MAX, text, size);
    term->happened |= SAW_TITLE;
    term_output(term, "\033]2;", 4);
    term_output(term, term->title, strlen(term->title));
    term_output(term, "\033\\", 2);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* file://HOST/PATH, percent-encoded */
static void osc_cwd(struct term *term, const char *text, size_t size)
{
    static const char scheme[] = "file://";
    const char *path = size > 7 && memcmp(text, scheme, 7) == 0 ? strchr(text + 7, '/') : NULL;
    if (path == NULL)
        return;
    size_t left = size - (size_t)(path - text), at = 0;
    char *raw = malloc(left + 1), *out = malloc(TERM_PATH_MAX + 1);
    while (raw != NULL && left > 0) {
        if (*path == '%' && left >= 3 && hex(path[1]) >= 0 && hex(path[2]) >= 0) {
            raw[at++] = (char)(hex(path[1]) << 4 | hex(path[2]));
            path += 3;
            left -= 3;
        } else {
            raw[at++] = *path++;
            left--;
        }
    }
    if (raw != NULL && out != NULL) {
        string_clean(out, TERM_PATH_MAX, raw, at);
        free(term->cwd);
        term->cwd = out;
        out = NULL;
        term->happened |= SAW_CWD;
    }
    free(raw);
    free(out);
}

/* The value of "id=" among parameters that colons separate; its length, 0 without. */
static size_t link_id(const char *params, size_t size, const char **id)
{
    for (size_t at = 0; at < size;) {
        const char *end = memchr(params + at, ':', size - at);
        size_t next = end != NULL ? (size_t)(end - params) : size;
        if (next - at > 3 && memcmp(params + at, "id=", 3) == 0) {
            *id = params + at + 3;
            return next - at - 3;
        }
        at = next + 1;
    }
    return 0;
}

/* PARAMS;URI, both printable ASCII; an empty URI ends the link. */
static void osc_link(struct term *term, const char *text, size_t size)
{
    const char *uri = memchr(text, ';', size);
    for (size_t i = 0; i < size; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return;
    size_t params = uri != NULL ? (size_t)(uri - text) : 0, length = size - params - 1;
    if (uri == NULL || length > TERM_LINK_MAX)
        return;
    term->pen.link = 0;
    if (length > 0) {
        /* kept as ID NUL URI: two links are one if both are the same */
        char key[ESCAPE_STRING_MAX + 1];
        const char *id = "";
        size_t at = link_id(text, params, &id);
        memcpy(key, id, at);
        key[at++] = '\0';
        memcpy(key + at, uri + 1, length);
        term->pen.link = (uint16_t)term_add_link(term, key, at + length);
    }
    term_output(term, "\033]8;", 4);
    term_output(term, text, size);
    term_output(term, "\033\\", 2);
}

/* SELECTION;BASE64. A query ("?") is no base64, nor is what would break out of the string. */
static void osc_clipboard(struct term *term, const char *text, size_t size)
{
    const char *data = memchr(text, ';', size);
    if (data == NULL)
        return;
    data++;
    size_t length = size - (size_t)(data - text), digits = length;
    while (digits > 0 && length - digits < 2 && data[digits - 1] == '=')
        digits--;
    for (size_t i = 0; i < digits; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", data[i]) ==
            NULL)
            return;
    if (length % 4 == 0 && term->events != NULL && term->events->clipboard != NULL)
        term->events->clipboard(term->context, data, length);
}

static const struct {
    int number;
    void (*handle)(struct term *term, const char *text, size_t size);
} commands[] = {
    {0, osc_title}, {2, osc_title}, {7, osc_cwd}, {8, osc_link}, {52, osc_clipboard},
};

static void command(struct term *term, const char *text, size_t size)
{
    size_t at = 0;
    int number = 0;
    while (at < size && at < 5 && text[at] >= '0' && text[at] <= '9')
        number = number * 10 + (text[at++] - '0');
    if (at == 0 || at >= size || text[at] != ';')
        return;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (commands[i].number == number)
            commands[i].handle(term, text + at + 1, size - at - 1);
}

/* DECRQSS: pen, margins, cursor shape. XTGETTCAP: no. Others: nothing. */
static void control_string(struct term *term, const char *text, size_t size)
{
    if (size >= 2 && memcmp(text, "+q", 2) == 0) {
        term_reply(term, "\033P0+r\033\\");
        return;
    }
    if (size < 2 || memcmp(text, "$q", 2) != 0)
        return;
    struct buf pen = {0};
    if (strcmp(text + 2, "m") == 0 && pen_text(&term->pen, PEN_TRUECOLOR, &pen) == 0)
        term_reply(term, "\033P1$r%s\033\\", buf_string(&pen) + 2);
    else if (strcmp(text + 2, "r") == 0)
        term_reply(term, "\033P1$r%d;%dr\033\\", term->top + 1, term->bottom);
    else if (strcmp(text + 2, " q") == 0)
        term_reply(term, "\033P1$r%d q\033\\", term->cursor_shape);
    else
        term_reply(term, "\033P0$r\033\\");
    buf_free(&pen);
}

void string_take(struct term *term, enum escape_string kind, const char *text, size_t size)
{
    if (kind == ESCAPE_OSC)
        command(term, text, size);
    else if (kind == ESCAPE_DCS)
        control_string(term, text, size);
}
