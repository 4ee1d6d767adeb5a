/* What the parts of memory.h share: the other process, work on several threads, whole reads. */
#ifndef VMDECK_VM_MEMORY_INTERNAL_H
#define VMDECK_VM_MEMORY_INTERNAL_H

#include <stdbool.h>

#include "vm/memory.h"

#define MEMORY_BLOCK_PAGES 512 /* the unit of work; 2 MiB with pages of 4 KiB */
#define MEMORY_BLOCK_WORDS (MEMORY_BLOCK_PAGES / 64)
#define MEMORY_CHUNK       ((size_t)1 << 20)

/* Part of the RAM file that is mapped at consecutive addresses. */
struct memory_region {
    uint64_t offset, length, address;
};

/* The process that maps the RAM file. */
struct memory_process {
    pid_t pid;
    uint64_t page;
    int pagemap;                   /* -1: cannot be read */
    int mem;                       /* -1: process_vm_readv() works */
    bool shared;                   /* the file is the memory */
    struct memory_region *regions; /* ascending, without gaps */
    size_t count;
};

int memory_process_open(struct memory_process *process, const struct memory_spec *spec,
                        struct error *err);
void memory_process_close(struct memory_process *process);

/* Sets the bits of the pages, at most a block's, from `offset` on that are the process's own. */
int memory_process_modified(const struct memory_process *process, uint64_t offset, size_t pages,
                            uint64_t *bits, struct error *err);

/* Reads those of the pages whose bits are set, one behind the other. */
int memory_process_read(const struct memory_process *process, uint64_t offset, size_t pages,
                        const uint64_t *bits, uint8_t *to, struct error *err);

struct memory_copy {
    struct memory_process process;
    int ram;
    uint64_t size, limit;
    char *spill_directory;
    unsigned threads;
    const volatile int *cancel;
    uint64_t pages, blocks;
    uint64_t *bits;  /* a page's bit is set if it is in the copy */
    uint64_t *first; /* a block's first page in the copy; one more than blocks */
    void *mapped;    /* the copy, where it is in memory … */
    size_t mapped_size;
    uint8_t *memory; /* … from here on */
    int spill;       /* or -1 */
};

/* The first page from `page` on, below `end`, whose bit is `value`, or `end`. */
uint64_t memory_find_bit(const uint64_t *bits, uint64_t page, uint64_t end, bool value);

/* One unit of work. Called on several threads at once. */
typedef int memory_work(void *context, uint64_t unit, struct error *err);

/* Does the units on up to `threads` threads, one of them the caller's. The first failure ends it.
 */
int memory_parallel(unsigned threads, uint64_t units, memory_work *work, void *context,
                    const volatile int *cancel, struct error *err);

/* How many threads are of use to us. */
unsigned memory_threads(void);

static inline bool memory_canceled(const volatile int *cancel)
{
    return cancel != NULL && *cancel != 0;
}

/* All bytes or a negative errno; the end of the file is -ENODATA. */
int memory_read_at(int fd, void *data, size_t size, uint64_t offset);
int memory_write_at(int fd, const void *data, size_t size, uint64_t offset);

#endif
