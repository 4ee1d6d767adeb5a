/*
 * Content: an array of chunks of 64 KiB that are allocated as far as they are written, so that a
 * small file takes little and a hole nothing. The array itself is paid for too: a single byte
 * far behind must not be a way to memory that nobody counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm/vfs/memfs_parts.h"

#define CHUNK_STEP 512u

static void drop_chunk(struct memfs *fs, struct inode *inode, size_t at)
{
    struct chunk *chunk = &inode->chunks[at];
    memfs_refund(fs, chunk->length);
    inode->attr.blocks -= chunk->length / 512;
    free(chunk->data);
    *chunk = (struct chunk){0};
}

static int grow_array(struct memfs *fs, struct inode *inode, size_t count)
{
    if (count <= inode->chunk_count)
        return 0;
    size_t more = (count - inode->chunk_count) * sizeof(struct chunk);
    int rc = memfs_charge(fs, more);
    if (rc < 0)
        return rc;
    struct chunk *chunks = realloc(inode->chunks, count * sizeof *chunks);
    if (chunks == NULL) {
        memfs_refund(fs, more);
        return -ENOMEM;
    }
    memset(chunks + inode->chunk_count, 0, more);
    inode->chunks = chunks;
    inode->chunk_count = count;
    return 0;
}

int memfs_chunk(struct memfs *fs, struct inode *inode, size_t at, uint32_t length)
{
    int rc = grow_array(fs, inode, at + 1);
    if (rc < 0)
        return rc;
    struct chunk *chunk = &inode->chunks[at];
    if (length <= chunk->length)
        return 0;
    uint32_t size = chunk->length != 0 ? chunk->length : CHUNK_STEP;
    while (size < length)
        size *= 2;
    rc = memfs_charge(fs, size - chunk->length);
    if (rc < 0)
        return rc;
    uint8_t *data = realloc(chunk->data, size);
    if (data == NULL) {
        memfs_refund(fs, size - chunk->length);
        return -ENOMEM;
    }
    memset(data + chunk->length, 0, size - chunk->length);
    inode->attr.blocks += (size - chunk->length) / 512;
    *chunk = (struct chunk){data, size};
    return 0;
}

/* Zeros from `start` up to `end`: whole chunks become holes. */
static void clear(struct memfs *fs, struct inode *inode, uint64_t start, uint64_t end)
{
    for (uint64_t at = start; at < end;) {
        size_t index = (size_t)(at / MEMFS_CHUNK);
        if (index >= inode->chunk_count)
            return;
        uint64_t base = index * (uint64_t)MEMFS_CHUNK;
        uint32_t from = (uint32_t)(at - base);
        uint32_t to = end - base < MEMFS_CHUNK ? (uint32_t)(end - base) : MEMFS_CHUNK;
        const struct chunk *chunk = &inode->chunks[index];
        if (from == 0 && to >= chunk->length)
            drop_chunk(fs, inode, index);
        else if (from < chunk->length)
            memset(chunk->data + from, 0, (to < chunk->length ? to : chunk->length) - from);
        at = base + to;
    }
}

int memfs_resize(struct memfs *fs, struct inode *inode, uint64_t size)
{
    if (size > MEMFS_FILE_MAX)
        return -EFBIG;
    clear(fs, inode, size, UINT64_MAX); /* what was allocated behind the end too */
    size_t count = (size_t)((size + MEMFS_CHUNK - 1) / MEMFS_CHUNK);
    if (count < inode->chunk_count) {
        memfs_refund(fs, (inode->chunk_count - count) * sizeof(struct chunk));
        inode->chunk_count = count;
        if (count == 0) {
            free(inode->chunks);
            inode->chunks = NULL;
        }
    }
    if (S_ISREG(inode->attr.mode))
        inode->attr.size = size;
    return 0;
}

ssize_t memfs_read(struct provider *provider, struct handle *handle, void *data, size_t size,
                   uint64_t offset)
{
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    const struct inode *inode = memfs_inode(fs, handle->node);
    uint64_t left = inode != NULL && offset < inode->attr.size ? inode->attr.size - offset : 0;
    size = left < size ? (size_t)left : size;
    for (size_t done = 0; done < size;) {
        size_t index = (size_t)((offset + done) / MEMFS_CHUNK);
        uint32_t from = (uint32_t)((offset + done) % MEMFS_CHUNK);
        size_t part = MEMFS_CHUNK - from < size - done ? MEMFS_CHUNK - from : size - done;
        const struct chunk *chunk = index < inode->chunk_count ? &inode->chunks[index] : NULL;
        size_t there = chunk != NULL && from < chunk->length ? chunk->length - from : 0;
        there = there < part ? there : part;
        if (there > 0)
            memcpy((char *)data + done, chunk->data + from, there);
        memset((char *)data + done + there, 0, part - there);
        done += part;
    }
    pthread_mutex_unlock(&fs->lock);
    return inode != NULL ? (ssize_t)size : -ESTALE;
}

static ssize_t write_locked(struct memfs *fs, struct inode *inode, const uint8_t *data, size_t size,
                            uint64_t offset)
{
    size_t done = 0;
    int rc = 0;
    while (rc == 0 && done < size) {
        size_t index = (size_t)((offset + done) / MEMFS_CHUNK);
        uint32_t from = (uint32_t)((offset + done) % MEMFS_CHUNK);
        size_t part = MEMFS_CHUNK - from < size - done ? MEMFS_CHUNK - from : size - done;
        rc = memfs_chunk(fs, inode, index, from + (uint32_t)part);
        if (rc == 0) {
            memcpy(inode->chunks[index].data + from, data + done, part);
            done += part;
        }
    }
    if (done > 0 && offset + done > inode->attr.size)
        inode->attr.size = offset + done;
    if (done > 0)
        memfs_touch(inode, MEMFS_MTIME | MEMFS_CTIME);
    return done > 0 ? (ssize_t)done : rc;
}

ssize_t memfs_write(struct provider *provider, struct handle *handle, const void *data, size_t size,
                    uint64_t offset, uint32_t write_flags)
{
    struct memfs *fs = memfs_of(provider);
    pthread_mutex_lock(&fs->lock);
    struct inode *inode = memfs_inode(fs, handle->node);
    ssize_t rc = inode == NULL ? -ESTALE : 0;
    if (rc == 0 && (handle->flags & O_APPEND) && !(write_flags & FUSE_WRITE_CACHE))
        offset = inode->attr.size;
    if (rc == 0 && (offset > MEMFS_FILE_MAX || size > MEMFS_FILE_MAX - offset))
        rc = -EFBIG;
    if (rc == 0) {
        rc = write_locked(fs, inode, data, size, offset);
        if (write_flags & FUSE_WRITE_KILL_SUIDGID)
            inode->attr.mode &= ~06000u;
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

static int allocate(struct memfs *fs, struct inode *inode, int mode, uint64_t offset,
                    uint64_t length)
{
    uint64_t end = offset + length;
    int rc = 0;
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        clear(fs, inode, offset, end);
    else
        for (uint64_t at = offset; rc == 0 && at < end; at = (at / MEMFS_CHUNK + 1) * MEMFS_CHUNK) {
            uint64_t base = at / MEMFS_CHUNK * MEMFS_CHUNK;
            rc = memfs_chunk(fs, inode, (size_t)(at / MEMFS_CHUNK),
                             end - base < MEMFS_CHUNK ? (uint32_t)(end - base) : MEMFS_CHUNK);
        }
    if (rc == 0 && !(mode & FALLOC_FL_KEEP_SIZE) && end > inode->attr.size)
        inode->attr.size = end;
    memfs_touch(inode, MEMFS_MTIME | MEMFS_CTIME);
    return rc;
}

int memfs_fallocate(struct provider *provider, struct handle *handle, int mode, uint64_t offset,
                    uint64_t length)
{
    static const int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    struct memfs *fs = memfs_of(provider);
    if (mode & ~known || ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE)))
        return -EOPNOTSUPP;
    if (offset > MEMFS_FILE_MAX || length > MEMFS_FILE_MAX - offset)
        return -EFBIG;
    pthread_mutex_lock(&fs->lock);
    struct inode *inode = memfs_inode(fs, handle->node);
    int rc = inode != NULL ? allocate(fs, inode, mode, offset, length) : -ESTALE;
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

int64_t memfs_seek(struct provider *provider, struct handle *handle, uint64_t offset, int whence)
{
    struct memfs *fs = memfs_of(provider);
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return -EINVAL;
    pthread_mutex_lock(&fs->lock);
    const struct inode *inode = memfs_inode(fs, handle->node);
    int64_t rc = inode == NULL ? -ESTALE : offset >= inode->attr.size ? -ENXIO : 0;
    for (uint64_t at = offset; rc == 0; at = (at / MEMFS_CHUNK + 1) * MEMFS_CHUNK) {
        size_t index = (size_t)(at / MEMFS_CHUNK);
        bool data = index < inode->chunk_count && inode->chunks[index].data != NULL;
        if (at >= inode->attr.size)
            rc = whence == SEEK_HOLE ? (int64_t)inode->attr.size : -ENXIO;
        else if (data == (whence == SEEK_DATA)) {
            pthread_mutex_unlock(&fs->lock);
            return (int64_t)at;
        }
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}
