/*
 * What is typed on its way to a guest: finds Ctrl-] in all its encodings, but not inside a paste.
 *
 *     0x1d                        as terminals have always sent it
 *     CSI 93 ; 5 u                kitty's and xterm's CSI-u (Ctrl without Shift, Alt, Super; lock
 *                                 keys do not matter; a release is no press)
 *     CSI 27 ; 5 ; 93 ~           xterm's modifyOtherKeys
 *
 * A paste is what stands between CSI 200~ and CSI 201~. Bytes may come split anywhere. Only an
 * unfinished sequence that may become one of these is held back; a lone ESC never is.
 */
#ifndef VMDECK_SESSION_CLI_KEYS_H
#define VMDECK_SESSION_CLI_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_HELD_MAX 32

struct keys {
    uint8_t held[KEYS_HELD_MAX]; /* ESC [ and what came of the parameters */
    size_t count;
    bool escape_passed; /* held[0], the ESC, has been handed on already */
    bool paste;
};

/*
 * Takes `size` bytes; writes what is for the guest to `out` (room for size + KEYS_HELD_MAX) and its
 * length to *out_size. True: the key was found; what stood before it is in `out`, the rest is
 * dropped.
 */
bool keys_take(struct keys *keys, const uint8_t *data, size_t size, uint8_t *out, size_t *out_size);

/* True while something is held back: call keys_flush() if nothing follows within KEYS_WAIT_MS. */
#define KEYS_WAIT_MS 30
bool keys_pending(const struct keys *keys);
size_t keys_flush(struct keys *keys, uint8_t out[KEYS_HELD_MAX]);

#endif
