/* Inode times advance by the kernel's tick, not by the clock: 10 ms at worst. */
#include "base/stamp.h"

#include <inttypes.h>
#include <time.h>

#define TIME_GRANULARITY_NS 100000000 /* ten ticks at 100 Hz */

static int64_t nanoseconds(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

int stamp_line(struct buf *out, const struct stat *st, const char *hash)
{
    return buf_printf(out, "%" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %s\n",
                      (uint64_t)st->st_ino, (uint64_t)st->st_size, nanoseconds(&st->st_mtim),
                      nanoseconds(&st->st_ctim), hash);
}

bool stamp_young(const struct stat *st)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return nanoseconds(&now) - nanoseconds(&st->st_ctim) < TIME_GRANULARITY_NS;
}
