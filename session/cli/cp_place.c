/*
 * The temporary directory is beside the final name, so that the last step is a rename within one
 * file system; where directories merge it is inside the existing one, which may be a mount point.
 * What is killed leaves ".vmdeck-cp.XXXXXXXX" behind and never a half under the final name.
 *
 * In a merge existing directories get the mode and time of the copied ones, except the topmost,
 * which was there before; files replace files and links.
 */
#include "session/cli/cp_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "session/cli/cp_extract.h"

/* A name that is taken, or the place of a name that is not. */
static int place_named(struct cp_place *place, const char *path, struct error *err)
{
    struct stat st;
    size_t length = strlen(path);
    bool must = length > 1 && path[length - 1] == '/';
    while (length > 1 && path[length - 1] == '/')
        length--;
    CLEAN_FREE char *bare = strndup(path, length);
    if (bare == NULL)
        return error_set(err, ENOMEM, "out of memory");
    const char *slash = strrchr(bare, '/');
    bool taken = lstat(bare, &st) == 0;
    if (taken && S_ISDIR(st.st_mode)) {
        place->exists = true;
        place->base = strdup(bare);
        place->leaf = strdup(".");
        snprintf(place->no_file, sizeof place->no_file, "%.200s: is a directory there", bare);
    } else {
        place->base =
            slash == NULL ? strdup(".") : strndup(bare, slash > bare ? (size_t)(slash - bare) : 1);
        place->leaf = strdup(slash != NULL ? slash + 1 : bare);
        if (taken)
            snprintf(place->no_directory, sizeof place->no_directory,
                     "%.200s: is there and no directory", bare);
        if (must)
            snprintf(place->no_file, sizeof place->no_file, "%.200s/: no such directory", bare);
    }
    return place->base != NULL && place->leaf != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

int cp_place_find(struct cp_place *place, const char *path, const char *name, struct error *err)
{
    struct stat st;
    *place = (struct cp_place){.directory = -1};
    bool into = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if (into && strcmp(name, ".") != 0) {
        const char *between = path[strlen(path) - 1] == '/' ? "" : "/";
        CLEAN_FREE char *inside = str_printf("%s%s%s", path, between, name);
        if (inside == NULL)
            return error_set(err, ENOMEM, "out of memory");
        return place_named(place, inside, err);
    }
    if (!into)
        return place_named(place, path, err);
    place->exists = true;
    place->base = strdup(path);
    place->leaf = strdup(".");
    snprintf(place->no_file, sizeof place->no_file, "%.200s: is a directory", path);
    return place->base != NULL && place->leaf != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

int cp_place_begin(struct cp_place *place, struct error *err)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_system(err, errno, "cannot get a random name");
    place->temporary = str_printf("%s/.vmdeck-cp.%016llx", place->base, (unsigned long long)random);
    if (place->temporary == NULL)
        return error_set(err, ENOMEM, "out of memory");
    if (mkdir(place->temporary, S_IRWXU) < 0) {
        int code = errno;
        free(take_ptr(place->temporary));
        return error_system(err, code, "cannot write in %s", place->base);
    }
    place->directory = open(place->temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return place->directory < 0 ? error_system(err, errno, "cannot open %s", place->temporary) : 0;
}

/* Moving a directory needs write permission in it, which its mode may not give. */
static int place_rename(int from, const char *name, const struct stat *st, int to, const char *as,
                        struct error *err)
{
    bool locked = S_ISDIR(st->st_mode) && (st->st_mode & S_IRWXU) != S_IRWXU;
    if (locked && fchmodat(from, name, st->st_mode | S_IRWXU, 0) < 0)
        return error_system(err, errno, "cannot move %s into place", as);
    if (renameat(from, name, to, as) < 0)
        return error_system(err, errno, "cannot move %s into place", as);
    if (locked && fchmodat(to, as, st->st_mode & ~(mode_t)S_IFMT, 0) < 0)
        return error_system(err, errno, "cannot set the mode of %s", as);
    return 0;
}

static int place_merge(int from, const char *name, int to, const char *as, bool top,
                       struct error *err);

static int place_one(int from, int to, const char *name, struct error *err)
{
    struct stat source, target;
    if (fstatat(from, name, &source, AT_SYMLINK_NOFOLLOW) < 0)
        return error_system(err, errno, "cannot move %s into place", name);
    if (fstatat(to, name, &target, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? place_rename(from, name, &source, to, name, err)
                               : error_system(err, errno, "cannot move %s into place", name);
    if (S_ISDIR(source.st_mode) && S_ISDIR(target.st_mode))
        return place_merge(from, name, to, name, false, err);
    if (S_ISDIR(source.st_mode) || S_ISDIR(target.st_mode))
        return error_set(err, EEXIST, "%s: one is a directory, the other is not", name);
    return place_rename(from, name, &source, to, name, err);
}

static int place_merge(int from, const char *name, int to, const char *as, bool top,
                       struct error *err)
{
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        ((st.st_mode & S_IRWXU) != S_IRWXU && fchmodat(from, name, st.st_mode | S_IRWXU, 0) < 0))
        return error_system(err, errno, "cannot move %s into place", as);
    int fd = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEAN_DIR DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    CLEAN_FD int into = openat(to, as, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (top ? 0 : O_NOFOLLOW));
    if (dir == NULL || into < 0) {
        int code = errno;
        if (dir == NULL && fd >= 0)
            close(fd);
        return error_system(err, code, "cannot open %s", as);
    }
    const struct dirent *item;
    while (errno = 0, (item = readdir(dir)) != NULL) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        int rc = place_one(fd, into, item->d_name, err);
        if (rc < 0)
            return rc;
    }
    if (errno != 0)
        return error_system(err, errno, "cannot read %s", as);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
    if (!top && (futimens(into, times) < 0 || fchmod(into, st.st_mode & ~(mode_t)S_IFMT) < 0))
        return error_system(err, errno, "cannot set mode and time of %s", as);
    return 0;
}

int cp_place_commit(const struct cp_place *place, struct error *err)
{
    struct stat st;
    CLEAN_FD int base = open(place->base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return error_system(err, errno, "cannot open %s", place->base);
    if (place->exists)
        return place_merge(place->directory, CP_ITEM, base, ".", true, err);
    if (fstatat(place->directory, CP_ITEM, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_system(err, errno, "cannot move %s into place", place->leaf);
    return place_rename(place->directory, CP_ITEM, &st, base, place->leaf, err);
}

/* Directories that are left may have lost the permission to be emptied. */
static void place_unlock(int parent, const char *name)
{
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return;
    if (fchmodat(parent, name, S_IRWXU, 0) < 0)
        return;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEAN_DIR DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    const struct dirent *item;
    while ((item = readdir(dir)) != NULL)
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            place_unlock(fd, item->d_name);
}

void cp_place_free(struct cp_place *place)
{
    if (place->temporary != NULL && path_remove(place->temporary, NULL) < 0) {
        place_unlock(AT_FDCWD, place->temporary);
        (void)path_remove(place->temporary, NULL);
    }
    if (place->directory >= 0)
        close(place->directory);
    free(place->temporary);
    free(place->base);
    free(place->leaf);
    *place = (struct cp_place){.directory = -1};
}
