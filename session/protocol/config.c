/* The table of fields, and its two readings. A member that no row names is an error: a client
 * that asks for something this host does not know must not believe that it got it. */
#include "session/protocol/config.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "session/protocol/json.h"

enum field_type { FIELD_TEXT, FIELD_NUMBER, FIELD_LIST, FIELD_BOOL };

static const struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    bool network;
} fields[] = {
    {"image", FIELD_TEXT, offsetof(struct session_config, image), false},
    {"name", FIELD_TEXT, offsetof(struct session_config, name), false},
    {"accel", FIELD_TEXT, offsetof(struct session_config, accel), false},
    {"adopt", FIELD_BOOL, offsetof(struct session_config, adopt), false},
    {"resume", FIELD_TEXT, offsetof(struct session_config, resume), false},
    {"command", FIELD_TEXT, offsetof(struct session_config, command), false},
    {"memory", FIELD_NUMBER, offsetof(struct session_config, memory), false},
    {"cpus", FIELD_NUMBER, offsetof(struct session_config, cpus), false},
    {"rootfs_size", FIELD_NUMBER, offsetof(struct session_config, rootfs_size), false},
    {"env", FIELD_LIST, offsetof(struct session_config, env), false},
    {"argv", FIELD_LIST, offsetof(struct session_config, argv), false},
    {"cwd", FIELD_TEXT, offsetof(struct session_config, cwd), false},
    {"mounts_hostfs", FIELD_LIST, offsetof(struct session_config, mounts_hostfs), false},
    {"mounts_memfs", FIELD_LIST, offsetof(struct session_config, mounts_memfs), false},
    {"shadows", FIELD_LIST, offsetof(struct session_config, shadows), false},
    {"rows", FIELD_NUMBER, offsetof(struct session_config, rows), false},
    {"columns", FIELD_NUMBER, offsetof(struct session_config, columns), false},
    {"scrollback", FIELD_NUMBER, offsetof(struct session_config, scrollback), false},
    {"terminal", FIELD_BOOL, offsetof(struct session_config, terminal), false},
    {"keep", FIELD_BOOL, offsetof(struct session_config, keep), false},
    {"spares", FIELD_NUMBER, offsetof(struct session_config, spares), false},
    {"cold", FIELD_BOOL, offsetof(struct session_config, cold), false},
    {"bound", FIELD_BOOL, offsetof(struct session_config, bound), false},
    {"allow", FIELD_LIST, offsetof(struct session_config, allow), true},
    {"deny", FIELD_LIST, offsetof(struct session_config, deny), true},
    {"internal", FIELD_LIST, offsetof(struct session_config, internal), true},
    {"tcp_map", FIELD_LIST, offsetof(struct session_config, tcp_map), true},
    {"resolve", FIELD_LIST, offsetof(struct session_config, resolve), true},
    {"dns", FIELD_TEXT, offsetof(struct session_config, dns), true},
    {"dns_servers", FIELD_LIST, offsetof(struct session_config, dns_servers), true},
    {"dns_single", FIELD_BOOL, offsetof(struct session_config, dns_single), true},
    {"upstream_ca", FIELD_LIST, offsetof(struct session_config, upstream_ca), true},
    {"policy", FIELD_TEXT, offsetof(struct session_config, policy), true},
    {"ask", FIELD_BOOL, offsetof(struct session_config, ask), true},
    {"ask_seconds", FIELD_NUMBER, offsetof(struct session_config, ask_seconds), true},
    {"no_net", FIELD_BOOL, offsetof(struct session_config, no_net), true},
    {"no_websockets", FIELD_BOOL, offsetof(struct session_config, no_websockets), true},
};
#define FIELDS (sizeof fields / sizeof fields[0])

void session_config_init(struct session_config *config)
{
    *config = (struct session_config){.memory = 512ull << 20,
                                      .cpus = 1,
                                      .rootfs_size = 4ull << 30,
                                      .rows = 24,
                                      .columns = 80,
                                      .scrollback = 10000};
}

static void *field_at(const struct session_config *config, const struct field *field)
{
    return (char *)config + field->offset;
}

void session_config_free(struct session_config *config)
{
    for (size_t i = 0; i < FIELDS; i++) {
        void *at = field_at(config, &fields[i]);
        if (fields[i].type == FIELD_TEXT)
            free(*(char **)at);
        else if (fields[i].type == FIELD_LIST)
            strv_free(at);
    }
    session_secrets_free(&config->secrets);
    *config = (struct session_config){0};
}

static cJSON *fields_json(const struct session_config *config, bool all)
{
    cJSON *json = cJSON_CreateObject();
    for (size_t i = 0; i < FIELDS; i++) {
        if (!all && !fields[i].network)
            continue;
        const void *at = field_at(config, &fields[i]);
        const char *name = fields[i].name;
        switch (fields[i].type) {
        case FIELD_TEXT:
            if (*(char *const *)at != NULL)
                cJSON_AddStringToObject(json, name, *(char *const *)at);
            break;
        case FIELD_NUMBER:
            cJSON_AddNumberToObject(json, name, (double)*(const uint64_t *)at);
            break;
        case FIELD_LIST:
            json_add_strings(json, name, at);
            break;
        case FIELD_BOOL:
            cJSON_AddBoolToObject(json, name, *(const bool *)at);
            break;
        }
    }
    return json;
}

cJSON *session_config_json(const struct session_config *config)
{
    return fields_json(config, true);
}

cJSON *session_config_network(const struct session_config *config)
{
    return fields_json(config, false);
}

void session_config_remove_network(cJSON *json)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].network)
            cJSON_DeleteItemFromObjectCaseSensitive(json, fields[i].name);
}

static bool field_given(const struct field *field, const void *at)
{
    switch (field->type) {
    case FIELD_TEXT:
        return *(char *const *)at != NULL;
    case FIELD_NUMBER:
        return *(const uint64_t *)at != 0;
    case FIELD_LIST:
        return ((const struct strv *)at)->count > 0;
    case FIELD_BOOL:
        return *(const bool *)at;
    }
    return false;
}

static int field_parse(const struct field *field, const cJSON *item, void *at)
{
    switch (field->type) {
    case FIELD_TEXT:
        if (!cJSON_IsString(item))
            return -EINVAL;
        free(*(char **)at);
        *(char **)at = strdup(item->valuestring);
        return *(char **)at != NULL ? 0 : -ENOMEM;
    case FIELD_NUMBER:
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > 9e15)
            return -EINVAL;
        *(uint64_t *)at = (uint64_t)item->valuedouble;
        return 0;
    case FIELD_LIST:
        for (const cJSON *entry = item->child; entry != NULL; entry = entry->next)
            if (!cJSON_IsString(entry) || strv_add(at, entry->valuestring) < 0)
                return -EINVAL;
        return cJSON_IsArray(item) ? 0 : -EINVAL;
    case FIELD_BOOL:
        *(bool *)at = cJSON_IsTrue(item);
        return cJSON_IsBool(item) ? 0 : -EINVAL;
    }
    return -EINVAL;
}

static int config_check(const struct session_config *config, struct error *err)
{
    if (config->cpus < 1 || config->cpus > CONFIG_CPUS_MAX)
        return error_set(err, EINVAL, "session configuration: 1 to %d CPUs", CONFIG_CPUS_MAX);
    if (config->memory < CONFIG_MEMORY_MIN || config->memory > CONFIG_MEMORY_MAX)
        return error_set(err, EINVAL, "session configuration: 128M to 4T of memory");
    if (config->spares > CONFIG_SPARES_MAX)
        return error_set(err, EINVAL, "session configuration: %d spares at most",
                         CONFIG_SPARES_MAX);
    if (config->ask_seconds > CONFIG_ASK_MAX)
        return error_set(err, EINVAL, "session configuration: at most a day to answer");
    if (config->policy != NULL && strlen(config->policy) > CONFIG_POLICY_MAX)
        return error_set(err, EINVAL, "session configuration: a policy of more than %u KiB",
                         CONFIG_POLICY_MAX / 1024);
    return 0;
}

int session_config_default(const cJSON *json, struct session_config *config, struct error *err)
{
    for (size_t i = 0; i < FIELDS; i++) {
        void *at = field_at(config, &fields[i]);
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, fields[i].name);
        if (!fields[i].network || item == NULL || field_given(&fields[i], at))
            continue;
        int rc = field_parse(&fields[i], item, at);
        if (rc < 0)
            return error_set(err, -rc, "bad value for '%s'", fields[i].name);
    }
    return config_check(config, err);
}

int session_config_parse(const cJSON *json, struct session_config *config, struct error *err)
{
    const cJSON *item;
    if (!cJSON_IsObject(json))
        return error_set(err, EINVAL, "session configuration: not an object");
    cJSON_ArrayForEach(item, json)
    {
        size_t i = 0;
        while (i < FIELDS && strcmp(fields[i].name, item->string) != 0)
            i++;
        if (i == FIELDS)
            return error_set(err, EINVAL, "session configuration: unknown member '%.40s'",
                             item->string);
        int rc = field_parse(&fields[i], item, field_at(config, &fields[i]));
        if (rc < 0)
            return error_set(err, -rc, "session configuration: bad value for '%s'", item->string);
    }
    return config_check(config, err);
}
