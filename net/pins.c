/* A list that is searched from its beginning: a user types few of them. */
#include "net/pins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "net/host.h"

struct pin {
    char host[HOST_SIZE];
    struct address address;
};

struct pins {
    size_t count;
    struct pin items[];
};

static int parse(const char *text, struct pin *pin, struct error *err)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL)
        return error_set(err, EINVAL, "--resolve '%.80s': expected HOST=ADDRESS", text);
    int rc = host_normalize(text, (size_t)(equals - text), HOST_UNICODE, pin->host, err);
    if (rc < 0)
        return error_wrap(err, "--resolve '%.80s'", text);
    const char *address = equals + 1;
    size_t size = strlen(address);
    char bare[ADDRESS_TEXT_MAX];
    if (size > 2 && size < sizeof bare && address[0] == '[' && address[size - 1] == ']') {
        memcpy(bare, address + 1, size - 2);
        bare[size - 2] = '\0';
        address = bare;
    }
    if (address_parse(address, &pin->address) < 0)
        return error_set(err, EINVAL, "--resolve '%.80s': not an IP address behind the '='", text);
    return 0;
}

int pins_new(const struct strv *texts, struct pins **out, struct error *err)
{
    size_t count = texts != NULL ? texts->count : 0;
    if (count > PINS_MAX)
        return error_set(err, EINVAL, "--resolve: more than %d", PINS_MAX);
    CLEAN_FREE struct pins *pins = calloc(1, sizeof *pins + count * sizeof pins->items[0]);
    if (pins == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (; pins->count < count; pins->count++) {
        int rc = parse(texts->items[pins->count], &pins->items[pins->count], err);
        if (rc < 0)
            return rc;
    }
    *out = take_ptr(pins);
    return 0;
}

void pins_free(struct pins *pins)
{
    free(pins);
}

size_t pins_find(const struct pins *pins, const char *host, struct address *out, size_t max)
{
    size_t found = 0;
    for (size_t i = 0; i < pins->count && found < max; i++)
        if (strcmp(pins->items[i].host, host) == 0)
            out[found++] = pins->items[i].address;
    return found;
}
