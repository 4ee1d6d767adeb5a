/*
 * A sequence is collected from ESC [ to its final byte (ECMA-48, 5.4) and then looked at as a
 * whole. An ESC at the end of a read is handed on at once, because it is usually the key: should
 * the rest of a Ctrl-] follow, the guest has seen an Escape, which is harmless.
 */
#include "session/cli/keys.h"

#include <stdlib.h>
#include <string.h>

#define ESC        0x1b
#define CTRL_KEY   0x1d
#define BRACKET    93
#define MOD_CTRL   4u
#define MOD_LOCKS  (64u | 128u) /* caps lock, num lock */
#define PARAMETERS 4

/* Parameters separated by ';'; a sub-parameter behind ':' of the second one is the event type. */
struct sequence {
    unsigned long values[PARAMETERS];
    size_t count;
    unsigned long event;
    char final;
};

static void sequence_parse(const struct keys *keys, struct sequence *s)
{
    *s = (struct sequence){.final = (char)keys->held[keys->count - 1]};
    char text[KEYS_HELD_MAX + 1];
    memcpy(text, keys->held, keys->count);
    text[keys->count] = '\0';
    char *p = text + 2;
    while (s->count < PARAMETERS) {
        char *end;
        s->values[s->count++] = strtoul(p, &end, 10);
        if (*end == ':' && s->count == 2)
            s->event = strtoul(end + 1, &end, 10);
        p = end + strcspn(end, ";");
        if (*p != ';')
            break;
        p++;
    }
}

static bool is_ctrl(unsigned long modifiers)
{
    return modifiers > 0 && ((modifiers - 1) & ~(unsigned long)MOD_LOCKS) == MOD_CTRL;
}

/* A whole sequence: notes where pastes begin and end; true for the key. */
static bool keys_sequence(struct keys *keys)
{
    struct sequence s;
    sequence_parse(keys, &s);
    if (s.final == '~' && s.count == 1 && (s.values[0] == 200 || s.values[0] == 201)) {
        keys->paste = s.values[0] == 200;
        return false;
    }
    if (keys->paste || s.event == 3)
        return false;
    if (s.final == 'u')
        return s.count >= 2 && s.values[0] == BRACKET && is_ctrl(s.values[1]);
    return s.final == '~' && s.count == 3 && s.values[0] == 27 && is_ctrl(s.values[1]) &&
           s.values[2] == BRACKET;
}

size_t keys_flush(struct keys *keys, uint8_t out[KEYS_HELD_MAX])
{
    size_t from = keys->escape_passed ? 1 : 0;
    size_t size = keys->count > from ? keys->count - from : 0;
    memcpy(out, keys->held + from, size);
    keys->count = 0;
    keys->escape_passed = false;
    return size;
}

bool keys_pending(const struct keys *keys)
{
    return keys->count > (keys->escape_passed ? 1u : 0u);
}

/* The byte begins or goes on with a sequence, or ends it. True for the key. */
static bool keys_byte(struct keys *keys, uint8_t byte, uint8_t *out, size_t *at)
{
    if (keys->count > 0) {
        bool goes_on = keys->count == 1 ? byte == '[' : byte >= 0x20 && byte < 0x40;
        bool ends = keys->count > 1 && byte >= 0x40 && byte <= 0x7e;
        if ((goes_on || ends) && keys->count < KEYS_HELD_MAX) {
            keys->held[keys->count++] = byte;
            if (!ends)
                return false;
            if (keys_sequence(keys)) {
                keys->count = 0;
                return true;
            }
            *at += keys_flush(keys, out + *at);
            return false;
        }
        *at += keys_flush(keys, out + *at);
    }
    if (byte == CTRL_KEY && !keys->paste)
        return true;
    if (byte == ESC)
        keys->held[keys->count++] = byte;
    else
        out[(*at)++] = byte;
    return false;
}

bool keys_take(struct keys *keys, const uint8_t *data, size_t size, uint8_t *out, size_t *out_size)
{
    size_t at = 0;
    bool found = false;
    for (size_t i = 0; i < size && !found; i++)
        found = keys_byte(keys, data[i], out, &at);
    if (!found && keys->count == 1 && !keys->escape_passed) {
        out[at++] = ESC;
        keys->escape_passed = true;
    }
    *out_size = at;
    return found;
}
