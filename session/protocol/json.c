/* See the header. Numbers are cJSON's doubles: exact up to 2^53, which is more than we count. */
#include "session/protocol/json.h"

#include <errno.h>
#include <string.h>

#include "session/protocol/control.h"
#include "session/protocol/secrets.h"

const char *json_string(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

uint64_t json_number(const cJSON *object, const char *name, uint64_t fallback)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > 9e15)
        return fallback;
    return (uint64_t)item->valuedouble;
}

bool json_bool(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
}

int json_strings(const cJSON *object, const char *name, struct strv *out)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(object, name);
    const cJSON *item;
    if (array == NULL)
        return 0;
    if (!cJSON_IsArray(array))
        return -EINVAL;
    cJSON_ArrayForEach(item, array)
    {
        if (!cJSON_IsString(item))
            return -EINVAL;
        int rc = strv_add(out, item->valuestring);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void json_add_strings(cJSON *object, const char *name, const struct strv *list)
{
    if (list == NULL || list->count == 0)
        return;
    cJSON *array = cJSON_AddArrayToObject(object, name);
    for (size_t i = 0; i < list->count; i++)
        cJSON_AddItemToArray(array, cJSON_CreateString(list->items[i]));
}

void json_send(struct conn *conn, cJSON *message)
{
    char *text = cJSON_PrintUnformatted(message);
    if (text != NULL)
        conn_send(conn, CONTROL_MESSAGE, 0, 0, text, (uint32_t)strlen(text));
    session_secrets_wipe(cJSON_GetObjectItemCaseSensitive(message, "secrets"));
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    cJSON_free(text);
    cJSON_Delete(message);
}
