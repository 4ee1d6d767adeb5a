/*
 * libext2fs (e2fsprogs' manual, "libext2fs"), loaded late (base/late.h): only the making of images
 * writes file systems.
 */
#ifndef VMDECK_VM_IMAGE_LIBEXT2FS_H
#define VMDECK_VM_IMAGE_LIBEXT2FS_H

/* ext2fs.h needs these first and doesn't include them itself */
#include <stdint.h>
#include <sys/types.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <ext2fs/ext2fs.h>
#pragma GCC diagnostic pop

#include "base/error.h"

/* What we call, without its "ext2fs_". */
#define LIBEXT2FS_FUNCTIONS(X) \
    X(allocate_tables)         \
    X(bg_flags_set)            \
    X(block_alloc_stats_range) \
    X(blocks_count)            \
    X(blocks_count_set)        \
    X(close_free)              \
    X(create_resize_inode)     \
    X(extent_free)             \
    X(extent_insert)           \
    X(extent_open2)            \
    X(free)                    \
    X(free_ext_attr)           \
    X(group_desc_csum_set)     \
    X(iblk_add_blocks)         \
    X(init_csum_seed)          \
    X(initialize)              \
    X(initialize_dirent_tail)  \
    X(inode_alloc_stats2)      \
    X(inode_has_valid_blocks2) \
    X(inode_size_set)          \
    X(new_range)               \
    X(punch)                   \
    X(read_inode_full)         \
    X(set_gdt_csum)            \
    X(write_dir_block4)        \
    X(write_inode_full)        \
    X(write_new_inode)         \
    X(xattr_set)               \
    X(xattrs_close)            \
    X(xattrs_open)

struct libext2fs {
#define X(name) typeof(ext2fs_##name) *(name);
    LIBEXT2FS_FUNCTIONS(X)
#undef X
    typeof(io_channel_write_blk64) *write_blk64;
    io_manager *unix_io_manager;
};

extern struct libext2fs libext2fs;

/* As late_load(). */
int libext2fs_load(struct error *err);

#endif
