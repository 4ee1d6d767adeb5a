/*
 * libarchive(3), loaded late (base/late.h). With what it needs itself (libxml2, ICU, the C++
 * library) it would be a third of the time that each vmdeck takes to start, and only the making of
 * images and `cp` read or write archives.
 */
#ifndef VMDECK_VM_IMAGE_LIBARCHIVE_H
#define VMDECK_VM_IMAGE_LIBARCHIVE_H

#include <archive.h>
#include <archive_entry.h>

#include "base/error.h"

/* What we call, without its "archive_". */
#define LIBARCHIVE_FUNCTIONS(X)        \
    X(entry_copy_pathname)             \
    X(entry_copy_symlink)              \
    X(entry_filetype)                  \
    X(entry_free)                      \
    X(entry_gid)                       \
    X(entry_hardlink)                  \
    X(entry_linkify)                   \
    X(entry_linkresolver_free)         \
    X(entry_linkresolver_new)          \
    X(entry_linkresolver_set_strategy) \
    X(entry_mtime)                     \
    X(entry_mtime_is_set)              \
    X(entry_mtime_nsec)                \
    X(entry_new)                       \
    X(entry_pathname)                  \
    X(entry_perm)                      \
    X(entry_rdevmajor)                 \
    X(entry_rdevminor)                 \
    X(entry_set_dev)                   \
    X(entry_set_ino)                   \
    X(entry_set_mode)                  \
    X(entry_set_mtime)                 \
    X(entry_set_nlink)                 \
    X(entry_set_size)                  \
    X(entry_size)                      \
    X(entry_size_is_set)               \
    X(entry_sparse_add_entry)          \
    X(entry_sparse_next)               \
    X(entry_sparse_reset)              \
    X(entry_symlink)                   \
    X(entry_uid)                       \
    X(entry_xattr_next)                \
    X(entry_xattr_reset)               \
    X(error_string)                    \
    X(filter_bytes)                    \
    X(read_data)                       \
    X(read_data_block)                 \
    X(read_data_skip)                  \
    X(read_free)                       \
    X(read_new)                        \
    X(read_next_header)                \
    X(read_open)                       \
    X(read_open_fd)                    \
    X(read_open_memory)                \
    X(read_support_filter_all)         \
    X(read_support_format_raw)         \
    X(read_support_format_tar)         \
    X(write_close)                     \
    X(write_data)                      \
    X(write_finish_entry)              \
    X(write_free)                      \
    X(write_header)                    \
    X(write_new)                       \
    X(write_open)                      \
    X(write_set_bytes_in_last_block)   \
    X(write_set_bytes_per_block)       \
    X(write_set_format_pax)            \
    X(write_set_options)

struct libarchive {
#define X(name) typeof(archive_##name) *(name);
    LIBARCHIVE_FUNCTIONS(X)
#undef X
};

extern struct libarchive libarchive;

/* As late_load(). */
int libarchive_load(struct error *err);

#endif
