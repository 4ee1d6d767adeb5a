/*
 * Paths and files: the XDG directories, and the file operations that must not leave halves
 * behind. Paths returned are the caller's to free.
 */
#ifndef VMDECK_BASE_PATH_H
#define VMDECK_BASE_PATH_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

enum path_base {
    PATH_RUNTIME, /* $XDG_RUNTIME_DIR/vmdeck, or /tmp/vmdeck-<uid>: sockets */
    PATH_STATE,   /* $XDG_STATE_HOME/vmdeck: database, logs, running sessions */
    PATH_DATA,    /* $XDG_DATA_HOME/vmdeck: images, snapshots */
    PATH_CACHE,   /* $XDG_CACHE_HOME/vmdeck: what can be made again */
    PATH_CONFIG,  /* $XDG_CONFIG_HOME/vmdeck */
};

/*
 * The directory's path with "/name" behind it where name is not NULL; the directory itself is
 * made (mode 0700) where it is missing. A directory in /tmp that somebody else owns is refused.
 * *out is NULL on failure.
 */
int path_xdg(enum path_base base, const char *name, char **out, struct error *err);

/* Makes the directory and what is missing above it. */
int path_mkdirs(const char *path, mode_t mode, struct error *err);

/* Removes a file or a tree; what is not there is no error. Never follows a symlink. */
int path_remove(const char *path, struct error *err);

/* Reads a file of at most `max` bytes (-EFBIG beyond). */
int path_read(const char *path, size_t max, struct buf *out, struct error *err);

/* Writes the file under a temporary name, syncs it and renames it into place. */
int path_write(const char *path, mode_t mode, const void *data, size_t size, struct error *err);

/*
 * Opens a lock file (made with mode 0600 where it is missing; not through a link) and waits for its
 * exclusive flock(2), which is held until *fd and its copies are closed.
 */
int path_lock(const char *path, int *fd, struct error *err);

/* All bytes, or -errno: goes on after EINTR and short counts. */
int fd_write_all(int fd, const void *data, size_t size);

#endif
