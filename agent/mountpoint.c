/*
 * Who holds a mount is found by reading the links in /proc (proc(5)), which asks the file system
 * nothing, and comparing paths: a process in another mount namespace or root directory is not
 * found, nor is what the kernel itself holds. Mounts below are found in mountinfo.
 */
#include "agent/mountpoint.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/uevent.h"
#include "vm/vfs/relay.h"

#define DEVICE       "/dev/fuse"
#define CONNECTIONS  "/sys/fs/fuse/connections"
#define HOLDERS_MAX  8 /* named; the others are counted */
#define MAPS_LINE    (PATH_MAX + 128)
#define MAPS_COLUMNS 5 /* in front of the path */

int mountpoint_device(void)
{
    int fd = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC), rc = 0;
    if (fd >= 0 || (errno != ENOENT && errno != ENODEV && errno != ENXIO))
        return fd >= 0 ? fd : -errno;
    int events = uevent_open();
    if (events < 0)
        return events;
    while (rc == 0 && (fd = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0)
        rc = uevent_wait(events, "misc");
    close(events);
    return fd >= 0 ? fd : rc;
}

static int make_directories(const char *path)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

int mountpoint_mount(const char *path, int fuse, bool read_only)
{
    char options[sizeof RELAY_MOUNT_OPTIONS + 32];
    int rc = make_directories(path);
    snprintf(options, sizeof options, "fd=%d,%s", fuse, RELAY_MOUNT_OPTIONS);
    if (rc == 0 && mount("vmdeck", path, "fuse", MS_NODEV | (read_only ? MS_RDONLY : 0ul), options))
        rc = -errno;
    return rc;
}

static void set_bdi(const struct statx *st, const char *what, uint32_t value)
{
    char name[64];
    snprintf(name, sizeof name, "/sys/class/bdi/%u:%u/%s", st->stx_dev_major, st->stx_dev_minor,
             what);
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    dprintf(fd, "%u\n", value);
    close(fd);
}

void mountpoint_tune(const char *path, uint32_t readahead)
{
    struct statx st;
    if (syscall(SYS_statx, AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &st))
        return;
    set_bdi(&st, "read_ahead_kb", readahead);
    set_bdi(&st, "max_ratio", 100); /* a FUSE file system may else dirty one hundredth of memory */
}

/* Whether `name` is the directory or below it. */
static bool below(const char *name, const char *path)
{
    size_t length = strcmp(path, "/") == 0 ? 0 : strlen(path);
    return strncmp(name, path, length) == 0 && (name[length] == '/' || name[length] == '\0');
}

static bool link_below(int directory, const char *link, const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(directory, link, target, sizeof target - 1);
    if (n < 0)
        return false;
    target[n] = '\0';
    return below(target, path);
}

static bool files_below(int process, const char *path)
{
    int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *files = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    bool found = false;
    while (files != NULL && !found && (entry = readdir(files)) != NULL)
        found = entry->d_name[0] != '.' && link_below(dirfd(files), entry->d_name, path);
    if (files != NULL)
        closedir(files);
    return found;
}

static bool maps_below(int process, const char *path)
{
    char line[MAPS_LINE];
    int fd = openat(process, "maps", O_RDONLY | O_CLOEXEC);
    FILE *maps = fd >= 0 ? fdopen(fd, "r") : NULL;
    bool found = false;
    while (maps != NULL && !found && fgets(line, sizeof line, maps) != NULL) {
        const char *name = strchr(line, '/');
        line[strcspn(line, "\n")] = '\0';
        found = name != NULL && below(name, path);
    }
    if (maps != NULL)
        fclose(maps);
    return found;
}

static bool process_below(int process, const char *path)
{
    return link_below(process, "cwd", path) || link_below(process, "root", path) ||
           link_below(process, "exe", path) || files_below(process, path) ||
           maps_below(process, path);
}

static void process_name(int process, char *name, size_t size)
{
    int fd = openat(process, "comm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, name, size - 1) : -1;
    name[n > 0 ? n : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

/* snprintf() behind what is there. */
static void add(char *text, size_t size, const char *separator, const char *what, const char *more)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s%s", used > 0 ? separator : "", what, more);
}

static void name_processes(const char *path, char *text, size_t size)
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    unsigned count = 0;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        char name[64], pid[32];
        int process = isdigit((unsigned char)entry->d_name[0])
                          ? openat(dirfd(proc), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                          : -1;
        if (process >= 0 && process_below(process, path) && ++count <= HOLDERS_MAX) {
            process_name(process, name, sizeof name);
            snprintf(pid, sizeof pid, " (pid %.10s)", entry->d_name);
            add(text, size, ", ", name, pid);
        }
        if (process >= 0)
            close(process);
    }
    if (proc != NULL)
        closedir(proc);
    if (count > HOLDERS_MAX) {
        char more[32];
        snprintf(more, sizeof more, " and %u more", count - HOLDERS_MAX);
        add(text, size, "", more, "");
    }
}

/* A mount point in mountinfo, its \ooo undone; NULL at a line that has none. */
static char *mountinfo_point(char *line)
{
    char *rest = NULL, *field = strtok_r(line, " ", &rest);
    for (int i = 1; i < MAPS_COLUMNS && field != NULL; i++)
        field = strtok_r(NULL, " ", &rest);
    if (field == NULL)
        return NULL;
    char *to = field;
    for (const char *from = field; *from != '\0'; to++) {
        if (from[0] == '\\' && isdigit((unsigned char)from[1]) && strlen(from) >= 4) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
    return field;
}

static void name_mounts(const char *path, char *text, size_t size)
{
    static char line[2 * PATH_MAX]; /* of the only thread that unmounts */
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts != NULL && fgets(line, sizeof line, mounts) != NULL) {
        const char *point = mountinfo_point(line);
        if (point != NULL && below(point, path) && strcmp(point, path) != 0)
            add(text, size, ", ", "a mount at ", point);
    }
    if (mounts != NULL)
        fclose(mounts);
}

/*
 * The mount point of the mount of ours that comes after `skip` others, and the number of its
 * connection (the device's minor number). NULL: there is none.
 */
static const char *our_mount(unsigned skip, unsigned *number)
{
    static char line[2 * PATH_MAX];
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    const char *found = NULL;
    while (mounts != NULL && found == NULL && fgets(line, sizeof line, mounts) != NULL)
        if (strstr(line, " - fuse vmdeck ") != NULL &&
            sscanf(line, "%*u %*u %*u:%u", number) == 1 && skip-- == 0)
            found = mountinfo_point(line);
    if (mounts != NULL)
        fclose(mounts);
    return found;
}

void mountpoint_abort_all(void)
{
    unsigned number;
    mount("fusectl", CONNECTIONS, "fusectl", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    for (unsigned skip = 0; our_mount(skip, &number) != NULL; skip++) {
        char name[64];
        snprintf(name, sizeof name, CONNECTIONS "/%u/abort", number);
        int fd = open(name, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "1", 1) < 0)
            continue; /* it is gone */
        close(fd);
    }
}

void mountpoint_detach_all(void)
{
    const char *point;
    unsigned number;
    for (unsigned skip = 0; (point = our_mount(skip, &number)) != NULL;)
        if (umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            skip++; /* something else is mounted over it */
}

void mountpoint_detach(const char *path)
{
    umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

int mountpoint_unmount(const char *path, char *holders, size_t size)
{
    holders[0] = '\0';
    if (umount2(path, UMOUNT_NOFOLLOW) == 0)
        return 0;
    int rc = -errno;
    if (rc == -EBUSY) {
        name_mounts(path, holders, size);
        name_processes(path, holders, size);
    }
    return rc;
}
