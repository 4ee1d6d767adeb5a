/* See the header. */
#include "session/protocol/secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/protocol/json.h"

static void wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}

void session_secret_forget(struct session_secret *secret)
{
    wipe(secret->value);
    secret->value = NULL;
}

void session_secrets_free(struct session_secrets *secrets)
{
    for (size_t i = 0; i < secrets->count; i++) {
        wipe(secrets->items[i].value);
        free(secrets->items[i].name);
        free(secrets->items[i].placeholder);
        strv_free(&secrets->items[i].hosts);
    }
    free(secrets->items);
    *secrets = (struct session_secrets){0};
}

struct session_secret *session_secrets_get(struct session_secrets *secrets, const char *name)
{
    for (size_t i = 0; i < secrets->count; i++)
        if (strcmp(secrets->items[i].name, name) == 0)
            return &secrets->items[i];
    struct session_secret *items =
        secrets->count < SESSION_SECRETS_MAX
            ? realloc(secrets->items, (secrets->count + 1) * sizeof *items)
            : NULL; /* the values themselves do not move */
    if (items == NULL)
        return NULL;
    secrets->items = items;
    items[secrets->count] = (struct session_secret){.name = strdup(name)};
    return items[secrets->count].name != NULL ? &items[secrets->count++] : NULL;
}

cJSON *session_secrets_json(const struct session_secrets *secrets, bool values)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < secrets->count; i++) {
        const struct session_secret *secret = &secrets->items[i];
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "name", secret->name);
        json_add_strings(object, "hosts", &secret->hosts);
        cJSON_AddBoolToObject(object, "query", secret->query);
        if (secret->placeholder != NULL)
            cJSON_AddStringToObject(object, "placeholder", secret->placeholder);
        if (values && secret->value != NULL)
            cJSON_AddStringToObject(object, "value", secret->value);
        cJSON_AddItemToArray(array, object);
    }
    return array;
}

static int secret_parse(const cJSON *object, struct session_secrets *secrets, struct error *err)
{
    const char *name = json_string(object, "name");
    const char *value = json_string(object, "value");
    const char *placeholder = json_string(object, "placeholder");
    if (name == NULL || (value != NULL && strlen(value) > SESSION_SECRET_VALUE_MAX))
        return error_set(err, EINVAL, "a secret without a name, or of more than %d bytes",
                         SESSION_SECRET_VALUE_MAX);
    size_t before = secrets->count;
    struct session_secret *secret = session_secrets_get(secrets, name);
    if (secret == NULL || secrets->count == before)
        return error_set(err, EINVAL, "more than %d secrets, or one given twice",
                         SESSION_SECRETS_MAX);
    secret->query = json_bool(object, "query");
    secret->value = value != NULL ? strdup(value) : NULL;
    secret->placeholder = placeholder != NULL ? strdup(placeholder) : NULL;
    if (json_strings(object, "hosts", &secret->hosts) < 0 ||
        (value != NULL && secret->value == NULL) ||
        (placeholder != NULL && secret->placeholder == NULL))
        return error_set(err, EINVAL, "secret '%.40s': its hosts are no list of texts", name);
    return 0;
}

int session_secrets_parse(const cJSON *array, struct session_secrets *secrets, struct error *err)
{
    const cJSON *object;
    if (array != NULL && !cJSON_IsArray(array))
        return error_set(err, EINVAL, "secrets: not an array");
    cJSON_ArrayForEach(object, array)
    {
        int rc = secret_parse(object, secrets, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void session_secrets_wipe(cJSON *array)
{
    cJSON *object;
    cJSON_ArrayForEach(object, array)
    {
        cJSON *value = cJSON_GetObjectItemCaseSensitive(object, "value");
        if (cJSON_IsString(value))
            explicit_bzero(value->valuestring, strlen(value->valuestring));
    }
}
