/* Snapshots as the user names them. */
#ifndef VMDECK_SESSION_CLI_SNAPSHOT_H
#define VMDECK_SESSION_CLI_SNAPSHOT_H

#include <stdbool.h>

#include "base/error.h"

/*
 * The absolute path of the snapshot's file. A word with a '/', and one that ends in ".qcow2" where
 * such a file is, is a path; anything else an id, a prefix of one, or a name. -ENOENT: there is no
 * such snapshot, or its file is gone. The caller frees the path.
 */
int snapshot_resolve(const char *word, char **path, struct error *err);

/* What `vmdeck snapshot` does with snapshots that are there. Words are NULL-terminated. */
int snapshot_ls(bool json, struct error *err);
int snapshot_rm(char *const *words, struct error *err);
int snapshot_renamed(const char *word, const char *name, struct error *err);
int snapshot_inspect(const char *word, struct error *err);

#endif
