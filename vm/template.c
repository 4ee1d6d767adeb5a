/*
 * The cache of templates. A key that changes (another image, program, QEMU, size) leaves an old
 * template to nobody; it goes when room is needed, in order of the last use, which is the time of
 * change of its lock file.
 */
#include "vm/template.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "vm/template_cache.h"

#define FORMAT "1" /* of what is in a template */

int template_key(const struct template_spec *spec, char key[TEMPLATE_KEY_SIZE], struct error *err)
{
    char shape[MACHINE_SHAPE_SIZE], hex[HASH_HEX_SIZE];
    struct stat st = {0};
    int rc = machine_shape(&spec->machine, shape, err);
    if (rc == 0 && stat(spec->machine.binary, &st) < 0)
        rc = error_system(err, errno, "%s", spec->machine.binary);
    if (rc < 0)
        return rc;
    const char *initrd = strrchr(spec->machine.initrd, '/'); /* it is named after its content */
    CLEAN_FREE char *text =
        str_printf(FORMAT " %s %s %lld %lld.%09ld %s %s %llu %s", shape, spec->machine.binary,
                   (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                   spec->image_id, initrd != NULL ? initrd : "",
                   (unsigned long long)spec->disk_size, spec->trust != NULL ? spec->trust : "");
    if (text == NULL)
        return error_set(err, ENOMEM, "out of memory");
    rc = hash_memory(text, strlen(text), hex, err);
    memcpy(key, hex, TEMPLATE_KEY_SIZE - 1);
    key[TEMPLATE_KEY_SIZE - 1] = '\0';
    return rc;
}

int template_path(const char *name, char **out, struct error *err)
{
    CLEAN_FREE char *below = str_printf("templates/%s", name);
    CLEAN_FREE char *directory = NULL;
    int rc = path_xdg(PATH_CACHE, "templates", &directory, err);
    if (rc == 0)
        rc = path_mkdirs(directory, 0700, err);
    if (rc == 0 && below == NULL)
        rc = error_set(err, ENOMEM, "out of memory");
    return rc == 0 ? path_xdg(PATH_CACHE, below, out, err) : rc;
}

int templates_lock(int *fd, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    int rc = template_path("lock", &path, err);
    return rc == 0 ? path_lock(path, fd, err) : rc;
}

int template_try_lock(const char *key, int *fd, struct error *err)
{
    char digits[16] = {0}; /* of a hash: 60 bits are as good as all */
    CLEAN_FREE char *path = NULL;
    memcpy(digits, key, sizeof digits - 1);
    int rc = template_path("builders", &path, err);
    CLEAN_FD int file = rc == 0 ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (rc < 0)
        return rc;
    if (file < 0)
        return error_system(err, errno, "cannot open %s", path);
    struct flock byte = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)strtoull(digits, NULL, 16),
                         .l_len = 1};
    if (fcntl(file, F_OFD_SETLK, &byte) < 0)
        return errno == EAGAIN ? 0 : error_system(err, errno, "cannot lock %s", path);
    *fd = take_fd(&file);
    return 1;
}

int template_entry(char **directory, int *hold, struct error *err)
{
    CLEAN_FD int all = -1;
    CLEAN_FREE char *pattern = NULL;
    int rc = template_path(".new-XXXXXX", &pattern, err);
    if (rc == 0)
        rc = templates_lock(&all, err);
    if (rc < 0 || pattern == NULL)
        return rc;
    if (mkdtemp(pattern) == NULL)
        return error_system(err, errno, "cannot make %s", pattern);
    *directory = take_ptr(pattern);
    CLEAN_FREE char *lock = str_printf("%s/lock", *directory);
    *hold = lock != NULL ? open(lock, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (*hold < 0 || flock(*hold, LOCK_SH | LOCK_NB) < 0)
        return error_system(err, errno, "cannot lock %s", *directory);
    return 0;
}

static int template_files(const char *directory, struct template *out, struct error *err)
{
    CLEAN_FREE char *lock = str_printf("%s/lock", directory);
    CLEAN_FREE char *state = str_printf("%s/state", directory);
    out->ram = str_printf("%s/ram", directory);
    out->disk = str_printf("%s/disk.qcow2", directory);
    if (lock == NULL || state == NULL || out->ram == NULL || out->disk == NULL)
        return error_set(err, ENOMEM, "out of memory");
    out->hold = open(lock, O_RDWR | O_CLOEXEC);
    if (out->hold < 0 || flock(out->hold, LOCK_SH | LOCK_NB) < 0)
        return error_system(err, ENOENT, "no template");
    out->state = open(state, O_RDONLY | O_CLOEXEC);
    out->ram_fd = open(out->ram, O_RDONLY | O_CLOEXEC);
    out->disk_fd = open(out->disk, O_RDONLY | O_CLOEXEC);
    if (out->state < 0 || out->ram_fd < 0)
        return error_system(err, ENOENT, "no template"); /* removed before we had the lock */
    futimens(out->hold, NULL);
    return 0;
}

int template_open(const char *key, struct template *out, struct error *err)
{
    CLEAN_FREE char *directory = NULL;
    *out = (struct template){.ram_fd = -1, .disk_fd = -1, .state = -1, .hold = -1};
    int rc = template_path(key, &directory, err);
    if (rc == 0)
        rc = template_files(directory, out, err);
    if (rc < 0)
        template_close(out);
    return rc;
}

void template_close(struct template *template)
{
    if (template->ram == NULL && template->disk == NULL)
        return; /* a zeroed one owns no descriptors */
    free(template->ram);
    free(template->disk);
    cleanup_fd(&template->ram_fd);
    cleanup_fd(&template->disk_fd);
    cleanup_fd(&template->state);
    cleanup_fd(&template->hold);
    *template = (struct template){.ram_fd = -1, .disk_fd = -1, .state = -1, .hold = -1};
}

/* Somebody else may have found it broken too, and made it anew. */
static bool is_that_one(const char *directory, const struct template *which)
{
    struct stat there, held;
    CLEAN_FREE char *lock = str_printf("%s/lock", directory);
    return lock != NULL && stat(lock, &there) == 0 && fstat(which->hold, &held) == 0 &&
           there.st_ino == held.st_ino && there.st_dev == held.st_dev;
}

void template_discard(const char *key, const struct template *which)
{
    CLEAN_FREE char *directory = NULL, *aside = NULL;
    CLEAN_FREE char *name = str_printf(".gone-%s-%d", key, (int)getpid());
    struct error err = {0};
    if (name == NULL || template_path(key, &directory, &err) < 0 ||
        template_path(name, &aside, &err) < 0 ||
        (which != NULL && !is_that_one(directory, which)) || rename(directory, aside) < 0)
        return;
    path_remove(aside, NULL);
}

/* One template in the cache, for the choice of which has to go. */
struct row {
    char name[256];
    uint64_t size;
    struct timespec used;
    bool left; /* by somebody who was killed making or removing it, unless it is held */
};

static uint64_t directory_size(const char *path)
{
    uint64_t size = 0;
    struct stat st;
    const struct dirent *entry;
    DIR *dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            size += (uint64_t)st.st_blocks * 512;
    if (dir != NULL)
        closedir(dir);
    return size;
}

static int by_use(const void *a, const void *b)
{
    const struct timespec *x = &((const struct row *)a)->used, *y = &((const struct row *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* Removes a template that nobody holds; one that is being made has its lock held as well. */
static bool template_evict(const char *name)
{
    CLEAN_FREE char *directory = NULL;
    if (template_path(name, &directory, NULL) < 0)
        return false;
    CLEAN_FREE char *lock = str_printf("%s/lock", directory);
    CLEAN_FD int fd = lock != NULL ? open(lock, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
        return false;
    return path_remove(directory, NULL) == 0;
}

void templates_trim(uint64_t limit)
{
    enum { ROWS_MAX = 256 };
    CLEAN_FREE char *all = NULL;
    CLEAN_FREE struct row *rows = calloc(ROWS_MAX, sizeof *rows);
    CLEAN_FD int held = -1;
    uint64_t total = 0;
    size_t count = 0;
    if (rows == NULL || templates_lock(&held, NULL) < 0 ||
        path_xdg(PATH_CACHE, "templates", &all, NULL) < 0)
        return;
    DIR *dir = opendir(all);
    const struct dirent *entry;
    while (dir != NULL && count < ROWS_MAX && (entry = readdir(dir)) != NULL) {
        struct row *row = &rows[count];
        struct stat st;
        CLEAN_FREE char *path = str_printf("%s/%s", all, entry->d_name);
        CLEAN_FREE char *lock = str_printf("%s/%s/lock", all, entry->d_name);
        if (path == NULL || lock == NULL || strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0 || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        row->left = stat(lock, &st) < 0 || entry->d_name[0] == '.';
        if (!row->left)
            row->used = st.st_mtim;
        memcpy(row->name, entry->d_name, strlen(entry->d_name) + 1);
        row->size = directory_size(path);
        total += row->size;
        count++;
    }
    if (dir != NULL)
        closedir(dir);
    qsort(rows, count, sizeof *rows, by_use);
    for (size_t i = 0; i < count; i++)
        if ((total > limit || rows[i].left) && template_evict(rows[i].name)) {
            log_debug(LOG_HOST, "removed the template %s", rows[i].name);
            total -= rows[i].size;
        }
}
