/* The default image's content: Debian, as a tar archive made by mmdebstrap(1). */
#ifndef VMDECK_VM_IMAGE_DEBIAN_H
#define VMDECK_VM_IMAGE_DEBIAN_H

#include "base/error.h"
#include "vm/image/archive.h"

#define DEBIAN_NAME "Debian 12"

/*
 * Writes the archive to `tar`, working in `directory` (others must be able to enter it: packages
 * are fetched by a user without rights). It has the kernel in boot/ and its modules with their
 * modules.dep, without the kernel's package being installed. progress: 0 to 1000 and the step.
 * -ENOENT: a program is missing (which, and how to get it); -ENETUNREACH; -ECANCELED; -EIO with
 * mmdebstrap's own reason.
 */
struct debian_job {
    const char *arch; /* x86_64 or aarch64: the machine's own */
    int tar;
    const char *directory;
    void (*progress)(void *context, unsigned per_mille, const char *step); /* may be NULL */
    void *context;
    const volatile int *cancel; /* may be NULL */
};

int debian_archive(const struct debian_job *job, struct error *err);

/* What the archive has of the machine it was made on, and what replaces it. */
extern const struct archive_override debian_overrides[];
extern const size_t debian_override_count;

#endif
