/*
 * Numbers and bytes of saved state: little-endian u64, byte strings behind their length. Loading
 * treats the file as hostile: every value has a maximum. 0, -EIO (a write failed), -EPROTO (a read
 * found something else, or the end).
 */
#ifndef VMDECK_VM_VFS_SAVEFILE_H
#define VMDECK_VM_VFS_SAVEFILE_H

#include <stdio.h>

#include "vm/vfs/node.h"

int save_u64(FILE *out, uint64_t value);
int load_u64(FILE *in, uint64_t *value, uint64_t max);

int save_bytes(FILE *out, const void *data, size_t size);
/* *data is the caller's to free, with a NUL behind it; NULL on failure. */
int load_bytes(FILE *in, char **data, size_t *size, size_t max);

int save_key(FILE *out, const struct vfs_key *key);
int load_key(FILE *in, struct vfs_key *key);

#endif
