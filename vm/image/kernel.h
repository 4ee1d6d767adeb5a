/* A Linux kernel file made fit for booting with -kernel. */
#ifndef VMDECK_VM_IMAGE_KERNEL_H
#define VMDECK_VM_IMAGE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

#define KERNEL_SIZE_MAX (256u << 20)

/*
 * The uncompressed vmlinux out of an x86 bzImage, if it has a PVH entry (QEMU then starts it
 * directly, which is faster than its decompressor). -ENOTSUP: no bzImage, unknown compression or
 * no PVH entry: the kernel is to be used as it is. -EBADMSG: damaged.
 */
int kernel_unpack(const uint8_t *image, size_t size, struct buf *out, struct error *err);

/* Whether this is a 64-bit x86 ELF file with a PVH entry. */
bool kernel_has_pvh(const uint8_t *elf, size_t size);

#endif
