/* One mapping each: there are few of them, and a page of its own is what mlock() works on. */
#include "net/secret_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

void *secret_memory_new(size_t size, struct error *err)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        error_system(err, errno, "cannot get memory for a secret");
        return NULL;
    }
    if (mlock(memory, size) != 0 || madvise(memory, size, MADV_DONTDUMP) != 0) {
        error_set(err, errno, "cannot lock memory for a secret: %s (raise the limit, ulimit -l)",
                  strerror(errno));
        munmap(memory, size);
        return NULL;
    }
    return memory;
}

void secret_memory_free(void *memory, size_t size)
{
    if (memory == NULL)
        return;
    explicit_bzero(memory, size);
    munmap(memory, size);
}

void secret_buf_free(struct buf *buf)
{
    if (buf->memory != NULL)
        explicit_bzero(buf->memory, buf->capacity);
    buf_free(buf);
}
