/*
 * libarchive reads, this file writes. Every name is taken apart first: absolute ones and those
 * with ".." are refused. A parent is opened by openat2() beneath the item's directory without
 * following any link, so a link planted by an earlier entry is an error and no way out. Nothing is
 * ever overwritten: a name that comes twice is an error.
 *
 * Directories are 0700 while they are filled; their modes and times are set at the end, the
 * innermost first. Holes are never written. An entry's headers are bounded by counting what
 * libarchive reads until it has them.
 */
#include "session/cli/cp_extract.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "session/cli/cp_stream.h"
#include "vm/image/libarchive.h"

#define MODE_MASK (S_IRWXU | S_IRWXG | S_IRWXO | S_ISVTX) /* no setuid, no setgid */

struct folder {
    char *path;
    mode_t mode;
    struct timespec mtime;
};

struct extract {
    const struct cp_source *source;
    struct archive *reader;
    int directory;
    int root; /* what names are relative to: the item, or `directory` while there is none */
    bool single;
    char parent_path[PATH_MAX]; /* the last parent, which the next entry often shares */
    int parent;
    struct folder *folders;
    size_t folder_count;
    bool in_header;
    size_t header_bytes;
    struct error error; /* of the source */
};

static la_ssize_t extract_read(struct archive *reader, void *context, const void **data)
{
    struct extract *x = context;
    (void)reader;
    ssize_t got = x->source->read(x->source->context, data, &x->error);
    if (got > 0 && x->in_header)
        x->header_bytes += (size_t)got;
    if (x->header_bytes > CP_HEADER_MAX)
        got = error_set(&x->error, EFBIG, "a header in the archive is too large");
    return got < 0 ? ARCHIVE_FATAL : got;
}

static int extract_broken(struct extract *x, struct error *err)
{
    if (x->error.code != 0) {
        *err = x->error;
        return -err->code;
    }
    const char *why = libarchive.error_string(x->reader);
    return error_set(err, EPROTO, "the guest sent a broken archive: %s", why != NULL ? why : "?");
}

/* Errors about an entry; its name is the guest's. */
static int extract_refuse(const char *path, int code, const char *why, struct error *err)
{
    char shown[256];
    snprintf(shown, sizeof shown, "%.255s", path);
    cp_printable(shown);
    return code != 0 ? error_system(err, code, "%s %s", why, shown)
                     : error_set(err, EPROTO, "the guest's archive is refused: %s: %s", shown, why);
}

/* The name without "./" and slashes at its end; "" is the item itself. */
static int extract_name(const char *given, char out[PATH_MAX], struct error *err)
{
    out[0] = '\0';
    if (given == NULL || given[0] == '/')
        return extract_refuse(given != NULL ? given : "?", 0, "an absolute name", err);
    size_t length = 0;
    unsigned depth = 0;
    for (const char *p = given; *p != '\0';) {
        size_t part = strcspn(p, "/");
        if (part == 2 && p[0] == '.' && p[1] == '.')
            return extract_refuse(given, 0, "a name with ..", err);
        if (part > 0 && !(part == 1 && p[0] == '.')) {
            if (part > NAME_MAX || length + part + 2 > PATH_MAX || ++depth > CP_DEPTH_MAX)
                return extract_refuse(given, 0, "the name is too long or too deep", err);
            if (length > 0)
                out[length++] = '/';
            memcpy(out + length, p, part);
            length += part;
        }
        p += part + (p[part] == '/');
    }
    out[length] = '\0';
    return 0;
}

static int open_beneath(int root, const char *path, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* The directory that the name is in (the extract's to close) and the last part of the name. */
static int extract_parent(struct extract *x, const char *path, const char **last, struct error *err)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) : 0;
    *last = slash != NULL ? slash + 1 : path;
    if (length == 0)
        return x->root;
    if (x->parent >= 0 && strlen(x->parent_path) == length &&
        memcmp(x->parent_path, path, length) == 0)
        return x->parent;
    if (x->parent >= 0)
        close(x->parent);
    memcpy(x->parent_path, path, length);
    x->parent_path[length] = '\0';
    x->parent = open_beneath(x->root, x->parent_path, O_PATH);
    if (x->parent < 0)
        return extract_refuse(path, errno, "cannot unpack", err);
    return x->parent;
}

static struct timespec entry_mtime(struct archive_entry *entry)
{
    if (!libarchive.entry_mtime_is_set(entry))
        return (struct timespec){.tv_nsec = UTIME_NOW};
    long nsec = libarchive.entry_mtime_nsec(entry);
    return (struct timespec){libarchive.entry_mtime(entry),
                             nsec >= 0 && nsec < 1000000000 ? nsec : 0};
}

static int extract_folder(struct extract *x, int parent, const char *name, const char *path,
                          struct archive_entry *entry, struct error *err)
{
    if (x->folder_count == CP_FOLDER_MAX)
        return error_set(err, EFBIG, "more than %d directories", CP_FOLDER_MAX);
    if ((x->folder_count & (x->folder_count - 1)) == 0) { /* room doubles at powers of two */
        size_t room = x->folder_count > 0 ? x->folder_count * 2 : 1;
        struct folder *more = realloc(x->folders, room * sizeof *more);
        if (more == NULL)
            return error_set(err, ENOMEM, "out of memory");
        x->folders = more;
    }
    if (mkdirat(parent, name, S_IRWXU) < 0)
        return extract_refuse(path, errno, "cannot make directory", err);
    struct folder *folder = &x->folders[x->folder_count];
    *folder =
        (struct folder){strdup(path), libarchive.entry_perm(entry) & MODE_MASK, entry_mtime(entry)};
    if (folder->path == NULL)
        return error_set(err, ENOMEM, "out of memory");
    x->folder_count++;
    return 0;
}

static int extract_data(struct extract *x, int fd, const char *path, int64_t total,
                        struct error *err)
{
    for (;;) {
        const void *data;
        size_t size;
        int64_t offset;
        int rc = libarchive.read_data_block(x->reader, &data, &size, &offset);
        if (rc == ARCHIVE_EOF)
            break;
        if (rc < ARCHIVE_OK)
            return extract_broken(x, err);
        if (offset < 0 || offset > total || size > (uint64_t)(total - offset))
            return extract_refuse(path, 0, "more data than its size", err);
        for (const char *p = data; size > 0;) {
            ssize_t put = pwrite(fd, p, size, offset);
            if (put < 0 && errno == EINTR)
                continue;
            if (put < 0)
                return extract_refuse(path, errno, "cannot write", err);
            p += put;
            size -= (size_t)put;
            offset += put;
        }
    }
    return ftruncate(fd, total) < 0 ? extract_refuse(path, errno, "cannot write", err) : 0;
}

static int extract_file(struct extract *x, int parent, const char *name, const char *path,
                        struct archive_entry *entry, struct error *err)
{
    int64_t total = libarchive.entry_size(entry);
    if (!libarchive.entry_size_is_set(entry) || total < 0)
        return extract_refuse(path, 0, "no size", err);
    CLEAN_FD int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                             S_IRUSR | S_IWUSR);
    if (fd < 0)
        return extract_refuse(path, errno, "cannot create", err);
    int rc = extract_data(x, fd, path, total, err);
    if (rc < 0)
        return rc;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, entry_mtime(entry)};
    if (fchmod(fd, libarchive.entry_perm(entry) & MODE_MASK) < 0 || futimens(fd, times) < 0)
        return extract_refuse(path, errno, "cannot set mode and time of", err);
    return 0;
}

static int extract_symlink(int parent, const char *name, const char *path,
                           struct archive_entry *entry, struct error *err)
{
    const char *target = libarchive.entry_symlink(entry);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, entry_mtime(entry)};
    if (target == NULL || symlinkat(target, parent, name) < 0)
        return extract_refuse(path, target != NULL ? errno : EINVAL, "cannot make link", err);
    if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return extract_refuse(path, errno, "cannot set the time of", err);
    return 0;
}

static int extract_hardlink(struct extract *x, int parent, const char *name, const char *path,
                            const char *target, struct error *err)
{
    char first[PATH_MAX];
    const char *last = first;
    if (x->single)
        return extract_refuse(path, 0, "a link to nothing in the archive", err);
    int rc = extract_name(target, first, err);
    if (rc < 0)
        return rc;
    /* extract_parent() may close the parent that we have */
    CLEAN_FD int own = fcntl(parent, F_DUPFD_CLOEXEC, 0);
    int from = own >= 0 ? extract_parent(x, first, &last, err)
                        : extract_refuse(path, errno, "cannot make link", err);
    if (from < 0)
        return from;
    if (linkat(from, last, own, name, 0) < 0)
        return extract_refuse(path, errno, "cannot make link", err);
    return 0;
}

/* The first entry says what the item is: "." a directory, its own name anything else. */
static int extract_item(struct extract *x, struct archive_entry *entry, const char *path,
                        struct error *err)
{
    bool folder = libarchive.entry_filetype(entry) == AE_IFDIR;
    const char *no = folder ? x->source->no_directory : x->source->no_file;
    if (no != NULL)
        return error_set(err, EEXIST, "%s", no);
    if (strcmp(path, folder ? "" : x->source->name) != 0)
        return extract_refuse(path, 0, "not what was asked for", err);
    x->single = !folder;
    if (!folder)
        return 0;
    int rc = extract_folder(x, x->directory, CP_ITEM, "", entry, err);
    if (rc < 0)
        return rc;
    x->root = open_beneath(x->directory, CP_ITEM, O_PATH);
    return x->root < 0 ? error_system(err, errno, "cannot open the temporary directory") : 0;
}

static int extract_entry(struct extract *x, struct archive_entry *entry, bool first,
                         struct error *err)
{
    char path[PATH_MAX];
    const char *name, *link = libarchive.entry_hardlink(entry);
    int rc = extract_name(libarchive.entry_pathname(entry), path, err);
    if (rc == 0 && first)
        rc = extract_item(x, entry, path, err);
    if (rc < 0)
        return rc;
    if (path[0] == '\0' && first)
        return 0; /* the item's directory: made */
    if (path[0] == '\0' || (x->single && !first))
        return extract_refuse(path, 0, "more than was asked for", err);
    int parent = x->directory;
    if (x->single)
        name = CP_ITEM;
    else if ((parent = extract_parent(x, path, &name, err)) < 0)
        return parent;
    if (link != NULL)
        return extract_hardlink(x, parent, name, path, link, err);
    switch (libarchive.entry_filetype(entry)) {
    case AE_IFDIR:
        return extract_folder(x, parent, name, path, entry, err);
    case AE_IFREG:
        return extract_file(x, parent, name, path, entry, err);
    case AE_IFLNK:
        return extract_symlink(parent, name, path, entry, err);
    default:
        if (x->single)
            return error_set(err, EINVAL, "the source is neither file, directory nor link");
        cp_printable(path);
        fprintf(stderr, "vmdeck cp: warning: skipped %s: neither file, directory nor link\n", path);
        return 0;
    }
}

static int extract_all(struct extract *x, struct error *err)
{
    struct archive_entry *entry;
    for (bool first = true;; first = false) {
        if (!first && libarchive.read_data_skip(x->reader) < ARCHIVE_WARN)
            return extract_broken(x, err);
        x->in_header = true;
        x->header_bytes = 0;
        int rc = libarchive.read_next_header(x->reader, &entry);
        x->in_header = false;
        if (rc == ARCHIVE_EOF && !first)
            return 0;
        if (rc == ARCHIVE_EOF)
            return error_set(err, EPROTO, "the guest sent an empty archive");
        if (rc != ARCHIVE_OK)
            return extract_broken(x, err);
        rc = extract_entry(x, entry, first, err);
        if (rc < 0)
            return rc;
    }
}

/* What is behind the archive's end is read, too: the source tells at its end how it went. */
static int extract_rest(struct extract *x, struct error *err)
{
    const void *data;
    ssize_t got;
    do
        got = x->source->read(x->source->context, &data, err);
    while (got > 0);
    return (int)got;
}

static int extract_folders(struct extract *x, struct error *err)
{
    for (size_t i = x->folder_count; i-- > 0;) {
        const struct folder *folder = &x->folders[i];
        const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, folder->mtime};
        CLEAN_FD int fd =
            open_beneath(x->root, folder->path[0] != '\0' ? folder->path : ".", O_RDONLY);
        if (fd < 0 || futimens(fd, times) < 0 || fchmod(fd, folder->mode) < 0)
            return extract_refuse(folder->path, errno, "cannot set mode and time of", err);
    }
    return 0;
}

int cp_extract(int directory, const struct cp_source *source, struct error *err)
{
    struct extract x = {.source = source, .directory = directory, .root = -1, .parent = -1};
    int rc = libarchive_load(err);
    if (rc < 0)
        return rc;
    x.reader = libarchive.read_new();
    if (x.reader == NULL)
        return error_set(err, ENOMEM, "out of memory");
    if (libarchive.read_support_format_tar(x.reader) == ARCHIVE_OK &&
        libarchive.read_open(x.reader, &x, NULL, extract_read, NULL) == ARCHIVE_OK)
        rc = extract_all(&x, err);
    else
        rc = extract_broken(&x, err);
    if (rc == 0)
        rc = extract_rest(&x, err);
    if (rc == 0)
        rc = extract_folders(&x, err);
    libarchive.read_free(x.reader);
    if (x.root >= 0)
        close(x.root);
    if (x.parent >= 0)
        close(x.parent);
    for (size_t i = 0; i < x.folder_count; i++)
        free(x.folders[i].path);
    free(x.folders);
    return rc;
}
