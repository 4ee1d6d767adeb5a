/*
 * A map from anywhere, for a memory of 64 pages: refused, or the file that is made has each page
 * where the map says. The first byte says how many pages the file has.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "vm/memory.h"

#define PAGES ((uint64_t)64)
#define SIZE  (PAGES * MEMORY_PAGE)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ram, const uint8_t *map, size_t map_size)
{
    uint8_t expected[PAGES] = {0}, page[MEMORY_PAGE], number = 0;
    for (; map_size > 0; map += MEMORY_MAP_ENTRY, map_size -= MEMORY_MAP_ENTRY)
        for (uint64_t i = 0; i < get_u64(map + 8) / MEMORY_PAGE; i++)
            expected[get_u64(map) / MEMORY_PAGE + i] = ++number;
    for (uint64_t i = 0; i < PAGES; i++)
        if (pread(ram, page, sizeof page, (off_t)(i * MEMORY_PAGE)) != MEMORY_PAGE ||
            page[0] != expected[i] || memcmp(page, page + 1, sizeof page - 1) != 0)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    struct stat status;
    uint8_t page[MEMORY_PAGE];
    if (size < 1)
        return 0;
    CLEAN_FD int pages = memfd_create("pages", MFD_CLOEXEC);
    CLEAN_FD int ram = memfd_create("ram", MFD_CLOEXEC);
    for (int i = 0; i < data[0] % 80; i++) {
        memset(page, i + 1, sizeof page);
        if (write(pages, page, sizeof page) != MEMORY_PAGE)
            abort();
    }
    struct memory_source source = {data + 1, size - 1, pages, 0,
                                   (uint64_t)(data[0] % 80) * MEMORY_PAGE};
    int rc = memory_restore(&source, ram, SIZE, NULL, &err);
    if (fstat(ram, &status) < 0 || (uint64_t)status.st_size != (rc == 0 ? SIZE : 0))
        abort();
    if (rc == 0)
        check(ram, source.map, source.map_size);
    return 0;
}
