/*
 * Reading every part for each start would cost seconds, so what was verified is remembered: a
 * stamp has a line per part (base/stamp.h).
 */
#include "vm/image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/stamp.h"
#include "base/str.h"

#define STAMP_SIZE_MAX 4096

/* Opens the part and checks type and size. */
static int part_open(const char *directory, const struct manifest_part *part, struct stat *st,
                     int *fd, struct error *err)
{
    CLEAN_FREE char *path = str_printf("%s/%s", directory, part->file);
    if (path == NULL)
        return error_set(err, ENOMEM, "out of memory");
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 && errno == ENOENT)
        return error_set(err, EBADMSG, "%s is missing", path);
    if (*fd < 0 || fstat(*fd, st) < 0)
        return error_system(err, errno, "cannot open %s", path);
    if (!S_ISREG(st->st_mode))
        return error_set(err, EBADMSG, "%s is no regular file", path);
    if ((uint64_t)st->st_size != part->size)
        return error_set(err, EBADMSG, "%s has %" PRIu64 " bytes instead of %" PRIu64, path,
                         (uint64_t)st->st_size, part->size);
    return 0;
}

/* Stamps are named after the directory, so that one outside the store has its own. */
static int stamp_path(const char *directory, char **out, struct error *err)
{
    char hex[HASH_HEX_SIZE];
    CLEAN_FREE char *stamps = NULL;
    *out = NULL;
    int rc = store_path("stamps", &stamps, err);
    if (rc == 0)
        rc = path_mkdirs(stamps, 0700, err);
    if (rc == 0)
        rc = hash_memory(directory, strlen(directory), hex, err);
    if (rc < 0)
        return rc;
    *out = str_printf("%s/%.32s", stamps, hex);
    return *out != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int parts_hash(const char *directory, const struct manifest *manifest, const int fds[],
                      struct error *err)
{
    for (int i = 0; i < PART_COUNT; i++) {
        char hex[HASH_HEX_SIZE];
        const struct manifest_part *part = &manifest->parts[i];
        int rc = hash_fd(fds[i], NULL, hex, err);
        if (rc < 0)
            return error_wrap(err, "%s/%s", directory, part->file);
        if (strcmp(hex, part->sha256) != 0)
            return error_set(err, EBADMSG, "%s/%s has changed", directory, part->file);
    }
    return 0;
}

/* The parts, open, and the stamp they would have now. */
struct parts {
    int fds[PART_COUNT];
    struct buf stamp;
    bool young; /* changed just now: not to be remembered */
};

static void cleanup_parts(struct parts *parts)
{
    for (int i = 0; i < PART_COUNT; i++)
        cleanup_fd(&parts->fds[i]);
    buf_free(&parts->stamp);
}

#define CLEAN_PARTS __attribute__((cleanup(cleanup_parts)))
#define PARTS_NONE            \
    {                         \
        .fds = { -1, -1, -1 } \
    }

static int parts_open(const char *directory, const struct manifest *manifest, struct parts *parts,
                      struct error *err)
{
    int rc = 0;
    for (int i = 0; i < PART_COUNT && rc == 0; i++) {
        struct stat st = {0};
        rc = part_open(directory, &manifest->parts[i], &st, &parts->fds[i], err);
        if (rc == 0 && stamp_line(&parts->stamp, &st, manifest->parts[i].sha256) < 0)
            rc = error_set(err, ENOMEM, "out of memory");
        if (rc == 0 && stamp_young(&st))
            parts->young = true;
    }
    return rc;
}

/* Without a stamp the next start is slower, no more: failures are not reported. */
static void parts_remember(const struct parts *parts, const char *path)
{
    if (!parts->young)
        path_write(path, 0600, buf_data(&parts->stamp), buf_len(&parts->stamp), NULL);
}

int store_verify(const char *directory, const struct manifest *manifest, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    CLEAN_BUF struct buf then = {0};
    CLEAN_PARTS struct parts parts = PARTS_NONE;
    int rc = stamp_path(directory, &path, err);
    if (rc == 0)
        rc = parts_open(directory, manifest, &parts, err);
    if (rc < 0)
        return rc;
    if (path_read(path, STAMP_SIZE_MAX, &then, NULL) == 0 &&
        buf_len(&then) == buf_len(&parts.stamp) &&
        memcmp(buf_data(&then), buf_data(&parts.stamp), buf_len(&then)) == 0)
        return 0;
    rc = parts_hash(directory, manifest, parts.fds, err);
    if (rc == 0)
        parts_remember(&parts, path);
    return rc;
}

void store_remember(const char *directory, const struct manifest *manifest)
{
    CLEAN_FREE char *path = NULL;
    CLEAN_PARTS struct parts parts = PARTS_NONE;
    if (stamp_path(directory, &path, NULL) == 0 &&
        parts_open(directory, manifest, &parts, NULL) == 0)
        parts_remember(&parts, path);
}
