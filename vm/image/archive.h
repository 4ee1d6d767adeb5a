/*
 * From a tar archive to the parts of an image: the root file system, and out of the same stream
 * the kernel and the modules of the initramfs.
 */
#ifndef VMDECK_VM_IMAGE_ARCHIVE_H
#define VMDECK_VM_IMAGE_ARCHIVE_H

#include "base/buf.h"
#include "base/error.h"
#include "vm/image/ext4.h"

/* A file that is put in place of the archive's own; NULL content: is left out. */
struct archive_override {
    const char *path; /* relative, without "./"; a '*' at the end stands for anything */
    const char *content;
};

struct archive_job {
    int tar; /* a regular file; any compression libarchive reads */
    const char *rootfs;
    const struct archive_override *overrides;
    size_t override_count;
    void (*progress)(void *context, unsigned per_mille); /* may be NULL */
    void *context;
    const volatile int *cancel; /* may be NULL */
};

struct archive_result {
    struct buf kernel;    /* the file boot/vmlinuz-…, as it is */
    char *kernel_version; /* of usr/lib/modules/<version> */
    struct buf initramfs; /* a whole cpio archive */
};

/*
 * Writes the root file system and gathers the rest. An archive without kernel or modules gives
 * empty results for these. -EBADMSG: the archive is damaged.
 */
int archive_convert(const struct archive_job *job, struct archive_result *out, struct error *err);

void archive_result_free(struct archive_result *result);
#define CLEAN_ARCHIVE_RESULT __attribute__((cleanup(archive_result_free)))

#endif
