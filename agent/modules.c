/* A module that is there already, or built in (EEXIST), is loaded. */
#include "agent/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/console.h"

#define LIST_MAX (64 * 1024)

static int load_module(int root, const char *path)
{
    int fd = openat(root, path + strspn(path, "/"), O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST) ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        console_log("cannot load the module %s: %s", path, strerror(-rc));
    return rc;
}

int modules_load(int root, const char *kind)
{
    static char list[LIST_MAX];
    size_t size = 0, kind_length = strlen(kind);
    ssize_t n = 0;
    int rc = 0, fd = openat(root, MODULES_LIST, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    while (size < sizeof list - 1 && (n = read(fd, list + size, sizeof list - 1 - size)) > 0)
        size += (size_t)n;
    close(fd);
    list[size] = '\0';
    char *rest = NULL;
    for (char *line = strtok_r(list, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, kind, kind_length) == 0 && line[kind_length] == ' ') {
            int failed = load_module(root, line + kind_length + 1);
            rc = failed < 0 ? failed : rc;
        }
    return rc;
}
