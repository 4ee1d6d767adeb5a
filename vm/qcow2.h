/*
 * qcow2 images (QEMU's docs/interop/qcow2.txt, version 3) of the one shape that QEMU 7.2 gives
 * the disks we create: clusters of 64 KiB, 16-bit refcounts; no compression, encryption, internal
 * snapshot, external data file or extended L2 entries. Sizes and offsets are bytes.
 *
 * Layers are written by the QEMU of a hostile guest: nothing in them is believed. Not
 * thread-safe per object.
 */
#ifndef VMDECK_VM_QCOW2_H
#define VMDECK_VM_QCOW2_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

#define QCOW2_CLUSTER    ((uint64_t)1 << 16)
#define QCOW2_ENTRIES    ((size_t)8192)                  /* of 8 bytes, in a cluster */
#define QCOW2_L2_COVERS  (QCOW2_ENTRIES * QCOW2_CLUSTER) /* bytes of disk behind one L2 table */
#define QCOW2_SIZE_MAX   ((uint64_t)4 << 40)             /* what one cluster of L1 table covers */
#define QCOW2_LAYERS_MAX 256
#define QCOW2_HEADER     2048 /* bytes of header that we write */

struct qcow2_header {
    const char *backing; /* absolute path of at most 1023 bytes */
    const char *format;  /* of the backing file: "raw" or "qcow2" */
    uint64_t size;       /* of the disk; a multiple of 512, up to QCOW2_SIZE_MAX */
    uint64_t l1;         /* offset of the level-1 table, one cluster */
    uint64_t refcounts;  /* offset of the refcount table, one cluster */
};

/* -EINVAL, -ENAMETOOLONG: the disk is not possible. */
int qcow2_header(uint8_t out[QCOW2_HEADER], const struct qcow2_header *header, struct error *err);

/* Big-endian number of `bytes` bytes. */
void qcow2_put(uint8_t *p, uint64_t value, int bytes);

/* An image to be read, without the image behind it. */
struct qcow2 {
    int fd;
    uint64_t size;      /* of the disk */
    uint64_t file_size; /* of the file */
    uint64_t *l1;
    size_t l1_count; /* tables that the size calls for */
    uint8_t *used;   /* a bit for each cluster of the file that something points at */
};

/*
 * Opens it (regular files only). -EBADMSG: damaged, -ENOTSUP: of another shape; the message says
 * in what. qcow2_close() may be called either way.
 */
int qcow2_open(struct qcow2 *image, const char *path, struct error *err);
void qcow2_close(struct qcow2 *image);

#define QCOW2_ZERO ((uint64_t)1)

/*
 * Reads the L2 table number `index`, each at most once: every entry becomes 0 (what is behind this
 * image shows), QCOW2_ZERO, or the cluster's offset, which lies in the file, is aligned, and
 * belongs to no other entry.
 */
int qcow2_table(struct qcow2 *image, size_t index, uint64_t entries[QCOW2_ENTRIES],
                struct error *err);

/*
 * Reads a part of the file; what is beyond its end is zeros (QEMU need not write a last cluster
 * whole).
 */
int qcow2_read(const struct qcow2 *image, uint64_t offset, void *data, size_t size,
               struct error *err);

/*
 * Writes to out_fd, from its start and front to back, an image of `size` bytes that holds what any
 * of the layers holds, and has the raw file `backing` behind it. layers[] are paths, the topmost
 * first, which shows first. Where a layer is shorter than what is above it, zeros show. Zeros are
 * kept as zero clusters, or as nothing where `backing` has already ended.
 *
 * `hash` (may be NULL) gets every byte written, in the file's order; `cancel` (may be NULL) makes
 * it end with -ECANCELED; *length is the file's. Memory: 64 KiB for each 512 MiB of disk that holds
 * anything. Errors are those of qcow2_open() and of the system, -ENOSPC among them; what was
 * written until then is the caller's to remove.
 */
int qcow2_merge(const char *const layers[], size_t count, const char *backing, uint64_t size,
                int out_fd, struct hash *hash, const volatile int *cancel, uint64_t *length,
                struct error *err);

#endif
