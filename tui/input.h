/*
 * What the user's terminal sends, decoded: keys, mouse, pastes, focus. Understands what xterm's
 * heirs send, legacy and CSI u (kitty, modifyOtherKeys), and SGR mouse reports; bytes may come
 * split anywhere. Unknown sequences are handed on as keys without meaning, with their bytes. Input
 * is hostile where a paste is (a web page chose it): pastes are data and never looked at for keys.
 * Not thread-safe. Events come from within input_feed() and input_flush().
 */
#ifndef VMDECK_TUI_INPUT_H
#define VMDECK_TUI_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define INPUT_HELD_MAX 64
#define INPUT_WAIT_MS  25 /* until an ESC that nothing follows is the key */

#define INPUT_SHIFT 1u
#define INPUT_ALT   2u
#define INPUT_CTRL  4u

/* Keys that are no characters; characters are their code points. */
enum input_code {
    KEYCODE_UP = 0x110000,
    KEYCODE_DOWN,
    KEYCODE_RIGHT,
    KEYCODE_LEFT,
    KEYCODE_HOME,
    KEYCODE_END,
    KEYCODE_INSERT,
    KEYCODE_DELETE,
    KEYCODE_PAGE_UP,
    KEYCODE_PAGE_DOWN,
    KEYCODE_F1,
    KEYCODE_F12 = KEYCODE_F1 + 11,
    KEYCODE_ENTER,
    KEYCODE_TAB,
    KEYCODE_BACKSPACE,
    KEYCODE_ESCAPE,
    KEYCODE_UNKNOWN
};

enum input_kind { INPUT_KEY, INPUT_MOUSE, INPUT_PASTE, INPUT_FOCUS };
enum input_button { MOUSE_LEFT, MOUSE_MIDDLE, MOUSE_RIGHT, MOUSE_NONE, MOUSE_UP, MOUSE_DOWN };

struct input_event {
    enum input_kind kind;
    uint32_t key;
    unsigned modifiers;
    const uint8_t *bytes; /* as they came; of a paste, its next part */
    size_t size;
    bool first, last; /* parts of a paste */
    bool focused;
    int row, col; /* of the mouse, from 0 */
    enum input_button button;
    bool press, drag;
};

typedef void input_emit(void *context, const struct input_event *event);

struct input {
    input_emit *emit;
    void *context;
    uint8_t held[INPUT_HELD_MAX];
    size_t count;
    size_t matched; /* bytes of the paste's end that came */
    bool paste, first;
};

void input_feed(struct input *input, const void *data, size_t size);

/* True while something is held back: call input_flush() if nothing follows in INPUT_WAIT_MS. */
bool input_pending(const struct input *input);
void input_flush(struct input *input);

/* A key's name, as in "C-]", "M-Left", "F5", "x". */
#define KEY_NAME_MAX 32
void key_name(uint32_t key, unsigned modifiers, char out[KEY_NAME_MAX]);
#define KEY_BYTES_MAX 32
/* What a terminal sends for it; returns how many bytes. */
size_t key_bytes(uint32_t key, unsigned modifiers, char out[KEY_BYTES_MAX]);

int key_parse(const char *name, uint32_t *key, unsigned *modifiers, struct error *err);

#endif
