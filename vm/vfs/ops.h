/* What the files of operations share besides fuse.h. */
#ifndef VMDECK_VM_VFS_OPS_H
#define VMDECK_VM_VFS_OPS_H

#include "vm/vfs/fuse.h"

#define OPS_XATTR_MAX 65536u /* XATTR_SIZE_MAX */

/* Watches the directory, if that is possible. True: what changes in it is reported. */
bool dir_watched(struct mount *mount, struct node *dir);

/* The file has been looked at. True: it was changed on the host since; the guest is told. */
bool node_saw(struct mount *mount, struct node *node, const struct found *found);

#endif
