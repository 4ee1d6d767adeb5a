/*
 * The archive is read twice: first its headers, to measure the file system and to find the kernel
 * and modules.dep, then everything. What is under /boot is not written: the kernel runs from the
 * host, and a guest that updates its packages brings its own.
 *
 * libarchive converts names to the thread's character set, which is therefore UTF-8 meanwhile.
 */
#include "vm/image/archive.h"

#include <errno.h>
#include <fnmatch.h>
#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "vm/image/initramfs.h"
#include "vm/image/kernel.h"
#include "vm/image/libarchive.h"

#define MODULES_DEP_MAX (16u << 20)
#define MODULE_SIZE_MAX (64u << 20)
#define XATTRS_MAX      64

struct stream {
    const struct archive_job *job;
    struct archive *archive;
    struct archive_result *result;
    struct ext4_size size;
    struct ext4 *ext4; /* NULL in the first pass */
    char *modules;     /* usr/lib/modules/<version>/ */
    struct buf modules_dep;
    struct module_list list;
    struct buf *contents; /* of list.paths, in its order */
    unsigned per_mille;
};

static void cleanup_stream(struct stream *stream)
{
    if (stream->archive != NULL)
        libarchive.read_free(stream->archive);
    ext4_abort(&stream->ext4);
    for (size_t i = 0; stream->contents != NULL && i < stream->list.paths.count; i++)
        buf_free(&stream->contents[i]);
    free(stream->contents);
    free(stream->modules);
    buf_free(&stream->modules_dep);
    module_list_free(&stream->list);
}

static int stream_cancelled(const struct stream *stream, struct error *err)
{
    const volatile int *cancel = stream->job->cancel;
    return cancel != NULL && *cancel != 0 ? error_set(err, ECANCELED, "cancelled") : 0;
}

static int stream_damaged(const struct stream *stream, struct error *err)
{
    const char *why = libarchive.error_string(stream->archive);
    return error_set(err, EBADMSG, "the archive is damaged: %s", why != NULL ? why : "cut short");
}

static int stream_open(struct stream *stream, struct error *err)
{
    if (stream->archive != NULL)
        libarchive.read_free(stream->archive);
    stream->archive = libarchive.read_new();
    if (stream->archive == NULL)
        return error_set(err, ENOMEM, "out of memory");
    libarchive.read_support_filter_all(stream->archive);
    libarchive.read_support_format_tar(stream->archive);
    if (lseek(stream->job->tar, 0, SEEK_SET) < 0)
        return error_system(err, errno, "cannot rewind the archive");
    if (libarchive.read_open_fd(stream->archive, stream->job->tar, 1 << 20) != ARCHIVE_OK)
        return stream_damaged(stream, err);
    return 0;
}

/* ext4_read for the entry the stream stands at. */
static int stream_read(void *context, const void **data, size_t *size, uint64_t *offset,
                       struct error *err)
{
    struct stream *stream = context;
    int rc = stream_cancelled(stream, err);
    if (rc < 0)
        return rc;
    la_int64_t at;
    rc = libarchive.read_data_block(stream->archive, data, size, &at);
    if (rc == ARCHIVE_EOF)
        return 0;
    if (rc < ARCHIVE_WARN)
        return stream_damaged(stream, err);
    *offset = (uint64_t)at;
    return 1;
}

static int stream_content(struct stream *stream, size_t max, struct buf *out, struct error *err)
{
    la_ssize_t got;
    buf_consume(out, buf_len(out));
    do {
        uint8_t *room = buf_reserve(out, 1 << 18);
        if (room == NULL)
            return error_set(err, ENOMEM, "out of memory");
        got = libarchive.read_data(stream->archive, room, 1 << 18);
        if (got < 0)
            return stream_damaged(stream, err);
        buf_added(out, (size_t)got);
        if (buf_len(out) > max)
            return error_set(err, EFBIG, "it is larger than %zu bytes", max);
    } while (got > 0);
    return 0;
}

static const char *plain_path(const char *path)
{
    while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
        path++;
    return path;
}

static bool overridden(const struct archive_job *job, const char *path)
{
    for (size_t i = 0; i < job->override_count; i++)
        if (fnmatch(job->overrides[i].path, path, FNM_PATHNAME) == 0)
            return true;
    return false;
}

static size_t entry_xattrs(struct archive_entry *source, struct ext4_xattr out[XATTRS_MAX])
{
    size_t count = 0;
    libarchive.entry_xattr_reset(source);
    const char *name;
    const void *value;
    size_t size;
    while (count < XATTRS_MAX &&
           libarchive.entry_xattr_next(source, &name, &value, &size) == ARCHIVE_OK)
        if (str_starts(name, "user.") || str_starts(name, "trusted.") ||
            str_starts(name, "security."))
            out[count++] = (struct ext4_xattr){name, value, size};
    return count;
}

static uint64_t entry_stored(struct archive_entry *source)
{
    uint64_t stored = 0;
    la_int64_t offset, length;
    if (libarchive.entry_sparse_reset(source) == 0)
        return (uint64_t)libarchive.entry_size(source);
    while (libarchive.entry_sparse_next(source, &offset, &length) == ARCHIVE_OK)
        stored += (uint64_t)length + 2 * 4096; /* its ends need not be block borders */
    return stored;
}

static struct ext4_entry entry_from(struct stream *stream, struct archive_entry *source,
                                    const char *path, struct ext4_xattr xattrs[XATTRS_MAX])
{
    bool sized = libarchive.entry_filetype(source) == AE_IFREG && libarchive.entry_size(source) > 0;
    return (struct ext4_entry){
        .path = path,
        .link = libarchive.entry_hardlink(source),
        .mode = libarchive.entry_filetype(source) | libarchive.entry_perm(source),
        .uid = (uint32_t)libarchive.entry_uid(source),
        .gid = (uint32_t)libarchive.entry_gid(source),
        .mtime = libarchive.entry_mtime(source),
        .mtime_ns = (uint32_t)libarchive.entry_mtime_nsec(source),
        .target = libarchive.entry_symlink(source),
        .major = (uint32_t)libarchive.entry_rdevmajor(source),
        .minor = (uint32_t)libarchive.entry_rdevminor(source),
        .size = sized ? (uint64_t)libarchive.entry_size(source) : 0,
        .stored = sized ? entry_stored(source) : 0,
        .read = stream_read,
        .context = stream,
        .xattrs = xattrs,
        .xattr_count = entry_xattrs(source, xattrs),
    };
}

/* [usr/]lib/modules/<version>/modules.dep */
static int take_modules_dep(struct stream *stream, const char *path, struct error *err)
{
    const char *version = strstr(path, "lib/modules/") + strlen("lib/modules/");
    const char *end = strchr(version, '/');
    if (stream->modules != NULL)
        return error_set(err, EBADMSG, "there are modules of two kernels");
    stream->modules = strndup(path, (size_t)(end + 1 - path));
    stream->result->kernel_version = strndup(version, (size_t)(end - version));
    if (stream->modules == NULL || stream->result->kernel_version == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = stream_content(stream, MODULES_DEP_MAX, &stream->modules_dep, err);
    const char *text = rc == 0 ? buf_string(&stream->modules_dep) : NULL;
    if (rc == 0 && text == NULL)
        return error_set(err, ENOMEM, "out of memory");
    return rc < 0 ? rc : module_closure(text, &stream->list, err);
}

static int first_pass(struct stream *stream, struct archive_entry *source, const char *path,
                      struct error *err)
{
    struct ext4_xattr xattrs[XATTRS_MAX];
    bool file = libarchive.entry_filetype(source) == AE_IFREG;
    if (file && fnmatch("boot/vmlinu[xz]-*", path, FNM_PATHNAME) == 0) {
        if (buf_len(&stream->result->kernel) > 0)
            return error_set(err, EBADMSG, "there are two kernels");
        return stream_content(stream, KERNEL_SIZE_MAX, &stream->result->kernel, err);
    }
    if (file && (fnmatch("usr/lib/modules/*/modules.dep", path, FNM_PATHNAME) == 0 ||
                 fnmatch("lib/modules/*/modules.dep", path, FNM_PATHNAME) == 0)) {
        int rc = take_modules_dep(stream, path, err);
        if (rc < 0)
            return rc;
    }
    struct ext4_entry entry = entry_from(stream, source, path, xattrs);
    ext4_measure(&stream->size, &entry);
    return 0;
}

/* Memory as a file's data. */
static int content_read(void *context, const void **data, size_t *size, uint64_t *offset,
                        struct error *err)
{
    (void)err;
    const char **text = context;
    *data = *text;
    *size = strlen(*text);
    *offset = 0;
    *text += *size;
    return *size > 0;
}

static int content_add(struct stream *stream, const struct ext4_entry *entry, const char *data,
                       size_t size, struct error *err)
{
    struct ext4_entry copy = *entry;
    const char *text = data;
    copy.size = copy.stored = size;
    copy.read = content_read;
    copy.context = &text;
    return ext4_add(stream->ext4, &copy, err);
}

/* A module's content is needed twice; it fits in memory. */
struct piece {
    struct buf *content;
    bool given;
};

static int piece_read(void *context, const void **data, size_t *size, uint64_t *offset,
                      struct error *err)
{
    (void)err;
    struct piece *piece = context;
    if (piece->given)
        return 0;
    piece->given = true;
    *data = buf_data(piece->content);
    *size = buf_len(piece->content);
    *offset = 0;
    return 1;
}

static int second_pass(struct stream *stream, struct archive_entry *source, const char *path,
                       struct error *err)
{
    struct ext4_xattr xattrs[XATTRS_MAX];
    struct ext4_entry entry = entry_from(stream, source, path, xattrs);
    struct piece piece = {0};
    if (stream->modules != NULL && S_ISREG(entry.mode) && entry.link == NULL &&
        str_starts(path, stream->modules))
        for (size_t i = 0; i < stream->list.paths.count; i++)
            if (strcmp(path + strlen(stream->modules), stream->list.paths.items[i]) == 0)
                piece.content = &stream->contents[i];
    if (piece.content != NULL) {
        int rc = stream_content(stream, MODULE_SIZE_MAX, piece.content, err);
        if (rc < 0)
            return rc;
        entry.read = piece_read;
        entry.context = &piece;
    }
    return ext4_add(stream->ext4, &entry, err);
}

static void stream_progress(struct stream *stream, la_int64_t total)
{
    if (stream->ext4 == NULL || stream->job->progress == NULL || total <= 0)
        return;
    unsigned now = (unsigned)(libarchive.filter_bytes(stream->archive, -1) * 1000 / total);
    if (now != stream->per_mille)
        stream->job->progress(stream->job->context, now);
    stream->per_mille = now;
}

static int stream_pass(struct stream *stream, struct error *err)
{
    struct stat st;
    if (fstat(stream->job->tar, &st) < 0)
        return error_system(err, errno, "cannot read the archive");
    int rc = stream_open(stream, err);
    while (rc == 0) {
        struct archive_entry *source;
        int got = libarchive.read_next_header(stream->archive, &source);
        if (got == ARCHIVE_EOF)
            return 0;
        if (got < ARCHIVE_WARN)
            return stream_damaged(stream, err);
        const char *path = libarchive.entry_pathname(source);
        if (path == NULL)
            return error_set(err, EBADMSG, "a file name in the archive is not UTF-8");
        path = plain_path(path);
        rc = stream_cancelled(stream, err);
        bool boot = str_starts(path, "boot/") && path[5] != '\0';
        if (rc == 0 && !overridden(stream->job, path) && (stream->ext4 == NULL || !boot))
            rc = stream->ext4 == NULL ? first_pass(stream, source, path, err)
                                      : second_pass(stream, source, path, err);
        if (rc < 0)
            return error_wrap(err, "'%.200s' in the archive", path);
        stream_progress(stream, st.st_size);
    }
    return rc;
}

/* The override as an entry; false for one that only leaves out. */
static bool override_entry(const struct archive_override *override, struct ext4_entry *out)
{
    *out = (struct ext4_entry){
        .path = override->path,
        .mode = S_IFREG | 0644,
        .mtime = time(NULL),
    };
    if (override->content != NULL)
        out->size = out->stored = strlen(override->content);
    return override->content != NULL;
}

static int write_rootfs(struct stream *stream, struct error *err)
{
    const struct archive_job *job = stream->job;
    struct ext4_entry entry;
    for (size_t i = 0; i < job->override_count; i++)
        if (override_entry(&job->overrides[i], &entry))
            ext4_measure(&stream->size, &entry);
    int rc = ext4_create(job->rootfs, "vmdeck-root", &stream->size, &stream->ext4, err);
    if (rc == 0)
        rc = stream_pass(stream, err);
    for (size_t i = 0; i < job->override_count && rc == 0; i++)
        if (override_entry(&job->overrides[i], &entry))
            rc = content_add(stream, &entry, job->overrides[i].content, (size_t)entry.size, err);
    return rc < 0 ? rc : ext4_finish(&stream->ext4, err);
}

/* The directories above a file, those that are not there yet. */
static int initramfs_parents(struct buf *out, struct strv *made, const char *path)
{
    int rc = 0;
    for (const char *slash = strchr(path, '/'); slash != NULL && rc == 0;
         slash = strchr(slash + 1, '/')) {
        CLEAN_FREE char *directory = strndup(path, (size_t)(slash - path));
        if (directory == NULL)
            return -ENOMEM;
        bool known = false;
        for (size_t i = 0; i < made->count && !known; i++)
            known = strcmp(made->items[i], directory) == 0;
        if (!known)
            rc = strv_add(made, directory);
        if (!known && rc == 0)
            rc = cpio_add(out, &(struct cpio_entry){.name = directory, .mode = S_IFDIR | 0755});
    }
    return rc;
}

static int initramfs_file(struct buf *out, struct strv *made, const char *path,
                          const struct buf *content)
{
    int rc = initramfs_parents(out, made, path);
    return rc < 0 ? rc
                  : cpio_add(out, &(struct cpio_entry){.name = path,
                                                       .mode = S_IFREG | 0644,
                                                       .data = buf_data(content),
                                                       .size = buf_len(content)});
}

static int make_initramfs(struct stream *stream, struct error *err)
{
    CLEAN_STRV struct strv made = {0};
    CLEAN_BUF struct buf order = {0};
    struct buf *out = &stream->result->initramfs;
    const struct module_list *list = &stream->list;
    int rc = 0;
    for (size_t i = 0; i < list->paths.count && rc == 0; i++) {
        const char *name = list->paths.items[i];
        size_t length = strlen(name);
        if (buf_len(&stream->contents[i]) == 0)
            return error_set(err, EBADMSG, "module '%s' is not in the archive", name);
        if (length < 3 || strcmp(name + length - 3, ".ko") != 0)
            return error_set(err, ENOTSUP, "module '%s' is compressed", name);
        CLEAN_FREE char *path =
            str_printf("lib/modules/%s/%s", stream->result->kernel_version, name);
        rc = path != NULL ? initramfs_file(out, &made, path, &stream->contents[i]) : -ENOMEM;
        if (rc == 0)
            rc = buf_printf(&order, "%s /%s\n", i < list->boot ? "boot" : "late", path);
    }
    if (rc == 0 && list->paths.count > 0)
        rc = initramfs_file(out, &made, "vmdeck/modules", &order);
    if (rc == 0)
        rc = cpio_end(out);
    return rc < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

int archive_convert(const struct archive_job *job, struct archive_result *out, struct error *err)
{
    *out = (struct archive_result){0};
    int rc = libarchive_load(err);
    if (rc < 0)
        return rc;
    __attribute__((cleanup(cleanup_stream))) struct stream stream = {.job = job, .result = out};
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (utf8 == (locale_t)0)
        return error_system(err, errno, "cannot use the C.UTF-8 locale");
    locale_t before = uselocale(utf8);
    rc = stream_pass(&stream, err);
    if (rc == 0 && stream.list.paths.count > 0 &&
        (stream.contents = calloc(stream.list.paths.count, sizeof *stream.contents)) == NULL)
        rc = error_set(err, ENOMEM, "out of memory");
    if (rc == 0)
        rc = write_rootfs(&stream, err);
    if (rc == 0)
        rc = make_initramfs(&stream, err);
    uselocale(before);
    freelocale(utf8);
    if (rc < 0)
        archive_result_free(out);
    return rc;
}

void archive_result_free(struct archive_result *result)
{
    buf_free(&result->kernel);
    buf_free(&result->initramfs);
    free(result->kernel_version);
    *result = (struct archive_result){0};
}
