/*
 * An empty overlay is four clusters of 64 KiB: header with the backing file's name, refcount
 * table, refcount block, level-1 table. All of the L1 entries are zero, so every read goes to the
 * backing file.
 */
#include "vm/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { AT_HEADER, AT_REFCOUNT_TABLE, AT_REFCOUNT_BLOCK, AT_L1, CLUSTERS };

int disk_create_overlay(const char *path, const char *backing, const char *backing_format,
                        uint64_t size, struct error *err)
{
    uint8_t bytes[QCOW2_HEADER], table[8], block[CLUSTERS * 2];
    const struct qcow2_header header = {
        .backing = backing,
        .format = backing_format,
        .size = size / QCOW2_CLUSTER * QCOW2_CLUSTER + (size % QCOW2_CLUSTER ? QCOW2_CLUSTER : 0),
        .l1 = AT_L1 * QCOW2_CLUSTER,
        .refcounts = AT_REFCOUNT_TABLE * QCOW2_CLUSTER,
    };
    int rc = qcow2_header(bytes, &header, err);
    if (rc < 0)
        return rc;
    CLEAN_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_system(err, errno, "cannot create %s", path);
    qcow2_put(table, AT_REFCOUNT_BLOCK * QCOW2_CLUSTER, 8);
    for (size_t i = 0; i < CLUSTERS; i++)
        qcow2_put(block + i * 2, 1, 2);
    if (ftruncate(fd, CLUSTERS * QCOW2_CLUSTER) < 0 ||
        pwrite(fd, bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes ||
        pwrite(fd, table, sizeof table, AT_REFCOUNT_TABLE * QCOW2_CLUSTER) != sizeof table ||
        pwrite(fd, block, sizeof block, AT_REFCOUNT_BLOCK * QCOW2_CLUSTER) != sizeof block) {
        int code = errno != 0 ? errno : EIO;
        unlink(path);
        return error_system(err, code, "cannot write %s", path);
    }
    return 0;
}
