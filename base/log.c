/*
 * One write(2) of at most LOG_LINE bytes per line on an O_APPEND descriptor: lines of several
 * threads or processes do not mix. The file is opened when the first line is written, so a
 * process that has nothing to say leaves no file.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE 2048

static const char *const topic_names[LOG_TOPICS] = {
    [LOG_HOST] = "host", [LOG_AGENT] = "agent", [LOG_QEMU] = "qemu",
    [LOG_NET] = "net",   [LOG_VFS] = "vfs",     [LOG_IMAGE] = "image",
};

static char log_directory[3072];
static char log_path[4096];
static int log_fd = -1;
static bool wanted[LOG_TOPICS];

void log_open(const char *directory, const char *name)
{
    snprintf(log_directory, sizeof log_directory, "%s", directory);
    snprintf(log_path, sizeof log_path, "%s/%s.log", directory, name);
    const char *debug = getenv("VMDECK_DEBUG");
    for (const char *word = debug; word != NULL && *word != '\0';) {
        size_t len = strcspn(word, ",");
        for (int i = 0; i < LOG_TOPICS; i++)
            if ((len == 3 && strncmp(word, "all", 3) == 0) ||
                (strlen(topic_names[i]) == len && strncmp(word, topic_names[i], len) == 0))
                wanted[i] = true;
        word += len + (word[len] == ',');
    }
}

bool log_wants(enum log_topic topic)
{
    return wanted[topic];
}

static int log_file(void)
{
    int fd = __atomic_load_n(&log_fd, __ATOMIC_ACQUIRE);
    if (fd >= 0 || log_path[0] == '\0')
        return fd;
    mkdir(log_directory, 0700);
    fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int expected = -1;
    if (fd >= 0 && !__atomic_compare_exchange_n(&log_fd, &expected, fd, false, __ATOMIC_ACQ_REL,
                                                __ATOMIC_ACQUIRE)) {
        close(fd);
        fd = expected;
    }
    return fd;
}

static void log_write(enum log_topic topic, const char *level, const char *format, va_list args)
{
    int saved = errno;
    int fd = log_file();
    if (fd >= 0) {
        char line[LOG_LINE];
        struct timespec now;
        struct tm utc;
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        size_t len = strftime(line, 32, "%FT%T", &utc);
        len += (size_t)snprintf(line + len, 96, ".%03ldZ [%d] %s %s: ", now.tv_nsec / 1000000,
                                (int)getpid(), level, topic_names[topic]);
        int text = vsnprintf(line + len, sizeof line - len - 1, format, args);
        if (text > 0)
            len += (size_t)text < sizeof line - len - 1 ? (size_t)text : sizeof line - len - 2;
        line[len++] = '\n';
        ssize_t written = write(fd, line, len);
        (void)written; /* a full disk loses the line, never the session */
    }
    errno = saved;
}

void log_debug(enum log_topic topic, const char *format, ...)
{
    if (!wanted[topic])
        return;
    va_list args;
    va_start(args, format);
    log_write(topic, "debug", format, args);
    va_end(args);
}

void log_warn(enum log_topic topic, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_write(topic, "warn", format, args);
    va_end(args);
}
