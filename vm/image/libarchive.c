#include "vm/image/libarchive.h"

#include <stddef.h>

#include "base/late.h"

struct libarchive libarchive;

static const struct late_symbol symbols[] = {
#define X(name) {"archive_" #name, offsetof(struct libarchive, name)},
    LIBARCHIVE_FUNCTIONS(X)
#undef X
};

/* The name is that of its only ABI since 2012. */
static struct late_library library = {
    .soname = "libarchive.so.13",
    .package = "libarchive13",
    .symbols = symbols,
    .count = sizeof symbols / sizeof symbols[0],
    .out = &libarchive,
    .lock = PTHREAD_MUTEX_INITIALIZER,
};

int libarchive_load(struct error *err)
{
    int rc = late_load(&library, err);
    return rc < 0 ? error_wrap(err, "cannot read archives") : 0;
}
