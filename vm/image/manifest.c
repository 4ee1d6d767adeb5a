/*
 * A manifest may come from anywhere (an imported directory, a download): every field is checked
 * before it is used, and numbers are taken only where a double holds them exactly. Unknown fields
 * are allowed, so that a later schema can add some; duplicates are not.
 */
#include "vm/image/manifest.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"

const char *const manifest_part_names[PART_COUNT] = {
    [PART_KERNEL] = "kernel",
    [PART_INITRAMFS] = "initramfs",
    [PART_ROOTFS] = "rootfs",
};

static void cleanup_json(cJSON **json)
{
    cJSON_Delete(*json);
}

#define CLEAN_JSON __attribute__((cleanup(cleanup_json)))

static int manifest_id(const struct manifest *manifest, char id[IMAGE_ID_SIZE], struct error *err)
{
    CLEAN_BUF struct buf text = {0};
    int rc = buf_printf(&text, "schema %d\narch %s\n", MANIFEST_SCHEMA, manifest->arch);
    for (int i = 0; i < PART_COUNT && rc == 0; i++)
        rc = buf_printf(&text, "%s %s\n", manifest_part_names[i], manifest->parts[i].sha256);
    if (rc < 0)
        return error_set(err, ENOMEM, "out of memory");
    char hex[HASH_HEX_SIZE];
    rc = hash_memory(buf_data(&text), buf_len(&text), hex, err);
    if (rc == 0) {
        memcpy(id, hex, IMAGE_ID_SIZE - 1);
        id[IMAGE_ID_SIZE - 1] = '\0';
    }
    return rc;
}

static const cJSON *field(const cJSON *object, const char *name, struct error *err)
{
    const cJSON *found = NULL;
    for (const cJSON *item = object->child; item != NULL; item = item->next) {
        if (item->string == NULL || strcmp(item->string, name) != 0)
            continue;
        if (found != NULL) {
            error_set(err, EBADMSG, "'%s' is there twice", name);
            return NULL;
        }
        found = item;
    }
    if (found == NULL)
        error_set(err, EBADMSG, "'%s' is missing", name);
    return found;
}

/* Printable ASCII that fits. */
static int field_text(const cJSON *object, const char *name, char out[MANIFEST_TEXT_MAX],
                      struct error *err)
{
    const cJSON *item = field(object, name, err);
    if (item == NULL)
        return -EBADMSG;
    const char *text = cJSON_GetStringValue(item);
    size_t length = text != NULL ? strlen(text) : 0;
    if (length == 0 || length >= MANIFEST_TEXT_MAX)
        return error_set(err, EBADMSG, "'%s' is no text of 1 to %d bytes", name,
                         MANIFEST_TEXT_MAX - 1);
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            return error_set(err, EBADMSG, "'%s' has characters that are not allowed", name);
    memcpy(out, text, length + 1);
    return 0;
}

static int field_hex(const cJSON *object, const char *name, char *out, size_t digits,
                     struct error *err)
{
    char text[MANIFEST_TEXT_MAX];
    int rc = field_text(object, name, text, err);
    if (rc < 0)
        return rc;
    if (strlen(text) != digits || strspn(text, "0123456789abcdef") != digits)
        return error_set(err, EBADMSG, "'%s' is not %zu lower-case hexadecimal digits", name,
                         digits);
    memcpy(out, text, digits + 1);
    return 0;
}

static int field_size(const cJSON *object, const char *name, uint64_t max, uint64_t *out,
                      struct error *err)
{
    const cJSON *item = field(object, name, err);
    if (item == NULL)
        return -EBADMSG;
    double value = cJSON_GetNumberValue(item);
    if (!(value >= 1 && value <= (double)max) || value != (double)(uint64_t)value)
        return error_set(err, EBADMSG, "'%s' is not a whole number from 1 to %llu", name,
                         (unsigned long long)max);
    *out = (uint64_t)value;
    return 0;
}

static int parse_part(const cJSON *parts, const char *name, struct manifest_part *part,
                      struct error *err)
{
    const cJSON *object = field(parts, name, err);
    if (object == NULL)
        return -EBADMSG;
    if (!cJSON_IsObject(object))
        return error_set(err, EBADMSG, "part '%s' is no object", name);
    int rc = field_text(object, "file", part->file, err);
    if (rc == 0 && (strchr(part->file, '/') != NULL || part->file[0] == '.'))
        rc = error_set(err, EBADMSG, "'file' is not a plain file name");
    if (rc == 0)
        rc = field_size(object, "size", MANIFEST_PART_MAX, &part->size, err);
    if (rc == 0)
        rc = field_hex(object, "sha256", part->sha256, HASH_HEX_SIZE - 1, err);
    return rc < 0 ? error_wrap(err, "part '%s'", name) : 0;
}

static int parse_fields(const cJSON *root, struct manifest *out, struct error *err)
{
    uint64_t schema = 0;
    if (!cJSON_IsObject(root))
        return error_set(err, EBADMSG, "it is no JSON object");
    int rc = field_size(root, "schema", MANIFEST_PART_MAX, &schema, err);
    if (rc == 0 && schema != MANIFEST_SCHEMA)
        rc = error_set(err, EBADMSG, "schema %llu is not known to this vmdeck",
                       (unsigned long long)schema);
    if (rc == 0)
        rc = field_hex(root, "id", out->id, IMAGE_ID_SIZE - 1, err);
    if (rc == 0)
        rc = field_text(root, "arch", out->arch, err);
    if (rc == 0 && strcmp(out->arch, "x86_64") != 0 && strcmp(out->arch, "aarch64") != 0)
        rc = error_set(err, EBADMSG, "'arch' is neither x86_64 nor aarch64");
    if (rc == 0)
        rc = field_text(root, "name", out->name, err);
    if (rc == 0)
        rc = field_text(root, "kernel_version", out->kernel_version, err);
    if (rc == 0)
        rc = field_text(root, "created", out->created, err);
    const cJSON *parts = rc == 0 ? field(root, "parts", err) : NULL;
    if (rc == 0 && !cJSON_IsObject(parts))
        rc = error_set(err, EBADMSG, "'parts' is missing or no object");
    for (int i = 0; i < PART_COUNT && rc == 0; i++)
        rc = parse_part(parts, manifest_part_names[i], &out->parts[i], err);
    return rc;
}

int manifest_parse(const char *text, size_t size, struct manifest *out, struct error *err)
{
    *out = (struct manifest){0};
    if (size > MANIFEST_SIZE_MAX)
        return error_set(err, EBADMSG, "it is larger than %u bytes", MANIFEST_SIZE_MAX);
    if (memmem(text, size, "\\u0000", 6) != NULL) /* cJSON's strings would end there */
        return error_set(err, EBADMSG, "it has a NUL in it");
    const char *end = NULL;
    CLEAN_JSON cJSON *root = cJSON_ParseWithLengthOpts(text, size, &end, false);
    if (root == NULL)
        return error_set(err, EBADMSG, "it is no JSON");
    while (end < text + size && strchr(" \t\r\n", *end) != NULL && *end != '\0')
        end++;
    if (end != text + size)
        return error_set(err, EBADMSG, "something follows the JSON object");
    int rc = parse_fields(root, out, err);
    char id[IMAGE_ID_SIZE];
    if (rc == 0)
        rc = manifest_id(out, id, err);
    if (rc == 0 && strcmp(id, out->id) != 0)
        rc = error_set(err, EBADMSG, "its id is not that of its parts");
    return rc;
}

int manifest_read(const char *directory, struct manifest *out, struct error *err)
{
    CLEAN_FREE char *path = str_printf("%s/" MANIFEST_FILE, directory);
    if (path == NULL)
        return error_set(err, ENOMEM, "out of memory");
    CLEAN_BUF struct buf text = {0};
    int rc = path_read(path, MANIFEST_SIZE_MAX, &text, err);
    if (rc < 0)
        return rc;
    rc = manifest_parse((const char *)buf_data(&text), buf_len(&text), out, err);
    return rc < 0 ? error_wrap(err, "%s", path) : 0;
}

int manifest_write(struct manifest *manifest, char **text, struct error *err)
{
    *text = NULL;
    int rc = manifest_id(manifest, manifest->id, err);
    if (rc < 0)
        return rc;
    CLEAN_JSON cJSON *root = cJSON_CreateObject();
    bool ok = cJSON_AddNumberToObject(root, "schema", MANIFEST_SCHEMA) != NULL &&
              cJSON_AddStringToObject(root, "id", manifest->id) != NULL &&
              cJSON_AddStringToObject(root, "arch", manifest->arch) != NULL &&
              cJSON_AddStringToObject(root, "name", manifest->name) != NULL &&
              cJSON_AddStringToObject(root, "kernel_version", manifest->kernel_version) != NULL &&
              cJSON_AddStringToObject(root, "created", manifest->created) != NULL;
    cJSON *parts = cJSON_AddObjectToObject(root, "parts");
    for (int i = 0; i < PART_COUNT && ok; i++) {
        const struct manifest_part *part = &manifest->parts[i];
        cJSON *object = cJSON_AddObjectToObject(parts, manifest_part_names[i]);
        ok = cJSON_AddStringToObject(object, "file", part->file) != NULL &&
             cJSON_AddNumberToObject(object, "size", (double)part->size) != NULL &&
             cJSON_AddStringToObject(object, "sha256", part->sha256) != NULL;
    }
    *text = ok ? cJSON_Print(root) : NULL;
    return *text != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}
