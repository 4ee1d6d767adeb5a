/*
 * The decoder of what the user's terminal sends, fed in two parts: whatever the bytes and wherever
 * the cut, the events are the same and stay within bounds.
 */
#include <stdint.h>
#include <stdlib.h>

#include "tui/input.h"

struct seen {
    uint64_t sum;
};

static void on_event(void *context, const struct input_event *event)
{
    struct seen *seen = context;
    for (size_t i = 0; event->kind == INPUT_PASTE && i < event->size; i++)
        seen->sum = seen->sum * 31 + event->bytes[i];
    if (event->kind == INPUT_PASTE)
        return; /* its parts may be cut elsewhere */
    if (event->kind == INPUT_KEY && (event->key > KEYCODE_UNKNOWN || event->size > INPUT_HELD_MAX))
        abort();
    if (event->kind == INPUT_MOUSE && (event->row < 0 || event->col < 0))
        abort();
    seen->sum = seen->sum * 31 + event->key + (uint64_t)event->kind * 7 + event->modifiers;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole = {0}, split = {0};
    struct input a = {.emit = on_event, .context = &whole},
                 b = {.emit = on_event, .context = &split};
    size_t cut = size > 0 ? data[0] % size : 0;
    input_feed(&a, data, size);
    input_feed(&b, data, cut);
    input_feed(&b, data + cut, size - cut);
    if (whole.sum != split.sum || a.count != b.count || a.paste != b.paste)
        abort();
    input_flush(&a);
    if (input_pending(&a))
        abort();
    return 0;
}
