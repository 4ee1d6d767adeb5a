/*
 * Provider: files in this process's memory, gone with it. Bounded by a number of bytes (ENOSPC
 * beyond); a file by MEMFS_FILE_MAX. Serves `--mount-memfs`, and the private files of shadowed
 * names, for which it makes directories that have no name of their own.
 */
#ifndef VMDECK_VM_VFS_MEMFS_H
#define VMDECK_VM_VFS_MEMFS_H

#include "vm/vfs/provider.h"

#define MEMFS_FILE_MAX    (16ull << 30)
#define MEMFS_DEFAULT_MAX (512ull << 20)

/* `index` is the provider's in its mount. The owner of the root directory is uid:gid. */
int memfs_open(struct provider **out, struct nodes *nodes, uint8_t index, uint64_t bytes,
               uint32_t uid, uint32_t gid, struct error *err);

/*
 * The number of the directory called `name` in the root (0: there is none); made where it is
 * missing and `make`. As key.inode of a node it stands for the directory.
 */
uint64_t memfs_directory(struct provider *provider, const char *name, bool make);

/* Nothing is in it. */
bool memfs_is_empty(struct provider *provider, uint64_t directory);

#endif
