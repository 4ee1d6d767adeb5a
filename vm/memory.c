/*
 * Taking a copy of what a VM has changed. Its pages are a bit each: the scan sets the bits, a count
 * per block of pages says where a block's pages go in the copy, and the copy has the pages one
 * behind the other. All of that is done block by block, on as many threads as there are CPUs.
 *
 * While the VM is stopped nothing may wait for the kernel to find and clear memory (most of the
 * time that a naive copy takes): the scan is made twice, and the first one, with the VM running,
 * only tells how much room to make. What is changed in between goes into the slack, or beyond it
 * into memory that is then found on the way.
 *
 * Limits: a copy that is larger than the limit goes to a file that has no name. MemAvailable
 * does not know of a control group's limit. A page that differs by flag may be the same by content.
 */
#include "vm/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "vm/memory_internal.h"

#define SLACK_MIN ((uint64_t)16 << 20)
#define HUGE_PAGE                                                                   \
    ((uint64_t)2 << 20) /* the unit of prefaulting, and where a huge page can start \
                         */

uint64_t memory_find_bit(const uint64_t *bits, uint64_t page, uint64_t end, bool value)
{
    while (page < end) {
        uint64_t word = (value ? bits[page / 64] : ~bits[page / 64]) >> page % 64;
        if (word != 0) {
            page += (uint64_t)__builtin_ctzll(word);
            break;
        }
        page = (page / 64 + 1) * 64;
    }
    return page < end ? page : end;
}

static size_t block_pages(const struct memory_copy *copy, uint64_t block)
{
    uint64_t rest = copy->pages - block * MEMORY_BLOCK_PAGES;
    return rest < MEMORY_BLOCK_PAGES ? (size_t)rest : MEMORY_BLOCK_PAGES;
}

static int scan_block(void *context, uint64_t block, struct error *err)
{
    struct memory_copy *copy = context;
    uint64_t offset = block * MEMORY_BLOCK_PAGES * copy->process.page;
    return memory_process_modified(&copy->process, offset, block_pages(copy, block),
                                   copy->bits + block * MEMORY_BLOCK_WORDS, err);
}

/* In a shared mapping all that the file has may change once the VM goes on. */
static int scan_file(struct memory_copy *copy, struct error *err)
{
    uint64_t page = copy->process.page;
    off_t data, hole = 0;
    while ((data = lseek(copy->ram, hole, SEEK_DATA)) >= 0 && (uint64_t)data < copy->size) {
        hole = lseek(copy->ram, data, SEEK_HOLE);
        if (hole < 0)
            return error_system(err, errno, "cannot find the used parts of the RAM file");
        uint64_t end = ((uint64_t)hole + page - 1) / page;
        for (uint64_t i = (uint64_t)data / page; i < end && i < copy->pages; i++)
            copy->bits[i / 64] |= (uint64_t)1 << i % 64;
    }
    if (data < 0 && errno != ENXIO) /* no more data */
        return error_system(err, errno, "cannot find the used parts of the RAM file");
    return 0;
}

static int scan(struct memory_copy *copy, struct error *err)
{
    memset(copy->bits, 0, copy->blocks * MEMORY_BLOCK_WORDS * sizeof *copy->bits);
    int rc = copy->process.shared ? scan_file(copy, err)
                                  : memory_parallel(copy->threads, copy->blocks, scan_block, copy,
                                                    copy->cancel, err);
    for (uint64_t block = 0; rc == 0 && block < copy->blocks; block++) {
        uint64_t pages = 0;
        for (size_t i = 0; i < MEMORY_BLOCK_WORDS; i++)
            pages += (uint64_t)__builtin_popcountll(copy->bits[block * MEMORY_BLOCK_WORDS + i]);
        copy->first[block + 1] = copy->first[block] + pages;
    }
    return rc;
}

uint64_t memory_copied(const struct memory_copy *copy)
{
    return copy->first[copy->blocks] * copy->process.page;
}

/* A third of what the system can give without swapping; 0 if it does not say. */
static uint64_t default_limit(void)
{
    CLEAN_FREE char *line = NULL;
    size_t capacity = 0;
    uint64_t kib = 0;
    CLEAN_FILE FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && kib == 0 && getline(&line, &capacity, file) >= 0)
        if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) != 1)
            kib = 0;
    return kib * 1024 / 3;
}

static int prefault(void *context, uint64_t unit, struct error *err)
{
    struct memory_copy *copy = context;
    (void)err;
    /* Only saves time: an older kernel, or one without memory to spare, does it on the way. */
    madvise(copy->memory + unit * HUGE_PAGE, HUGE_PAGE, MADV_POPULATE_WRITE);
    return 0;
}

/* Addresses for the whole memory, so that there is room whatever is changed until the VM stops. */
static int open_memory(struct memory_copy *copy, uint64_t expected, struct error *err)
{
    size_t size = copy->size + 2 * HUGE_PAGE; /* rounded up at both ends */
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        return error_system(err, errno, "no memory for a copy of the VM's memory");
    copy->mapped = mapped;
    copy->mapped_size = size;
    copy->memory = (uint8_t *)mapped + (HUGE_PAGE - (uintptr_t)mapped % HUGE_PAGE) % HUGE_PAGE;
    madvise(copy->memory, copy->size, MADV_HUGEPAGE);
    return memory_parallel(copy->threads, (expected + HUGE_PAGE - 1) / HUGE_PAGE, prefault, copy,
                           copy->cancel, err);
}

static void close_memory(struct memory_copy *copy)
{
    if (copy->mapped != NULL)
        munmap(copy->mapped, copy->mapped_size);
    copy->mapped = NULL;
    copy->memory = NULL;
}

static int open_spill(struct memory_copy *copy, uint64_t expected, struct error *err)
{
    copy->spill = open(copy->spill_directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (copy->spill < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        CLEAN_FREE char *path = str_printf("%s/memory.XXXXXX", copy->spill_directory);
        copy->spill = path != NULL ? mkostemp(path, O_CLOEXEC) : -1;
        if (copy->spill >= 0)
            unlink(path);
    }
    if (copy->spill < 0)
        return error_system(err, errno, "cannot make a file for the VM's memory in %s",
                            copy->spill_directory);
    if (fallocate(copy->spill, 0, 0, (off_t)expected) < 0 && errno == ENOSPC)
        return error_set(err, ENOSPC,
                         "no room in %s for %" PRIu64 " MiB of the VM's memory; free some, or put "
                         "the snapshot on another disk",
                         copy->spill_directory, expected >> 20);
    return 0;
}

static int make_room(struct memory_copy *copy, struct error *err)
{
    uint64_t found = memory_copied(copy), slack = found / 4 + SLACK_MIN;
    uint64_t expected = found + slack < copy->size ? found + slack : copy->size;
    if (found <= copy->limit) {
        int rc = open_memory(copy, expected < copy->limit ? expected : copy->limit, err);
        if (rc == 0 || copy->mapped != NULL)
            return rc;
    }
    return expected > 0 ? open_spill(copy, expected, err) : 0;
}

static struct memory_copy *allocate(const struct memory_spec *spec, uint64_t page)
{
    struct memory_copy *copy = calloc(1, sizeof *copy);
    if (copy == NULL)
        return NULL;
    copy->spill = copy->process.pagemap = copy->process.mem = -1;
    copy->ram = spec->ram;
    copy->size = spec->size;
    copy->limit = spec->limit != 0 ? spec->limit : default_limit();
    copy->threads = spec->threads != 0 ? spec->threads : memory_threads();
    copy->cancel = spec->cancel;
    copy->pages = spec->size / page;
    copy->blocks = (copy->pages + MEMORY_BLOCK_PAGES - 1) / MEMORY_BLOCK_PAGES;
    copy->bits = calloc(copy->blocks * MEMORY_BLOCK_WORDS, sizeof *copy->bits);
    copy->first = calloc(copy->blocks + 1, sizeof *copy->first);
    copy->spill_directory = strdup(spec->spill);
    if (copy->bits == NULL || copy->first == NULL || copy->spill_directory == NULL) {
        memory_release(copy);
        return NULL;
    }
    return copy;
}

int memory_prepare(struct memory_copy **out, const struct memory_spec *spec, struct error *err)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    *out = NULL;
    if (spec->size == 0 || spec->size > MEMORY_SIZE_MAX || spec->size % page != 0 ||
        spec->threads > MEMORY_THREADS_MAX)
        return error_set(err, EINVAL, "a memory of %" PRIu64 " bytes cannot be copied", spec->size);
    CLEAN_MEMORY struct memory_copy *copy = allocate(spec, page);
    if (copy == NULL)
        return error_system(err, ENOMEM, "cannot copy the VM's memory");
    int rc = memory_process_open(&copy->process, spec, err);
    if (rc == 0)
        rc = scan(copy, err);
    if (rc == 0)
        rc = make_room(copy, err);
    if (rc < 0)
        return error_wrap(err, "cannot prepare to copy the VM's memory");
    *out = take_ptr(copy);
    return 0;
}

static int copy_block(void *context, uint64_t block, struct error *err)
{
    struct memory_copy *copy = context;
    uint64_t page = copy->process.page, to = copy->first[block] * page;
    size_t size = (copy->first[block + 1] - copy->first[block]) * page;
    CLEAN_FREE uint8_t *buffer = NULL;
    uint8_t *data = copy->memory != NULL ? copy->memory + to : NULL;
    if (size == 0)
        return 0;
    if (data == NULL && (data = buffer = malloc(size)) == NULL)
        return error_system(err, ENOMEM, "cannot copy the VM's memory");
    int rc = memory_process_read(&copy->process, block * MEMORY_BLOCK_PAGES * page,
                                 block_pages(copy, block), copy->bits + block * MEMORY_BLOCK_WORDS,
                                 data, err);
    if (rc == 0 && buffer != NULL && (rc = memory_write_at(copy->spill, buffer, size, to)) < 0)
        return error_system(err, -rc, "cannot write the VM's memory to a file in %s",
                            copy->spill_directory);
    return rc;
}

int memory_capture(struct memory_copy *copy, struct error *err)
{
    int rc = scan(copy, err);
    if (rc == 0 && copy->spill < 0 && memory_copied(copy) > copy->limit) {
        close_memory(copy);
        rc = open_spill(copy, memory_copied(copy), err);
    }
    if (rc == 0)
        rc = memory_parallel(copy->threads, copy->blocks, copy_block, copy, copy->cancel, err);
    return rc;
}

void memory_release(struct memory_copy *copy)
{
    if (copy == NULL)
        return;
    close_memory(copy);
    cleanup_fd(&copy->spill);
    memory_process_close(&copy->process);
    free(copy->bits);
    free(copy->first);
    free(copy->spill_directory);
    free(copy);
}
