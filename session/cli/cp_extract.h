/*
 * A tar archive that nobody vouches for, into a directory that nothing leaves: see cp_extract.c.
 */
#ifndef VMDECK_SESSION_CLI_CP_EXTRACT_H
#define VMDECK_SESSION_CLI_CP_EXTRACT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

#define CP_ITEM "d" /* the archive's one item, under this name in the directory */

#define CP_DEPTH_MAX  256               /* directories in each other; a descriptor each to walk */
#define CP_HEADER_MAX (8 * 1024 * 1024) /* bytes of one entry's headers, sparse map included */
#define CP_FOLDER_MAX 1000000           /* directories, whose times are set at the end */

struct cp_source {
    /* The archive's next bytes, valid until the next call; 0 at its end. */
    ssize_t (*read)(void *context, const void **data, struct error *err);
    void *context;
    const char *name; /* what the item is called if it is no directory; a directory's is "." */
    const char *no_directory, *no_file; /* why the item may not be one; NULL: it may */
};

/*
 * Unpacks the item into `directory` as CP_ITEM. What is no file, directory or link is skipped with
 * a warning on stderr. Modes without setuid and setgid, times in ns; owner is the caller. On
 * failure the directory holds whatever was unpacked: the caller removes it.
 */
int cp_extract(int directory, const struct cp_source *source, struct error *err);

#endif
