#include "vm/image/libarchive.h"

#include <stddef.h>

#include "base/late.h"

struct libarchive libarchive;

static const struct late_symbol symbols[] = {
#define X(name) {"archive_" #name, offsetof(struct libarchive, name)},
    LIBARCHIVE_FUNCTIONS(X)
#undef X
};

static struct late_library library =
    LATE_LIBRARY("libarchive.so.13", "libarchive13", symbols, &libarchive);

int libarchive_load(struct error *err)
{
    int rc = late_load(&library, err);
    return rc < 0 ? error_wrap(err, "cannot read archives") : 0;
}
