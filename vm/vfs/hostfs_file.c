/*
 * Files that are open. The descriptor belongs to the guest's open file alone, so its O_APPEND and
 * O_SYNC do what they do on the host. Two differences: O_DIRECT is left out (the guest's buffers
 * are not the host's), and pages that the guest wrote through mmap go to their offset even if the
 * kernel picked a handle with O_APPEND for them, which needs a second descriptor for the moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "vm/vfs/hostfs_parts.h"

#define OPEN_FLAGS (O_ACCMODE | O_APPEND | O_TRUNC | O_SYNC | O_DSYNC)

/* O_NONBLOCK: should the file have become a FIFO, nothing waits. */
static int open_again(const struct hostfs *fs, int fd, uint32_t flags)
{
    int file = openat(fs->proc, proc_name(fd).text,
                      (int)(flags & OPEN_FLAGS) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return file < 0 ? -errno : file;
}

int hostfs_open_file(struct provider *provider, struct node *node, struct handle *handle)
{
    struct hostfs *fs = hostfs_of(provider);
    struct pin pin;
    int rc = hostfs_pin(provider, node, &pin);
    struct stat st;
    if (rc == 0 && fstat(pin.fd, &st) < 0)
        rc = -errno;
    if (rc == 0 && handle->directory) {
        handle->fd = hostfs_beneath(pin.fd, ".", O_RDONLY | O_DIRECTORY, 0);
        rc = handle->fd < 0 ? handle->fd : 0;
    } else if (rc == 0 && !S_ISREG(st.st_mode)) {
        rc = S_ISDIR(st.st_mode) ? -EISDIR : -ENXIO; /* the guest's kernel opens those itself */
    } else if (rc == 0) {
        handle->fd = open_again(fs, pin.fd, handle->flags);
        rc = handle->fd < 0 ? handle->fd : 0;
    }
    hostfs_unpin(provider, &pin);
    return rc;
}

/* Something has that name already: opened like any file, by its own identity. */
static int open_existing(struct hostfs *fs, int directory, const char *name, struct handle *handle,
                         struct found *found)
{
    CLEAN_FD int fd = hostfs_beneath(directory, name, O_PATH, 0);
    if (fd < 0)
        return fd;
    int rc = hostfs_stat(fs, fd, found);
    if (rc == 0 && !S_ISREG(found->attr.mode))
        rc = S_ISDIR(found->attr.mode) ? -EISDIR : S_ISLNK(found->attr.mode) ? -ELOOP : -ENXIO;
    if (rc < 0)
        return rc;
    handle->fd = open_again(fs, fd, handle->flags);
    return handle->fd < 0 ? handle->fd : hostfs_stat(fs, handle->fd, found);
}

int hostfs_create(struct provider *provider, struct node *dir, const char *name,
                  const struct make *make, struct handle *handle, struct found *found)
{
    struct hostfs *fs = hostfs_of(provider);
    struct pin pin;
    int rc = hostfs_pin(provider, dir, &pin);
    if (rc == 0) {
        handle->fd = hostfs_beneath(pin.fd, name,
                                    (handle->flags & OPEN_FLAGS & ~(uint32_t)O_TRUNC) | O_CREAT |
                                        O_EXCL | O_NOCTTY,
                                    make->mode & 01777);
        rc = handle->fd >= 0 ? hostfs_made(fs, pin.fd, name, make, found) : handle->fd;
        if (rc == -EEXIST && !(handle->flags & O_EXCL))
            rc = open_existing(fs, pin.fd, name, handle, found);
    }
    if (rc < 0 && handle->fd >= 0) {
        close(handle->fd);
        handle->fd = -1;
    }
    hostfs_unpin(provider, &pin);
    return rc;
}

void hostfs_release(struct provider *provider, struct handle *handle)
{
    (void)provider;
    if (handle->fd >= 0)
        close(handle->fd);
    handle->fd = -1;
    free(handle->listing);
    handle->listing = NULL;
}

ssize_t hostfs_read(struct provider *provider, struct handle *handle, void *data, size_t size,
                    uint64_t offset)
{
    (void)provider;
    if (offset > INT64_MAX)
        return -EINVAL;
    size_t done = 0;
    while (done < size) { /* a short answer means the end of the file */
        ssize_t n = pread(handle->fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return done > 0 ? (ssize_t)done : -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t hostfs_write(struct provider *provider, struct handle *handle, const void *data,
                     size_t size, uint64_t offset, uint32_t write_flags)
{
    struct hostfs *fs = hostfs_of(provider);
    if (offset > INT64_MAX - size)
        return -EFBIG;
    int fd = handle->fd;
    CLEAN_FD int plain = -1;
    if ((write_flags & FUSE_WRITE_CACHE) && (handle->flags & O_APPEND)) {
        plain = open_again(fs, fd, O_WRONLY);
        if (plain < 0)
            return plain;
        fd = plain;
    }
    if ((write_flags & FUSE_WRITE_KILL_SUIDGID) &&
        owners_get(fs->owners, &handle->node->key).bits != 0)
        owners_set(fs->owners, &handle->node->key, (struct owner){.valid = OWNER_BITS});
    size_t done = 0;
    while (done < size) {
        ssize_t n = pwrite(fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return done > 0 ? (ssize_t)done : -errno;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int hostfs_fsync(struct provider *provider, struct handle *handle, bool data_only)
{
    (void)provider;
    return (data_only ? fdatasync(handle->fd) : fsync(handle->fd)) < 0 ? -errno : 0;
}

int hostfs_fallocate(struct provider *provider, struct handle *handle, int mode, uint64_t offset,
                     uint64_t length)
{
    (void)provider;
    if (offset > INT64_MAX || length > INT64_MAX)
        return -EFBIG;
    return fallocate(handle->fd, mode, (off_t)offset, (off_t)length) < 0 ? -errno : 0;
}

int64_t hostfs_seek(struct provider *provider, struct handle *handle, uint64_t offset, int whence)
{
    (void)provider;
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return -EINVAL;
    off_t at = lseek(handle->fd, (off_t)offset, whence);
    return at < 0 ? -errno : at;
}

ssize_t hostfs_copy(struct provider *provider, struct handle *from, uint64_t from_offset,
                    struct handle *to, uint64_t to_offset, size_t length)
{
    (void)provider;
    off_t in = (off_t)from_offset, out = (off_t)to_offset;
    ssize_t n = copy_file_range(from->fd, &in, to->fd, &out, length, 0);
    return n < 0 ? -errno : n;
}
