/*
 * Messages have a fixed maximum so that an error can be made when memory is gone; what does not
 * fit is cut. Control characters in them (a file name, a guest's words) become '?', because the
 * message ends on somebody's terminal.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void error_clean(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

int error_set(struct error *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        err->code = code;
        error_clean(err->message);
    }
    return -code;
}

int error_system(struct error *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        int len = vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        if (len >= 0 && (size_t)len < sizeof err->message)
            snprintf(err->message + len, sizeof err->message - (size_t)len, ": %s", strerror(code));
        err->code = code;
        error_clean(err->message);
    }
    return -code;
}

int error_wrap(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return -EIO;
    char inner[ERROR_MESSAGE_MAX];
    memcpy(inner, err->message, sizeof inner);
    va_list args;
    va_start(args, format);
    int len = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (len >= 0 && (size_t)len < sizeof err->message)
        snprintf(err->message + len, sizeof err->message - (size_t)len, ": %s", inner);
    error_clean(err->message);
    return err->code != 0 ? -err->code : -EIO;
}
