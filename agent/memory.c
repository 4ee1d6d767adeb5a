/*
 * malloc for the agent. musl's gives memory back to the kernel at once and asks for it again with
 * the next frame: two changes of the address space for each command, which emulation makes the
 * dearest part of it. Here blocks have sizes of powers of two; a freed one waits in the list of its
 * size and is used again. What is larger than a few frames is mapped by itself and given back, so
 * that a burst does not stay. Single-threaded, as the agent is.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CLASS_MIN   6  /* 64 bytes, header included */
#define CLASS_MAX   17 /* 128 KiB */
#define CLASSES     (CLASS_MAX + 1)
#define ARENA_CHUNK ((size_t)512 * 1024)

/* In front of each block; `next` lies where the user's bytes would. */
struct block {
    size_t size; /* of the whole block: a power of two, or what was mapped */
    _Alignas(16) struct block *next;
};
#define HEADER offsetof(struct block, next)

static struct block *lists[CLASSES];
static uint8_t *arena, *arena_end;

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

static struct block *carve(size_t size)
{
    if ((size_t)(arena_end - arena) < size) {
        uint8_t *more = map(ARENA_CHUNK); /* the rest of the last one is lost: less than a block */
        if (more == NULL)
            return NULL;
        arena = more;
        arena_end = more + ARENA_CHUNK;
    }
    struct block *block = (struct block *)(void *)arena;
    arena += size;
    return block;
}

static unsigned class_of(size_t size)
{
    unsigned class = CLASS_MIN;
    while (((size_t)1 << class) < size)
        class ++;
    return class;
}

/* Not called malloc: where that is followed by memset(), compilers make a calloc() of the two. */
static void *take(size_t size)
{
    struct block *block;
    if (size > PTRDIFF_MAX - 4096) {
        errno = ENOMEM;
        return NULL;
    }
    size += HEADER;
    if (size > (size_t)1 << CLASS_MAX) {
        size = (size + 4095) & ~(size_t)4095;
        block = map(size);
    } else {
        unsigned class = class_of(size);
        size = (size_t)1 << class;
        block = lists[class];
        if (block != NULL)
            lists[class] = block->next;
        else
            block = carve(size);
    }
    if (block == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    block->size = size;
    return (uint8_t *)block + HEADER;
}

void *malloc(size_t size)
{
    return take(size);
}

void free(void *memory)
{
    if (memory == NULL)
        return;
    struct block *block = (struct block *)(void *)((uint8_t *)memory - HEADER);
    if (block->size > (size_t)1 << CLASS_MAX) {
        munmap(block, block->size);
        return;
    }
    unsigned class = class_of(block->size);
    block->next = lists[class];
    lists[class] = block;
}

void *calloc(size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) {
        errno = ENOMEM;
        return NULL;
    }
    void *memory = take(count * size);
    return memory != NULL ? memset(memory, 0, count * size) : NULL;
}

void *realloc(void *memory, size_t size)
{
    if (memory == NULL)
        return malloc(size);
    const struct block *block = (const struct block *)(const void *)((uint8_t *)memory - HEADER);
    size_t room = block->size - HEADER;
    if (size <= room)
        return memory;
    void *larger = malloc(size);
    if (larger == NULL)
        return NULL;
    memcpy(larger, memory, room);
    free(memory);
    return larger;
}
