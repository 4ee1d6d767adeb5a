/*
 * JSON strings must be valid UTF-8 (RFC 8259, 8.1), a command's output need not be: what is not
 * becomes U+FFFD, one for each byte, so the object is always valid.
 */
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <uv.h>

#include "session/cli/exec.h"

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

/* NUL cannot be in a C string that cJSON prints, so it is replaced as well. */
static void utf8_clean(const struct buf *in, struct buf *out)
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

void exec_capture_begin(struct exec_capture *capture)
{
    exec_capture_free(capture);
    *capture = (struct exec_capture){.began = uv_hrtime()};
}

void exec_capture_add(struct exec_capture *capture, unsigned channel, const uint8_t *data,
                      size_t size)
{
    struct buf *to = &capture->data[channel];
    if (buf_len(to) + size > CAPTURE_MAX || buf_append(to, data, size) < 0)
        capture->truncated = true;
}

void exec_capture_print(struct exec_capture *capture)
{
    static const char *const names[] = {NULL, "stdout", "stderr"};
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "exit", capture->exit);
    if (capture->signal != 0)
        cJSON_AddNumberToObject(object, "signal", capture->signal);
    else
        cJSON_AddNullToObject(object, "signal");
    for (int channel = 1; channel <= 2; channel++) {
        CLEAN_BUF struct buf text = {0};
        utf8_clean(&capture->data[channel], &text);
        const char *string = buf_string(&text);
        cJSON_AddStringToObject(object, names[channel], string != NULL ? string : "");
    }
    if (capture->truncated)
        cJSON_AddTrueToObject(object, "truncated");
    uint64_t microseconds = (uv_hrtime() - capture->began) / 1000;
    cJSON_AddNumberToObject(object, "duration", (double)microseconds / 1e6);
    char *line = cJSON_PrintUnformatted(object);
    if (line != NULL)
        puts(line);
    fflush(stdout);
    cJSON_free(line);
    cJSON_Delete(object);
}

void exec_capture_free(struct exec_capture *capture)
{
    buf_free(&capture->data[1]);
    buf_free(&capture->data[2]);
}
