/*
 * SHA-256 has no parallel form, so the unit of parallel work is the section: threads take the next
 * one until none is left. With a disk and a memory of the same size two CPUs are busy to the end.
 * What was verified is remembered in a stamp (base/stamp.h) that is named after device and inode:
 * a name could mean another file by then.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/stamp.h"
#include "base/str.h"
#include "vm/snapfile_internal.h"

#define THREADS_MAX    4
#define STAMP_SIZE_MAX 4096

/* Where the file's stamp is, and what it says if the file is as it is now. */
static int stamp_make(const struct stat *st, const char *manifest_sha256, char **path,
                      struct buf *line)
{
    CLEAN_FREE char *directory = NULL;
    int rc = path_xdg(PATH_CACHE, "verified", &directory, NULL);
    if (rc == 0)
        rc = path_mkdirs(directory, 0700, NULL);
    if (rc < 0)
        return rc;
    *path = str_printf("%s/%llx-%llx", directory, (unsigned long long)st->st_dev,
                       (unsigned long long)st->st_ino);
    return *path != NULL ? stamp_line(line, st, manifest_sha256) : -ENOMEM;
}

void verified_note(int fd, const char *manifest_sha256)
{
    struct stat st;
    CLEAN_FREE char *path = NULL;
    CLEAN_BUF struct buf line = {0};
    if (fstat(fd, &st) == 0 && stamp_make(&st, manifest_sha256, &path, &line) == 0)
        path_write(path, 0600, buf_data(&line), buf_len(&line), NULL);
}

void verified_forget(int fd)
{
    struct stat st;
    CLEAN_FREE char *path = NULL;
    CLEAN_BUF struct buf line = {0};
    if (fstat(fd, &st) == 0 && stamp_make(&st, "", &path, &line) == 0)
        unlink(path);
}

struct verify {
    const struct snapfile *file;
    const volatile int *cancel;
    atomic_size_t next;
    pthread_mutex_t lock; /* of what follows: the first failure */
    int rc;
    struct error *err;
};

static int section_verify(const struct verify *verify, const struct section *section,
                          struct error *err)
{
    char hex[HASH_HEX_SIZE];
    struct hash *hash = hash_start();
    if (hash == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc =
        hash_add_fd(hash, verify->file->fd, section->offset, section->length, verify->cancel, err);
    hash_finish(hash, hex);
    if (rc < 0)
        return error_wrap(err, "%s: section %s", verify->file->path, section->name);
    if (strcmp(hex, section->sha256) != 0)
        return error_set(err, EBADMSG, "%s: damaged: its section %s has changed",
                         verify->file->path, section->name);
    return 0;
}

static void *verify_run(void *context)
{
    struct verify *verify = context;
    const struct sections *sections = &verify->file->sections;
    for (;;) {
        struct error err = {0};
        size_t number = atomic_fetch_add(&verify->next, 1);
        if (number >= sections->count)
            return NULL;
        int rc = section_verify(verify, &sections->rows[number], &err);
        if (rc == 0)
            continue;
        atomic_store(&verify->next, sections->count);
        pthread_mutex_lock(&verify->lock);
        if (verify->rc == 0) {
            verify->rc = rc;
            if (verify->err != NULL)
                *verify->err = err;
        }
        pthread_mutex_unlock(&verify->lock);
        return NULL;
    }
}

/* A thread that cannot be had is not missed: this one does all that is left. */
static int sections_verify(const struct snapfile *file, const volatile int *cancel,
                           struct error *err)
{
    struct verify verify = {
        .file = file, .cancel = cancel, .lock = PTHREAD_MUTEX_INITIALIZER, .err = err};
    pthread_t threads[THREADS_MAX];
    size_t started = 0;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    while (started + 1 < THREADS_MAX && started + 1 < file->sections.count &&
           (long)started + 1 < cpus &&
           pthread_create(&threads[started], NULL, verify_run, &verify) == 0)
        started++;
    verify_run(&verify);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    return verify.rc;
}

int snapfile_verify(const struct snapfile *file, const volatile int *cancel, struct error *err)
{
    struct stat st;
    CLEAN_FREE char *path = NULL;
    CLEAN_BUF struct buf now = {0}, then = {0};
    if (fstat(file->fd, &st) < 0)
        return error_system(err, errno, "%s", file->path);
    bool stamped = stamp_make(&st, file->sha256, &path, &now) == 0, young = stamp_young(&st);
    if (stamped && path_read(path, STAMP_SIZE_MAX, &then, NULL) == 0 &&
        buf_len(&then) == buf_len(&now) &&
        memcmp(buf_data(&then), buf_data(&now), buf_len(&now)) == 0)
        return 0;
    int rc = sections_verify(file, cancel, err);
    if (rc == 0 && stamped && !young)
        path_write(path, 0600, buf_data(&now), buf_len(&now), NULL);
    return rc;
}

int snapfile_remove(const char *path, struct error *err)
{
    CLEAN_SNAPFILE struct snapfile *file = NULL;
    if (snapfile_open(&file, path, NULL) == 0)
        verified_forget(file->fd);
    if (unlink(path) < 0)
        return error_system(err, errno, "cannot remove the snapshot %s", path);
    return 0;
}
