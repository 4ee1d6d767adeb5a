/* See the header. */
#include "session/cli/show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

static const struct unit {
    char letter;
    int64_t seconds;
} units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
#define UNITS (sizeof units / sizeof units[0])

int64_t show_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void show_age(int64_t ms, char out[SHOW_SIZE])
{
    int64_t seconds = ms > 0 ? ms / 1000 : 0;
    const struct unit *unit = units;
    while (unit->letter != 's' && seconds < unit->seconds)
        unit++;
    snprintf(out, SHOW_SIZE, "%" PRId64 "%c", seconds / unit->seconds, unit->letter);
}

void show_size(uint64_t bytes, char out[SHOW_SIZE])
{
    static const char letters[] = "BKMGTPE";
    size_t power = 0;
    double value = (double)bytes;
    for (; value >= 1024 && power + 2 < sizeof letters; power++)
        value /= 1024;
    snprintf(out, SHOW_SIZE, "%.*f%c", power > 0 && value < 10 ? 1 : 0, value, letters[power]);
}

/* "10m": 0, or -EINVAL where it is no duration. */
static int duration_parse(const char *text, int64_t *out)
{
    char digits[12];
    size_t len = strspn(text, "0123456789");
    uint64_t number;
    if (len == 0 || len >= sizeof digits || text[len] == '\0' || text[len + 1] != '\0')
        return -EINVAL;
    memcpy(digits, text, len);
    digits[len] = '\0';
    if (str_number(digits, "", 0, 1000000000, &number, NULL) < 0)
        return -EINVAL;
    for (size_t i = 0; i < UNITS; i++)
        if (units[i].letter == text[len]) {
            *out = (int64_t)number * units[i].seconds * 1000;
            return 0;
        }
    return -EINVAL;
}

/* What may follow the seconds: [.digits](Z|±hh:mm). */
static int zone_parse(const char *text, int64_t *ms)
{
    unsigned hours, minutes;
    int end = 0;
    if (*text == '.') {
        int64_t scale = 100;
        for (text++; *text >= '0' && *text <= '9'; text++, scale /= 10)
            *ms += (*text - '0') * scale;
    }
    if ((text[0] == 'Z' || text[0] == 'z') && text[1] == '\0')
        return 0;
    if ((text[0] != '+' && text[0] != '-') || strlen(text) != 6 ||
        sscanf(text + 1, "%2u:%2u%n", &hours, &minutes, &end) != 2 || end != 5 || hours > 23 ||
        minutes > 59)
        return -EINVAL;
    int64_t offset = (int64_t)(hours * 60 + minutes) * 60000;
    *ms += text[0] == '+' ? -offset : offset;
    return 0;
}

static int rfc3339_parse(const char *text, int64_t *out)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL || rest - text != 19)
        return -EINVAL;
    int day = tm.tm_mday;
    *out = (int64_t)timegm(&tm) * 1000;
    return tm.tm_mday == day ? zone_parse(rest, out) : -EINVAL; /* February 30th */
}

int show_time_parse(const char *text, const char *what, int64_t now, int64_t *out,
                    struct error *err)
{
    int64_t ago;
    if (duration_parse(text, &ago) == 0) {
        *out = now - ago;
        return 0;
    }
    if (rfc3339_parse(text, out) == 0)
        return 0;
    return error_set(err, EINVAL,
                     "%s '%.40s': neither a duration (30s, 10m, 2h, 1d) nor a time in RFC 3339 "
                     "(2026-01-31T23:59:59Z)",
                     what, text);
}

const char *show_plain(const char *text, size_t max, char *out)
{
    size_t len = 0;
    for (; len < max && text[len] != '\0'; len++) {
        unsigned char byte = (unsigned char)text[len];
        out[len] = (char)(byte < 0x20 || byte == 0x7f ? '?' : byte);
        if (byte >= 0x80 && byte < 0xa0 && len > 0 && (unsigned char)text[len - 1] == 0xc2) {
            out[len - 1] = '?'; /* C1 in UTF-8 is two bytes */
            out[len] = '?';
        }
    }
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--; /* the next character would have been cut in two */
    out[len] = '\0';
    return out;
}
