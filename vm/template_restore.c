/*
 * QEMU 7.2 can map a file as memory only from its beginning, so a snapshot's memory is laid out
 * once in the cache, where all that are resumed from it share it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "vm/memory.h"
#include "vm/snapfile.h"
#include "vm/template.h"
#include "vm/template_cache.h"

#define STATE_MAX ((uint64_t)64 << 20) /* device state; 160 KB is usual */

static int create(const char *directory, const char *name, struct error *err)
{
    CLEAN_FREE char *path = str_printf("%s/%s", directory, name);
    int fd = path != NULL ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    return fd >= 0 ? fd : error_system(err, errno, "cannot create %s/%s", directory, name);
}

static int restore_state(const struct snapfile *file, const char *directory, struct error *err)
{
    uint64_t offset, length;
    int rc = snapfile_section(file, SNAPFILE_DEVICE_STATE, &offset, &length, err);
    if (rc < 0)
        return rc;
    CLEAN_FREE uint8_t *bytes = length <= STATE_MAX ? malloc((size_t)length + 1) : NULL;
    if (bytes == NULL)
        return error_set(err, EBADMSG, "the device state is too large");
    rc = snapfile_read(file, SNAPFILE_DEVICE_STATE, 0, bytes, (size_t)length, err);
    CLEAN_FD int fd = rc == 0 ? create(directory, "state", err) : -1;
    if (rc < 0 || fd < 0)
        return rc < 0 ? rc : fd;
    rc = fd_write_all(fd, bytes, (size_t)length);
    return rc < 0 ? error_system(err, -rc, "cannot write %s/state", directory) : 0;
}

static int restore_memory(const struct snapfile *file, const char *directory, uint64_t memory,
                          const volatile int *cancel, struct error *err)
{
    uint64_t offset = 0, map_size = 0;
    struct memory_source source = {.fd = snapfile_fd(file)};
    int rc = snapfile_section(file, SNAPFILE_MEMORY, &source.offset, &source.length, err);
    if (rc == 0)
        rc = snapfile_section(file, SNAPFILE_MEMORY_MAP, &offset, &map_size, err);
    if (rc < 0)
        return rc;
    if (map_size > memory / MEMORY_PAGE * MEMORY_MAP_ENTRY)
        return error_set(err, EBADMSG, "its map is larger than its memory");
    CLEAN_FREE uint8_t *map = malloc((size_t)map_size + 1);
    if (map == NULL)
        return error_set(err, ENOMEM, "out of memory");
    rc = snapfile_read(file, SNAPFILE_MEMORY_MAP, 0, map, (size_t)map_size, err);
    CLEAN_FD int ram = rc == 0 ? create(directory, "ram", err) : -1;
    if (rc < 0 || ram < 0)
        return rc < 0 ? rc : ram;
    source.map = map;
    source.map_size = (size_t)map_size;
    return memory_restore(&source, ram, memory, cancel, err);
}

static int restore_into(const struct snapfile *file, const char *directory, uint64_t memory,
                        const volatile int *cancel, struct error *err)
{
    int rc = restore_state(file, directory, err);
    return rc == 0 ? restore_memory(file, directory, memory, cancel, err) : rc;
}

static int wait_for_lock(const char *key, const volatile int *cancel, int *lock, struct error *err)
{
    static const struct timespec pause = {.tv_nsec = TEMPLATE_RETRY_MS * 1000000L};
    int rc;
    while ((rc = template_try_lock(key, lock, err)) == 0) {
        if (cancel != NULL && *cancel != 0)
            return error_set(err, ECANCELED, "given up");
        nanosleep(&pause, NULL);
    }
    return rc < 0 ? rc : 0;
}

int template_restore(const struct snapfile *file, const char *key, uint64_t memory,
                     const volatile int *cancel, bool *found, struct error *err)
{
    struct template template;
    CLEAN_FREE char *final = NULL, *directory = NULL;
    CLEAN_FD int lock = -1;
    CLEAN_FD int hold = -1;
    int rc = template_path(key, &final, err);
    if (rc == 0)
        rc = wait_for_lock(key, cancel, &lock, err);
    if (rc < 0)
        return rc;
    *found = template_open(key, &template, NULL) == 0;
    if (*found) {
        template_close(&template);
        return 0;
    }
    rc = template_entry(&directory, &hold, err);
    if (rc == 0)
        rc = restore_into(file, directory, memory, cancel, err);
    if (rc == 0 && rename(directory, final) < 0)
        rc = error_system(err, errno, "cannot rename %s", directory);
    if (rc < 0 && directory != NULL)
        path_remove(directory, NULL);
    if (rc == 0)
        templates_trim(TEMPLATES_SIZE_MAX);
    return rc;
}
