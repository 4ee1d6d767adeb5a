/*
 * JSON must be valid UTF-8 (RFC 8259, 8.1); names of files, arguments and output need not be, and
 * cJSON passes them through. What is not becomes U+FFFD, one for each byte. NUL cannot be in a C
 * string that cJSON prints, so it is replaced as well.
 */
#include <stdio.h>
#include <string.h>

#include "session/cli/show.h"

/* Length of the valid UTF-8 sequence at p (RFC 3629), or 0. */
static size_t utf8_length(const uint8_t *p, size_t left)
{
    static const struct {
        uint8_t first, last, low, high;
        size_t length;
    } rows[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (p[0] < rows[i].first || p[0] > rows[i].last)
            continue;
        if (rows[i].length > left ||
            (rows[i].length > 1 && (p[1] < rows[i].low || p[1] > rows[i].high)))
            return 0;
        for (size_t k = 2; k < rows[i].length; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].length;
    }
    return 0;
}

void show_utf8(const struct buf *in, struct buf *out)
{
    const uint8_t *data = buf_data(in);
    size_t size = buf_len(in), from = 0;
    for (size_t at = 0; at < size;) {
        size_t length = utf8_length(data + at, size - at);
        if (length == 0) {
            buf_append(out, data + from, at - from);
            buf_append(out, "\xef\xbf\xbd", 3);
            from = ++at;
        } else {
            at += length;
        }
    }
    buf_append(out, data + from, size - from);
}

void show_json(const char *json)
{
    struct buf in = {.memory = (uint8_t *)(uintptr_t)json, .end = strlen(json)}; /* only read */
    CLEAN_BUF struct buf out = {0};
    show_utf8(&in, &out);
    const char *text = buf_string(&out);
    if (text != NULL)
        puts(text);
}
