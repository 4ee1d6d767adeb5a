/* Everything that can be known here is checked here: before a VM is started for nothing. */
#include "session/cli/vmoptions_mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "session/protocol/mounts.h"
#include "vm/vfs/shadow.h"

int mount_resolve(const char *value, char **out, struct error *err)
{
    CLEAN_MOUNT_SPEC struct mount_spec spec = {0};
    struct stat st;
    int rc = mount_spec_parse(value, &spec, err);
    if (rc < 0)
        return rc;
    CLEAN_FREE char *host = realpath(spec.host, NULL);
    if (host == NULL || stat(host, &st) < 0)
        return error_system(err, errno, "cannot mount %.200s", spec.host);
    if (!S_ISDIR(st.st_mode))
        return error_set(err, ENOTDIR, "cannot mount %.200s: not a directory", spec.host);
    *out = str_printf("%s:%s%s", host, spec.guest, spec.read_only ? ":ro" : "");
    return *out != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* Adds it, and sees that all go together. */
static int add_mount(struct session_config *config, struct strv *list, const char *value,
                     struct error *err)
{
    CLEAN_MOUNT_LIST struct mount_list all = {0};
    int rc = strv_add(list, value) < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
    return rc == 0 ? mount_list(config, &all, err) : rc;
}

int set_mount_hostfs(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    CLEAN_FREE char *resolved = NULL;
    int rc = mount_resolve(value, &resolved, err);
    if (rc == 0)
        rc = add_mount(config, &config->mounts_hostfs, resolved, err);
    return rc < 0 ? error_wrap(err, "--mount-hostfs") : 0;
}

int set_mount_memfs(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    int rc = add_mount(config, &config->mounts_memfs, value, err);
    return rc < 0 ? error_wrap(err, "--mount-memfs") : 0;
}

int set_shadow(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    struct shadows *shadows = NULL;
    if (*value == '\0' || *value == '=')
        return error_set(err, EINVAL, "--shadow '%.40s': no pattern", value);
    int rc = strv_add(&config->shadows, value) < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
    if (rc == 0)
        rc = shadows_open(&shadows, (const char *const *)config->shadows.items,
                          config->shadows.count, err);
    shadows_close(shadows);
    return rc < 0 ? error_wrap(err, "--shadow") : 0;
}
