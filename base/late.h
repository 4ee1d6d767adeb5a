/*
 * A shared library that is loaded when it is first needed. Each library that a program names costs
 * it a tenth of a millisecond or more at every start, whether it is used or not.
 */
#ifndef VMDECK_BASE_LATE_H
#define VMDECK_BASE_LATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct late_symbol {
    const char *name;
    size_t at; /* where its address goes, in the structure of all of them */
};

struct late_library {
    const char *soname, *package; /* the package depends on it by hand: cmake/package.cmake */
    const struct late_symbol *symbols;
    size_t count;
    void *out; /* the structure */
    pthread_mutex_t lock;
    bool tried;
    struct error failure;
};

#define LATE_LIBRARY(soname_, package_, symbols_, out_)                    \
    {                                                                      \
        .soname = (soname_), .package = (package_), .symbols = (symbols_), \
        .count = sizeof(symbols_) / sizeof(symbols_)[0], .out = (out_),    \
        .lock = PTHREAD_MUTEX_INITIALIZER,                                 \
    }

/*
 * Before any of it is used, by any thread; again is no harm. -ENOENT: there is none of
 * the ABI that we were built with. It is never unloaded. `err` may be NULL.
 */
int late_load(struct late_library *library, struct error *err);

#endif
