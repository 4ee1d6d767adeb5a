/*
 * Bytes are collected until they are a whole character or sequence (ECMA-48, 5.4: ESC [, parameter
 * and intermediate bytes, a final one), then looked up. A sequence longer than INPUT_HELD_MAX is no
 * key of any terminal; what came of it is dropped.
 */
#include "tui/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/wide.h"

#define ESC        0x1b
#define PARAMETERS 4

static const char paste_end[] = "\033[201~";

struct code {
    char final; /* 0: '~' */
    int number; /* of '~' */
    uint32_t key;
};

static const struct code codes[] = {
    {'A', 0, KEYCODE_UP},       {'B', 0, KEYCODE_DOWN},     {'C', 0, KEYCODE_RIGHT},
    {'D', 0, KEYCODE_LEFT},     {'H', 0, KEYCODE_HOME},     {'F', 0, KEYCODE_END},
    {'P', 0, KEYCODE_F1},       {'Q', 0, KEYCODE_F1 + 1},   {'R', 0, KEYCODE_F1 + 2},
    {'S', 0, KEYCODE_F1 + 3},   {'M', 0, KEYCODE_ENTER},    {'Z', 0, KEYCODE_TAB},
    {'~', 1, KEYCODE_HOME},     {'~', 2, KEYCODE_INSERT},   {'~', 3, KEYCODE_DELETE},
    {'~', 4, KEYCODE_END},      {'~', 5, KEYCODE_PAGE_UP},  {'~', 6, KEYCODE_PAGE_DOWN},
    {'~', 7, KEYCODE_HOME},     {'~', 8, KEYCODE_END},      {'~', 11, KEYCODE_F1},
    {'~', 12, KEYCODE_F1 + 1},  {'~', 13, KEYCODE_F1 + 2},  {'~', 14, KEYCODE_F1 + 3},
    {'~', 15, KEYCODE_F1 + 4},  {'~', 17, KEYCODE_F1 + 5},  {'~', 18, KEYCODE_F1 + 6},
    {'~', 19, KEYCODE_F1 + 7},  {'~', 20, KEYCODE_F1 + 8},  {'~', 21, KEYCODE_F1 + 9},
    {'~', 23, KEYCODE_F1 + 10}, {'~', 24, KEYCODE_F1 + 11},
};

static void emit_key(struct input *input, uint32_t key, unsigned modifiers)
{
    const struct input_event event = {.kind = INPUT_KEY,
                                      .key = key,
                                      .modifiers = modifiers,
                                      .bytes = input->held,
                                      .size = input->count};
    input->emit(input->context, &event);
    input->count = 0;
}

/* A character as a key: C0 bytes are keys with Ctrl, or have one of their own. */
static void emit_point(struct input *input, uint32_t point, unsigned modifiers)
{
    static const struct {
        uint32_t point, key;
    } own[] = {{'\r', KEYCODE_ENTER},     {'\n', KEYCODE_ENTER},     {'\t', KEYCODE_TAB},
               {0x7f, KEYCODE_BACKSPACE}, {0x08, KEYCODE_BACKSPACE}, {ESC, KEYCODE_ESCAPE}};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (own[i].point == point) {
            emit_key(input, own[i].key, modifiers);
            return;
        }
    if (point < 0x20) {
        modifiers |= INPUT_CTRL;
        point = point == 0 ? ' ' : point <= 26 ? point + 'a' - 1 : point + 0x40;
    }
    emit_key(input, point, modifiers);
}

struct sequence {
    long values[PARAMETERS];
    int count;
    long event; /* sub-parameter of the second one: 3 is a release */
    char private, final;
};

static void sequence_parse(struct sequence *s, const uint8_t *held, size_t count)
{
    char text[INPUT_HELD_MAX + 1];
    memcpy(text, held, count);
    text[count] = '\0';
    *s = (struct sequence){.final = text[count - 1]};
    char *p = text + 2;
    if (*p >= '<' && *p <= '?')
        s->private = *p++;
    while (s->count < PARAMETERS) {
        char *end;
        s->values[s->count++] = strtol(p, &end, 10);
        if (*end == ':' && s->count == 2)
            s->event = strtol(end + 1, &end, 10);
        p = end + strcspn(end, ";");
        if (*p++ != ';')
            break;
    }
}

static unsigned modifiers_of(long parameter)
{
    return parameter > 1 ? (unsigned)(parameter - 1) & (INPUT_SHIFT | INPUT_ALT | INPUT_CTRL) : 0;
}

static void emit_mouse(struct input *input, const struct sequence *s)
{
    long bits = s->values[0];
    struct input_event event = {.kind = INPUT_MOUSE,
                                .bytes = input->held,
                                .size = input->count,
                                .modifiers = ((bits & 4) != 0 ? INPUT_SHIFT : 0) |
                                             ((bits & 8) != 0 ? INPUT_ALT : 0) |
                                             ((bits & 16) != 0 ? INPUT_CTRL : 0),
                                .col = (int)(s->values[1] - 1),
                                .row = (int)(s->values[2] - 1),
                                .drag = (bits & 32) != 0,
                                .press = s->final == 'M'};
    if (s->values[1] < 1 || s->values[1] > 0xffff || s->values[2] < 1 || s->values[2] > 0xffff)
        return;
    event.button = (bits & 64) != 0 ? ((bits & 1) != 0 ? MOUSE_DOWN : MOUSE_UP)
                                    : (enum input_button)(bits & 3);
    input->emit(input->context, &event);
}

static void emit_sequence(struct input *input)
{
    struct sequence s;
    sequence_parse(&s, input->held, input->count);
    bool last = s.final == '~';
    if (s.private == '<' && (s.final == 'M' || s.final == 'm')) {
        emit_mouse(input, &s);
    } else if (s.private == 0 && last && s.values[0] == 200) {
        input->paste = input->first = true;
        input->matched = 0;
    } else if (s.private == 0 && (s.final == 'I' || s.final == 'O') && s.values[0] == 0) {
        const struct input_event event = {.kind = INPUT_FOCUS, .focused = s.final == 'I'};
        input->emit(input->context, &event);
    } else if (s.private == 0 && s.event != 3) {
        if (s.final == 'u' && s.values[0] > 0 && s.values[0] < 0xd800)
            emit_point(input, (uint32_t)s.values[0], modifiers_of(s.values[1]));
        else if (last && s.values[0] == 27 && s.count >= 3 && s.values[2] > 0 &&
                 s.values[2] < 0xd800)
            emit_point(input, (uint32_t)s.values[2], modifiers_of(s.values[1]));
        else {
            for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
                if (codes[i].final == s.final && (!last || codes[i].number == s.values[0])) {
                    emit_key(input, codes[i].key,
                             modifiers_of(s.values[1]) | (s.final == 'Z' ? INPUT_SHIFT : 0));
                    return;
                }
            emit_key(input, KEYCODE_UNKNOWN, 0);
        }
    }
    input->count = 0;
}

/* ESC and one more character: Alt and that character. */
static void emit_alt(struct input *input)
{
    uint32_t point;
    wide_decode(input->held + 1, input->count - 1, &point);
    emit_point(input, point, INPUT_ALT);
}

static size_t utf8_length(uint8_t lead)
{
    return lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 1;
}

/* One more byte outside a paste. */
static void input_byte(struct input *input, uint8_t byte)
{
    if (input->count == INPUT_HELD_MAX) {
        input->count = 0;
        return;
    }
    const uint8_t *held = input->held;
    if (input->count > 0 && (held[0] != ESC || input->count > 1) &&
        held[input->count - 1] >= 0x80 && (byte & 0xc0) != 0x80)
        emit_point(input, WIDE_REPLACEMENT, 0); /* a character that does not go on */
    input->held[input->count++] = byte;
    size_t count = input->count;
    size_t from = held[0] == ESC && count > 1 ? 1 : 0;
    if (held[0] == ESC && count == 1)
        return;
    if (from == 1 && held[1] == '[') {
        if (count > 2 && byte >= 0x40 && byte <= 0x7e)
            emit_sequence(input);
        else if (count > 2 && (byte < 0x20 || byte > 0x7e)) /* no sequence goes on like this */
            input->count = 0;
        return;
    }
    if (from == 1 && held[1] == 'O') {
        if (count == 3) {
            for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
                if (codes[i].final == (char)byte) {
                    emit_key(input, codes[i].key, 0);
                    return;
                }
            emit_key(input, KEYCODE_UNKNOWN, 0);
        }
        return;
    }
    if (from == 1 && held[1] == ESC) { /* Escape, and something new */
        input->count = 1;
        emit_key(input, KEYCODE_ESCAPE, 0);
        input->held[input->count++] = ESC;
        return;
    }
    if (count - from < utf8_length(held[from]))
        return;
    if (from == 1) {
        emit_alt(input);
    } else {
        uint32_t point;
        wide_decode(held, count, &point);
        emit_point(input, point, 0);
    }
}

static void emit_paste(struct input *input, const void *bytes, size_t size, bool last)
{
    const struct input_event event = {
        .kind = INPUT_PASTE, .bytes = bytes, .size = size, .first = input->first, .last = last};
    if (size > 0 || last || input->first)
        input->emit(input->context, &event);
    input->first = false;
}

/* Takes what belongs to the paste; returns how many bytes that was. */
static size_t input_paste(struct input *input, const uint8_t *data, size_t size)
{
    size_t from = 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == (uint8_t)paste_end[input->matched]) {
            if (input->matched == 0) {
                emit_paste(input, data + from, i - from, false);
                from = i;
            }
            if (++input->matched < sizeof paste_end - 1)
                continue;
            emit_paste(input, NULL, 0, true);
            input->paste = false;
            return i + 1;
        }
        if (input->matched > 0) { /* it was not the end: hand on what looked like it */
            emit_paste(input, paste_end, input->matched, false);
            input->matched = 0;
            from = i;
            i--; /* this byte may begin it */
        }
    }
    if (input->matched == 0)
        emit_paste(input, data + from, size - from, false);
    return size;
}

void input_feed(struct input *input, const void *data, size_t size)
{
    const uint8_t *p = data;
    size_t at = 0;
    while (at < size) {
        if (input->paste)
            at += input_paste(input, p + at, size - at);
        else
            input_byte(input, p[at++]);
    }
}

bool input_pending(const struct input *input)
{
    return !input->paste && input->count > 0;
}

void input_flush(struct input *input)
{
    if (!input_pending(input))
        return;
    if (input->held[0] != ESC)
        emit_key(input, KEYCODE_UNKNOWN, 0);
    else if (input->count == 1)
        emit_key(input, KEYCODE_ESCAPE, 0);
    else if (input->count == 2)
        emit_alt(input);
    else
        input->count = 0;
}

static const struct {
    const char *name;
    uint32_t key;
} names[] = {
    {"Up", KEYCODE_UP},          {"Down", KEYCODE_DOWN},           {"Left", KEYCODE_LEFT},
    {"Right", KEYCODE_RIGHT},    {"Home", KEYCODE_HOME},           {"End", KEYCODE_END},
    {"Insert", KEYCODE_INSERT},  {"Delete", KEYCODE_DELETE},       {"PgUp", KEYCODE_PAGE_UP},
    {"PgDn", KEYCODE_PAGE_DOWN}, {"Enter", KEYCODE_ENTER},         {"Tab", KEYCODE_TAB},
    {"Esc", KEYCODE_ESCAPE},     {"Backspace", KEYCODE_BACKSPACE}, {"Space", ' '},
};

void key_name(uint32_t key, unsigned modifiers, char out[KEY_NAME_MAX])
{
    char text[16] = "?";
    if (key >= KEYCODE_F1 && key <= KEYCODE_F12)
        snprintf(text, sizeof text, "F%u", key - KEYCODE_F1 + 1);
    else if (key > ' ' && wide_width(key) > 0)
        text[wide_encode(key, text)] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].key == key)
            snprintf(text, sizeof text, "%s", names[i].name);
    snprintf(out, KEY_NAME_MAX, "%s%s%s%s", (modifiers & INPUT_CTRL) != 0 ? "C-" : "",
             (modifiers & INPUT_ALT) != 0 ? "M-" : "", (modifiers & INPUT_SHIFT) != 0 ? "S-" : "",
             text);
}

int key_parse(const char *name, uint32_t *key, unsigned *modifiers, struct error *err)
{
    static const char letters[] = "SMC"; /* in the order of the bits */
    const char *at = name;
    *modifiers = 0;
    while (at[0] != '\0' && at[1] == '-' && at[2] != '\0' && strchr(letters, at[0]) != NULL) {
        *modifiers |= 1u << (strchr(letters, at[0]) - letters);
        at += 2;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].name, at) == 0) {
            *key = names[i].key;
            return 0;
        }
    char *end;
    long number = at[0] == 'F' ? strtol(at + 1, &end, 10) : 0;
    if (number >= 1 && number <= 12 && *end == '\0') {
        *key = KEYCODE_F1 + (uint32_t)number - 1;
        return 0;
    }
    size_t length = strlen(at);
    if (length > 0 && wide_decode(at, length, key) == length && wide_width(*key) > 0)
        return 0;
    return error_set(err, EINVAL, "'%.30s' is no key (examples: x, C-], M-Left, F5, Space)", name);
}

/* One that is a character, or a C0 byte of its own. */
static size_t point_bytes(uint32_t point, unsigned modifiers, char out[KEY_BYTES_MAX])
{
    size_t size = 0;
    bool control = (modifiers & INPUT_CTRL) != 0;
    bool letter = (point >= 'a' && point <= 'z') || (point >= '[' && point <= '_') || point == ' ';
    bool named = point < ' ' || point == 0x7f; /* a key of its own, as Enter */
    if ((control && !letter) || ((modifiers & INPUT_SHIFT) != 0 && named) ||
        (modifiers != 0 && point == ESC))
        return (size_t)snprintf(out, KEY_BYTES_MAX, "\033[%u;%uu", (unsigned)point, modifiers + 1);
    if ((modifiers & INPUT_ALT) != 0)
        out[size++] = ESC;
    return size + wide_encode(control ? point & 0x1f : point, out + size);
}

size_t key_bytes(uint32_t key, unsigned modifiers, char out[KEY_BYTES_MAX])
{
    static const struct {
        uint32_t key, point;
    } own[] = {{KEYCODE_ENTER, '\r'},
               {KEYCODE_TAB, '\t'},
               {KEYCODE_BACKSPACE, 0x7f},
               {KEYCODE_ESCAPE, ESC}};
    if (key == KEYCODE_TAB && modifiers == INPUT_SHIFT)
        return (size_t)snprintf(out, KEY_BYTES_MAX, "\033[Z");
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (own[i].key == key)
            return point_bytes(own[i].point, modifiers, out);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        const struct code *code = &codes[i];
        if (code->key != key)
            continue;
        bool plain = modifiers == 0, letter = code->final != '~';
        const char *start = letter && code->final >= 'P' && plain ? "\033O" : "\033[";
        char numbers[16] = "";
        if (!plain)
            snprintf(numbers, sizeof numbers, "%d;%u", letter ? 1 : code->number, modifiers + 1);
        else if (!letter)
            snprintf(numbers, sizeof numbers, "%d", code->number);
        return (size_t)snprintf(out, KEY_BYTES_MAX, "%s%s%c", start, numbers, code->final);
    }
    return point_bytes(key, modifiers, out);
}
