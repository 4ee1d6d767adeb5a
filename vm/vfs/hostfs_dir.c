/*
 * Directories: getdents64(2) with the host's own offsets, which stay good while entries come and
 * go as far as the host's file system promises that. A batch is kept with the handle, because one
 * FUSE reply takes only some of it.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vm/vfs/hostfs_parts.h"

#define LISTING_SIZE 32768u

struct listing {
    uint64_t here; /* offset of the entry at `at` */
    size_t at, length;
    bool started;
    _Alignas(8) uint8_t entries[LISTING_SIZE];
};

static int fill(struct handle *handle, struct listing *listing)
{
    listing->at = listing->length = 0;
    long n = syscall(SYS_getdents64, handle->fd, listing->entries, sizeof listing->entries);
    if (n < 0)
        return -errno;
    listing->length = (size_t)n;
    return 0;
}

static int seek_to(struct handle *handle, struct listing *listing, uint64_t offset)
{
    if (listing->started && listing->here == offset && listing->at < listing->length)
        return 0;
    if (!listing->started || listing->here != offset || offset == 0)
        if (lseek(handle->fd, (off_t)offset, SEEK_SET) < 0)
            return -errno;
    listing->started = true;
    listing->here = offset;
    return fill(handle, listing);
}

int hostfs_readdir(struct provider *provider, struct handle *handle, uint64_t offset,
                   provider_entry *entry, void *context)
{
    (void)provider;
    struct listing *listing = handle->listing;
    if (listing == NULL) {
        listing = handle->listing = malloc(sizeof *listing);
        if (listing == NULL)
            return -ENOMEM;
        listing->started = false;
        listing->at = listing->length = 0;
    }
    int rc = seek_to(handle, listing, offset);
    while (rc == 0 && listing->at < listing->length) {
        const struct dirent64 *one = (const void *)(listing->entries + listing->at);
        if (!entry(context, one->d_name, one->d_ino, one->d_type, (uint64_t)one->d_off))
            return 0;
        listing->here = (uint64_t)one->d_off;
        listing->at += one->d_reclen;
        if (listing->at == listing->length)
            rc = fill(handle, listing);
    }
    return rc;
}
