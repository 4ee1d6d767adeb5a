/*
 * The functions' addresses, once for the process: it is never unloaded. The name is that of the
 * library's only ABI since 2012; a package must depend on it by hand (cmake/package.cmake).
 */
#include "vm/image/libarchive.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>

#define SONAME "libarchive.so.13"

struct libarchive libarchive;

static struct error failure;

static const struct {
    const char *name;
    size_t at; /* in struct libarchive */
} functions[] = {
#define X(name) {"archive_" #name, offsetof(struct libarchive, name)},
    LIBARCHIVE_FUNCTIONS(X)
#undef X
};

static void load(void)
{
    void *library = dlopen(SONAME, RTLD_LAZY | RTLD_LOCAL);
    if (library == NULL) {
        error_set(&failure, ENOENT, "cannot read archives: %s (apt install libarchive13)",
                  dlerror());
        return;
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *address = dlsym(library, functions[i].name);
        if (address == NULL)
            error_set(&failure, ENOENT, "cannot read archives: %s has no %s", SONAME,
                      functions[i].name);
        *(void **)(void *)((char *)&libarchive + functions[i].at) = address;
    }
}

int libarchive_load(struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (failure.code == 0)
        return 0;
    *err = failure;
    return -failure.code;
}
