/*
 * Disks: a qcow2 overlay on a read-only backing file (QEMU's docs/interop/qcow2.txt, version 3).
 * The header is written here, because starting qemu-img would cost more than the rest of a fork.
 */
#ifndef VMDECK_VM_DISK_H
#define VMDECK_VM_DISK_H

#include <stdint.h>

#include "base/error.h"

#define DISK_SIZE_MAX ((uint64_t)4 << 40) /* what one cluster of level-1 table can address */

/*
 * Creates `path` (mode 0600; it must not exist): an empty overlay of `size` bytes, rounded up to
 * a whole cluster, whose content is the raw file `backing` (an absolute path of at most 1023
 * bytes; beyond its end the disk reads as zeros).
 */
int disk_create_overlay(const char *path, const char *backing, const char *backing_format,
                        uint64_t size, struct error *err);

#endif
