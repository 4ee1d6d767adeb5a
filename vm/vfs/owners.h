/*
 * What the guest was told "done" for and the host is not: owners that are not ours, setuid and
 * setgid bits. Remembered by file for the session, at most OWNERS_MAX of them. Any thread.
 */
#ifndef VMDECK_VM_VFS_OWNERS_H
#define VMDECK_VM_VFS_OWNERS_H

#include <stdio.h>

#include "vm/vfs/node.h"

#define OWNERS_MAX (256u * 1024)

enum { OWNER_UID = 1, OWNER_GID = 2, OWNER_BITS = 4 };

struct owner {
    uint32_t uid, gid;
    uint16_t bits;  /* S_ISUID, S_ISGID */
    uint16_t valid; /* OWNER_…: which of them are set */
};

struct owners;

struct owners *owners_open(void); /* NULL without memory */
void owners_close(struct owners *owners);

/* All zero where nothing is known. */
struct owner owners_get(struct owners *owners, const struct vfs_key *key);

/* Sets what `change.valid` names. 0, -ENOMEM, -EPERM: too many. */
int owners_set(struct owners *owners, const struct vfs_key *key, struct owner change);

/* The file is gone. */
void owners_forget(struct owners *owners, const struct vfs_key *key);

int owners_save(struct owners *owners, FILE *out);
int owners_load(struct owners *owners, FILE *in); /* -EPROTO, -ENOMEM */

#endif
