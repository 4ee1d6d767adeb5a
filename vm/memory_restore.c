/*
 * Putting a stored memory back: the map is checked whole before anything is written, then its runs
 * are copied in parts, on several threads: while one writes (file systems let one at a time write
 * to a file) the others read. A file system that can share the blocks does so (copy_file_range(2));
 * where that is not possible, the bytes go through a buffer small enough to stay in the cache.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "vm/memory_internal.h"

#define PART        ((uint64_t)4 << 20) /* of the pages, the unit of work */
#define BUFFER_SIZE ((size_t)64 << 10)

struct run {
    uint64_t to;   /* offset in the memory */
    uint64_t from; /* offset in the pages */
    uint64_t length;
};

struct restore {
    const struct memory_source *source;
    int ram;
    struct run *runs;
    size_t count;
    const volatile int *cancel;
    atomic_bool buffered; /* copy_file_range() does not work here */
};

static int read_map(struct restore *restore, uint64_t size, struct error *err)
{
    const struct memory_source *source = restore->source;
    uint64_t end = 0, pages = 0;
    restore->count = source->map_size / MEMORY_MAP_ENTRY;
    if (source->map_size % MEMORY_MAP_ENTRY != 0 || restore->count > size / MEMORY_PAGE)
        return error_set(err, EBADMSG, "a memory map of %zu bytes is impossible", source->map_size);
    restore->runs = malloc((restore->count + 1) * sizeof *restore->runs);
    if (restore->runs == NULL)
        return error_system(err, ENOMEM, "cannot read the memory map");
    for (size_t i = 0; i < restore->count; i++) {
        const uint8_t *entry = source->map + i * MEMORY_MAP_ENTRY;
        uint64_t offset = get_u64(entry), length = get_u64(entry + 8);
        if (offset < end || offset >= size || length == 0 || length > size - offset ||
            (offset | length) % MEMORY_PAGE != 0)
            return error_set(err, EBADMSG, "the memory map is damaged at entry %zu", i);
        restore->runs[i] = (struct run){offset, pages, length};
        end = offset + length;
        pages += length;
    }
    if (pages != source->length)
        return error_set(err, EBADMSG,
                         "the memory map is of %" PRIu64 " bytes, but there are %" PRIu64, pages,
                         source->length);
    return 0;
}

static int check_file(const struct memory_source *source, struct error *err)
{
    struct stat status;
    if (fstat(source->fd, &status) < 0)
        return error_system(err, errno, "cannot examine the file of a VM's memory");
    uint64_t size = (uint64_t)status.st_size;
    if (source->offset > size || source->length > size - source->offset)
        return error_set(err, EBADMSG, "the file of a VM's memory is cut off");
    return 0;
}

static int copy_buffered(const struct restore *restore, uint64_t from, uint64_t to, uint64_t length)
{
    uint8_t buffer[BUFFER_SIZE];
    int rc = 0;
    for (uint64_t done = 0; rc == 0 && done < length;) {
        size_t part = length - done < BUFFER_SIZE ? (size_t)(length - done) : BUFFER_SIZE;
        rc = memory_read_at(restore->source->fd, buffer, part, from + done);
        if (rc == 0)
            rc = memory_write_at(restore->ram, buffer, part, to + done);
        done += part;
    }
    return rc;
}

static int copy_range(struct restore *restore, uint64_t from, uint64_t to, uint64_t length)
{
    off_t in = (off_t)from, out = (off_t)to;
    while (length > 0 && !atomic_load(&restore->buffered)) {
        ssize_t copied = copy_file_range(restore->source->fd, &in, restore->ram, &out, length, 0);
        if (copied == 0)
            return -ENODATA;
        if (copied < 0 && errno == EINTR)
            continue;
        if (copied < 0 && (errno == ENOSPC || errno == EIO))
            return -errno;
        if (copied < 0)
            atomic_store(&restore->buffered, true);
        else
            length -= (uint64_t)copied;
    }
    return copy_buffered(restore, (uint64_t)in, (uint64_t)out, length);
}

/* The run that has byte `from` of the pages. */
static size_t find_run(const struct restore *restore, uint64_t from)
{
    size_t low = 0, high = restore->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (restore->runs[middle].from <= from)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static int copy_part(void *context, uint64_t unit, struct error *err)
{
    struct restore *restore = context;
    uint64_t from = unit * PART;
    uint64_t end = restore->source->length - from < PART ? restore->source->length : from + PART;
    for (size_t i = find_run(restore, from); from < end; i++) {
        const struct run *run = &restore->runs[i];
        uint64_t skip = from - run->from, length = run->length - skip;
        if (length > end - from)
            length = end - from;
        int rc = copy_range(restore, restore->source->offset + from, run->to + skip, length);
        if (rc == -ENODATA)
            return error_set(err, EBADMSG, "the file of a VM's memory is cut off");
        if (rc < 0)
            return error_system(err, -rc, "cannot put a VM's memory back");
        from += length;
    }
    return 0;
}

int memory_restore(const struct memory_source *source, int ram, uint64_t size,
                   const volatile int *cancel, struct error *err)
{
    struct restore restore = {.source = source, .ram = ram, .cancel = cancel};
    if (size == 0 || size > MEMORY_SIZE_MAX || size % MEMORY_PAGE != 0)
        return error_set(err, EBADMSG, "a memory of %" PRIu64 " bytes is impossible", size);
    int rc = check_file(source, err);
    if (rc == 0)
        rc = read_map(&restore, size, err);
    CLEAN_FREE struct run *runs = restore.runs;
    if (rc == 0 && ftruncate(ram, (off_t)size) < 0)
        rc = error_system(err, errno, "cannot make a RAM file of %" PRIu64 " bytes", size);
    if (rc == 0)
        rc = memory_parallel(memory_threads(), (source->length + PART - 1) / PART, copy_part,
                             &restore, cancel, err);
    return rc;
}
