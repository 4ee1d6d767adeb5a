/*
 * An empty overlay is four clusters of 64 KiB: header with the backing file's name, refcount
 * table, refcount block, level-1 table. All of the L1 entries are zero, so every read goes to the
 * backing file. qcow2 is big-endian.
 */
#include "vm/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"

#define CLUSTER_BITS  16
#define CLUSTER       ((uint64_t)1 << CLUSTER_BITS)
#define L1_COVERS     (CLUSTER / 8 * CLUSTER) /* bytes of disk behind one L1 entry */
#define DISK_NAME_MAX 1023

enum { AT_HEADER, AT_REFCOUNT_TABLE, AT_REFCOUNT_BLOCK, AT_L1, CLUSTERS };

static void put_be(uint8_t *p, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, value >>= 8)
        p[i] = (uint8_t)value;
}

static void disk_header(uint8_t header[static 2048], const char *backing, const char *format,
                        uint64_t size)
{
    enum { HEADER = 104, FORMAT = HEADER, END = FORMAT + 16, NAME = END + 8 };
    memset(header, 0, 2048);
    memcpy(header, "QFI\xfb", 4);
    put_be(header + 4, 3, 4);
    put_be(header + 8, NAME, 8);
    put_be(header + 16, strlen(backing), 4);
    put_be(header + 20, CLUSTER_BITS, 4);
    put_be(header + 24, size, 8);
    put_be(header + 36, (size + L1_COVERS - 1) / L1_COVERS, 4);
    put_be(header + 40, AT_L1 * CLUSTER, 8);
    put_be(header + 48, AT_REFCOUNT_TABLE * CLUSTER, 8);
    put_be(header + 56, 1, 4); /* clusters of refcount table */
    put_be(header + 96, 4, 4); /* refcounts of 2^4 bits */
    put_be(header + 100, HEADER, 4);
    put_be(header + FORMAT, 0xe2792aca, 4); /* header extension: format of the backing file */
    put_be(header + FORMAT + 4, strlen(format), 4);
    memcpy(header + FORMAT + 8, format, strlen(format));
    memcpy(header + NAME, backing, strlen(backing));
}

int disk_create_overlay(const char *path, const char *backing, const char *backing_format,
                        uint64_t size, struct error *err)
{
    if (size == 0 || size > DISK_SIZE_MAX)
        return error_set(err, EINVAL, "a disk of %llu bytes is not possible (4T at most)",
                         (unsigned long long)size);
    if (backing[0] != '/' || strlen(backing) > DISK_NAME_MAX)
        return error_set(err, ENAMETOOLONG, "%s: not usable as a backing file", backing);
    size = (size + CLUSTER - 1) / CLUSTER * CLUSTER;
    CLEAN_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_system(err, errno, "cannot create %s", path);
    uint8_t header[2048], table[8], block[CLUSTERS * 2];
    disk_header(header, backing, backing_format, size);
    put_be(table, AT_REFCOUNT_BLOCK * CLUSTER, 8);
    for (int i = 0; i < CLUSTERS; i++)
        put_be(block + (size_t)i * 2, 1, 2);
    if (ftruncate(fd, CLUSTERS * CLUSTER) < 0 ||
        pwrite(fd, header, sizeof header, 0) != (ssize_t)sizeof header ||
        pwrite(fd, table, sizeof table, AT_REFCOUNT_TABLE * CLUSTER) != (ssize_t)sizeof table ||
        pwrite(fd, block, sizeof block, AT_REFCOUNT_BLOCK * CLUSTER) != (ssize_t)sizeof block) {
        int code = errno != 0 ? errno : EIO;
        unlink(path);
        return error_system(err, code, "cannot write %s", path);
    }
    return 0;
}
