/*
 * Mounts as the user writes them, and as they travel in a configuration and in the "mount" request:
 * "HOST:GUEST[:ro]", or a path in the guest for one in memory. No thread affinity.
 */
#ifndef VMDECK_SESSION_PROTOCOL_MOUNTS_H
#define VMDECK_SESSION_PROTOCOL_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "session/protocol/config.h"

struct mount_spec {
    char *host;  /* NULL: in memory */
    char *guest; /* absolute, no slash at its end */
    bool read_only;
};

void mount_spec_free(struct mount_spec *spec);
#define CLEAN_MOUNT_SPEC __attribute__((cleanup(mount_spec_free)))

/*
 * "HOST:GUEST[:ro]". HOST may have colons: GUEST begins at the last one that a slash follows. What
 * HOST is is not looked at. -EINVAL for a text of another form and a path that mount_guest_path()
 * refuses.
 */
int mount_spec_parse(const char *text, struct mount_spec *out, struct error *err);

/*
 * A path in the guest that something may be mounted at, without superfluous slashes; the caller
 * frees it. -EINVAL: not absolute, "." or ".." in it, or a directory that the guest lives by.
 */
int mount_guest_path(const char *path, char **out, struct error *err);

struct mount_list {
    struct mount_spec *items;
    size_t count;
};
void mount_list_free(struct mount_list *list);
#define CLEAN_MOUNT_LIST __attribute__((cleanup(mount_list_free)))

/* All mounts of a configuration, those that are below others behind them. -EINVAL: one twice. */
int mount_list(const struct session_config *config, struct mount_list *out, struct error *err);

/* Whether `path` is the directory or below it. */
bool mount_is_below(const char *path, const char *directory);

#endif
