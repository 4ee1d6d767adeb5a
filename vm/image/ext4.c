/*
 * libext2fs does the disk format; what is ours is the order. Inodes are numbered as entries come
 * and written at once with their data and attributes. Names only go into the tree in memory;
 * directory blocks are written at the end, each directory once: adding names one by one would
 * read a big directory again for each of them.
 *
 * The file begins as one hole and blocks that are never written stay holes. Inode tables are
 * marked as zeroed, which holes are, so that the kernel does not spend the first minutes of a
 * mount on writing zeroes to them.
 */
#include "vm/image/ext4.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vm/image/ext4_internal.h"

#define SPARE_BYTES (64u << 20)
#define EXTRA_ISIZE 32 /* of the inode's second half: up to i_projid */

static uint64_t blocks_of(uint64_t bytes)
{
    return bytes / EXT4_BLOCK + (bytes % EXT4_BLOCK != 0);
}

int ext4_error(errcode_t rc, const char *what, struct error *err)
{
    static const struct {
        errcode_t code;
        int error;
    } known[] = {
        {EXT2_ET_BLOCK_ALLOC_FAIL, ENOSPC}, {EXT2_ET_EA_NO_SPACE, E2BIG},
        {EXT2_ET_NO_MEMORY, ENOMEM},        {EXT2_ET_SHORT_WRITE, EIO},
        {EXT2_ET_TOOSMALL, ENOSPC},         {EXT2_ET_EA_BAD_NAME_LEN, EINVAL},
    };
    if (rc == 0)
        return 0;
    if (rc > 0 && rc < 256)
        return error_system(err, (int)rc, "%s", what);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].code == rc)
            return error_system(err, known[i].error, "%s", what);
    return error_set(err, EIO, "%s: error %ld of libext2fs", what, (long)rc);
}

void ext4_measure(struct ext4_size *size, const struct ext4_entry *entry)
{
    size->name_bytes += strlen(entry->path) + 12;
    if (entry->link != NULL)
        return;
    size->inodes++;
    if (S_ISREG(entry->mode)) /* and an extent block for every 64 MiB, if it comes in pieces */
        size->blocks += blocks_of(entry->stored) + entry->stored / SPARE_BYTES;
    else if (S_ISDIR(entry->mode) || S_ISLNK(entry->mode))
        size->blocks++;
    size_t attributes = 0;
    for (size_t i = 0; i < entry->xattr_count; i++)
        attributes += strlen(entry->xattrs[i].name) + entry->xattrs[i].size + 32;
    size->blocks += attributes > 64;
}

static void superblock_fill(struct ext2_super_block *super, const struct ext4_size *size)
{
    uint64_t content = size->blocks + blocks_of(size->name_bytes) * 2 + 16;
    uint64_t blocks = content + content / 50 + SPARE_BYTES / EXT4_BLOCK;
    uint64_t inodes = size->inodes + size->inodes / 8 + blocks / 4; /* one for each 16 KiB */
    blocks += inodes * EXT2_GOOD_OLD_INODE_SIZE * 2 / EXT4_BLOCK;
    blocks += blocks / 100 + 2048; /* bitmaps, group descriptors and room for more of these */
    super->s_log_block_size = 2;
    super->s_log_cluster_size = 2;
    super->s_rev_level = EXT2_DYNAMIC_REV;
    super->s_inode_size = 2 * EXT2_GOOD_OLD_INODE_SIZE;
    super->s_inodes_count = inodes > UINT32_MAX ? UINT32_MAX : (__u32)inodes;
    super->s_desc_size = EXT2_MIN_DESC_SIZE_64BIT;
    super->s_log_groups_per_flex = 4;
    ext2fs_set_feature_64bit(super);
    libext2fs.blocks_count_set(super, blocks);
    ext2fs_set_feature_resize_inode(super);
    ext2fs_set_feature_xattr(super);
    ext2fs_set_feature_dir_index(super);
    ext2fs_set_feature_filetype(super);
    ext2fs_set_feature_extents(super);
    ext2fs_set_feature_flex_bg(super);
    ext2fs_set_feature_sparse_super(super);
    ext2fs_set_feature_large_file(super);
    ext2fs_set_feature_huge_file(super);
    ext2fs_set_feature_dir_nlink(super);
    ext2fs_set_feature_extra_isize(super);
    ext2fs_set_feature_metadata_csum(super);
}

static int superblock_identity(ext2_filsys fs, const char *label, struct error *err)
{
    struct ext2_super_block *super = fs->super;
    if (getrandom(super->s_uuid, sizeof super->s_uuid, 0) != (ssize_t)sizeof super->s_uuid ||
        getrandom(super->s_hash_seed, sizeof super->s_hash_seed, 0) !=
            (ssize_t)sizeof super->s_hash_seed)
        return error_system(err, errno, "cannot get random bytes");
    super->s_uuid[6] = (__u8)((super->s_uuid[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
    super->s_uuid[8] = (__u8)((super->s_uuid[8] & 0x3f) | 0x80);
    super->s_def_hash_version = EXT2_HASH_HALF_MD4;
    super->s_flags |= EXT2_FLAGS_SIGNED_HASH;
    super->s_checksum_type = EXT2_CRC32C_CHKSUM; /* not taken over from the parameters */
    super->s_max_mnt_count = -1;
    super->s_want_extra_isize = EXTRA_ISIZE;
    super->s_min_extra_isize = EXTRA_ISIZE;
    super->s_mkfs_time = (__u32)time(NULL);
    size_t length = strnlen(label, EXT2_LABEL_LEN);
    memcpy(super->s_volume_name, label, length);
    libext2fs.init_csum_seed(fs);
    return 0;
}

/* Reserved inodes, the root's number, the inode that reserves room for group descriptors. */
static int format_fill(ext2_filsys fs, struct error *err)
{
    errcode_t rc = libext2fs.allocate_tables(fs);
    if (rc != 0)
        return ext4_error(rc, "cannot lay out the groups", err);
    for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
        libext2fs.bg_flags_set(fs, group, EXT2_BG_INODE_ZEROED);
        libext2fs.group_desc_csum_set(fs, group);
    }
    for (ext2_ino_t ino = EXT2_BAD_INO; ino < EXT2_GOOD_OLD_FIRST_INO; ino++)
        libext2fs.inode_alloc_stats2(fs, ino, +1, ino == EXT2_ROOT_INO);
    ext2fs_mark_ib_dirty(fs);
    struct ext2_inode bad = {0}; /* of bad blocks: there are none */
    rc = libext2fs.write_new_inode(fs, EXT2_BAD_INO, &bad);
    if (rc == 0)
        rc = libext2fs.create_resize_inode(fs);
    return ext4_error(rc, "cannot make the reserved inodes", err);
}

static int ext4_format(struct ext4 *ext4, const char *label, const struct ext4_size *size,
                       struct error *err)
{
    int loaded = libext2fs_load(err);
    if (loaded < 0)
        return loaded;
    CLEAN_FD int fd = open(ext4->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_system(err, errno, "cannot create");
    struct ext2_super_block super = {0};
    superblock_fill(&super, size);
    errcode_t rc = libext2fs.initialize(ext4->path, EXT2_FLAG_64BITS, &super,
                                        *libext2fs.unix_io_manager, &ext4->fs);
    if (rc != 0)
        return ext4_error(rc, "cannot lay out the file system", err);
    if (ftruncate(fd, (off_t)(libext2fs.blocks_count(ext4->fs->super) * EXT4_BLOCK)) < 0)
        return error_system(err, errno, "cannot make it large enough");
    int result = superblock_identity(ext4->fs, label, err);
    return result < 0 ? result : format_fill(ext4->fs, err);
}

static struct ext4 *ext4_new(const char *path)
{
    struct ext4 *ext4 = calloc(1, sizeof *ext4);
    if (ext4 == NULL)
        return NULL;
    ext4->next_ino = EXT2_GOOD_OLD_FIRST_INO;
    ext4->path = strdup(path);
    ext4->window = calloc(1, EXT4_WINDOW);
    if (ext4->path == NULL || ext4->window == NULL)
        ext4_abort(&ext4);
    return ext4;
}

int ext4_create(const char *path, const char *label, const struct ext4_size *size,
                struct ext4 **out, struct error *err)
{
    *out = NULL;
    CLEAN_EXT4 struct ext4 *ext4 = ext4_new(path);
    if (ext4 == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = tree_init(&ext4->tree, err);
    if (rc == 0)
        rc = ext4_format(ext4, label, size, err);
    if (rc < 0)
        return error_wrap(err, "file system %s", path);
    *out = take_ptr(ext4);
    return 0;
}

int ext4_finish(struct ext4 **out, struct error *err)
{
    CLEAN_EXT4 struct ext4 *ext4 = *out;
    *out = NULL;
    int rc = ext4_directories(ext4, err);
    if (rc == 0) {
        libext2fs.set_gdt_csum(ext4->fs);
        rc = ext4_error(libext2fs.close_free(&ext4->fs), "cannot write it out", err);
    }
    if (rc == 0) {
        CLEAN_FD int fd = open(ext4->path, O_RDWR | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
            rc = error_system(err, errno, "cannot sync");
    }
    return rc < 0 ? error_wrap(err, "file system %s", ext4->path) : 0;
}

void ext4_abort(struct ext4 **out)
{
    struct ext4 *ext4 = *out;
    *out = NULL;
    if (ext4 == NULL)
        return;
    if (ext4->fs != NULL)
        libext2fs.free(ext4->fs);
    tree_free(&ext4->tree);
    free(ext4->window);
    free(ext4->path);
    free(ext4);
}
