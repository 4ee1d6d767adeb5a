/*
 * The whole memory, in order: runs of pages that are in the copy, and between them what the RAM
 * file has, found with SEEK_DATA. Pages of zeros are left out. Pages that are neighbours in the
 * guest become one run of the map; pages that are neighbours in our memory become one call of the
 * sink, which in a copy are also those that were apart in the guest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "vm/memory_internal.h"

struct writer {
    const struct memory_sink *sink;
    struct buf *map;
    const volatile int *cancel;
    uint8_t *buffer; /* MEMORY_CHUNK, for what comes from a file */
    int ram;
    uint64_t size;
    uint64_t data_start, data_end; /* of the RAM file, the last that was found */
    uint64_t run_start, run_end;   /* not in the map yet; empty if equal */
    const uint8_t *pending;        /* not given to the sink yet */
    size_t pending_size;
};

static bool is_zero(const uint8_t *page)
{
    uint64_t first[2];
    memcpy(first, page, sizeof first);
    return (first[0] | first[1]) == 0 && memcmp(page, page + 16, MEMORY_PAGE - 16) == 0;
}

static int flush(struct writer *writer, struct error *err)
{
    size_t size = writer->pending_size;
    writer->pending_size = 0;
    if (memory_canceled(writer->cancel))
        return error_set(err, ECANCELED, "interrupted");
    return size > 0 ? writer->sink->write(writer->sink->context, writer->pending, size, err) : 0;
}

static int end_run(struct writer *writer, struct error *err)
{
    uint8_t entry[MEMORY_MAP_ENTRY];
    if (writer->run_start == writer->run_end)
        return 0;
    put_u64(entry, writer->run_start);
    put_u64(entry + 8, writer->run_end - writer->run_start);
    if (buf_append(writer->map, entry, sizeof entry) < 0)
        return error_system(err, ENOMEM, "cannot list the pages of the VM's memory");
    return 0;
}

/* Takes pages that stay where they are until flush(). */
static int put_pages(struct writer *writer, uint64_t offset, const uint8_t *data, uint64_t size,
                     struct error *err)
{
    int rc = 0;
    for (uint64_t end = offset + size; rc == 0 && offset < end;
         offset += MEMORY_PAGE, data += MEMORY_PAGE) {
        if (is_zero(data))
            continue;
        if (writer->run_end != offset) {
            rc = end_run(writer, err);
            writer->run_start = offset;
        }
        writer->run_end = offset + MEMORY_PAGE;
        if (rc == 0 && (writer->pending_size == MEMORY_CHUNK ||
                        writer->pending + writer->pending_size != data))
            rc = flush(writer, err);
        if (writer->pending_size == 0)
            writer->pending = data;
        writer->pending_size += MEMORY_PAGE;
    }
    return rc;
}

static int put_file(struct writer *writer, uint64_t offset, int fd, uint64_t at, uint64_t size,
                    struct error *err)
{
    int rc = 0;
    for (uint64_t done = 0; rc == 0 && done < size;) {
        size_t part = size - done < MEMORY_CHUNK ? (size_t)(size - done) : MEMORY_CHUNK;
        rc = flush(writer, err); /* of the buffer */
        if (rc < 0)
            return rc;
        rc = memory_read_at(fd, writer->buffer, part, at + done);
        if (rc < 0)
            return error_system(err, -rc, "cannot read the file of the VM's memory");
        rc = put_pages(writer, offset + done, writer->buffer, part, err);
        done += part;
    }
    return rc;
}

/* The file's next data at or behind `offset`, widened to whole pages; the memory's end if none. */
static int find_data(struct writer *writer, uint64_t offset, struct error *err)
{
    const uint64_t mask = MEMORY_PAGE - 1;
    off_t data = lseek(writer->ram, (off_t)offset, SEEK_DATA);
    off_t hole = data < 0 ? data : lseek(writer->ram, data, SEEK_HOLE);
    if (hole < 0 && errno != ENXIO)
        return error_system(err, errno, "cannot find the used parts of the RAM file");
    writer->data_start = hole < 0 ? writer->size : (uint64_t)data & ~mask;
    writer->data_end = hole < 0 ? writer->size : ((uint64_t)hole + mask) & ~mask;
    return 0;
}

static int put_ram(struct writer *writer, uint64_t offset, uint64_t end, struct error *err)
{
    while (offset < end) {
        if (offset >= writer->data_end) {
            int rc = find_data(writer, offset, err);
            if (rc < 0)
                return rc;
        }
        if (offset < writer->data_start)
            offset = writer->data_start;
        uint64_t stop = writer->data_end < end ? writer->data_end : end;
        if (offset >= stop)
            break;
        int rc = put_file(writer, offset, writer->ram, offset, stop - offset, err);
        if (rc < 0)
            return rc;
        offset = stop;
    }
    return 0;
}

static int put_copy(struct writer *writer, const struct memory_copy *copy, struct error *err)
{
    uint64_t page = copy->process.page, at = 0; /* where the next page is in the copy */
    int rc = 0;
    for (uint64_t from = 0; rc == 0 && from < copy->pages;) {
        uint64_t start = memory_find_bit(copy->bits, from, copy->pages, true);
        uint64_t end = memory_find_bit(copy->bits, start, copy->pages, false);
        uint64_t size = (end - start) * page;
        if (!copy->process.shared) /* else what is not in the copy was a hole */
            rc = put_ram(writer, from * page, start * page, err);
        if (rc == 0 && size > 0)
            rc = copy->memory != NULL
                     ? put_pages(writer, start * page, copy->memory + at, size, err)
                     : put_file(writer, start * page, copy->spill, at, size, err);
        at += size;
        from = end;
    }
    return rc;
}

static int write_memory(struct writer *writer, const struct memory_copy *copy, struct error *err)
{
    CLEAN_FREE uint8_t *buffer = writer->buffer = malloc(MEMORY_CHUNK);
    if (buffer == NULL)
        return error_system(err, ENOMEM, "cannot save the VM's memory");
    int rc = copy != NULL ? put_copy(writer, copy, err) : put_ram(writer, 0, writer->size, err);
    if (rc == 0)
        rc = flush(writer, err);
    return rc == 0 ? end_run(writer, err) : rc;
}

int memory_write(const struct memory_copy *copy, const struct memory_sink *sink, struct buf *map,
                 const volatile int *cancel, struct error *err)
{
    struct writer writer = {
        .sink = sink, .map = map, .cancel = cancel, .ram = copy->ram, .size = copy->size};
    return write_memory(&writer, copy, err);
}

int memory_write_file(int ram, uint64_t size, const struct memory_sink *sink, struct buf *map,
                      const volatile int *cancel, struct error *err)
{
    struct writer writer = {.sink = sink, .map = map, .cancel = cancel, .ram = ram, .size = size};
    if (size == 0 || size > MEMORY_SIZE_MAX || size % MEMORY_PAGE != 0)
        return error_set(err, EINVAL, "a memory of %llu bytes cannot be saved",
                         (unsigned long long)size);
    return write_memory(&writer, NULL, err);
}
