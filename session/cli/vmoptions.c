/* One row per option; what a value means to the VM is the host's business, its form is ours. */
#include "session/cli/vmoptions.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/cli/settings.h"
#include "session/cli/snapshot.h"
#include "session/cli/vmoptions_mounts.h"
#include "session/protocol/config.h"

#define NAME_MAX_LEN  63
#define LABEL_MAX_LEN 255

static int set_text(char **to, const char *value, struct error *err)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return error_set(err, ENOMEM, "out of memory");
    free(*to);
    *to = copy;
    return 0;
}

static int set_image(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    if (*value == '\0')
        return error_set(err, EINVAL, "--image: an empty name");
    if (value[0] == '/' || strchr(value, '/') == NULL)
        return set_text(&config->image, value, err);
    /* a directory: the session host works elsewhere */
    CLEAN_FREE char *here = getcwd(NULL, 0);
    CLEAN_FREE char *path = here != NULL ? str_printf("%s/%s", here, value) : NULL;
    return path != NULL ? set_text(&config->image, path, err)
                        : error_system(err, errno, "--image '%.200s'", value);
}

static int set_accel(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    static const char *const known[] = {"auto", "kvm", "tcg"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(value, known[i]) == 0)
            return set_text(&config->accel, value, err);
    return error_set(err, EINVAL, "--accel '%.40s': not one of auto, kvm, tcg", value);
}

static int set_memory(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    int rc = str_size(value, "--memory", &config->memory, err);
    if (rc == 0 && (config->memory < CONFIG_MEMORY_MIN || config->memory > CONFIG_MEMORY_MAX))
        return error_set(err, EINVAL, "--memory '%.40s': not from 128M to 4T", value);
    return rc;
}

static int set_cpus(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    return str_number(value, "--cpus", 1, CONFIG_CPUS_MAX, &config->cpus, err);
}

static int set_rootfs_size(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    int rc = str_size(value, "--rootfs-size", &config->rootfs_size, err);
    if (rc == 0 && config->rootfs_size > CONFIG_DISK_MAX)
        return error_set(err, EINVAL, "--rootfs-size '%.40s': 4T at most", value);
    return rc;
}

int vm_name_check(const char *value, struct error *err)
{
    size_t len = strlen(value);
    bool good = len > 0 && len <= NAME_MAX_LEN && isalnum((unsigned char)value[0]);
    for (const char *p = value; *p != '\0'; p++)
        good = good && (isalnum((unsigned char)*p) || strchr("._-", *p) != NULL);
    if (!good)
        return error_set(err, EINVAL,
                         "--name '%.40s': a name has 1 to %d letters, digits, '.', '_', '-' and "
                         "begins with a letter or digit",
                         value, NAME_MAX_LEN);
    return 0;
}

static int set_name(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    int rc = vm_name_check(value, err);
    return rc == 0 ? set_text(&config->name, value, err) : rc;
}

static int set_resume(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    char *path;
    int rc = snapshot_resolve(value, &path, err);
    if (rc < 0)
        return error_wrap(err, "--resume");
    free(config->resume);
    config->resume = path;
    return 0;
}

int env_add(struct strv *list, const char *text, struct error *err)
{
    const char *equals = strchr(text, '=');
    bool good = equals != NULL && equals != text && !isdigit((unsigned char)text[0]);
    for (const char *p = text; good && p < equals; p++)
        good = isalnum((unsigned char)*p) || *p == '_';
    if (!good)
        return error_set(err, EINVAL, "--env '%.40s': not NAME=VALUE", text);
    return strv_add(list, text) < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

static int set_env(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    return env_add(&config->env, value, err);
}

static int set_cold(void *target, const char *value, struct error *err)
{
    struct session_config *config = target;
    (void)value;
    (void)err;
    config->cold = true;
    return 0;
}

static const struct option options[] = {
    {"image", 0, "SEL", set_image, "asset directory, build id or name[:tag] (default:latest)"},
    {"resume", 0, "ID|PATH", set_resume, "start from a snapshot (see vmdeck snapshot)"},
    {"accel", 0, "auto|kvm|tcg", set_accel, "hardware virtualisation or emulation (auto)"},
    {"memory", 0, "SIZE", set_memory, "memory of the VM (512M)"},
    {"cpus", 0, "N", set_cpus, "processors of the VM (1)"},
    {"rootfs-size", 0, "SIZE", set_rootfs_size, "size of its disk; it only ever grows (4G)"},
    {"cold", 0, NULL, set_cold, "boot it, even where it could be forked from a template"},
    {"mount-hostfs", 0, "HOST:GUEST[:ro]", set_mount_hostfs,
     "a directory of this host; repeatable"},
    {"mount-memfs", 0, "PATH", set_mount_memfs, "a file system in the host's memory; repeatable"},
    {"shadow", 0, "PATTERN[=tmpfs]", set_shadow, "hide files of mounts, or have private ones"},
    {"name", 0, "NAME", set_name, "a name for the session; also the VM's host name"},
    {"env", 0, "K=V", set_env, "environment of all its commands; repeatable, not for secrets"},
    {0},
};

const struct option_group vm_options = {"VM options", options};

int vm_options_defaults(struct session_config *config, struct error *err)
{
    const char *image = getenv("VMDECK_IMAGE"), *accel = getenv("VMDECK_ACCEL");
    const char *spares = getenv("VMDECK_SPARES");
    session_config_init(config);
    int rc = settings_apply(config, err);
    if (rc < 0)
        return rc;
    if (image != NULL && *image != '\0')
        rc = set_image(config, image, err);
    if (rc == 0 && accel != NULL && *accel != '\0')
        rc = set_accel(config, accel, err);
    if (rc == 0 && spares != NULL && *spares != '\0' && config->spares == 0)
        rc = str_number(spares, "VMDECK_SPARES", 0, CONFIG_SPARES_MAX, &config->spares, err);
    return rc < 0 ? error_wrap(err, "from the environment") : 0;
}
