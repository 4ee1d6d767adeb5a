/*
 * Reading. The trailer says where the manifest is, which must end where the trailer begins, so a
 * file that was cut or extended is told at once; the manifest is hashed before it is parsed. Then
 * the sections: in the order of the file, aligned, before the manifest. All of that costs two
 * reads; the content is snapfile_verify()'s.
 */
#include "vm/snapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/frame.h"
#include "base/str.h"
#include "vm/snapfile_internal.h"

#define NUMBER_MAX 9007199254740992.0 /* 2^53: beyond it a double skips integers */

bool section_name_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return length > 0 && length <= SNAPFILE_NAME_MAX && name[length] == '\0';
}

const struct section *section_find(const struct sections *sections, const char *name)
{
    for (size_t i = 0; i < sections->count; i++)
        if (strcmp(sections->rows[i].name, name) == 0)
            return &sections->rows[i];
    return NULL;
}

static int read_exactly(const struct snapfile *file, uint64_t offset, void *data, size_t size,
                        struct error *err)
{
    uint8_t *to = data;
    while (size > 0) {
        ssize_t got = pread(file->fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(err, errno, "cannot read %s", file->path);
        if (got == 0)
            return error_set(err, EBADMSG, "%s: truncated while it was read", file->path);
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

static bool number(const cJSON *object, const char *name, uint64_t *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= NUMBER_MAX) ||
        item->valuedouble != (double)(uint64_t)item->valuedouble)
        return false;
    *out = (uint64_t)item->valuedouble;
    return true;
}

/* Adds the section that `item` describes if it begins where the last one ended or later. */
static bool section_parse(struct sections *sections, const cJSON *item, uint64_t end)
{
    if (sections->count == SNAPFILE_SECTIONS_MAX)
        return false;
    struct section *section = &sections->rows[sections->count];
    const struct section *last = sections->count > 0 ? section - 1 : NULL;
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "name"));
    const char *hash = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "sha256"));
    if (name == NULL || !section_name_valid(name) || section_find(sections, name) != NULL ||
        hash == NULL || strlen(hash) != HASH_HEX_SIZE - 1 ||
        !number(item, "offset", &section->offset) || !number(item, "length", &section->length))
        return false;
    memcpy(section->name, name, strlen(name) + 1);
    memcpy(section->sha256, hash, HASH_HEX_SIZE);
    sections->count++;
    if (last == NULL && (strcmp(name, SNAPFILE_DISK) != 0 || section->offset != 0))
        return false;
    return section->offset % SNAPFILE_ALIGNMENT == 0 && section->offset <= end &&
           section->length <= end - section->offset &&
           (last == NULL || section->offset >= last->offset + last->length);
}

/* `end` is where the manifest begins. */
static int sections_parse(struct snapfile *file, uint64_t end, struct error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(file->manifest, "sections"), *item;
    bool fine = cJSON_IsObject(file->manifest) && cJSON_IsArray(list);
    for (item = fine ? list->child : NULL; item != NULL && fine; item = item->next)
        fine = section_parse(&file->sections, item, end);
    return fine && file->sections.count > 0
               ? 0
               : error_set(err, EBADMSG, "%s: damaged: its manifest describes no sections that fit",
                           file->path);
}

static int manifest_read(struct snapfile *file, uint64_t offset, size_t length,
                         const uint8_t sha256[HASH_SIZE], struct error *err)
{
    char wanted[HASH_HEX_SIZE];
    CLEAN_FREE char *text = malloc(length + 1);
    if (text == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = read_exactly(file, offset, text, length, err);
    if (rc == 0)
        rc = hash_memory(text, length, file->sha256, err);
    if (rc < 0)
        return rc;
    str_hex(wanted, sha256, HASH_SIZE);
    if (strcmp(wanted, file->sha256) != 0)
        return error_set(err, EBADMSG, "%s: damaged: its manifest has changed", file->path);
    file->manifest = cJSON_ParseWithLength(text, length);
    return sections_parse(file, offset, err);
}

/* What stands in place of a trailer is, with the file's start, all there is to go by. */
static int trailer_missing(const struct snapfile *file, struct error *err)
{
    char magic[4] = "";
    if (pread(file->fd, magic, sizeof magic, 0) == sizeof magic &&
        memcmp(magic, "QFI\xfb", sizeof magic) == 0)
        return error_set(err, EBADMSG, "%s: truncated, or a qcow2 image that is not a snapshot",
                         file->path);
    return error_set(err, EBADMSG, "%s: not a snapshot", file->path);
}

static int file_check(struct snapfile *file, struct error *err)
{
    struct stat st;
    uint8_t trailer[TRAILER_SIZE];
    static const uint8_t zeros[TRAILER_SIZE];
    if (fstat(file->fd, &st) < 0)
        return error_system(err, errno, "cannot open %s", file->path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EBADMSG, "%s: not a snapshot, not even a file", file->path);
    if (st.st_size < TRAILER_SIZE)
        return trailer_missing(file, err);
    uint64_t at = (uint64_t)st.st_size - TRAILER_SIZE;
    int rc = read_exactly(file, at, trailer, TRAILER_SIZE, err);
    if (rc < 0)
        return rc;
    if (memcmp(trailer, TRAILER_MAGIC, T_VERSION) != 0)
        return trailer_missing(file, err);
    if (get_u32(trailer + T_VERSION) != TRAILER_VERSION)
        return error_set(err, ENOTSUP, "%s: a snapshot of version %u, of which only %d is known",
                         file->path, get_u32(trailer + T_VERSION), TRAILER_VERSION);
    uint64_t offset = get_u64(trailer + T_MANIFEST), length = get_u64(trailer + T_MANIFEST + 8);
    if (offset > at || length != at - offset ||
        memcmp(trailer + T_VERSION + 4, zeros, T_MANIFEST - T_VERSION - 4) != 0 ||
        memcmp(trailer + T_SHA256 + HASH_SIZE, zeros, TRAILER_SIZE - T_SHA256 - HASH_SIZE) != 0)
        return error_set(err, EBADMSG, "%s: damaged, or truncated within", file->path);
    if (length > SNAPFILE_MANIFEST_MAX)
        return error_set(err, EBADMSG, "%s: its manifest has more than 1 MiB", file->path);
    return manifest_read(file, offset, (size_t)length, trailer + T_SHA256, err);
}

int snapfile_open(struct snapfile **out, const char *path, struct error *err)
{
    *out = NULL;
    CLEAN_SNAPFILE struct snapfile *file = calloc(1, sizeof *file);
    if (file == NULL)
        return error_set(err, ENOMEM, "out of memory");
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->fd < 0)
        return error_system(err, errno, "cannot open the snapshot %s", path);
    file->path = strdup(path);
    if (file->path == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = file_check(file, err);
    if (rc == 0)
        *out = take_ptr(file);
    return rc;
}

void snapfile_close(struct snapfile *file)
{
    if (file == NULL)
        return;
    cleanup_fd(&file->fd);
    cJSON_Delete(file->manifest);
    free(file->path);
    free(file);
}

const cJSON *snapfile_manifest(const struct snapfile *file)
{
    return file->manifest;
}

int snapfile_fd(const struct snapfile *file)
{
    return file->fd;
}

int snapfile_section(const struct snapfile *file, const char *name, uint64_t *offset,
                     uint64_t *length, struct error *err)
{
    const struct section *section = section_find(&file->sections, name);
    if (section == NULL)
        return error_set(err, ENOENT, "%s: has no section %s", file->path, name);
    *offset = section->offset;
    *length = section->length;
    return 0;
}

int snapfile_read(const struct snapfile *file, const char *name, uint64_t at, void *data,
                  size_t size, struct error *err)
{
    uint64_t offset = 0, length = 0;
    int rc = snapfile_section(file, name, &offset, &length, err);
    if (rc < 0)
        return rc;
    if (at > length || size > length - at)
        return error_set(err, EBADMSG, "%s: the section %s ends early", file->path, name);
    return read_exactly(file, offset + at, data, size, err);
}
