/*
 * "%2A" stays as it is in every form: decoded, it would turn a literal '*' of a rule into a
 * wildcard. Decoding repeatedly is bounded; a path that is still encoded after that is refused.
 */
#include "net/url_path.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DECODE_ROUNDS 4

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%XX" stands for, or -1. */
static int encoded_byte(const char *p)
{
    int high = p[0] == '%' ? hex_digit(p[1]) : -1;
    int low = high >= 0 ? hex_digit(p[2]) : -1;
    return low >= 0 ? high << 4 | low : -1;
}

static bool is_control(int byte)
{
    return (byte >= 0 && byte < 0x20) || byte == 0x7f;
}

static bool is_unreserved(int byte)
{
    return byte > 0 && byte < 0x80 && (isalnum(byte) || strchr("-._~", byte) != NULL);
}

static const char *check(const char *text, size_t size)
{
    if (size == 0 || text[0] != '/')
        return "does not begin with '/'";
    if (size > URL_PATH_MAX)
        return "is too long";
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ' || text[i] == '#' || is_control((unsigned char)text[i]))
            return "has characters that no path has";
        if (text[i] != '%')
            continue;
        int byte = i + 2 < size ? encoded_byte(text + i) : -1;
        if (byte < 0)
            return "has a '%' without two hexadecimal digits";
        if (is_control(byte))
            return "stands for control characters";
    }
    return NULL;
}

static char *put_encoded(char *out, int byte)
{
    static const char digits[] = "0123456789ABCDEF";
    *out++ = '%';
    *out++ = digits[byte >> 4 & 15];
    *out++ = digits[byte & 15];
    return out;
}

/* Needs three times the room. */
static void decode_unreserved(const char *in, char *out)
{
    while (*in != '\0') {
        int byte = encoded_byte(in);
        if (byte >= 0 && !is_unreserved(byte))
            out = put_encoded(out, byte);
        else if (byte >= 0)
            *out++ = (char)byte;
        else if ((unsigned char)*in >= 0x80)
            out = put_encoded(out, (unsigned char)*in);
        else
            *out++ = *in;
        in += byte >= 0 ? 3 : 1;
    }
    *out = '\0';
}

/* One round, in place. 1 if something was decoded, 0, or -EINVAL for a control character. */
static int decode_all(char *text)
{
    char *out = text;
    int changed = 0;
    for (const char *in = text; *in != '\0';) {
        int byte = encoded_byte(in);
        if (is_control(byte))
            return -EINVAL;
        if (byte == '*') {
            out = put_encoded(out, byte);
            in += 3;
        } else if (byte >= 0) {
            *out++ = (char)byte;
            in += 3;
            changed = 1;
        } else {
            *out++ = *in++;
        }
    }
    *out = '\0';
    return changed;
}

/* '\' → '/', and no ";parameters". */
static void drop_parameters(char *text)
{
    char *out = text;
    bool skip = false;
    for (const char *in = text; *in != '\0'; in++) {
        char c = *in;
        if (c == '\\')
            c = '/';
        if (c == '/' || c == ';')
            skip = c == ';';
        if (!skip)
            *out++ = c;
    }
    *out = '\0';
}

static void merge_slashes(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in++)
        if (in[0] != '/' || in[1] != '/')
            *out++ = *in;
    *out = '\0';
}

/* RFC 3986 §5.2.4, in place, on a path that begins with '/'. */
static void remove_dots(char *text)
{
    char *out = text;
    const char *in = text;
    while (*in == '/') {
        size_t length = strcspn(in + 1, "/");
        bool last = in[1 + length] == '\0';
        bool one = length == 1 && in[1] == '.';
        bool two = length == 2 && in[1] == '.' && in[2] == '.';
        if (two)
            while (out > text && *--out != '/')
                ;
        if (!one && !two) {
            memmove(out, in, length + 1);
            out += length + 1;
        } else if (last) {
            *out++ = '/';
        }
        in += length + 1;
    }
    *out = '\0';
}

static int make_forms(const char *text, size_t size, struct url_path *out)
{
    char *copy = out->forms[URL_PATH_LOOSE] = strndup(text, size);
    char *strict = out->forms[URL_PATH_STRICT] = malloc(3 * size + 1);
    if (copy == NULL || strict == NULL)
        return -ENOMEM;
    decode_unreserved(copy, strict);
    char *merged = out->forms[URL_PATH_MERGED] = strdup(strict);
    if (merged == NULL)
        return -ENOMEM;
    remove_dots(strict);
    merge_slashes(merged);
    remove_dots(merged);
    int rc = 1;
    for (int round = 0; round < DECODE_ROUNDS && rc > 0; round++)
        rc = decode_all(copy);
    drop_parameters(copy);
    merge_slashes(copy);
    remove_dots(copy);
    return rc > 0 ? -EINVAL : rc;
}

int url_path_parse(const char *text, size_t size, struct url_path *out, struct error *err)
{
    const char *query = size > 0 ? memchr(text, '?', size) : NULL;
    *out = (struct url_path){0};
    if (query != NULL)
        size = (size_t)(query - text);
    const char *why = check(text, size);
    if (why != NULL)
        return error_set(err, EINVAL, "the path %s", why);
    int rc = make_forms(text, size, out);
    if (rc == 0)
        return 0;
    url_path_free(out);
    return error_set(err, -rc, rc == -ENOMEM ? "out of memory" : "the path is encoded many times");
}

void url_path_free(struct url_path *path)
{
    for (int i = 0; i < URL_PATH_FORMS; i++)
        free(path->forms[i]);
    *path = (struct url_path){0};
}

bool url_path_matches(const struct url_path *pattern, const struct url_path *path, bool every)
{
    for (int i = 0; i < URL_PATH_FORMS; i++)
        if (glob_matches(pattern->forms[i], path->forms[i]) != every)
            return !every;
    return every;
}

/* Backs up to the last '*' only, so the time is at most length times length. */
bool glob_matches(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
