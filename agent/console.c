/*
 * At most CONSOLE_KEEP bytes wait for a host: a guest without one must not fill its memory, and
 * the console has the line anyway.
 */
#include "agent/console.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/wire.h"

#define CONSOLE_KEEP   (32u * 1024)
#define CONSOLE_PREFIX "vmdeck-agent: "

static struct buf frames;

struct buf *console_frames(void)
{
    return &frames;
}

void console_log(const char *format, ...)
{
    char line[sizeof CONSOLE_PREFIX + WIRE_TEXT_MAX] = CONSOLE_PREFIX;
    char *text = line + sizeof CONSOLE_PREFIX - 1;
    va_list args;
    va_start(args, format);
    int printed = vsnprintf(text, WIRE_TEXT_MAX, format, args);
    va_end(args);
    if (printed < 0)
        return;
    size_t length = strlen(text);
    if (buf_len(&frames) < CONSOLE_KEEP)
        frame_append(&frames, WIRE_LOG, 0, 0, text, (uint32_t)length);
    text[length] = '\n';
    /* one write, so that lines of the kernel do not come between; a console that is gone is no
     * reason to stop */
    if (write(STDERR_FILENO, line, sizeof CONSOLE_PREFIX + length) < 0)
        return;
}
