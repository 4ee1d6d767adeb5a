/*
 * flock() on the directory itself is the mark of life. Between mkdtemp() and flock() a cleaner
 * may take a new directory for an abandoned one; so after locking it is looked at again, and made
 * anew if it is gone.
 *
 * What mmdebstrap leaves behind when it is killed belongs in part to subordinate ids, which its
 * user cannot remove: that is done in a user namespace of its own where the user is root.
 */
#include "vm/image/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "base/process.h"
#include "base/str.h"

static void scratch_remove(const char *path)
{
    struct error err = {0};
    if (path_remove(path, &err) == 0)
        return;
    static const char *const unshare[] = {
        "unshare", "--user", "--map-root-user", "--map-auto", "--", "rm", "-rf", "--"};
    const char *argv[sizeof unshare / sizeof unshare[0] + 2] = {NULL};
    memcpy(argv, unshare, sizeof unshare);
    argv[sizeof unshare / sizeof unshare[0]] = path;
    pid_t pid = process_spawn(&(struct process_spec){.argv = argv}, &err);
    if (pid < 0 || process_wait(pid) != 0)
        log_warn(LOG_IMAGE, "%s", err.message);
}

/* Opens and locks; false when somebody works in it or it is not ours. */
static bool scratch_lock(const char *path, int *lock)
{
    CLEAN_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat opened, named;
    if (fd < 0 || fstat(fd, &opened) < 0 || opened.st_uid != geteuid() ||
        flock(fd, LOCK_EX | LOCK_NB) < 0)
        return false;
    if (lstat(path, &named) < 0 || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev)
        return false;
    *lock = take_fd(&fd);
    return true;
}

static void scratch_clean(const char *parent, const char *prefix)
{
    CLEAN_DIR DIR *dir = opendir(parent);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (!str_starts(entry->d_name, prefix))
            continue;
        CLEAN_FREE char *path = str_printf("%s/%s", parent, entry->d_name);
        CLEAN_FD int lock = -1;
        if (path != NULL && scratch_lock(path, &lock))
            scratch_remove(path);
    }
}

int scratch_open(const char *parent, const char *prefix, mode_t mode, struct scratch *out,
                 struct error *err)
{
    *out = (struct scratch)SCRATCH_NONE;
    scratch_clean(parent, prefix);
    for (;;) {
        CLEAN_FREE char *path = str_printf("%s/%s%d-XXXXXX", parent, prefix, (int)getpid());
        if (path == NULL)
            return error_set(err, ENOMEM, "out of memory");
        if (mkdtemp(path) == NULL)
            return error_system(err, errno, "cannot make a directory in %s", parent);
        if (!scratch_lock(path, &out->lock)) {
            if (access(path, F_OK) < 0)
                continue; /* a cleaner had it */
            path_remove(path, NULL);
            return error_set(err, ENOLCK, "cannot lock %s", path);
        }
        out->path = take_ptr(path);
        if (chmod(out->path, mode) == 0)
            return 0;
        int rc = error_system(err, errno, "cannot change the mode of %s", out->path);
        scratch_close(out);
        return rc;
    }
}

void scratch_close(struct scratch *scratch)
{
    if (scratch->path != NULL)
        scratch_remove(scratch->path);
    if (scratch->lock >= 0)
        close(scratch->lock);
    free(scratch->path);
    *scratch = (struct scratch)SCRATCH_NONE;
}
