/*
 * Walks with descriptors, one per level, and never through a link, so that a tree that changes
 * meanwhile cannot lead elsewhere. The format is pax with names as they are (hdrcharset=BINARY):
 * file names are bytes. Of files with several names the resolver keeps what was first.
 *
 * libarchive wants the zeros of holes too and drops them; they cost no memory and no transport.
 */
#include "session/cli/cp_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "session/cli/cp_extract.h"
#include "session/cli/cp_stream.h"
#include "vm/image/libarchive.h"

#define BLOCK       ((size_t)64 * 1024)
#define EXTENTS_MAX 10000 /* of a sparse file; what is behind them goes as one */

struct pack {
    struct archive *writer;
    struct archive_entry_linkresolver *links;
    const struct cp_sink *sink;
    uint8_t *block;
    struct buf name;    /* in the archive, of what is being packed */
    bool over;          /* nothing is written any more */
    struct error error; /* of the sink */
};

/*
 * Once anything failed the rest is dropped, and libarchive is not told: a writer that has failed
 * cannot free what it holds.
 */
static la_ssize_t pack_write(struct archive *writer, void *context, const void *data, size_t size)
{
    struct pack *p = context;
    (void)writer;
    if (!p->over && p->sink->write(p->sink->context, data, size, &p->error) < 0)
        p->over = true;
    return (la_ssize_t)size;
}

static int pack_failed(struct pack *p, struct error *err)
{
    if (p->error.code == 0) {
        const char *why = libarchive.error_string(p->writer);
        return error_set(err, EIO, "cannot make the archive: %s", why != NULL ? why : "?");
    }
    *err = p->error;
    return -err->code;
}

static const char *pack_shown(struct pack *p)
{
    const char *name = buf_string(&p->name);
    return name == NULL                      ? "?"
           : name[sizeof CP_ITEM - 1] == '/' ? name + sizeof CP_ITEM
                                             : "the file";
}

/* Where its data is. Unknown to the file system: all of it is. */
static void pack_extents(struct archive_entry *entry, int fd, off_t size)
{
    off_t at = 0;
    for (int i = 0; at < size; i++) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO && i == 0)
            libarchive.entry_sparse_add_entry(entry, size, 0); /* nothing but a hole */
        if (data < 0 || data >= size)
            return;
        off_t hole = i < EXTENTS_MAX ? lseek(fd, data, SEEK_HOLE) : size;
        if (hole < 0 || hole > size)
            hole = size;
        if (data == 0 && hole == size)
            return; /* no holes */
        libarchive.entry_sparse_add_entry(entry, data, hole - data);
        at = hole;
    }
}

static int pack_data(struct pack *p, int fd, off_t size, struct error *err)
{
    for (off_t at = 0; at < size;) {
        off_t data = lseek(fd, at, SEEK_DATA);
        off_t until = data < 0 && errno == ENXIO ? size : data; /* a hole up to there */
        bool hole = until > at;
        size_t want = BLOCK;
        off_t left = hole && until < size ? until - at : size - at;
        if (left < (off_t)want)
            want = (size_t)left;
        ssize_t got = (ssize_t)want;
        if (hole)
            memset(p->block, 0, want);
        else
            got = pread(fd, p->block, want, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(err, errno, "cannot read %s", pack_shown(p));
        if (got == 0)
            return error_set(err, EIO, "%s became shorter while it was copied", pack_shown(p));
        if (libarchive.write_data(p->writer, p->block, (size_t)got) != got || p->over)
            return pack_failed(p, err);
        at += got;
    }
    return 0;
}

/* The header, and the data that belongs to it. Takes the entry over. */
static int pack_entry(struct pack *p, struct archive_entry *entry, int fd, struct error *err)
{
    struct archive_entry *spare = NULL;
    libarchive.entry_linkify(p->links, &entry, &spare);
    int rc = libarchive.write_header(p->writer, entry) < ARCHIVE_WARN || p->over
                 ? pack_failed(p, err)
                 : 0;
    if (rc == 0 && fd >= 0 && libarchive.entry_hardlink(entry) == NULL)
        rc = pack_data(p, fd, libarchive.entry_size(entry), err);
    if (rc == 0 && (libarchive.write_finish_entry(p->writer) < ARCHIVE_WARN || p->over))
        rc = pack_failed(p, err);
    libarchive.entry_free(entry);
    libarchive.entry_free(spare);
    return rc;
}

static struct archive_entry *pack_describe(struct pack *p, const struct stat *st)
{
    struct archive_entry *entry = libarchive.entry_new();
    const char *name = buf_string(&p->name);
    if (entry == NULL || name == NULL) {
        libarchive.entry_free(entry);
        return NULL;
    }
    libarchive.entry_copy_pathname(entry, name);
    libarchive.entry_set_mode(entry, st->st_mode & ~(mode_t)(S_ISUID | S_ISGID));
    libarchive.entry_set_mtime(entry, st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
    libarchive.entry_set_size(entry, S_ISREG(st->st_mode) ? st->st_size : 0);
    libarchive.entry_set_dev(entry, st->st_dev);
    libarchive.entry_set_ino(entry, (la_int64_t)st->st_ino);
    libarchive.entry_set_nlink(entry, S_ISREG(st->st_mode) ? (unsigned)st->st_nlink : 1);
    return entry;
}

static int pack_link(struct pack *p, int parent, const char *name, const struct stat *st,
                     struct error *err)
{
    char target[4096];
    ssize_t length = readlinkat(parent, name, target, sizeof target);
    if (length < 0 || (size_t)length == sizeof target)
        return error_system(err, length < 0 ? errno : ENAMETOOLONG, "cannot read %s",
                            pack_shown(p));
    target[length] = '\0';
    struct archive_entry *entry = pack_describe(p, st);
    if (entry == NULL)
        return error_set(err, ENOMEM, "out of memory");
    libarchive.entry_copy_symlink(entry, target);
    return pack_entry(p, entry, -1, err);
}

static int pack_at(struct pack *p, int parent, const char *name, unsigned depth, struct error *err);

/* Takes the descriptor over. */
static int pack_folder(struct pack *p, int fd, unsigned depth, struct error *err)
{
    CLEAN_DIR DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int code = errno;
        close(fd);
        return error_system(err, code, "cannot read %s", pack_shown(p));
    }
    const struct dirent *item;
    while (errno = 0, (item = readdir(dir)) != NULL) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        size_t length = buf_len(&p->name);
        int rc = buf_printf(&p->name, "/%s", item->d_name);
        rc = rc < 0 ? error_set(err, ENOMEM, "out of memory")
                    : pack_at(p, fd, item->d_name, depth + 1, err);
        if (rc < 0)
            return rc;
        p->name.end = p->name.start + length;
    }
    return errno != 0 ? error_system(err, errno, "cannot read %s", pack_shown(p)) : 0;
}

static int pack_at(struct pack *p, int parent, const char *name, unsigned depth, struct error *err)
{
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return error_system(err, errno, "cannot read %s", pack_shown(p));
    if (S_ISLNK(st.st_mode))
        return pack_link(p, parent, name, &st, err);
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        if (depth == 0)
            return error_set(err, EINVAL, "%s is neither file, directory nor link", name);
        fprintf(stderr, "vmdeck cp: warning: skipped %s: neither file, directory nor link\n",
                pack_shown(p));
        return 0;
    }
    if (depth > CP_DEPTH_MAX)
        return error_set(err, ELOOP, "more than %d directories in each other", CP_DEPTH_MAX);
    CLEAN_FD int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_system(err, errno, "cannot read %s", pack_shown(p));
    struct archive_entry *entry = pack_describe(p, &st);
    if (entry == NULL)
        return error_set(err, ENOMEM, "out of memory");
    if (S_ISREG(st.st_mode)) {
        pack_extents(entry, fd, st.st_size);
        return pack_entry(p, entry, fd, err);
    }
    int rc = pack_entry(p, entry, -1, err);
    return rc < 0 ? rc : pack_folder(p, take_fd(&fd), depth, err);
}

static int pack_complete(struct pack *p, struct error *err)
{
    const struct stat st = {.st_mode = S_IFREG | 0600, .st_nlink = 1};
    p->name.end = p->name.start;
    struct archive_entry *entry =
        buf_printf(&p->name, "%s", CP_COMPLETE) == 0 ? pack_describe(p, &st) : NULL;
    if (entry == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = pack_entry(p, entry, -1, err);
    if (rc == 0 && (libarchive.write_close(p->writer) != ARCHIVE_OK || p->over))
        rc = pack_failed(p, err);
    return rc;
}

int cp_pack(const char *path, const struct cp_sink *sink, struct error *err)
{
    int rc = libarchive_load(err);
    if (rc < 0)
        return rc;
    struct pack p = {.sink = sink, .writer = libarchive.write_new(), .block = malloc(BLOCK)};
    p.links = libarchive.entry_linkresolver_new();
    if (p.writer == NULL || p.links == NULL || p.block == NULL ||
        buf_printf(&p.name, "%s", CP_ITEM) < 0) {
        rc = error_set(err, ENOMEM, "out of memory");
    } else {
        libarchive.entry_linkresolver_set_strategy(p.links, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE);
        libarchive.write_set_bytes_per_block(p.writer, (int)BLOCK);
        libarchive.write_set_bytes_in_last_block(p.writer, 1);
        if (libarchive.write_set_format_pax(p.writer) != ARCHIVE_OK ||
            libarchive.write_set_options(p.writer, "hdrcharset=BINARY") != ARCHIVE_OK ||
            libarchive.write_open(p.writer, &p, NULL, pack_write, NULL) != ARCHIVE_OK)
            rc = pack_failed(&p, err);
        else
            rc = pack_at(&p, AT_FDCWD, path, 0, err);
        if (rc == 0)
            rc = pack_complete(&p, err);
        p.over = p.over || rc < 0;
    }
    libarchive.write_free(p.writer);
    libarchive.entry_linkresolver_free(p.links);
    free(p.block);
    buf_free(&p.name);
    return rc;
}
