/* Decoding as in RFC 3629, section 4. Widths are the host's, as ncurses counts them. */
#include "tui/wide.h"

#include <wchar.h>

static const struct {
    uint8_t mask, lead;
    uint32_t least; /* below, the form is overlong */
} forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

size_t wide_decode(const void *bytes, size_t size, uint32_t *point)
{
    const uint8_t *p = bytes;
    *point = WIDE_REPLACEMENT;
    for (size_t more = 0; more < sizeof forms / sizeof forms[0]; more++) {
        if ((p[0] & forms[more].mask) != forms[more].lead)
            continue;
        if (more >= size)
            return 1;
        uint32_t value = p[0] & (uint8_t)~forms[more].mask;
        for (size_t i = 1; i <= more; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return 1;
            value = value << 6 | (p[i] & 0x3fu);
        }
        if (value < forms[more].least || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
            return 1;
        *point = value;
        return more + 1;
    }
    return 1;
}

size_t wide_encode(uint32_t point, char out[4])
{
    size_t more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    for (size_t i = more; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    out[0] = (char)(forms[more].lead | point);
    return more + 1;
}

int wide_width(uint32_t point)
{
    if (point < 0x20 || (point >= 0x7f && point < 0xa0))
        return -1;
    if ((point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) ||
        point == 0x2028 || point == 0x2029)
        return -1; /* bidirectional controls, line separators */
    return point < 0x7f ? 1 : wcwidth((wchar_t)point);
}
