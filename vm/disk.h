/*
 * Disks: a qcow2 overlay on a read-only backing file (QEMU's docs/interop/qcow2.txt, version 3).
 * It is written here, because starting qemu-img would cost more than the rest of a fork.
 */
#ifndef VMDECK_VM_DISK_H
#define VMDECK_VM_DISK_H

#include <stdint.h>

#include "base/error.h"
#include "vm/qcow2.h"

#define DISK_SIZE_MAX QCOW2_SIZE_MAX

/*
 * Creates `path` (mode 0600; it must not exist): an empty overlay of `size` bytes, rounded up to
 * a whole cluster, whose content is the file `backing` (an absolute path of at most 1023 bytes;
 * beyond its end the disk reads as zeros) of the format "raw" or "qcow2".
 */
int disk_create_overlay(const char *path, const char *backing, const char *backing_format,
                        uint64_t size, struct error *err);

#endif
