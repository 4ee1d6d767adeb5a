/*
 * Working directories that can be told from abandoned ones: the process that works in one holds
 * a lock on it, which the kernel releases when the process ends in whatever way.
 */
#ifndef VMDECK_VM_IMAGE_SCRATCH_H
#define VMDECK_VM_IMAGE_SCRATCH_H

#include <sys/types.h>

#include "base/error.h"

struct scratch {
    char *path; /* NULL: none */
    int lock;   /* descriptor of the directory, locked; close-on-exec */
};

/*
 * Removes abandoned directories of this user named `prefix`… in `parent`, then makes
 * parent/prefix<pid>-XXXXXX with this mode. Directories may hold files of the user's subordinate
 * ids.
 */
int scratch_open(const char *parent, const char *prefix, mode_t mode, struct scratch *out,
                 struct error *err);

/* Removes it (no matter if it was renamed away). SCRATCH_NONE is fine. */
void scratch_close(struct scratch *scratch);
#define CLEAN_SCRATCH __attribute__((cleanup(scratch_close)))
#define SCRATCH_NONE             \
    {                            \
        .path = NULL, .lock = -1 \
    }

#endif
