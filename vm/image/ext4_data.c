/*
 * File data goes through a window of 1 MiB that starts as zeroes: what the source leaves out, and
 * blocks that are all zero, stay holes. Runs of blocks are allocated behind the last one, so a
 * file is one extent in general; an extent is put into the inode's tree when the next run does
 * not continue it.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vm/image/ext4_internal.h"

#define EXTENT_LENGTH_MAX 32768u

struct writer {
    struct ext4 *ext4;
    uint32_t ino;
    struct ext2_inode_large *inode;
    ext2_extent_handle_t handle;
    struct ext2fs_extent pending; /* not in the tree yet; e_len 0: none */
    uint64_t start;               /* file offset of the window */
    size_t used;                  /* bytes of it that may be other than zero */
    struct error *err;
};

static int writer_extent(struct writer *w, blk64_t logical, blk64_t physical, blk64_t count)
{
    struct ext2fs_extent *pending = &w->pending;
    if (pending->e_len != 0 && count != 0 && pending->e_lblk + pending->e_len == logical &&
        pending->e_pblk + pending->e_len == physical &&
        pending->e_len + count <= EXTENT_LENGTH_MAX) {
        pending->e_len += (__u32)count;
        return 0;
    }
    errcode_t rc = 0;
    if (pending->e_len != 0)
        rc = libext2fs.extent_insert(w->handle, EXT2_EXTENT_INSERT_AFTER, pending);
    *pending = (struct ext2fs_extent){
        .e_lblk = logical,
        .e_pblk = physical,
        .e_len = (__u32)count,
    };
    return ext4_error(rc, "cannot add an extent", w->err);
}

/* Directories are written block by block, because each carries a checksum. */
static errcode_t writer_put(struct writer *w, blk64_t physical, blk64_t count, uint8_t *data)
{
    ext2_filsys fs = w->ext4->fs;
    if (!S_ISDIR(w->inode->i_mode))
        return libext2fs.write_blk64(fs->io, physical, (int)count, data);
    errcode_t rc = 0;
    for (blk64_t i = 0; i < count && rc == 0; i++)
        rc = libext2fs.write_dir_block4(fs, physical + i, data + i * EXT4_BLOCK, 0, w->ino);
    return rc;
}

/* `count` blocks of the window from `first` on, none of them all zero. */
static int writer_run(struct writer *w, blk64_t first, blk64_t count)
{
    ext2_filsys fs = w->ext4->fs;
    while (count > 0) {
        blk64_t physical, got;
        errcode_t rc = libext2fs.new_range(fs, 0, w->ext4->goal, count, NULL, &physical, &got);
        if (rc != 0)
            return ext4_error(rc, "cannot allocate blocks", w->err);
        libext2fs.block_alloc_stats_range(fs, physical, (blk_t)got, +1);
        w->ext4->goal = physical + got;
        rc = writer_put(w, physical, got, w->ext4->window + first * EXT4_BLOCK);
        if (rc == 0)
            rc = libext2fs.iblk_add_blocks(fs, (struct ext2_inode *)w->inode, got);
        if (rc != 0)
            return ext4_error(rc, "cannot write blocks", w->err);
        int result = writer_extent(w, w->start / EXT4_BLOCK + first, physical, got);
        if (result < 0)
            return result;
        first += got;
        count -= got;
    }
    return 0;
}

static int block_is_zero(const uint8_t *block)
{
    return block[0] == 0 && memcmp(block, block + 1, EXT4_BLOCK - 1) == 0;
}

static int writer_flush(struct writer *w)
{
    uint8_t *window = w->ext4->window;
    blk64_t blocks = (w->used + EXT4_BLOCK - 1) / EXT4_BLOCK;
    for (blk64_t i = 0; i < blocks;) {
        blk64_t run = 0;
        while (i + run < blocks && !block_is_zero(window + (i + run) * EXT4_BLOCK))
            run++;
        int rc = run > 0 ? writer_run(w, i, run) : 0;
        if (rc < 0)
            return rc;
        i += run > 0 ? run : 1;
    }
    memset(window, 0, w->used);
    w->used = 0;
    return 0;
}

static int writer_feed(struct writer *w, const uint8_t *data, size_t size, uint64_t offset)
{
    uint64_t limit = EXT2_I_SIZE(w->inode);
    if (offset > limit || size > limit - offset || offset < w->start)
        return error_set(w->err, EINVAL, "its data is out of order or longer than its size");
    while (size > 0) {
        if (offset >= w->start + EXT4_WINDOW) {
            int rc = writer_flush(w);
            if (rc < 0)
                return rc;
            w->start = offset / EXT4_BLOCK * EXT4_BLOCK;
        }
        size_t at = (size_t)(offset - w->start);
        size_t part = size < EXT4_WINDOW - at ? size : EXT4_WINDOW - at;
        memcpy(w->ext4->window + at, data, part);
        if (at + part > w->used)
            w->used = at + part;
        data += part;
        size -= part;
        offset += part;
    }
    return 0;
}

static int writer_all(struct writer *w, ext4_read *read, void *context)
{
    const void *data;
    size_t size;
    uint64_t offset;
    int rc;
    while ((rc = read(context, &data, &size, &offset, w->err)) > 0) {
        rc = writer_feed(w, data, size, offset);
        if (rc < 0)
            return rc;
    }
    if (rc == 0)
        rc = writer_flush(w);
    if (rc == 0)
        rc = writer_extent(w, 0, 0, 0);
    return rc;
}

int ext4_data(struct ext4 *ext4, uint32_t ino, struct ext2_inode_large *inode, ext4_read *read,
              void *context, struct error *err)
{
    struct writer w = {.ext4 = ext4, .ino = ino, .inode = inode, .err = err};
    errcode_t opened = libext2fs.extent_open2(ext4->fs, ino, (struct ext2_inode *)inode, &w.handle);
    if (opened != 0)
        return ext4_error(opened, "cannot make an extent tree", err);
    int rc = read != NULL ? writer_all(&w, read, context) : 0;
    if (rc < 0)
        memset(ext4->window, 0, EXT4_WINDOW);
    libext2fs.extent_free(w.handle);
    return rc < 0 ? rc : ext4_write_inode(ext4, ino, inode, err);
}
