/* dlopen(3), once; a failure is remembered as well as a success. */
#include "base/late.h"

#include <dlfcn.h>
#include <errno.h>

static void load(struct late_library *library)
{
    void *handle = dlopen(library->soname, RTLD_LAZY | RTLD_LOCAL);
    if (handle == NULL) {
        error_set(&library->failure, ENOENT, "%s (apt install %s)", dlerror(), library->package);
        return;
    }
    for (size_t i = 0; i < library->count; i++) {
        const struct late_symbol *symbol = &library->symbols[i];
        void *address = dlsym(handle, symbol->name);
        if (address == NULL)
            error_set(&library->failure, ENOENT, "%s has no %s", library->soname, symbol->name);
        *(void **)(void *)((char *)library->out + symbol->at) = address;
    }
}

int late_load(struct late_library *library, struct error *err)
{
    pthread_mutex_lock(&library->lock);
    if (!library->tried)
        load(library);
    library->tried = true;
    pthread_mutex_unlock(&library->lock);
    if (library->failure.code == 0)
        return 0;
    if (err != NULL)
        *err = library->failure;
    return -library->failure.code;
}
