/*
 * A node's descriptor is taken from the cache, or opened by the names from the root down, and then
 * must be the same file. A cached one may meanwhile have been moved out of the root by somebody on
 * the host; so each time it is used the kernel is asked where it is (/proc/self/fd), compared with
 * where the root is: outside is ESTALE. That bounds paths to 4,095 bytes. Between this look and
 * the operation lie microseconds, and what could be reached in them is a directory that belonged
 * to the mount just before, never one that did not.
 *
 * Owners: files of the user who runs us appear as the configured user (root). Who isn't root on
 * the host sees all others as "nobody", as in a user namespace. chown, setuid and setgid are
 * remembered here (owners.h) and never reach the host.
 */
#include "vm/vfs/hostfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "vm/vfs/hostfs_parts.h"
#include "vm/vfs/savefile.h"

#define NOBODY 65534u

struct proc_name proc_name(int fd)
{
    struct proc_name name;
    snprintf(name.text, sizeof name.text, "%d", fd);
    return name;
}

int hostfs_beneath(int directory, const char *path, uint64_t flags, uint32_t mode)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC | O_NOFOLLOW,
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    };
    for (int tries = 0;; tries++) {
        long fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        /* EAGAIN: something was renamed meanwhile. ELOOP: the last name is a link, now. */
        if (errno != EINTR && (errno != EAGAIN || tries == 100))
            return errno == ELOOP || errno == EXDEV || errno == EAGAIN ? -ESTALE : -errno;
    }
}

static int device_number(struct hostfs *fs, const struct statx *sx, uint32_t *number)
{
    uint64_t device = makedev(sx->stx_dev_major, sx->stx_dev_minor);
    if (device == fs->devices[0]) {
        *number = 0;
        return 0;
    }
    pthread_mutex_lock(&fs->lock);
    uint32_t at = 1;
    while (at < fs->device_count && fs->devices[at] != device)
        at++;
    if (at == fs->device_count && at < DEVICES_MAX)
        fs->devices[fs->device_count++] = device;
    pthread_mutex_unlock(&fs->lock);
    *number = at;
    return at < DEVICES_MAX ? 0 : -EOVERFLOW;
}

static uint32_t shown_id(uint32_t id, uint32_t ours, uint32_t shown, bool root)
{
    return id == ours ? shown : root ? id : NOBODY;
}

static void show_owner(struct hostfs *fs, const struct statx *sx, struct found *found)
{
    struct owner owner = owners_get(fs->owners, &found->key);
    bool root = fs->host_uid == 0;
    struct fuse_attr *attr = &found->attr;
    attr->mode &= ~06000u;
    attr->uid =
        owner.valid & OWNER_UID ? owner.uid : shown_id(sx->stx_uid, fs->host_uid, fs->uid, root);
    attr->gid =
        owner.valid & OWNER_GID ? owner.gid : shown_id(sx->stx_gid, fs->host_gid, fs->gid, root);
    if (owner.valid & OWNER_BITS)
        attr->mode |= owner.bits;
}

int hostfs_found(struct hostfs *fs, const struct statx *sx, struct found *found)
{
    *found = (struct found){.key.inode = sx->stx_ino};
    int rc = device_number(fs, sx, &found->key.device);
    if (rc < 0)
        return rc;
    if (sx->stx_mask & STATX_BTIME)
        found->key.birth =
            (uint64_t)sx->stx_btime.tv_sec * 1000000000u + sx->stx_btime.tv_nsec + 1u;
    struct fuse_attr *attr = &found->attr;
    *attr = (struct fuse_attr){
        /* file systems beneath the root number their inodes each for itself */
        .ino = sx->stx_ino ^ (uint64_t)found->key.device << 48,
        .size = sx->stx_size,
        .blocks = sx->stx_blocks,
        .atime = (uint64_t)sx->stx_atime.tv_sec,
        .mtime = (uint64_t)sx->stx_mtime.tv_sec,
        .ctime = (uint64_t)sx->stx_ctime.tv_sec,
        .atimensec = sx->stx_atime.tv_nsec,
        .mtimensec = sx->stx_mtime.tv_nsec,
        .ctimensec = sx->stx_ctime.tv_nsec,
        .mode = sx->stx_mode,
        .nlink = sx->stx_nlink,
        .rdev = (uint32_t)makedev(sx->stx_rdev_major, sx->stx_rdev_minor),
        .blksize = sx->stx_blksize,
    };
    show_owner(fs, sx, found);
    found->stamp = vfs_mix(vfs_mix(attr->mtime * 1000000000u + attr->mtimensec,
                                   attr->ctime * 1000000000u + attr->ctimensec),
                           attr->size) |
                   1u;
    return 0;
}

int hostfs_stat(struct hostfs *fs, int fd, struct found *found)
{
    struct statx sx;
    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, HOSTFS_STATX, &sx) < 0)
        return -errno;
    return hostfs_found(fs, &sx, found);
}

int hostfs_look(struct provider *provider, int directory, const char *name, struct found *found)
{
    struct statx sx;
    if (statx(directory, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, HOSTFS_STATX, &sx) < 0)
        return -errno;
    return hostfs_found(hostfs_of(provider), &sx, found);
}

/* Where the descriptor's file is, or a negative errno. */
static ssize_t whereabouts(const struct hostfs *fs, int fd, char path[PATH_MAX])
{
    ssize_t len = readlinkat(fs->proc, proc_name(fd).text, path, PATH_MAX - 1);
    if (len < 0)
        return -errno;
    path[len] = '\0';
    return len;
}

static int check_beneath(const struct hostfs *fs, int fd)
{
    char root[PATH_MAX], path[PATH_MAX];
    for (int tries = 0; tries < 3; tries++) {
        ssize_t length = whereabouts(fs, fd, path);
        ssize_t above = whereabouts(fs, fs->root, root);
        if (length < 0 || above < 0)
            return length < 0 ? (int)length : (int)above;
        if (above == 1)
            above = 0;
        if (length > above && memcmp(path, root, (size_t)above) == 0 && path[above] == '/')
            return 0;
        /* the root may have been renamed between the two looks */
    }
    return -ESTALE;
}

/* A removed root answers nothing sensible any more. */
int hostfs_check_root(struct hostfs *fs)
{
    struct stat st;
    if (fstat(fs->root, &st) == 0 && st.st_nlink > 0)
        return 0;
    if (!__atomic_exchange_n(&fs->gone_logged, true, __ATOMIC_RELAXED))
        log_warn(LOG_VFS, "%s: the directory is gone; the guest gets I/O errors", fs->path);
    return -EIO;
}

static int reopen(struct hostfs *fs, struct node *node, struct pin *pin)
{
    char path[PATH_MAX];
    int rc = nodes_path(fs->nodes, node, path, sizeof path);
    if (rc < 0)
        return rc;
    CLEAN_FD int fd = hostfs_beneath(fs->root, path, O_PATH, 0);
    if (fd < 0)
        return fd == -ENOENT || fd == -ENOTDIR ? -ESTALE : fd;
    struct found found = {0};
    rc = hostfs_stat(fs, fd, &found);
    if (rc == 0 && !key_equal(&found.key, &node->key))
        rc = -ESTALE;
    if (rc == 0)
        fdcache_put(fs->cache, node, take_fd(&fd), pin);
    return rc;
}

int hostfs_pin(struct provider *provider, struct node *node, struct pin *pin)
{
    struct hostfs *fs = hostfs_of(provider);
    *pin = (struct pin){-1, -2};
    int rc = hostfs_check_root(fs);
    if (rc < 0)
        return rc;
    if (node->id == FUSE_ROOT_ID) {
        *pin = (struct pin){fs->root, -2};
        return 0;
    }
    if (!fdcache_get(fs->cache, node, pin))
        return reopen(fs, node, pin);
    rc = check_beneath(fs, pin->fd);
    if (rc < 0)
        fdcache_release(fs->cache, pin);
    return rc;
}

void hostfs_unpin(struct provider *provider, struct pin *pin)
{
    fdcache_release(hostfs_of(provider)->cache, pin);
}

bool hostfs_local(const struct provider *provider)
{
    return ((const struct hostfs *)provider)->local;
}

static void hostfs_forget(struct provider *provider, struct node *node)
{
    struct hostfs *fs = hostfs_of(provider);
    fdcache_drop(fs->cache, node);
    if (node->deleted)
        owners_forget(fs->owners, &node->key);
}

static void hostfs_close(struct provider *provider)
{
    struct hostfs *fs = hostfs_of(provider);
    if (fs->root >= 0)
        close(fs->root);
    owners_close(fs->owners);
    pthread_mutex_destroy(&fs->lock);
    free(fs->path);
    free(fs);
}

/* The devices too: [0] is whatever the root's is now, as its number can change with a reboot. */
static int hostfs_save(struct provider *provider, FILE *out)
{
    struct hostfs *fs = hostfs_of(provider);
    int rc = save_u64(out, fs->device_count);
    for (uint32_t i = 1; rc == 0 && i < fs->device_count; i++)
        rc = save_u64(out, fs->devices[i]);
    return rc < 0 ? rc : owners_save(fs->owners, out);
}

static int hostfs_load(struct provider *provider, FILE *in, struct error *err)
{
    struct hostfs *fs = hostfs_of(provider);
    uint64_t count;
    int rc = load_u64(in, &count, DEVICES_MAX);
    for (uint32_t i = 1; rc == 0 && i < count; i++) {
        rc = load_u64(in, &fs->devices[i], UINT64_MAX);
        fs->device_count = i + 1;
    }
    if (rc == 0)
        rc = owners_load(fs->owners, in);
    return rc == 0 ? 0 : error_set(err, -rc, "the state of %s is damaged", fs->path);
}

static const struct provider_ops hostfs_ops = {
    .lookup = hostfs_lookup,
    .getattr = hostfs_getattr,
    .setattr = hostfs_setattr,
    .readlink = hostfs_readlink,
    .make = hostfs_make,
    .link = hostfs_link,
    .remove = hostfs_remove,
    .rename = hostfs_rename,
    .open = hostfs_open_file,
    .create = hostfs_create,
    .release = hostfs_release,
    .readdir = hostfs_readdir,
    .read = hostfs_read,
    .write = hostfs_write,
    .fsync = hostfs_fsync,
    .fallocate = hostfs_fallocate,
    .seek = hostfs_seek,
    .copy = hostfs_copy,
    .statfs = hostfs_statfs,
    .getxattr = hostfs_getxattr,
    .listxattr = hostfs_listxattr,
    .setxattr = hostfs_setxattr,
    .removexattr = hostfs_removexattr,
    .forget = hostfs_forget,
    .save = hostfs_save,
    .load = hostfs_load,
    .close = hostfs_close,
};

/* statfs(2)'s magic numbers of file systems that others can change behind this kernel's back. */
static bool is_local(int fd)
{
    static const uint32_t remote[] = {
        0x6969,     /* NFS */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB2 */
        0x01021997, /* 9P */
        0x00c36400, /* Ceph */
        0x5346414f, /* AFS */
        0x65735546, /* FUSE */
        0x01161970, /* GFS2 */
        0x7461636f, /* OCFS2 */
        0x0bd00bd0, /* Lustre */
    };
    struct statfs st;
    if (fstatfs(fd, &st) < 0)
        return false;
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++)
        if ((uint32_t)st.f_type == remote[i])
            return false;
    return true;
}

int hostfs_open(struct provider **out, const struct hostfs_config *config, struct nodes *nodes,
                struct fdcache *cache, struct error *err)
{
    CLEAN_FD int root = open(config->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statx sx = {0};
    if ((root < 0 || statx(root, "", AT_EMPTY_PATH, HOSTFS_STATX, &sx) < 0) && !config->missing)
        return error_system(err, errno, "cannot open the host directory %s", config->path);
    struct hostfs *fs = calloc(1, sizeof *fs);
    if (fs == NULL)
        return error_set(err, ENOMEM, "out of memory");
    pthread_mutex_init(&fs->lock, NULL);
    fs->base.ops = &hostfs_ops;
    fs->root = -1;
    fs->path = strdup(config->path);
    fs->owners = owners_open();
    if (fs->path == NULL || fs->owners == NULL) {
        hostfs_close(&fs->base);
        return error_set(err, ENOMEM, "out of memory");
    }
    fs->nodes = nodes;
    fs->cache = cache;
    fs->local = is_local(root);
    fs->root = take_fd(&root);
    fs->proc = fdcache_proc(cache);
    fs->uid = config->uid;
    fs->gid = config->gid;
    fs->host_uid = geteuid();
    fs->host_gid = getegid();
    fs->devices[0] = makedev(sx.stx_dev_major, sx.stx_dev_minor);
    fs->device_count = 1;
    *out = &fs->base;
    return 0;
}
