/*
 * The memory of a running VM, taken without QEMU's help, and put back. A VM's RAM is a sparse file
 * of the guest's size that QEMU maps (memory-backend-file): privately in a fork, so that what the
 * guest changed is in QEMU's anonymous pages and the rest still in the file; or shared in a
 * template, where the file is the memory.
 *
 * In the order of use:
 *     memory_prepare()  the VM runs     finds what differs from the file, makes room for it
 *     memory_capture()  the VM is stopped     copies what differs; nothing else needs the VM
 *     memory_write()    the VM runs again, or is gone     hands out copy and file as one memory
 *     memory_release()
 * and with no VM: memory_write_file() (a template's RAM file), memory_restore().
 *
 * A memory is stored as its pages that are not all zero, in order ("pages"), and a map that says
 * where they belong: an array of { u64 offset, u64 length }, little-endian, in bytes, both
 * multiples of MEMORY_PAGE, ascending, not overlapping; the lengths add up to the size of the
 * pages.
 *
 * Everything here blocks and is meant for worker threads; one copy is used by one thread at a
 * time. `cancel` may be NULL; found non-zero, the function ends with -ECANCELED. Sizes are bytes.
 * See proc(5) for maps, pagemap and mem; the kernel's Documentation/admin-guide/mm/pagemap.rst.
 */
#ifndef VMDECK_VM_MEMORY_H
#define VMDECK_VM_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

#define MEMORY_PAGE        4096
#define MEMORY_SIZE_MAX    ((uint64_t)1 << 40)
#define MEMORY_MAP_ENTRY   16 /* bytes of an entry of the map */
#define MEMORY_THREADS_MAX 8

struct memory_copy;

struct memory_spec {
    pid_t pid;         /* QEMU, a child of ours that nobody reaps before memory_capture() is done */
    int ram;           /* its RAM file, readable; open until memory_release(); its position moves */
    uint64_t size;     /* of the guest's memory: a multiple of the host's page size */
    const char *spill; /* directory for a temporary file, should the copy be too much for memory */
    uint64_t limit;    /* bytes of memory that the copy may take; 0: a third of MemAvailable */
    unsigned threads;  /* 0: one per CPU; at most MEMORY_THREADS_MAX */
    const volatile int *cancel; /* for memory_capture() too */
};

/*
 * Looks at the VM and gets ready to copy; all that can take long or fail for a reason known
 * beforehand does so here. *out is the caller's, to release. -ENXIO: the process does not map the
 * whole file; -EPERM, -EACCES: its memory cannot be read; -ENOSPC: no room for a large copy.
 */
int memory_prepare(struct memory_copy **out, const struct memory_spec *spec, struct error *err);

/*
 * Copies what differs now. Call while nothing changes the guest's memory (QMP: stop, done). After a
 * failure memory_release() is all that is left to do with the copy; the VM is unharmed always.
 */
int memory_capture(struct memory_copy *copy, struct error *err);

/* Bytes that memory_capture() has copied; before it, those that memory_prepare() found. */
uint64_t memory_copied(const struct memory_copy *copy);

/* Takes the pages in order: at most 1 MiB at once. A failure ends the writing and is returned. */
struct memory_sink {
    int (*write)(void *context, const void *data, size_t size, struct error *err);
    void *context;
};

/*
 * Hands the captured memory to the sink, and appends the map to `map`. The RAM file must still be
 * as it was when captured where QEMU maps it privately (that of a template is never changed).
 */
int memory_write(const struct memory_copy *copy, const struct memory_sink *sink, struct buf *map,
                 const volatile int *cancel, struct error *err);

/* The same of a RAM file that nobody changes and that is the memory itself. Moves its position. */
int memory_write_file(int ram, uint64_t size, const struct memory_sink *sink, struct buf *map,
                      const volatile int *cancel, struct error *err);

void memory_release(struct memory_copy *copy); /* NULL is fine */
static inline void memory_cleanup_(struct memory_copy **copy)
{
    memory_release(*copy);
}
#define CLEAN_MEMORY __attribute__((cleanup(memory_cleanup_)))

/* Where a stored memory is. The map and the file are hostile: both are checked. */
struct memory_source {
    const uint8_t *map;
    size_t map_size;
    int fd;          /* the pages are `length` bytes of this file from `offset` on; its position */
    uint64_t offset; /* stays. With an offset that is a multiple of MEMORY_PAGE file systems that */
    uint64_t length; /* can share blocks do */
};

/*
 * Makes `ram`, an empty file open for reading and writing, the RAM file of a guest of `size` bytes.
 * -EBADMSG: the map is not one of `size` bytes of memory and `length` bytes of pages, or the file
 * is too short; nothing has been written if the map is at fault.
 */
int memory_restore(const struct memory_source *source, int ram, uint64_t size,
                   const volatile int *cancel, struct error *err);

#endif
