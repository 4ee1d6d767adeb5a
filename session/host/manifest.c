/*
 * The manifest of a snapshot, as the session reads it when it is resumed. It may come from anybody:
 * what it says is checked against the same limits as a command line.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "session/host/network.h"
#include "session/host/snapshot.h"
#include "session/protocol/json.h"
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
    if (memory && apply_shadows(part(manifest, "session"), config) < 0)
        return error_set(err, EBADMSG, "%s: its manifest has no proper shadows", config->resume);
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
