/* See the header. */
#include "tui/human.h"

#include <stdio.h>
#include <time.h>

void human_format(char *out, size_t size, const char *format, va_list arguments)
{
    vsnprintf(out, size, format, arguments);
}

int64_t human_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void human_age(int64_t ms, char out[HUMAN_SIZE])
{
    int64_t s = ms > 0 ? ms / 1000 : 0;
    if (s < 60)
        snprintf(out, HUMAN_SIZE, "%llds", (long long)s);
    else if (s < 3600)
        snprintf(out, HUMAN_SIZE, "%lldm", (long long)(s / 60));
    else if (s < 86400)
        snprintf(out, HUMAN_SIZE, "%lldh", (long long)(s / 3600));
    else
        snprintf(out, HUMAN_SIZE, "%lldd", (long long)(s / 86400));
}

void human_bytes(uint64_t bytes, char out[HUMAN_SIZE])
{
    static const char units[] = "BKMGTPE";
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1000 && units[unit + 1] != '\0') {
        value /= 1024;
        unit++;
    }
    snprintf(out, HUMAN_SIZE, unit > 0 && value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

void human_clock(int64_t time, char out[HUMAN_SIZE])
{
    time_t seconds = (time_t)(time / 1000);
    struct tm tm;
    if (localtime_r(&seconds, &tm) == NULL || strftime(out, HUMAN_SIZE, "%H:%M:%S", &tm) == 0)
        snprintf(out, HUMAN_SIZE, "-");
}

const char *human_bar(double value)
{
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    int level = (int)(value * 8);
    return bars[level < 0 ? 0 : level > 7 ? 7 : level];
}
