/*
 * A command's output need not be valid UTF-8, and may have NULs in it: see show_utf8().
 */
#include <stdio.h>

#include <cjson/cJSON.h>
#include <uv.h>

#include "session/cli/exec.h"
#include "session/cli/show.h"

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
        show_utf8(&capture->data[channel], &text);
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
