/*
 * Writing, front to back. The file has no name until it is whole and synced: O_TMPFILE, and then
 * linkat(), which replaces nothing. Where a file system has no unnamed files a hidden name stands
 * in for that, and renameat2(RENAME_NOREPLACE) for linkat().
 *
 * What was written here need not be read again to be believed, so it is noted as verified. Its
 * ctime is young then (base/stamp.h); but until a moment ago nobody else could open it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/path.h"
#include "base/str.h"
#include "vm/qcow2.h"
#include "vm/snapfile_internal.h"

#define COPY_CHUNK ((size_t)256 << 10)

struct snapfile_writer {
    char *path;      /* what it will be */
    char *directory; /* of that */
    char *temporary; /* its name while it is written, or NULL: it has none */
    int fd;
    uint64_t end;      /* bytes written */
    struct hash *hash; /* of the last section, as long as that is open */
    struct sections sections;
};

static int writer_error(const struct snapfile_writer *writer, int code, struct error *err)
{
    if (code == ENOSPC || code == EDQUOT)
        return error_set(err, ENOSPC,
                         "no space left in %s for the snapshot (make room there, or choose another "
                         "place with --output)",
                         writer->directory);
    return error_system(err, code, "cannot write the snapshot %s", writer->path);
}

static int write_at(const struct snapfile_writer *writer, uint64_t offset, const void *data,
                    size_t size, struct error *err)
{
    const uint8_t *from = data;
    while (size > 0) {
        ssize_t put = pwrite(writer->fd, from, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return writer_error(writer, put < 0 ? errno : EIO, err);
        from += put;
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return 0;
}

static int file_make(struct snapfile_writer *writer, const char *name, struct error *err)
{
    writer->fd = open(writer->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (writer->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        writer->temporary = str_printf("%s/.%s.XXXXXX", writer->directory, name);
        if (writer->temporary == NULL)
            return error_set(err, ENOMEM, "out of memory");
        writer->fd = mkostemp(writer->temporary, O_CLOEXEC);
        if (writer->fd < 0) {
            free(writer->temporary);
            writer->temporary = NULL;
        }
    }
    return writer->fd < 0 ? error_system(err, errno, "cannot write in %s", writer->directory) : 0;
}

int snapfile_create(struct snapfile_writer **out, const char *path, struct error *err)
{
    *out = NULL;
    CLEAN_SNAPFILE_WRITER struct snapfile_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return error_set(err, ENOMEM, "out of memory");
    writer->fd = -1;
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    writer->path = strdup(path);
    if (slash == NULL)
        writer->directory = strdup(".");
    else
        writer->directory = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    if (writer->path == NULL || writer->directory == NULL)
        return error_set(err, ENOMEM, "out of memory");
    struct stat st;
    if (*name == '\0')
        return error_set(err, EINVAL, "%s: not the name of a file", path);
    if (lstat(path, &st) == 0)
        return error_set(err, EEXIST, "%s: is there already (nothing is replaced)", path);
    int rc = file_make(writer, name, err);
    if (rc == 0)
        *out = take_ptr(writer);
    return rc;
}

/* Ends the section that is open, if one is. */
static void section_end(struct snapfile_writer *writer)
{
    if (writer->hash == NULL)
        return;
    struct section *section = &writer->sections.rows[writer->sections.count - 1];
    section->length = writer->end - section->offset;
    hash_finish(writer->hash, section->sha256);
    writer->hash = NULL;
}

int snapfile_begin(struct snapfile_writer *writer, const char *name, struct error *err)
{
    struct sections *sections = &writer->sections;
    section_end(writer);
    if (!section_name_valid(name) || section_find(sections, name) != NULL ||
        (sections->count == 0) != (strcmp(name, SNAPFILE_DISK) == 0) ||
        sections->count == SNAPFILE_SECTIONS_MAX)
        return error_set(err, EINVAL, "cannot begin a section %s in %s", name, writer->path);
    writer->hash = hash_start();
    if (writer->hash == NULL)
        return error_set(err, ENOMEM, "out of memory");
    struct section *section = &sections->rows[sections->count++];
    memcpy(section->name, name, strlen(name) + 1);
    writer->end = (writer->end + SNAPFILE_ALIGNMENT - 1) / SNAPFILE_ALIGNMENT * SNAPFILE_ALIGNMENT;
    section->offset = writer->end;
    return 0;
}

int snapfile_disk(struct snapfile_writer *writer, const char *const layers[], size_t count,
                  const char *backing, uint64_t size, const volatile int *cancel, struct error *err)
{
    int rc = snapfile_begin(writer, SNAPFILE_DISK, err);
    if (rc == 0)
        rc = qcow2_merge(layers, count, backing, size, writer->fd, writer->hash, cancel,
                         &writer->end, err);
    return rc == -ENOSPC || rc == -EDQUOT ? writer_error(writer, -rc, err) : rc;
}

/* -EINVAL where no section is open. */
static int section_open(const struct snapfile_writer *writer, struct error *err)
{
    return writer->hash != NULL ? 0 : error_set(err, EINVAL, "%s: no section", writer->path);
}

int snapfile_add(struct snapfile_writer *writer, const void *data, size_t size, struct error *err)
{
    const uint8_t *from = data;
    int rc = section_open(writer, err);
    while (rc == 0 && size > 0) {
        size_t piece = size < SNAPFILE_PIECE ? size : SNAPFILE_PIECE;
        rc = write_at(writer, writer->end, from, piece, err);
        if (rc < 0)
            break;
        hash_add(writer->hash, from, piece);
        writer->end += piece;
        from += piece;
        size -= piece;
    }
    return rc;
}

int snapfile_add_fd(struct snapfile_writer *writer, int fd, uint64_t offset, uint64_t length,
                    const volatile int *cancel, struct error *err)
{
    CLEAN_FREE uint8_t *chunk = malloc(COPY_CHUNK);
    if (chunk == NULL)
        return error_set(err, ENOMEM, "out of memory");
    while (length > 0) {
        if (cancel != NULL && *cancel != 0)
            return error_set(err, ECANCELED, "cancelled");
        ssize_t got =
            pread(fd, chunk, length < COPY_CHUNK ? (size_t)length : COPY_CHUNK, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(err, errno, "cannot read what belongs into %s", writer->path);
        if (got == 0)
            return error_set(err, EBADMSG, "what belongs into %s ends early", writer->path);
        int rc = snapfile_add(writer, chunk, (size_t)got, err);
        if (rc < 0)
            return rc;
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return 0;
}

int snapfile_direct(struct snapfile_writer *writer, uint64_t *offset)
{
    *offset = writer->end;
    return writer->fd;
}

int snapfile_added(struct snapfile_writer *writer, uint64_t length, const volatile int *cancel,
                   struct error *err)
{
    int rc = section_open(writer, err);
    if (rc == 0)
        rc = hash_add_fd(writer->hash, writer->fd, writer->end, length, cancel, err);
    if (rc == 0)
        writer->end += length;
    return rc < 0 ? error_wrap(err, "%s", writer->path) : 0;
}

/* The manifest's text, which the caller frees with cJSON_free(), or NULL without memory. */
static char *manifest_print(const struct snapfile_writer *writer, const cJSON *given)
{
    cJSON *manifest = cJSON_Duplicate(given, true);
    cJSON_DeleteItemFromObjectCaseSensitive(manifest, "sections");
    cJSON *list = manifest != NULL ? cJSON_AddArrayToObject(manifest, "sections") : NULL;
    bool fine = list != NULL;
    for (size_t i = 0; i < writer->sections.count && fine; i++) {
        const struct section *section = &writer->sections.rows[i];
        cJSON *item = cJSON_CreateObject();
        fine = cJSON_AddItemToArray(list, item) &&
               cJSON_AddStringToObject(item, "name", section->name) != NULL &&
               cJSON_AddNumberToObject(item, "offset", (double)section->offset) != NULL &&
               cJSON_AddNumberToObject(item, "length", (double)section->length) != NULL &&
               cJSON_AddStringToObject(item, "sha256", section->sha256) != NULL;
    }
    char *text = fine ? cJSON_PrintUnformatted(manifest) : NULL;
    cJSON_Delete(manifest);
    return text;
}

void trailer_make(uint8_t trailer[TRAILER_SIZE], uint64_t offset, uint64_t length,
                  const char manifest_sha256[HASH_HEX_SIZE])
{
    memset(trailer, 0, TRAILER_SIZE);
    memcpy(trailer, TRAILER_MAGIC, T_VERSION);
    put_u32(trailer + T_VERSION, TRAILER_VERSION);
    put_u64(trailer + T_MANIFEST, offset);
    put_u64(trailer + T_MANIFEST + 8, length);
    for (size_t i = 0; i < HASH_SIZE; i++)
        sscanf(manifest_sha256 + i * 2, "%2hhx", &trailer[T_SHA256 + i]);
}

static int manifest_write(struct snapfile_writer *writer, const char *text,
                          char sha256[HASH_HEX_SIZE], struct error *err)
{
    uint8_t trailer[TRAILER_SIZE];
    size_t length = strlen(text);
    if (length > SNAPFILE_MANIFEST_MAX)
        return error_set(err, EFBIG, "%s: its manifest would have more than 1 MiB", writer->path);
    int rc = hash_memory(text, length, sha256, err);
    if (rc == 0)
        rc = write_at(writer, writer->end, text, length, err);
    if (rc == 0) {
        trailer_make(trailer, writer->end, length, sha256);
        rc = write_at(writer, writer->end + length, trailer, sizeof trailer, err);
    }
    return rc;
}

/* 0 or -errno. */
static int file_name(struct snapfile_writer *writer)
{
    char self[32];
    if (writer->temporary == NULL) {
        snprintf(self, sizeof self, "/proc/self/fd/%d", writer->fd);
        return linkat(AT_FDCWD, self, AT_FDCWD, writer->path, AT_SYMLINK_FOLLOW) == 0 ? 0 : -errno;
    }
    if (renameat2(AT_FDCWD, writer->temporary, AT_FDCWD, writer->path, RENAME_NOREPLACE) < 0) {
        if (errno != EINVAL || link(writer->temporary, writer->path) < 0)
            return -errno;
        unlink(writer->temporary);
    }
    free(writer->temporary);
    writer->temporary = NULL;
    return 0;
}

int snapfile_finish(struct snapfile_writer *writer, const cJSON *manifest, struct error *err)
{
    char sha256[HASH_HEX_SIZE];
    section_end(writer);
    if (writer->sections.count == 0)
        return error_set(err, EINVAL, "%s: a snapshot needs a disk", writer->path);
    char *text = manifest_print(writer, manifest);
    int rc = text != NULL ? manifest_write(writer, text, sha256, err)
                          : error_set(err, ENOMEM, "out of memory");
    cJSON_free(text);
    if (rc < 0)
        return rc;
    if (fsync(writer->fd) < 0)
        return writer_error(writer, errno, err);
    rc = file_name(writer);
    if (rc == -EEXIST)
        return error_set(err, EEXIST, "%s: is there already (nothing is replaced)", writer->path);
    if (rc < 0)
        return writer_error(writer, -rc, err);
    CLEAN_FD int directory = open(writer->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || (fsync(directory) < 0 && errno != EINVAL)) { /* EINVAL: it need not be */
        int code = errno;
        unlink(writer->path);
        return writer_error(writer, code, err);
    }
    verified_note(writer->fd, sha256);
    return 0;
}

void snapfile_abort(struct snapfile_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->temporary != NULL)
        unlink(writer->temporary);
    cleanup_fd(&writer->fd);
    if (writer->hash != NULL)
        hash_finish(writer->hash, NULL);
    free(writer->temporary);
    free(writer->directory);
    free(writer->path);
    free(writer);
}
