/* The VM options about file systems, and what "vmdeck mount" shares with them. */
#ifndef VMDECK_SESSION_CLI_VMOPTIONS_MOUNTS_H
#define VMDECK_SESSION_CLI_VMOPTIONS_MOUNTS_H

#include "session/cli/verb.h"

/* For struct session_config. */
option_set set_mount_hostfs, set_mount_memfs, set_shadow;

/*
 * "HOST:GUEST[:ro]" with HOST as an absolute path without symbolic links, as the session host,
 * which works elsewhere, needs it; the caller frees it. -ENOENT, -ENOTDIR and so on say what HOST
 * is not.
 */
int mount_resolve(const char *value, char **out, struct error *err);

#endif
