/*
 * A snapshot from anybody. The first byte chooses: 't', the rest of the input is the end of the
 * file; anything else, it is the manifest, and gets the trailer that it needs, which no fuzzer
 * would find. In front of it are three clusters of zeros. Whatever was understood can be read.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vm/snapfile.h"
#include "vm/snapfile_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRONT (3 * SNAPFILE_ALIGNMENT)

static void add(int fd, off_t at, const void *data, size_t size)
{
    if (pwrite(fd, data, size, at) != (ssize_t)size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[32];
    if (size == 0)
        return 0;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) < 0 || ftruncate(fd, FRONT) < 0)
        abort();
    bool tail = data[0] == 't';
    add(fd, FRONT, data + tail, size - tail);
    if (!tail) {
        uint8_t trailer[TRAILER_SIZE];
        char hex[HASH_HEX_SIZE];
        if (hash_memory(data, size, hex, NULL) < 0)
            abort();
        trailer_make(trailer, FRONT, size, hex);
        add(fd, (off_t)(FRONT + size), trailer, sizeof trailer);
    }
    CLEAN_SNAPFILE struct snapfile *file = NULL;
    if (snapfile_open(&file, path, NULL) < 0)
        return 0;
    for (size_t i = 0; i < file->sections.count; i++) {
        uint8_t last;
        const struct section *section = &file->sections.rows[i];
        if (section->offset + section->length > FRONT ||
            snapfile_read(file, section->name, section->length, &last, 1, NULL) == 0 ||
            (section->length > 0 &&
             snapfile_read(file, section->name, section->length - 1, &last, 1, NULL) < 0))
            abort();
    }
    return 0;
}
