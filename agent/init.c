/*
 * The root file system may come from anywhere (an OCI image), so what it lacks is made: mount
 * points, /dev and its links. It is moved over the initramfs (there is no pivot_root from
 * rootfs); a descriptor of the old root stays for the late modules and for freeing its memory.
 *
 * Disk: ext4, without lazy initialisation of inode tables (noinit_itable) and without reading all
 * block bitmaps ahead, which would burn CPU in every VM for a disk that is thrown away; grown to
 * the size of its device, online.
 */
#include "agent/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/configure.h"
#include "agent/console.h"
#include "agent/modules.h"
#include "agent/mountpoint.h"
#include "agent/network.h"
#include "agent/relay.h"
#include "agent/trust.h"
#include "agent/uevent.h"
#include "agent/wire.h"
#include "vm/vfs/relay.h"

#define ROOT_DEVICE "/dev/vda"
#define ROOT_MOUNT  "/vmdeck-root"
#define DEBUGFS     "/sys/kernel/debug"
#define AGENT_COPY  "/run/vmdeck/agent"
#define PORTS       "/sys/class/virtio-ports"

/* ext4's superblock: Documentation/filesystems/ext4/super.rst */
#define SUPER_OFFSET        1024
#define SUPER_SIZE          1024
#define SUPER_BLOCKS        0x04
#define SUPER_LOG_BLOCK     0x18
#define SUPER_INCOMPAT      0x60
#define SUPER_BLOCKS_HIGH   0x150
#define INCOMPAT_64BIT      0x80
#define RELAYS_MAX          16 /* whoever kills more of them wants no mounts */
#define EXT4_IOC_RESIZE_FS  _IOW('f', 16, uint64_t)
#define SUPER_LOG_BLOCK_MAX 6

static int initramfs = -1; /* its root directory */
static bool network_up_yet;
static pid_t relay = -1;
static int relay_alive = -1; /* a pipe that is at its end when the relay and its guard are gone */
static unsigned relays;      /* that were started */

static const struct {
    const char *what, *where, *type, *options;
    unsigned long flags;
} mounts[] = {
    {"proc", "/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"sysfs", "/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"cgroup2", "/sys/fs/cgroup", "cgroup2", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"devpts", "/dev/pts", "devpts", "ptmxmode=0666,mode=0620,gid=5", MS_NOSUID | MS_NOEXEC},
    {"shm", "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV},
    {"run", "/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV},
};

static const struct {
    const char *target, *name;
} links[] = {
    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

/*
 * Files that say who this machine is. What is written into them at each configuration would be the
 * dearest part of it on a disk (and is nobody else's business), so they lie in memory, mounted over
 * those of the root file system, as in containers.
 */
static const struct {
    const char *name;
    enum configure_file file;
} identity[] = {
    {"hosts", CONFIGURE_HOSTS},
    {"hostname", CONFIGURE_HOSTNAME},
    {"machine-id", CONFIGURE_MACHINE_ID},
    {"resolv.conf", CONFIGURE_FILES}, /* written once, see network.c */
};

/* devtmpfs, and the console on descriptors that the kernel could not give us. */
static int mount_devices(const char **why)
{
    *why = "cannot mount devtmpfs";
    mkdir("/dev", 0755);
    if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755") != 0 && errno != EBUSY)
        return -errno;
    int fd = 0;
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd > STDERR_FILENO)
        close(fd);
    return 0;
}

static int mount_root(int uevents, const char **why)
{
    *why = "the disk " ROOT_DEVICE " does not appear";
    while (access(ROOT_DEVICE, F_OK) != 0) {
        int rc = uevent_wait(uevents, "block");
        if (rc < 0)
            return rc;
    }
    *why = "cannot mount the root file system (ext4) of " ROOT_DEVICE;
    mkdir(ROOT_MOUNT, 0755);
    if (mount(ROOT_DEVICE, ROOT_MOUNT, "ext4", MS_NOATIME,
              "noinit_itable,no_prefetch_block_bitmaps") == 0)
        return 0;
    if (errno != EACCES && errno != EROFS)
        return -errno;
    if (mount(ROOT_DEVICE, ROOT_MOUNT, "ext4", MS_NOATIME | MS_RDONLY, NULL) != 0)
        return -errno;
    console_log("the disk is read-only");
    return 0;
}

/*
 * The kernel writes the new size into the superblock at once and leaves the new group descriptors
 * in the journal, but it checks them before it replays that: a disk that is copied or cut off now
 * could not be mounted. Freezing writes out all there is in the journal.
 */
static int settle_root(int root)
{
    if (ioctl(root, (int)FIFREEZE, 0) != 0)
        return -errno;
    return ioctl(root, (int)FITHAW, 0) != 0 ? -errno : 0;
}

static int resize_root(int device, int root)
{
    uint8_t super[SUPER_SIZE];
    uint64_t bytes = 0;
    if (pread(device, super, sizeof super, SUPER_OFFSET) != (ssize_t)sizeof super)
        return -EIO;
    if (ioctl(device, (int)BLKGETSIZE64, &bytes) != 0)
        return -errno;
    uint32_t log_block = get_u32(super + SUPER_LOG_BLOCK);
    uint64_t blocks = get_u32(super + SUPER_BLOCKS);
    if (get_u32(super + SUPER_INCOMPAT) & INCOMPAT_64BIT)
        blocks |= (uint64_t)get_u32(super + SUPER_BLOCKS_HIGH) << 32;
    if (log_block > SUPER_LOG_BLOCK_MAX)
        return -EINVAL;
    uint64_t wanted = bytes >> (10 + log_block);
    if (wanted <= blocks)
        return 0;
    return ioctl(root, EXT4_IOC_RESIZE_FS, &wanted) != 0 ? -errno : settle_root(root);
}

static void grow_root(void)
{
    int device = open(ROOT_DEVICE, O_RDONLY | O_CLOEXEC);
    int root = open(ROOT_MOUNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = device < 0 || root < 0 ? -errno : resize_root(device, root);
    if (rc < 0 && rc != -EROFS)
        console_log("cannot grow the root file system: %s", strerror(-rc));
    if (device >= 0)
        close(device);
    if (root >= 0)
        close(root);
}

static int switch_root(const char **why)
{
    *why = "cannot move to the root file system";
    if (chdir(ROOT_MOUNT) != 0)
        return -errno;
    if (mkdir("dev", 0755) != 0 && errno != EEXIST)
        console_log("cannot make /dev: %s", strerror(errno));
    if (mount("/dev", "dev", NULL, MS_MOVE, NULL) != 0)
        return -errno;
    if (mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 || chdir("/") != 0)
        return -errno;
    return 0;
}

static void mount_rest(void)
{
    for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        int rc = mount(mounts[i].what, mounts[i].where, mounts[i].type, mounts[i].flags,
                       mounts[i].options);
        if (rc != 0 && errno == ENOENT && mkdir(mounts[i].where, 0755) == 0)
            rc = mount(mounts[i].what, mounts[i].where, mounts[i].type, mounts[i].flags,
                       mounts[i].options);
        if (rc != 0)
            console_log("cannot mount %s: %s", mounts[i].where, strerror(errno));
    }
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (symlink(links[i].target, links[i].name) != 0 && errno != EEXIST)
            console_log("cannot link %s: %s", links[i].name, strerror(errno));
    mkdir("/tmp", 01777);
}

/* A kernel without the setting has nothing to set. */
static void set_kernel(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, value, strlen(value));
    (void)n;
    close(fd);
}

/*
 * Proactive compaction works every half second on behalf of huge pages, in every idle VM. How many
 * bytes around a fault are mapped with it is for the host to say, which knows what a fault costs
 * here; the kernel hands us arguments that it does not know as environment.
 */
static void tune_kernel(void)
{
    const char *around = getenv("fault_around_bytes");
    set_kernel("/proc/sys/vm/compaction_proactiveness", "0");
    if (around == NULL || mount("debugfs", DEBUGFS, "debugfs", 0, NULL) != 0)
        return;
    set_kernel(DEBUGFS "/fault_around_bytes", around);
    umount(DEBUGFS);
}

static void copy_agent(void)
{
    struct stat st;
    mkdir("/run/vmdeck", 0755);
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = open(AGENT_COPY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    if (from < 0 || to < 0 || fstat(from, &st) != 0 ||
        sendfile(to, from, NULL, (size_t)st.st_size) != st.st_size)
        console_log("cannot copy the agent to " AGENT_COPY ": %s", strerror(errno));
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
}

static int copy_file(const char *from, const char *to)
{
    struct stat st;
    int in = open(from, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    if (in < 0)
        in = open(from, O_RDONLY | O_CLOEXEC);
    int out = in >= 0 ? open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
    int rc =
        out < 0 || fstat(in, &st) != 0 || sendfile(out, in, NULL, (size_t)st.st_size) != st.st_size
            ? -errno
            : 0;
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return rc;
}

/* What most sessions are called and get; a machine that has an id keeps it. */
static void reserve(enum configure_file file, int fd)
{
    struct stat st;
    if (file == CONFIGURE_HOSTNAME && fd >= 0 && ftruncate(fd, 0) == 0)
        configure_reserve(file, 0, "vmdeck-0000\n");
    if (file == CONFIGURE_MACHINE_ID && fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 0)
        configure_reserve(file, 0, "00000000000000000000000000000000\n");
}

static void mount_identity(void)
{
    static char text[16384]; /* a longer one is looked at each time */
    char file[64], copy[64];
    for (size_t i = 0; i < sizeof identity / sizeof identity[0]; i++) {
        snprintf(file, sizeof file, "/etc/%s", identity[i].name);
        snprintf(copy, sizeof copy, "/run/vmdeck/%s", identity[i].name);
        int rc = copy_file(file, copy);
        if (rc == -ENOENT && unlink(file) == 0) /* a link to what nobody makes here */
            rc = copy_file(file, copy);
        if (rc == 0 && mount(copy, file, NULL, MS_BIND, NULL) != 0)
            rc = -errno;
        if (rc < 0) {
            console_log("%s stays as it is: %s", file, strerror(-rc));
            continue;
        }
        if (identity[i].file == CONFIGURE_FILES)
            continue;
        int fd = open(copy, O_RDWR | O_CLOEXEC);
        configure_keep(identity[i].file, fd);
        ssize_t size =
            fd >= 0 && identity[i].file == CONFIGURE_HOSTS ? pread(fd, text, sizeof text, 0) : -1;
        if (size >= 0 && (size_t)size < sizeof text)
            configure_hosts(text, size);
        reserve(identity[i].file, fd);
    }
    configure_keep(CONFIGURE_RANDOM, open("/dev/urandom", O_RDWR | O_CLOEXEC));
}

static bool port_is_named(int ports, const char *port, const char *wanted)
{
    char path[NAME_MAX + 8], name[64];
    snprintf(path, sizeof path, "%s/name", port);
    int fd = openat(ports, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, name, sizeof name - 1);
    close(fd);
    name[n > 0 ? n : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    return strcmp(name, wanted) == 0;
}

/* Opens the port of that name; -ENOENT while it is not there. */
static int try_port(const char *name)
{
    char path[NAME_MAX + 8];
    DIR *ports = opendir(PORTS);
    const struct dirent *entry;
    int rc = -ENOENT;
    if (ports == NULL)
        return -errno;
    while (rc == -ENOENT && (entry = readdir(ports)) != NULL) {
        if (entry->d_name[0] == '.' || !port_is_named(dirfd(ports), entry->d_name, name))
            continue;
        snprintf(path, sizeof path, "/dev/%s", entry->d_name);
        rc = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        rc = rc < 0 ? -errno : rc;
    }
    closedir(ports);
    return rc;
}

static int open_port(int uevents, const char *name)
{
    int fd;
    while ((fd = try_port(name)) == -ENOENT) {
        int rc = uevent_wait(uevents, "virtio-ports");
        if (rc < 0)
            return rc;
    }
    return fd;
}

int init_system(const char **why)
{
    int rc = mount_devices(why);
    if (rc < 0)
        return rc;
    *why = "cannot listen to device events";
    int uevents = uevent_open();
    if (uevents < 0)
        return uevents;
    initramfs = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *why = "a kernel module cannot be loaded";
    rc = modules_load(initramfs, "boot");
    if (rc == 0)
        rc = mount_root(uevents, why);
    if (rc == 0) {
        grow_root();
        rc = switch_root(why);
    }
    if (rc == 0) {
        mount_rest();
        tune_kernel();
        copy_agent();
        mount_identity();
        trust_prepare();
        network_loopback();
        network_up_yet = network_up() == 0;
        sethostname("vmdeck", strlen("vmdeck"));
        *why = "the port " WIRE_PORT " does not appear";
        rc = open_port(uevents, WIRE_PORT);
    }
    close(uevents);
    return rc;
}

/* Empties a directory of the initramfs, not following into what is mounted there. */
static void empty(int directory, dev_t device)
{
    struct stat st;
    const struct dirent *entry;
    DIR *dir = fdopendir(directory);
    if (dir == NULL) {
        close(directory);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            st.st_dev != device)
            continue;
        int below = S_ISDIR(st.st_mode) ? openat(dirfd(dir), entry->d_name,
                                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                                        : -1;
        if (below >= 0)
            empty(below, device);
        unlinkat(dirfd(dir), entry->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
    }
    closedir(dir);
}

/* Nothing of ours but the console comes along. A machine without the port needs no relay. */
static void relay_start(void)
{
    enum { ALIVE = STDERR_FILENO + 1 };
    int alive[2];
    relays++;
    if (pipe2(alive, O_CLOEXEC | O_NONBLOCK) < 0)
        return;
    relay = fork();
    if (relay != 0) {
        close(alive[1]);
        relay_alive = alive[0];
        return;
    }
    if (dup3(alive[1], ALIVE, O_CLOEXEC) < 0 && errno != EINVAL)
        _exit(1);
    syscall(SYS_close_range, ALIVE + 1, ~0u, 0);
    int uevents = uevent_open();
    int port = uevents >= 0 ? open_port(uevents, RELAY_PORT) : -1;
    if (uevents >= 0)
        close(uevents);
    if (port < 0)
        _exit(0);
    relay_run(port, ALIVE);
}

int init_reaped(pid_t pid, int status)
{
    char byte;
    if (pid == relay) {
        relay = -1;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) { /* there was no port */
            close(relay_alive);
            relay_alive = -1;
        }
    }
    if (relay >= 0 || relay_alive < 0 || read(relay_alive, &byte, 1) != 0)
        return 0;
    close(relay_alive);
    relay_alive = -1;
    mountpoint_detach_all();
    if (relays >= RELAYS_MAX)
        return -EIO;
    relay_start();
    return relay >= 0 ? 1 : -EAGAIN;
}

bool init_alone(void)
{
    char children[64], ours[32];
    int fd = open("/proc/1/task/1/children", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, children, sizeof children - 1) : -1;
    if (fd >= 0)
        close(fd);
    children[n > 0 ? n : 0] = '\0';
    snprintf(ours, sizeof ours, "%d ", (int)relay);
    return n >= 0 && (n == 0 || strcmp(children, ours) == 0);
}

pid_t init_finish(void)
{
    struct stat st;
    if (initramfs >= 0)
        relay_start();
    pid_t pid = initramfs >= 0 ? fork() : -1;
    if (pid == 0) {
        modules_load(initramfs, "late");
        if (!network_up_yet) /* its driver was among them */
            network_up();
        if (fstat(initramfs, &st) == 0)
            empty(initramfs, st.st_dev);
        _exit(0);
    }
    if (initramfs >= 0)
        close(initramfs);
    initramfs = -1;
    return pid;
}
