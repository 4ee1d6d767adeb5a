/*
 * A layer of a merge. The input is not the file, which would be mostly zeros, but what stands in
 * it: 104 bytes of header, then writes of 12 bytes: u32 position, 8 bytes of content. The file has
 * eight clusters; the L1 table of a sound one is the second, the L2 table the third. What could be
 * merged, merged once more, has to stay the same.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/frame.h"
#include "vm/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 104, WRITE = 12 };
#define FILE_SIZE (8 * QCOW2_CLUSTER)

static int merge(int from, int to, char hex[HASH_HEX_SIZE], uint64_t *length)
{
    char path[32];
    const char *const layers[] = {path};
    snprintf(path, sizeof path, "/proc/self/fd/%d", from);
    struct hash *hash = hash_start();
    if (hash == NULL || ftruncate(to, 0) < 0)
        abort();
    int rc = qcow2_merge(layers, 1, "/dev/null", QCOW2_L2_COVERS, to, hash, NULL, length, NULL);
    hash_finish(hash, hex);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *layer;
    static int fds[3];
    char first[HASH_HEX_SIZE], second[HASH_HEX_SIZE];
    uint64_t length = 0, again = 0;
    if (layer == NULL) {
        for (size_t i = 0; i < 3; i++)
            fds[i] = memfd_create("fuzz", MFD_CLOEXEC);
        if (ftruncate(fds[0], FILE_SIZE) < 0)
            abort();
        layer = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
        if (layer == MAP_FAILED)
            abort();
    }
    memset(layer, 0, FILE_SIZE);
    memcpy(layer, data, size < HEADER ? size : HEADER);
    for (size_t at = HEADER; at + WRITE <= size; at += WRITE)
        memcpy(layer + get_u32(data + at) % (FILE_SIZE - 8), data + at + 4, 8);
    if (merge(fds[0], fds[1], first, &length) < 0)
        return 0;
    if (length > FILE_SIZE + 4 * QCOW2_CLUSTER || merge(fds[1], fds[2], second, &again) < 0 ||
        length != again || strcmp(first, second) != 0)
        abort();
    return 0;
}
