/* A --policy file from anywhere: refused or understood. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "net/rules_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy *policy = policy_new();
    uint32_t ask = 0;
    if (rules_file_parse((const char *)data, size, policy, &ask, NULL) == 0) {
        cJSON *json = policy_json(policy);
        if (json == NULL || ask > RULES_ASK_MAX)
            abort();
        cJSON_Delete(json);
    }
    policy_free(policy);
    return 0;
}
