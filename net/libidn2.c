#include "net/libidn2.h"

#include <stddef.h>

#include "base/late.h"

struct libidn2 libidn2;

static const struct late_symbol symbols[] = {
    {"idn2_to_ascii_8z", offsetof(struct libidn2, to_ascii_8z)},
    {"idn2_strerror", offsetof(struct libidn2, strerror)},
    {"idn2_free", offsetof(struct libidn2, free)},
};

static struct late_library library = LATE_LIBRARY("libidn2.so.0", "libidn2-0", symbols, &libidn2);

int libidn2_load(struct error *err)
{
    int rc = late_load(&library, err);
    return rc < 0 ? error_wrap(err, "cannot read names that are not ASCII") : 0;
}
