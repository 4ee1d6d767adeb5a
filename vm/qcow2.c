/*
 * The header, and reading: L1 table → L2 tables → clusters, all numbers big-endian. Refcounts are
 * not read, since all that they could tell is that a cluster is shared; instead a bitmap notes
 * what has been pointed at, and a second pointer to it is damage. This also bounds what a small
 * file can unfold to: never more than its own size.
 */
#include "vm/qcow2.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CLUSTER_BITS  16
#define NAME_MAX_SIZE 1023
#define FILE_SIZE_MAX (2 * QCOW2_SIZE_MAX) /* keeps the bitmap at 16 MiB */

#define ENTRY_OFFSET     0x00fffffffffffe00
#define ENTRY_COPIED     ((uint64_t)1 << 63)
#define ENTRY_COMPRESSED ((uint64_t)1 << 62)

enum {
    H_VERSION = 4,
    H_BACKING = 8,
    H_BACKING_SIZE = 16,
    H_CLUSTER_BITS = 20,
    H_SIZE = 24,
    H_ENCRYPTION = 32,
    H_L1_COUNT = 36,
    H_L1 = 40,
    H_REFCOUNTS = 48,
    H_REFCOUNT_CLUSTERS = 56,
    H_SNAPSHOTS = 60,
    H_INCOMPATIBLE = 72,
    H_REFCOUNT_BITS = 96,
    H_LENGTH = 100,
    H_END = 104,
    H_FORMAT = H_END,          /* header extension: format of the backing file */
    H_NAME = H_FORMAT + 16 + 8 /* behind that and the empty extension that ends the list */
};
#define EXTENSION_FORMAT 0xe2792aca
_Static_assert(H_NAME + NAME_MAX_SIZE <= QCOW2_HEADER, "the backing file's name fits");

void qcow2_put(uint8_t *p, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, value >>= 8)
        p[i] = (uint8_t)value;
}

static uint64_t header_get(const uint8_t *header, size_t at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | header[at + i];
    return value;
}

int qcow2_header(uint8_t out[QCOW2_HEADER], const struct qcow2_header *header, struct error *err)
{
    uint64_t size = header->size;
    if (size == 0 || size > QCOW2_SIZE_MAX || size % 512 != 0)
        return error_set(err, EINVAL,
                         "a disk of %llu bytes is not possible (a multiple of 512, 4T at most)",
                         (unsigned long long)size);
    size_t name = strlen(header->backing);
    if (header->backing[0] != '/' || name > NAME_MAX_SIZE)
        return error_set(err, ENAMETOOLONG, "%s: not usable as a backing file", header->backing);
    memset(out, 0, QCOW2_HEADER);
    memcpy(out, "QFI\xfb", 4);
    qcow2_put(out + H_VERSION, 3, 4);
    qcow2_put(out + H_BACKING, H_NAME, 8);
    qcow2_put(out + H_BACKING_SIZE, name, 4);
    qcow2_put(out + H_CLUSTER_BITS, CLUSTER_BITS, 4);
    qcow2_put(out + H_SIZE, size, 8);
    qcow2_put(out + H_L1_COUNT, (size + QCOW2_L2_COVERS - 1) / QCOW2_L2_COVERS, 4);
    qcow2_put(out + H_L1, header->l1, 8);
    qcow2_put(out + H_REFCOUNTS, header->refcounts, 8);
    qcow2_put(out + H_REFCOUNT_CLUSTERS, 1, 4);
    qcow2_put(out + H_REFCOUNT_BITS, 4, 4); /* refcounts of 2^4 bits */
    qcow2_put(out + H_LENGTH, H_END, 4);
    size_t format = strlen(header->format);
    qcow2_put(out + H_FORMAT, EXTENSION_FORMAT, 4);
    qcow2_put(out + H_FORMAT + 4, format, 4);
    memcpy(out + H_FORMAT + 8, header->format, format <= 8 ? format : 8);
    memcpy(out + H_NAME, header->backing, name);
    return 0;
}

int qcow2_read(const struct qcow2 *image, uint64_t offset, void *data, size_t size,
               struct error *err)
{
    uint8_t *to = data;
    while (size > 0) {
        ssize_t got = pread(image->fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(err, errno, "cannot read");
        if (got == 0)
            break;
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    memset(to, 0, size);
    return 0;
}

/* Notes that something points at this cluster, of which `size` bytes have to be in the file. */
static int cluster_claim(struct qcow2 *image, uint64_t offset, uint64_t size, struct error *err)
{
    if (offset % QCOW2_CLUSTER != 0 || offset > image->file_size ||
        size > image->file_size - offset)
        return error_set(err, EBADMSG, "damaged: an entry points at %#llx",
                         (unsigned long long)offset);
    uint64_t cluster = offset / QCOW2_CLUSTER;
    uint8_t bit = (uint8_t)(1u << cluster % 8);
    if ((image->used[cluster / 8] & bit) != 0)
        return error_set(err, EBADMSG, "damaged: two entries point at %#llx",
                         (unsigned long long)offset);
    image->used[cluster / 8] |= bit;
    return 0;
}

/* Fields that must have one value, and the word for what it means if they don't. */
static const struct {
    uint8_t at, bytes;
    uint8_t wanted;
    const char *otherwise;
} shape[] = {
    {H_VERSION, 4, 3, "is not of version 3"},
    {H_CLUSTER_BITS, 4, CLUSTER_BITS, "has clusters of another size than 64 KiB"},
    {H_ENCRYPTION, 4, 0, "is encrypted"},
    {H_SNAPSHOTS, 4, 0, "has internal snapshots"},
    {H_REFCOUNT_BITS, 4, 4, "has refcounts of other than 16 bits"},
};

static int header_check(const uint8_t header[H_END], struct error *err)
{
    enum { DIRTY = 1, CORRUPT = 2 };
    if (memcmp(header, "QFI\xfb", 4) != 0)
        return error_set(err, EBADMSG, "is no qcow2 image");
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        if (header_get(header, shape[i].at, shape[i].bytes) != shape[i].wanted)
            return error_set(err, ENOTSUP, "%s", shape[i].otherwise);
    uint64_t features = header_get(header, H_INCOMPATIBLE, 8);
    if ((features & CORRUPT) != 0)
        return error_set(err, EBADMSG, "is marked as damaged");
    if ((features & DIRTY) != 0)
        return error_set(err, EBADMSG, "was not closed properly");
    if (features != 0)
        return error_set(err, ENOTSUP, "has features that are not known here (%#llx)",
                         (unsigned long long)features);
    uint64_t size = header_get(header, H_SIZE, 8);
    if (size == 0 || size > QCOW2_SIZE_MAX || size % 512 != 0)
        return error_set(err, EBADMSG, "damaged: a disk of %llu bytes", (unsigned long long)size);
    return 0;
}

static int l1_read(struct qcow2 *image, const uint8_t *header, struct error *err)
{
    uint64_t at = header_get(header, H_L1, 8), listed = header_get(header, H_L1_COUNT, 4);
    image->l1_count = (size_t)((image->size + QCOW2_L2_COVERS - 1) / QCOW2_L2_COVERS);
    if (listed < image->l1_count)
        return error_set(err, EBADMSG, "damaged: its level-1 table is too short");
    uint64_t clusters = image->file_size / QCOW2_CLUSTER + 1;
    image->used = calloc(1, (size_t)(clusters / 8 + 1));
    image->l1 = calloc(image->l1_count, sizeof *image->l1);
    if (image->used == NULL || image->l1 == NULL)
        return error_set(err, ENOMEM, "out of memory");
    image->used[0] = 1;                                /* the header */
    size_t size = image->l1_count * sizeof *image->l1; /* one cluster at most */
    int rc = cluster_claim(image, at, size, err);
    if (rc == 0)
        rc = qcow2_read(image, at, image->l1, size, err);
    for (size_t i = 0; i < image->l1_count && rc == 0; i++) {
        uint64_t entry = be64toh(image->l1[i]);
        image->l1[i] = entry & ENTRY_OFFSET;
        if ((entry & ~(ENTRY_OFFSET | ENTRY_COPIED)) != 0)
            rc = error_set(err, EBADMSG, "damaged: level-1 entry %zu", i);
        else if (image->l1[i] != 0)
            rc = cluster_claim(image, image->l1[i], QCOW2_CLUSTER, err);
    }
    return rc;
}

int qcow2_open(struct qcow2 *image, const char *path, struct error *err)
{
    uint8_t header[H_END];
    struct stat st;
    *image = (struct qcow2){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (image->fd < 0 || fstat(image->fd, &st) < 0)
        return error_system(err, errno, "cannot open %s", path);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_SIZE_MAX)
        return error_set(err, EBADMSG, "%s: no regular file, or larger than 8T", path);
    image->file_size = (uint64_t)st.st_size;
    int rc = qcow2_read(image, 0, header, sizeof header, err);
    if (rc == 0)
        rc = header_check(header, err);
    if (rc == 0) {
        image->size = header_get(header, H_SIZE, 8);
        rc = l1_read(image, header, err);
    }
    return rc < 0 ? error_wrap(err, "%s", path) : 0;
}

void qcow2_close(struct qcow2 *image)
{
    cleanup_fd(&image->fd);
    image->fd = -1;
    free(image->l1);
    free(image->used);
    image->l1 = NULL;
    image->used = NULL;
}

static int entry_read(struct qcow2 *image, uint64_t *entry, struct error *err)
{
    uint64_t value = be64toh(*entry), offset = value & ENTRY_OFFSET;
    if ((value & ENTRY_COMPRESSED) != 0)
        return error_set(err, ENOTSUP, "has compressed clusters");
    if ((value & ~(ENTRY_OFFSET | ENTRY_COPIED | QCOW2_ZERO)) != 0)
        return error_set(err, EBADMSG, "damaged: level-2 entry %#llx", (unsigned long long)value);
    *entry = (value & QCOW2_ZERO) != 0 ? QCOW2_ZERO : offset;
    return offset != 0 ? cluster_claim(image, offset, 1, err) : 0;
}

int qcow2_table(struct qcow2 *image, size_t index, uint64_t entries[QCOW2_ENTRIES],
                struct error *err)
{
    if (index >= image->l1_count || image->l1[index] == 0) {
        memset(entries, 0, QCOW2_CLUSTER);
        return 0;
    }
    int rc = qcow2_read(image, image->l1[index], entries, QCOW2_CLUSTER, err);
    for (size_t i = 0; i < QCOW2_ENTRIES && rc == 0; i++)
        if (entries[i] != 0)
            rc = entry_read(image, &entries[i], err);
    return rc;
}
