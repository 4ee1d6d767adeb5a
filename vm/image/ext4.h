/*
 * Writes an ext4 file system into a regular sparse file: no root, no mount. Entries come in any
 * order; the caller goes over them twice, once to measure, once to write.
 *
 *     struct ext4_size size = {0};
 *     ext4_measure(&size, &entry);              for every entry
 *     ext4_create(path, label, &size, &fs, err);
 *     ext4_add(fs, &entry, err);                for every entry
 *     ext4_finish(fs, err);
 *
 * Blocks of 4 KiB, extents, inodes of 256 bytes, metadata_csum, 64bit, flex_bg, resize_inode (so
 * that the kernel can grow it while it is mounted), no journal; areas of zeroes become holes.
 * Not thread-safe per file system.
 */
#ifndef VMDECK_VM_IMAGE_EXT4_H
#define VMDECK_VM_IMAGE_EXT4_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct ext4;

struct ext4_xattr {
    const char *name; /* with its namespace: security.capability */
    const void *value;
    size_t size; /* all of an inode's together must fit in a block */
};

/*
 * Gives the next piece of a file's data, in rising order of offset; what is left out is a hole.
 * 1, 0 at the end, or a negative errno.
 */
typedef int ext4_read(void *context, const void **data, size_t *size, uint64_t *offset,
                      struct error *err);

/* One name. Strings and values are only used during the call. */
struct ext4_entry {
    const char *path;   /* from the root; "/", "./" or nothing in front; ".." is refused */
    const char *link;   /* not NULL: a further name of that file; nothing below counts then */
    const char *target; /* of a symlink */
    int64_t mtime;
    uint64_t size;   /* of a file, bytes */
    uint64_t stored; /* how much of it is no hole; only ext4_measure looks at it */
    ext4_read *read; /* may be NULL where size is 0 */
    void *context;
    const struct ext4_xattr *xattrs;
    size_t xattr_count;
    mode_t mode; /* type and permissions */
    uint32_t uid, gid;
    uint32_t mtime_ns;
    uint32_t major, minor; /* of a device */
};

struct ext4_size {
    uint64_t blocks, inodes, name_bytes;
};

void ext4_measure(struct ext4_size *size, const struct ext4_entry *entry);

/* Makes (or empties) the file. It gets what was measured and 64 MiB to spare. */
int ext4_create(const char *path, const char *label, const struct ext4_size *size,
                struct ext4 **out, struct error *err);

/*
 * Directories that are missing above the entry are made (0755, root) and take over their own
 * entry's attributes should it come later. Symlinks among them are followed inside the file
 * system. A path that is there is replaced, except a directory that is not empty.
 * -ENOSPC: more than was measured; -E2BIG: attributes that don't fit.
 */
int ext4_add(struct ext4 *ext4, const struct ext4_entry *entry, struct error *err);

/* Writes the directories and syncs. Frees *ext4 in every case. */
int ext4_finish(struct ext4 **ext4, struct error *err);

/* Gives up: frees, the file stays as it is. For CLEAN_EXT4 on the way out of a failure. */
void ext4_abort(struct ext4 **ext4);
#define CLEAN_EXT4 __attribute__((cleanup(ext4_abort)))

#endif
