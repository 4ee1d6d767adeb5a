/*
 * Snapshot files (vmdeck-snapshot(5)): a qcow2 image, sections behind it, a JSON manifest, a
 * trailer. The manifest is the caller's object plus "sections". Nothing in a file is believed
 * until it was checked: it may come from anybody. Not thread-safe per object.
 */
#ifndef VMDECK_VM_SNAPFILE_H
#define VMDECK_VM_SNAPFILE_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SNAPFILE_DISK         "disk" /* the first section, always; the others as there is need */
#define SNAPFILE_DEVICE_STATE "device-state"
#define SNAPFILE_MEMORY_MAP   "memory-map"
#define SNAPFILE_MEMORY       "memory"
#define SNAPFILE_TERMINALS    "terminals"
#define SNAPFILE_FILES        "file-systems"

#define SNAPFILE_ALIGNMENT    ((uint64_t)1 << 16) /* of every section's offset */
#define SNAPFILE_NAME_MAX     32                  /* chars of a section's name: a-z 0-9 - */
#define SNAPFILE_SECTIONS_MAX 16
#define SNAPFILE_MANIFEST_MAX ((size_t)1 << 20)

/* Writing: create, disk, then the other sections one after another, finish. */
struct snapfile_writer;

/*
 * Begins a file that will be `path`; until snapfile_finish() nothing has that name. -EEXIST:
 * something is there already. Where the file system has unnamed files (O_TMPFILE) nothing is left
 * even by SIGKILL, otherwise a file `.<name>.XXXXXX` beside it.
 */
int snapfile_create(struct snapfile_writer **out, const char *path, struct error *err);

/*
 * The errors of all that follow: -ENOSPC (also for EDQUOT) with the directory's name, other
 * system errors, -ECANCELED. After any error only snapfile_abort() is left to do.
 *
 * The disk: what qcow2_merge() makes of the layers, with the raw image `backing` behind them.
 */
int snapfile_disk(struct snapfile_writer *writer, const char *const layers[], size_t count,
                  const char *backing, uint64_t size, const volatile int *cancel,
                  struct error *err);

/* Begins a section; what is added from now on is in it. -EINVAL: not a name, or there already. */
int snapfile_begin(struct snapfile_writer *writer, const char *name, struct error *err);
int snapfile_add(struct snapfile_writer *writer, const void *data, size_t size, struct error *err);

/* Adds `length` bytes of a file from `offset` on. -EBADMSG: it ends before that. */
int snapfile_add_fd(struct snapfile_writer *writer, int fd, uint64_t offset, uint64_t length,
                    const volatile int *cancel, struct error *err);

/*
 * For a section whose bytes somebody writes faster than they can be hashed (a guest that stands
 * still): the descriptor and offset where they go, to be written with pwrite(), by several threads
 * if need be; and, when there is time again, how many there were, which reads them back. Nothing
 * else may be added between the two. Write in pieces: ext4 took 0.2 s for 300 MiB in pieces of
 * 1 MiB, and 2 s for the same in one call.
 */
#define SNAPFILE_PIECE ((size_t)1 << 20)
int snapfile_direct(struct snapfile_writer *writer, uint64_t *offset);
int snapfile_added(struct snapfile_writer *writer, uint64_t length, const volatile int *cancel,
                   struct error *err);

/*
 * Writes manifest (a JSON object; "sections" in it is replaced) and trailer, syncs, gives the file
 * its name, and notes it as verified. -EEXIST: that name has been taken meanwhile. snapfile_abort()
 * is to be called all the same.
 */
int snapfile_finish(struct snapfile_writer *writer, const cJSON *manifest, struct error *err);

/* Frees the writer, and removes the file unless it is finished. NULL is fine. */
void snapfile_abort(struct snapfile_writer *writer);

/* Reading. */
struct snapfile;

/*
 * Opens a file and checks its structure and its manifest, but not the sections' content. -EBADMSG:
 * not a snapshot, truncated, or damaged, as the message says; -ENOTSUP: of another version.
 */
int snapfile_open(struct snapfile **out, const char *path, struct error *err);
void snapfile_close(struct snapfile *file); /* NULL is fine */

/* All of these stay the file's. */
const cJSON *snapfile_manifest(const struct snapfile *file);
int snapfile_fd(const struct snapfile *file); /* open for reading */

/* Where the section is in the file, in bytes. -ENOENT: there is none. */
int snapfile_section(const struct snapfile *file, const char *name, uint64_t *offset,
                     uint64_t *length, struct error *err);

/* Reads from the section, `at` bytes from its start. -EBADMSG where it is not that long. */
int snapfile_read(const struct snapfile *file, const char *name, uint64_t at, void *data,
                  size_t size, struct error *err);

/*
 * Checks the content of every section, unless that was done before and the file has not changed
 * since ($XDG_CACHE_HOME/vmdeck/verified). -EBADMSG: a section is damaged (which).
 */
int snapfile_verify(const struct snapfile *file, const volatile int *cancel, struct error *err);

/* Removes the file and the note of its verification. */
int snapfile_remove(const char *path, struct error *err);

#define CLEAN_SNAPFILE        __attribute__((cleanup(snapfile_cleanup)))
#define CLEAN_SNAPFILE_WRITER __attribute__((cleanup(snapfile_writer_cleanup)))
static inline void snapfile_cleanup(struct snapfile **file)
{
    snapfile_close(*file);
}
static inline void snapfile_writer_cleanup(struct snapfile_writer **writer)
{
    snapfile_abort(*writer);
}

#endif
