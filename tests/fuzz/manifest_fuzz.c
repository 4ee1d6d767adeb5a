/* manifest.json from anywhere: refused or understood, and what is understood is written again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vm/image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest manifest;
    struct error err;
    char *first, *second;
    if (manifest_parse((const char *)data, size, &manifest, &err) < 0)
        return 0;
    if (manifest_write(&manifest, &first, &err) < 0 ||
        manifest_parse(first, strlen(first), &manifest, &err) < 0 ||
        manifest_write(&manifest, &second, &err) < 0 || strcmp(first, second) != 0)
        abort();
    free(first);
    free(second);
    return 0;
}
