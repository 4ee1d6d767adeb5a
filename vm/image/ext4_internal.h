/* What the files of the ext4 writer share: ext4.c (the whole), ext4_data.c (blocks), ext4_tree.c.
 */
#ifndef VMDECK_VM_IMAGE_EXT4_INTERNAL_H
#define VMDECK_VM_IMAGE_EXT4_INTERNAL_H

#include "vm/image/ext4.h"
#include "vm/image/ext4_tree.h"
#include "vm/image/libext2fs.h"

#define EXT4_BLOCK    4096u
#define EXT4_WINDOW   (1u << 20) /* data is written in pieces of this, hole by hole */
#define EXT4_LINK_MAX 65000u

struct ext4 {
    ext2_filsys fs;
    char *path;
    struct tree tree;
    uint32_t next_ino;
    blk64_t goal;    /* where the last allocation ended */
    uint8_t *window; /* EXT4_WINDOW bytes, zero between uses */
};

/* An errcode_t of libext2fs as an error: "what: why". 0 where rc is 0. */
int ext4_error(errcode_t rc, const char *what, struct error *err);

/*
 * Writes the data of the inode, of at most inode.i_size bytes, and maps it; inode is updated and
 * written. Directory blocks get their checksum.
 */
int ext4_data(struct ext4 *ext4, uint32_t ino, struct ext2_inode_large *inode, ext4_read *read,
              void *context, struct error *err);

int ext4_write_inode(struct ext4 *ext4, uint32_t ino, struct ext2_inode_large *inode,
                     struct error *err);

/* All directories' blocks, sizes and link counts, from the tree. */
int ext4_directories(struct ext4 *ext4, struct error *err);

#endif
