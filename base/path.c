/*
 * XDG base directory specification 0.8: a variable that is unset, empty or relative means the
 * default. Without $XDG_RUNTIME_DIR sockets go to /tmp/vmdeck-<uid>, which must be a directory of
 * ours that nobody else can enter: anybody can make that name first.
 */
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"

static const struct {
    const char *variable;
    const char *below_home;
} bases[] = {
    [PATH_RUNTIME] = {"XDG_RUNTIME_DIR", NULL},
    [PATH_STATE] = {"XDG_STATE_HOME", ".local/state"},
    [PATH_DATA] = {"XDG_DATA_HOME", ".local/share"},
    [PATH_CACHE] = {"XDG_CACHE_HOME", ".cache"},
    [PATH_CONFIG] = {"XDG_CONFIG_HOME", ".config"},
};

static const char *path_home(void)
{
    const char *home = getenv("HOME");
    if (home != NULL && home[0] == '/')
        return home;
    const struct passwd *user = getpwuid(getuid());
    return user != NULL && user->pw_dir != NULL ? user->pw_dir : "/";
}

static int path_check_own(const char *path, struct error *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return error_system(err, errno, "%s", path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        return error_set(err, EPERM,
                         "%s: not a directory of mode 0700 that is yours (remove it, or set "
                         "XDG_RUNTIME_DIR)",
                         path);
    return 0;
}

int path_xdg(enum path_base base, const char *name, char **out, struct error *err)
{
    *out = NULL;
    CLEAN_FREE char *directory = NULL;
    const char *value = getenv(bases[base].variable);
    bool fallback = value == NULL || value[0] != '/';
    if (!fallback)
        directory = str_printf("%s/vmdeck", value);
    else if (bases[base].below_home != NULL)
        directory = str_printf("%s/%s/vmdeck", path_home(), bases[base].below_home);
    else
        directory = str_printf("/tmp/vmdeck-%u", (unsigned)geteuid());
    if (directory == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = path_mkdirs(directory, 0700, err);
    if (rc == 0 && base == PATH_RUNTIME)
        rc = path_check_own(directory, err);
    if (rc < 0)
        return rc;
    *out = name != NULL ? str_printf("%s/%s", directory, name) : take_ptr(directory);
    return *out != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

int path_mkdirs(const char *path, mode_t mode, struct error *err)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return 0;
    if (errno == ENOENT) {
        CLEAN_FREE char *parent = strdup(path);
        char *slash = parent != NULL ? strrchr(parent, '/') : NULL;
        if (slash != NULL && slash != parent) {
            *slash = '\0';
            int rc = path_mkdirs(parent, mode, err);
            if (rc < 0)
                return rc;
            if (mkdir(path, mode) == 0 || errno == EEXIST)
                return 0;
        }
    }
    return error_system(err, errno, "cannot make directory %s", path);
}

/* Depth is bounded by the host's own path limits: what is removed here, vmdeck made. */
static int path_remove_at(int dirfd, const char *name)
{
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEAN_DIR DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return -code;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int rc = path_remove_at(fd, entry->d_name);
        if (rc < 0)
            return rc;
    }
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

int path_remove(const char *path, struct error *err)
{
    int rc = path_remove_at(AT_FDCWD, path);
    return rc < 0 ? error_system(err, -rc, "cannot remove %s", path) : 0;
}

int path_read(const char *path, size_t max, struct buf *out, struct error *err)
{
    CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_system(err, errno, "cannot open %s", path);
    for (size_t total = 0;;) {
        uint8_t *room = buf_reserve(out, 16384);
        if (room == NULL)
            return error_set(err, ENOMEM, "%s: out of memory", path);
        ssize_t got = read(fd, room, 16384);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(err, errno, "cannot read %s", path);
        if (got == 0)
            return 0;
        total += (size_t)got;
        if (total > max)
            return error_set(err, EFBIG, "%s: larger than %zu bytes", path, max);
        buf_added(out, (size_t)got);
    }
}

int fd_write_all(int fd, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size > 0) {
        ssize_t put = write(fd, p, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        p += put;
        size -= (size_t)put;
    }
    return 0;
}

int path_write(const char *path, mode_t mode, const void *data, size_t size, struct error *err)
{
    CLEAN_FREE char *temporary = str_printf("%s.XXXXXX", path);
    if (temporary == NULL)
        return error_set(err, ENOMEM, "out of memory");
    CLEAN_FD int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return error_system(err, errno, "cannot create %s", temporary);
    int rc = fd_write_all(fd, data, size);
    if (rc == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0))
        rc = -errno;
    if (rc < 0) {
        unlink(temporary);
        return error_system(err, -rc, "cannot write %s", path);
    }
    return 0;
}

int path_lock(const char *path, int *fd, struct error *err)
{
    CLEAN_FD int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = lock;
    while (rc >= 0 && (rc = flock(lock, LOCK_EX)) < 0 && errno == EINTR)
        rc = 0;
    if (rc < 0)
        return error_system(err, errno, "cannot lock %s", path);
    *fd = take_fd(&lock);
    return 0;
}
