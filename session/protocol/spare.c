/* The sockets are listed, not registered anywhere: one whose host has died refuses, and is removed
 * by whoever notices. */
#include "session/protocol/spare.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/path.h"

int spare_shape(const struct session_config *config, char shape[SPARE_SHAPE_SIZE],
                struct error *err)
{
    char hex[HASH_HEX_SIZE];
    if (config->cold || config->resume != NULL)
        return error_set(err, ENOTSUP, "no spare for a session that is resumed or booted");
    CLEAN_FREE char *text =
        str_printf("%s|%s|%llu|%llu|%llu", config->image != NULL ? config->image : "",
                   config->accel != NULL ? config->accel : "", (unsigned long long)config->memory,
                   (unsigned long long)config->cpus, (unsigned long long)config->rootfs_size);
    if (text == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = hash_memory(text, strlen(text), hex, err);
    memcpy(shape, hex, SPARE_SHAPE_SIZE - 1);
    shape[SPARE_SHAPE_SIZE - 1] = '\0';
    return rc;
}

char *spare_socket_name(const char *shape, const char *id)
{
    return str_printf("spare-%s-%s.sock", shape, id);
}

/* Calls `each` for the sockets of the shape until it returns false. */
static void spare_each(const char *shape, bool (*each)(void *context, const char *path),
                       void *context)
{
    CLEAN_FREE char *prefix = str_printf("spare-%s-", shape);
    CLEAN_FREE char *directory = NULL;
    if (prefix == NULL || path_xdg(PATH_RUNTIME, NULL, &directory, NULL) < 0)
        return;
    DIR *dir = opendir(directory);
    const struct dirent *entry;
    bool more = dir != NULL;
    while (more && (entry = readdir(dir)) != NULL) {
        CLEAN_FREE char *path = str_printf("%s/%s", directory, entry->d_name);
        if (path != NULL && str_starts(entry->d_name, prefix))
            more = each(context, path);
    }
    if (dir != NULL)
        closedir(dir);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    CLEAN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int code = errno;
        if (code == ECONNREFUSED)
            unlink(path); /* its host has died */
        return -code;
    }
    return take_fd(&fd);
}

static bool count_one(void *context, const char *path)
{
    int fd = connect_to(path);
    if (fd >= 0)
        close(fd);
    *(size_t *)context += fd >= 0 ? 1 : 0;
    return true;
}

size_t spare_count(const char *shape)
{
    size_t count = 0;
    spare_each(shape, count_one, &count);
    return count;
}

static bool connect_one(void *context, const char *path)
{
    int *fd = context;
    *fd = connect_to(path);
    return *fd < 0;
}

int spare_connect(const char *shape, struct error *err)
{
    int fd = -1;
    spare_each(shape, connect_one, &fd);
    return fd >= 0 ? fd : error_set(err, ENOENT, "there is no spare");
}
