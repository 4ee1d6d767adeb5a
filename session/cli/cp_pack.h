/* A file or a directory tree of this host as a tar archive: see cp_pack.c. */
#ifndef VMDECK_SESSION_CLI_CP_PACK_H
#define VMDECK_SESSION_CLI_CP_PACK_H

#include <stddef.h>

#include "base/error.h"

struct cp_sink {
    int (*write)(void *context, const void *data, size_t size, struct error *err);
    void *context;
};

/*
 * Writes what is at `path` as the item CP_ITEM, and behind it, as the sign that nothing is
 * missing, the empty file CP_COMPLETE. The path's last part is not followed if it is a link. Owner
 * is root; modes without setuid and setgid; times in ns; holes stay holes. What is no file,
 * directory or link is skipped with a warning on stderr. A file that shrinks meanwhile is an error.
 */
int cp_pack(const char *path, const struct cp_sink *sink, struct error *err);

#define CP_COMPLETE "complete"

#endif
