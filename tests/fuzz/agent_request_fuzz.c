/*
 * What the agent takes apart of a host's frames before it acts: SPAWN's and CONFIGURE's fields.
 * The first byte chooses; any bytes are a request or a refusal with a reason.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/configure.h"
#include "agent/environment.h"
#include "agent/spawn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every string to its end. */
static void touch(char *const *list, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += strlen(list[i]);
    if (list[count] != NULL || sum > WIRE_SPAWN_MAX)
        abort();
}

static void fuzz_spawn(const uint8_t *data, uint32_t size)
{
    struct spawn_request request;
    struct spawn_failure failure = {0};
    if (spawn_parse(data, size, &request, &failure) < 0) {
        if (failure.text == NULL || failure.code == 0)
            abort();
        return;
    }
    if (request.argc == 0)
        abort();
    touch(request.argv, request.argc);
    touch(request.env, request.env_count);
    long kept = environment_unique(request.env, request.env_count);
    if (kept < 0 || (size_t)kept > request.env_count)
        abort();
    touch(request.env, (size_t)kept);
    spawn_request_free(&request);
}

static void fuzz_configure(const uint8_t *data, uint32_t size)
{
    struct settings settings;
    const char *why = NULL;
    if (configure_parse(data, size, &settings, &why) < 0) {
        if (why == NULL)
            abort();
        return;
    }
    touch(settings.env, settings.env_count);
    configure_free(&settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > WIRE_SPAWN_MAX)
        return 0;
    if (data[0] & 1)
        fuzz_configure(data + 1, (uint32_t)(size - 1));
    else
        fuzz_spawn(data + 1, (uint32_t)(size - 1));
    return 0;
}
