/*
 * The manifest of a snapshot, as the session reads it when it is resumed. It may come from anybody:
 * what it says is checked against the same limits as a command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "session/host/network.h"
#include "session/host/snapshot.h"
#include "session/protocol/json.h"
#include "session/protocol/mounts.h"
#include "session/store/snapshots.h"

static const cJSON *part(const cJSON *manifest, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(manifest, name);
}

bool snapshot_has_memory(const cJSON *manifest)
{
    const char *kind = json_string(manifest, "kind");
    return kind != NULL && strcmp(kind, "ram") == 0;
}

const char *snapshot_qemu(const struct snapfile *file)
{
    return json_string(part(snapfile_manifest(file), "machine"), "qemu");
}

static bool env_has(const struct strv *env, const char *entry)
{
    size_t len = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < env->count; i++)
        if (strncmp(env->items[i], entry, len) == 0)
            return true;
    return false;
}

/* What the snapshot's session had, under what was given now. */
static int apply_environment(const cJSON *session, struct session_config *config)
{
    CLEAN_STRV struct strv old = {0};
    int rc = json_strings(session, "env", &old);
    for (size_t i = 0; i < old.count && rc == 0; i++)
        if (strchr(old.items[i], '=') != NULL && !env_has(&config->env, old.items[i]))
            rc = strv_add(&config->env, old.items[i]);
    return rc;
}

bool snapshot_ours(const struct host *host)
{
    struct registry *registry = NULL;
    bool ours = host->revive || host->config.adopt;
    if (!ours && registry_open(&registry, NULL, NULL) == 0)
        ours = snapshot_indexed(registry, host->config.resume, NULL) > 0;
    registry_close(registry);
    return ours;
}

/* What was hidden from the guest stays hidden: its mounts come along. */
static int apply_shadows(const cJSON *session, struct session_config *config)
{
    CLEAN_STRV struct strv old = {0};
    int rc = json_strings(session, "shadows", &old);
    for (size_t i = 0; i < old.count && rc == 0; i++) {
        bool there = false;
        for (size_t j = 0; j < config->shadows.count; j++)
            there = there || strcmp(config->shadows.items[j], old.items[i]) == 0;
        rc = there ? 0 : strv_add(&config->shadows, old.items[i]);
    }
    return rc;
}

static bool is_given(const struct mount_list *given, const char *guest)
{
    for (size_t i = 0; i < given->count; i++)
        if (strcmp(given->items[i].guest, guest) == 0)
            return true;
    return false;
}

/* HOST:GUEST[:ro] of a host directory that is there. 0: it is not, or cannot be written so. */
static int add_hostfs(struct session_config *config, const cJSON *mount, const char *host_directory,
                      const char *guest)
{
    CLEAN_MOUNT_SPEC struct mount_spec spec = {0};
    CLEAN_FREE char *text =
        str_printf("%s:%s%s", host_directory, guest, json_bool(mount, "read_only") ? ":ro" : "");
    struct error why = {0};
    CLEAN_FD int fd = open(host_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (text == NULL)
        return -ENOMEM;
    if (fd < 0)
        error_system(&why, errno, "%s", host_directory);
    else if (mount_spec_parse(text, &spec, &why) == 0 && strcmp(spec.guest, guest) == 0)
        return strv_add(&config->mounts_hostfs, text);
    log_warn(LOG_VFS, "not mounted at %s: %s", guest, why.message);
    return 0;
}

/*
 * A guest that boots from a snapshot's disk gets the mounts that it had, but for those that were
 * given now. Directories of this host only if the snapshot is this user's: it may come from
 * anybody. Memory is empty.
 */
static int apply_mounts(const cJSON *session, struct host *host, struct error *err)
{
    CLEAN_MOUNT_LIST struct mount_list given = {0};
    int rc = mount_list(&host->config, &given, err);
    bool ours = snapshot_ours(host);
    const cJSON *mount;
    cJSON_ArrayForEach(mount, cJSON_GetObjectItemCaseSensitive(session, "mounts"))
    {
        const char *guest = json_string(mount, "guest"), *from = json_string(mount, "host");
        CLEAN_FREE char *clean = NULL;
        if (rc < 0)
            return rc;
        if (guest == NULL || mount_guest_path(guest, &clean, NULL) < 0)
            return error_set(err, EBADMSG, "%s: its manifest has no proper mounts",
                             host->config.resume);
        if (is_given(&given, clean))
            continue;
        if (from != NULL && !ours)
            log_warn(LOG_VFS, "%s was made elsewhere: %s is not mounted at %s", host->config.resume,
                     from, clean);
        else if (from != NULL)
            rc = add_hostfs(&host->config, mount, from, clean);
        else
            rc = strv_add(&host->config.mounts_memfs, clean);
        if (rc < 0)
            error_set(err, ENOMEM, "out of memory");
    }
    return rc;
}

int snapshot_apply(const struct snapfile *file, struct host *host, struct error *err)
{
    const cJSON *manifest = snapfile_manifest(file);
    const cJSON *image = part(manifest, "image"), *machine = part(manifest, "machine");
    struct session_config *config = &host->config;
    const char *id = json_string(image, "id"), *name = json_string(image, "name");
    const char *accel = json_string(machine, "accel");
    if (id == NULL || strlen(id) != IMAGE_ID_SIZE - 1 || machine == NULL)
        return error_set(err, EBADMSG, "%s: its manifest names no image", config->resume);
    config->memory = json_number(machine, "memory", config->memory);
    config->cpus = json_number(machine, "cpus", config->cpus);
    uint64_t disk = json_number(machine, "disk", config->rootfs_size);
    bool memory = snapshot_has_memory(manifest) && !config->cold;
    if (memory || disk > config->rootfs_size)
        config->rootfs_size = disk;
    if (config->memory < CONFIG_MEMORY_MIN || config->memory > CONFIG_MEMORY_MAX ||
        config->cpus < 1 || config->cpus > CONFIG_CPUS_MAX || config->rootfs_size > CONFIG_DISK_MAX)
        return error_set(err, EBADMSG, "%s: its manifest describes an impossible machine",
                         config->resume);
    if (memory && config->accel == NULL && accel != NULL)
        config->accel = strdup(accel);
    if (apply_environment(part(manifest, "session"), config) < 0)
        return error_set(err, EBADMSG, "%s: its manifest has no proper environment",
                         config->resume);
    if (network_resume(host, part(manifest, "session"), snapshot_ours(host), err) < 0)
        return error_wrap(err, "%s", config->resume);
    if (apply_shadows(part(manifest, "session"), config) < 0)
        return error_set(err, EBADMSG, "%s: its manifest has no proper shadows", config->resume);
    if (!memory && apply_mounts(part(manifest, "session"), host, err) < 0)
        return error_wrap(err, "its mounts");
    /* where it was, in case it was no image of the store: a directory */
    const char *directory = json_string(image, "directory");
    struct error first = {0};
    int rc = image_open(id, &host->image, &first);
    if (rc < 0 && directory != NULL) {
        rc = image_open(directory, &host->image, err);
        if (rc == 0 && strcmp(host->image.id, id) != 0) {
            image_close(&host->image);
            rc = -ENOENT;
        }
    }
    if (rc < 0)
        return error_set(err, ENOENT, "%s: its image %s (%s) is not here: %s", config->resume,
                         name != NULL ? name : "without a name", id, first.message);
    return 0;
}

int snapshot_key(const struct snapfile *file, const char *shape, const char *path,
                 char key[TEMPLATE_KEY_SIZE], struct error *err)
{
    const cJSON *manifest = snapfile_manifest(file);
    const char *made = json_string(part(manifest, "machine"), "shape");
    if (made == NULL || strcmp(made, shape) != 0)
        return error_set(err, ENOTSUP,
                         "%s: its memory is that of another kind of machine (another vmdeck or "
                         "accelerator made it; --cold boots from its disk)",
                         path);
    char *text = cJSON_PrintUnformatted(manifest);
    char hex[HASH_HEX_SIZE];
    int rc = text != NULL ? hash_memory(text, strlen(text), hex, err)
                          : error_set(err, ENOMEM, "out of memory");
    cJSON_free(text);
    if (rc == 0) {
        memcpy(key, hex, TEMPLATE_KEY_SIZE - 1);
        key[TEMPLATE_KEY_SIZE - 1] = '\0';
    }
    return rc;
}
