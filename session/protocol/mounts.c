/* Sorted by length, a path is behind all those that it is below. */
#include "session/protocol/mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define READ_ONLY  ":ro"
#define READ_WRITE ":rw"
#define MOUNTS_MAX 256

/* With what is below them; "/" stands for itself only. */
static const char *const reserved[] = {"/proc", "/sys", "/dev", "/run/vmdeck"};

void mount_spec_free(struct mount_spec *spec)
{
    free(spec->host);
    free(spec->guest);
    *spec = (struct mount_spec){0};
}

void mount_list_free(struct mount_list *list)
{
    for (size_t i = 0; list->items != NULL && i < list->count; i++)
        mount_spec_free(&list->items[i]);
    free(list->items);
    *list = (struct mount_list){0};
}

bool mount_is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static bool is_dots(const char *part, size_t length)
{
    return (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.');
}

int mount_guest_path(const char *path, char **out, struct error *err)
{
    CLEAN_FREE char *clean = malloc(strlen(path) + 2);
    size_t used = 0;
    if (clean == NULL)
        return error_set(err, ENOMEM, "out of memory");
    if (path[0] != '/')
        return error_set(err, EINVAL, "'%.200s' is no absolute path in the guest", path);
    for (const char *at = path; *at != '\0';) {
        size_t length = strcspn(at, "/");
        if (is_dots(at, length))
            return error_set(err, EINVAL, "'%.200s': a path in the guest has no . or ..", path);
        if (length > 0) {
            clean[used++] = '/';
            memcpy(clean + used, at, length);
            used += length;
        }
        at += length + (at[length] == '/');
    }
    clean[used] = '\0';
    bool taken = used == 0;
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        taken = taken || mount_is_below(clean, reserved[i]);
    if (taken)
        return error_set(err, EINVAL, "'%.200s': the guest could not go on with a mount there",
                         path);
    *out = take_ptr(clean);
    return 0;
}

/* The last colon that a slash follows. */
static const char *guest_colon(const char *text, size_t length)
{
    const char *found = NULL;
    for (size_t i = 0; i + 1 < length; i++)
        if (text[i] == ':' && text[i + 1] == '/')
            found = text + i;
    return found;
}

int mount_spec_parse(const char *text, struct mount_spec *out, struct error *err)
{
    size_t length = strlen(text);
    CLEAN_MOUNT_SPEC struct mount_spec spec = {0};
    bool suffix = length > 3 && (strcmp(text + length - 3, READ_ONLY) == 0 ||
                                 strcmp(text + length - 3, READ_WRITE) == 0);
    if (suffix) {
        spec.read_only = text[length - 1] == 'o';
        length -= 3;
    }
    const char *colon = guest_colon(text, length);
    if (colon == NULL || colon == text)
        return error_set(err, EINVAL,
                         "'%.200s': not HOST:GUEST or HOST:GUEST:ro, where GUEST is an absolute "
                         "path in the guest",
                         text);
    CLEAN_FREE char *guest = strndup(colon + 1, length - (size_t)(colon + 1 - text));
    spec.host = strndup(text, (size_t)(colon - text));
    if (guest == NULL || spec.host == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = mount_guest_path(guest, &spec.guest, err);
    if (rc < 0)
        return rc;
    *out = (struct mount_spec){take_ptr(spec.host), take_ptr(spec.guest), spec.read_only};
    return 0;
}

static int by_length(const void *a, const void *b)
{
    size_t left = strlen(((const struct mount_spec *)a)->guest);
    size_t right = strlen(((const struct mount_spec *)b)->guest);
    return (left > right) - (left < right);
}

static int list_add(struct mount_list *list, const struct mount_spec *spec, struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *guest = list->items[i].guest;
        if (guest != NULL && strcmp(guest, spec->guest) == 0)
            return error_set(err, EINVAL, "two mounts at %s", guest);
    }
    list->items[list->count++] = *spec;
    return 0;
}

int mount_list(const struct session_config *config, struct mount_list *out, struct error *err)
{
    CLEAN_MOUNT_LIST struct mount_list list = {0};
    size_t hosts = config->mounts_hostfs.count, all = hosts + config->mounts_memfs.count;
    int rc = 0;
    if (all > MOUNTS_MAX)
        return error_set(err, E2BIG, "more than %d mounts", MOUNTS_MAX);
    list.items = calloc(all + 1, sizeof *list.items);
    if (list.items == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < all && rc == 0; i++) {
        struct mount_spec spec = {0};
        rc = i < hosts ? mount_spec_parse(config->mounts_hostfs.items[i], &spec, err)
                       : mount_guest_path(config->mounts_memfs.items[i - hosts], &spec.guest, err);
        if (rc == 0 && spec.guest != NULL)
            rc = list_add(&list, &spec, err);
        if (rc != 0)
            mount_spec_free(&spec);
    }
    if (rc != 0)
        return rc;
    qsort(list.items, list.count, sizeof *list.items, by_length);
    out->count = list.count;
    out->items = take_ptr(list.items);
    return 0;
}
