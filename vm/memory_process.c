/*
 * Another process's view of its RAM file. /proc/PID/maps says where the file is mapped: the file is
 * recognised by device and inode, or by its path, because overlayfs and btrfs report other numbers
 * there than stat(2) does. /proc/PID/pagemap says which pages are the process's own: in a private
 * mapping a page that is present and not a file's, or swapped out. Of a page that is shared with
 * the file, or that was never touched, the file has the content. Ordinary users see the flags of
 * their children; only the frame numbers are hidden, which are of no interest here.
 *
 * process_vm_readv(2) copies once and takes a list of pieces; /proc/PID/mem copies twice and takes
 * one piece a call, but works where a container's filter forbids the former.
 *
 * Where pagemap cannot be read every page counts as the process's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "vm/memory_internal.h"

#define REGIONS_MAX 65536 /* the kernel's own limit, vm.max_map_count, is 65530 */

#define PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define PAGEMAP_SWAPPED ((uint64_t)1 << 62)
#define PAGEMAP_FILE    ((uint64_t)1 << 61)

/* How /proc/PID/maps names the RAM file. */
struct name {
    dev_t device;
    ino_t inode;
    char path[4096];
};

static int name_file(struct name *name, const struct memory_spec *spec, struct error *err)
{
    struct stat status;
    char link[32];
    if (fstat(spec->ram, &status) < 0)
        return error_system(err, errno, "cannot examine the RAM file");
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size < spec->size)
        return error_set(err, EINVAL, "the RAM file is not a file of %" PRIu64 " bytes",
                         spec->size);
    name->device = status.st_dev;
    name->inode = status.st_ino;
    snprintf(link, sizeof link, "/proc/self/fd/%d", spec->ram);
    ssize_t length = readlink(link, name->path, sizeof name->path - 1);
    name->path[length > 0 ? length : 0] = '\0';
    return 0;
}

/* Whether the line of /proc/PID/maps is the file's. */
static bool parse_line(char *line, const struct name *name, struct memory_region *region,
                       bool *shared)
{
    uint64_t start, end, inode;
    unsigned device_major, device_minor;
    char access[5];
    int path = 0;
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &start, &end,
               access, &region->offset, &device_major, &device_minor, &inode, &path) != 7)
        return false;
    region->address = start;
    region->length = end - start;
    *shared = access[3] == 's';
    if (inode == name->inode && makedev(device_major, device_minor) == name->device)
        return true;
    return path > 0 && line[path] == '/' && strcmp(line + path, name->path) == 0;
}

static int add_region(struct memory_process *process, const struct memory_region *region,
                      struct error *err)
{
    if (process->count == REGIONS_MAX)
        return error_set(err, E2BIG, "the RAM file is mapped in too many parts");
    if ((process->count & (process->count - 1)) == 0) { /* a power of two: full */
        size_t capacity = process->count == 0 ? 1 : process->count * 2;
        struct memory_region *grown =
            realloc(process->regions, capacity * sizeof *process->regions);
        if (grown == NULL)
            return error_system(err, ENOMEM, "cannot list the parts of the RAM file");
        process->regions = grown;
    }
    process->regions[process->count++] = *region;
    return 0;
}

static int compare_regions(const void *a, const void *b)
{
    const struct memory_region *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int find_regions(struct memory_process *process, const struct name *name, struct error *err)
{
    char path[32];
    CLEAN_FREE char *line = NULL;
    size_t capacity = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)process->pid);
    CLEAN_FILE FILE *maps = fopen(path, "re");
    if (maps == NULL)
        return error_system(err, errno, "cannot read %s", path);
    while (getline(&line, &capacity, maps) >= 0) {
        struct memory_region region;
        bool shared;
        if (!parse_line(line, name, &region, &shared))
            continue;
        if (process->count > 0 && shared != process->shared)
            return error_set(err, ENXIO, "process %d maps its RAM file in two ways",
                             (int)process->pid);
        process->shared = shared;
        int rc = add_region(process, &region, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The regions must be the whole memory, each part of it once. */
static int check_regions(struct memory_process *process, uint64_t size, struct error *err)
{
    uint64_t covered = 0;
    if (process->count > 0)
        qsort(process->regions, process->count, sizeof *process->regions, compare_regions);
    for (size_t i = 0; i < process->count && covered < size; i++) {
        if (process->regions[i].offset != covered)
            break;
        covered += process->regions[i].length;
    }
    if (covered < size)
        return error_set(err, ENXIO,
                         "process %d does not map its RAM file as expected: %" PRIu64 " of %" PRIu64
                         " bytes found in one piece",
                         (int)process->pid, covered, size);
    return 0;
}

/* Which way of reading works is found out now, not when the VM is stopped. */
static int open_files(struct memory_process *process, struct error *err)
{
    char path[32], probe;
    struct iovec local = {&probe, 1};
    struct iovec remote = {(void *)(uintptr_t)process->regions[0].address,
                           1}; // NOLINT(performance-no-int-to-ptr)
    snprintf(path, sizeof path, "/proc/%d/pagemap", (int)process->pid);
    process->pagemap = open(path, O_RDONLY | O_CLOEXEC);
    if (process->pagemap < 0)
        log_warn(LOG_QEMU, "cannot open %s (%s): copying all of the memory", path, strerror(errno));
    if (process_vm_readv(process->pid, &local, 1, &remote, 1, 0) == 1)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/mem", (int)process->pid);
    process->mem = open(path, O_RDONLY | O_CLOEXEC);
    if (process->mem < 0)
        return error_system(err, errno,
                            "cannot read the VM's memory (%s); only QEMU started by this process, "
                            "as the same user, can be read",
                            path);
    return 0;
}

int memory_process_open(struct memory_process *process, const struct memory_spec *spec,
                        struct error *err)
{
    struct name name = {0};
    *process = (struct memory_process){.pid = spec->pid, .pagemap = -1, .mem = -1};
    process->page = (uint64_t)sysconf(_SC_PAGESIZE);
    int rc = name_file(&name, spec, err);
    if (rc == 0)
        rc = find_regions(process, &name, err);
    if (rc == 0)
        rc = check_regions(process, spec->size, err);
    if (rc == 0)
        rc = open_files(process, err);
    return rc;
}

void memory_process_close(struct memory_process *process)
{
    cleanup_fd(&process->pagemap);
    cleanup_fd(&process->mem);
    free(process->regions);
    *process = (struct memory_process){.pagemap = -1, .mem = -1};
}

/* Where `offset` of the memory is, and how much of it follows there. */
static uint64_t address_of(const struct memory_process *process, uint64_t offset, uint64_t *length)
{
    size_t low = 0, high = process->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (process->regions[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    const struct memory_region *region = &process->regions[low];
    *length = region->length - (offset - region->offset);
    return region->address + (offset - region->offset);
}

int memory_process_modified(const struct memory_process *process, uint64_t offset, size_t pages,
                            uint64_t *bits, struct error *err)
{
    uint64_t entries[MEMORY_BLOCK_PAGES];
    for (size_t done = 0; process->pagemap >= 0 && done < pages;) {
        uint64_t here;
        uint64_t address = address_of(process, offset + done * process->page, &here);
        here /= process->page;
        size_t count = here < pages - done ? (size_t)here : pages - done;
        int rc = memory_read_at(process->pagemap, entries + done, count * sizeof *entries,
                                address / process->page * sizeof *entries);
        if (rc < 0)
            return error_system(err, rc == -ENODATA ? ESRCH : -rc,
                                "cannot find out which pages process %d has changed",
                                (int)process->pid);
        done += count;
    }
    for (size_t i = 0; i < pages; i++) {
        uint64_t own = process->pagemap < 0 || (entries[i] & PAGEMAP_SWAPPED) != 0 ||
                       (entries[i] & (PAGEMAP_PRESENT | PAGEMAP_FILE)) == PAGEMAP_PRESENT;
        bits[i / 64] |= own << i % 64;
    }
    return 0;
}

static int read_pieces(const struct memory_process *process, const struct iovec *pieces,
                       size_t count, uint8_t *to)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (process->mem >= 0) {
            int rc = memory_read_at(process->mem, to + size, pieces[i].iov_len,
                                    (uintptr_t)pieces[i].iov_base);
            if (rc < 0)
                return rc == -ENODATA ? -ESRCH : rc;
        }
        size += pieces[i].iov_len;
    }
    if (process->mem < 0) {
        struct iovec local = {to, size};
        ssize_t got = process_vm_readv(process->pid, &local, 1, pieces, count, 0);
        if (got < 0 || (size_t)got < size)
            return got < 0 ? -errno : -EFAULT;
    }
    return 0;
}

int memory_process_read(const struct memory_process *process, uint64_t offset, size_t pages,
                        const uint64_t *bits, uint8_t *to, struct error *err)
{
    struct iovec pieces[MEMORY_BLOCK_PAGES];
    size_t count = 0;
    uint64_t from = memory_find_bit(bits, 0, pages, true);
    while (from < pages) {
        uint64_t end = memory_find_bit(bits, from, pages, false), here;
        uint64_t address = address_of(process, offset + from * process->page, &here);
        uint64_t length = (end - from) * process->page;
        if (length > here)
            length = here;                                   /* the rest is in the next region */
        pieces[count].iov_base = (void *)(uintptr_t)address; // NOLINT(performance-no-int-to-ptr)
        pieces[count++].iov_len = length;
        from = memory_find_bit(bits, from + length / process->page, pages, true);
    }
    int rc = count > 0 ? read_pieces(process, pieces, count, to) : 0;
    if (rc < 0)
        return error_system(err, -rc, "cannot copy the memory of process %d", (int)process->pid);
    return 0;
}
