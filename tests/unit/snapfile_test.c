/* vm/snapfile: written, read again, damaged in every part, and the ways in which writing ends. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"
#include "base/str.h"
#include "vm/qcow2.h"
#include "vm/snapfile.h"
#include "vm/snapfile_internal.h"

#define M           ((size_t)1 << 20)
#define MEMORY_SIZE (4 * M + 77)

static char directory[64], files[80]; /* a directory, and one in it that snapshots are made in */
static char *base, *target;
static uint8_t memory[MEMORY_SIZE];

static int make_directories(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/vmdeck-snapfile-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    setenv("XDG_CACHE_HOME", directory, 1);
    snprintf(files, sizeof files, "%s/files", directory);
    base = str_printf("%s/base.raw", directory);
    target = str_printf("%s/snapshot.qcow2", files);
    for (size_t i = 0; i < MEMORY_SIZE; i++)
        memory[i] = (uint8_t)(i * 7 + i / 4096);
    return path_mkdirs(files, 0700, NULL) < 0 || path_write(base, 0600, "x", 1, NULL) < 0 ? -1 : 0;
}

static int remove_directories(void **state)
{
    (void)state;
    free(base);
    free(target);
    return path_remove(directory, NULL);
}

/* How many names there are in `files`. */
static int names(void)
{
    int count = 0;
    const struct dirent *entry;
    CLEAN_DIR DIR *dir = opendir(files);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    return count;
}

/* All ways of adding: the state from memory, the memory half from a file and half in place. */
static int write_sections(struct snapfile_writer *writer, struct error *err)
{
    uint64_t offset;
    CLEAN_FREE char *path = str_printf("%s/memory", directory);
    assert_int_equal(path_write(path, 0600, memory, MEMORY_SIZE, NULL), 0);
    CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = snapfile_disk(writer, NULL, 0, base, M, NULL, err);
    if (rc == 0)
        rc = snapfile_begin(writer, SNAPFILE_DEVICE_STATE, err);
    if (rc == 0)
        rc = snapfile_add(writer, "sta", 3, err);
    if (rc == 0)
        rc = snapfile_add(writer, "te", 2, err);
    if (rc == 0)
        rc = snapfile_begin(writer, SNAPFILE_MEMORY, err);
    if (rc == 0)
        rc = snapfile_add_fd(writer, fd, 0, MEMORY_SIZE / 2, NULL, err);
    if (rc == 0) {
        size_t rest = MEMORY_SIZE - MEMORY_SIZE / 2;
        int to = snapfile_direct(writer, &offset);
        assert_int_equal(pwrite(to, memory + MEMORY_SIZE / 2, rest, (off_t)offset), rest);
        rc = snapfile_added(writer, rest, NULL, err);
    }
    if (rc == 0)
        rc = snapfile_begin(writer, "empty", err);
    return rc;
}

static int write_snapshot(const char *path, struct error *err)
{
    CLEAN_SNAPFILE_WRITER struct snapfile_writer *writer = NULL;
    int rc = snapfile_create(&writer, path, err);
    if (rc == 0)
        rc = write_sections(writer, err);
    if (rc < 0)
        return rc;
    cJSON *manifest = cJSON_Parse("{\"image\":\"default\",\"sections\":\"mine\"}");
    rc = snapfile_finish(writer, manifest, err);
    cJSON_Delete(manifest);
    return rc;
}

static int run(const char *const argv[])
{
    pid_t pid = process_spawn(&(struct process_spec){.argv = argv}, NULL);
    return pid > 0 ? WEXITSTATUS(process_wait(pid)) : -1;
}

static void check_snapshot(const char *path)
{
    struct error err = {0};
    struct stat st;
    uint64_t offset = 0, length = 0;
    CLEAN_SNAPFILE struct snapfile *file = NULL;
    CLEAN_FREE uint8_t *read = malloc(MEMORY_SIZE);
    assert_int_equal(snapfile_open(&file, path, &err), 0);
    assert_int_equal(fstat(snapfile_fd(file), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(snapfile_manifest(file), "image")),
                        "default");
    assert_int_equal(snapfile_section(file, SNAPFILE_DISK, &offset, &length, &err), 0);
    assert_int_equal(offset, 0);
    assert_int_equal(length, 4 * QCOW2_CLUSTER);
    assert_int_equal(snapfile_section(file, "empty", &offset, &length, &err), 0);
    assert_int_equal(length, 0);
    assert_int_equal(snapfile_section(file, "nothing", &offset, &length, &err), -ENOENT);
    assert_int_equal(snapfile_section(file, SNAPFILE_MEMORY, &offset, &length, &err), 0);
    assert_int_equal(offset % SNAPFILE_ALIGNMENT, 0);
    assert_int_equal(length, MEMORY_SIZE);
    assert_int_equal(snapfile_read(file, SNAPFILE_MEMORY, 0, read, MEMORY_SIZE, &err), 0);
    assert_memory_equal(read, memory, MEMORY_SIZE);
    assert_int_equal(snapfile_read(file, SNAPFILE_DEVICE_STATE, 2, read, 3, &err), 0);
    assert_memory_equal(read, "ate", 3);
    assert_int_equal(snapfile_read(file, SNAPFILE_DEVICE_STATE, 2, read, 4, &err), -EBADMSG);
    assert_int_equal(snapfile_read(file, SNAPFILE_DEVICE_STATE, UINT64_MAX, read, 2, &err),
                     -EBADMSG);
    assert_int_equal(snapfile_verify(file, NULL, &err), 0);
}

static void test_write_and_read(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(write_snapshot(target, &err), 0);
    assert_int_equal(names(), 1);
    check_snapshot(target);
    assert_int_equal(write_snapshot(target, &err), -EEXIST);
    CLEAN_FREE char *img = process_find("qemu-img");
    if (img != NULL)
        assert_int_equal(run((const char *const[]){img, "check", "-q", target, NULL}), 0);
    assert_int_equal(snapfile_remove(target, &err), 0);
    assert_int_equal(names(), 0);
    assert_int_equal(snapfile_open(&(struct snapfile *){NULL}, target, &err), -ENOENT);
}

static void test_writer_mistakes(void **state)
{
    (void)state;
    struct error err = {0};
    volatile int cancel = 1;
    static const char *const bad[] = {"",     "UPPER", "with space",
                                      "disk", "../x",  "a23456789012345678901234567890123"};
    CLEAN_SNAPFILE_WRITER struct snapfile_writer *writer = NULL;
    assert_int_equal(snapfile_create(&writer, "/nonexistent/x", &err), -ENOENT);
    assert_int_equal(snapfile_create(&writer, "/tmp/", &err), -EINVAL);
    assert_int_equal(snapfile_create(&writer, target, &err), 0);
    assert_int_equal(snapfile_begin(writer, SNAPFILE_MEMORY, &err), -EINVAL); /* no disk yet */
    assert_int_equal(snapfile_add(writer, "x", 1, &err), -EINVAL);
    assert_int_equal(snapfile_finish(writer, NULL, &err), -EINVAL);
    assert_int_equal(snapfile_disk(writer, NULL, 0, base, M, NULL, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(snapfile_begin(writer, bad[i], &err), -EINVAL);
    for (int i = 1; i < SNAPFILE_SECTIONS_MAX; i++) {
        char name[8];
        snprintf(name, sizeof name, "s%d", i);
        assert_int_equal(snapfile_begin(writer, name, &err), 0);
    }
    CLEAN_FD int fd = open(base, O_RDONLY | O_CLOEXEC);
    assert_int_equal(snapfile_add_fd(writer, fd, 0, 1, &cancel, &err), -ECANCELED);
    assert_int_equal(snapfile_add_fd(writer, fd, 0, 2, NULL, &err), -EBADMSG);
    assert_int_equal(snapfile_begin(writer, "one-more", &err), -EINVAL);
    assert_int_equal(names(), 0);
}

/* Somebody takes the name while the snapshot is written: theirs stays, ours goes. */
static void test_name_taken(void **state)
{
    (void)state;
    struct error err = {0};
    struct stat st;
    CLEAN_SNAPFILE_WRITER struct snapfile_writer *writer = NULL;
    assert_int_equal(snapfile_create(&writer, target, &err), 0);
    assert_int_equal(write_sections(writer, &err), 0);
    assert_int_equal(path_write(target, 0600, "theirs", 6, &err), 0);
    cJSON *manifest = cJSON_CreateObject();
    assert_int_equal(snapfile_finish(writer, manifest, &err), -EEXIST);
    cJSON_Delete(manifest);
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_size, 6);
    unlink(target);
}

/* Runs `body` in a process of its own. */
static void in_child(int (*body)(void), int wanted_status)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body());
    assert_int_equal(process_wait(pid), wanted_status);
}

static int killed_while_writing(void)
{
    struct error err;
    struct snapfile_writer *writer;
    if (snapfile_create(&writer, target, &err) < 0 || write_sections(writer, &err) < 0)
        return 1;
    raise(SIGKILL);
    return 2;
}

static void test_killed(void **state)
{
    (void)state;
    CLEAN_FD int unnamed = open(files, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (unnamed < 0)
        skip();
    in_child(killed_while_writing, SIGKILL);
    assert_int_equal(names(), 0);
}

/* A file system without O_TMPFILE, as a filter of system calls. */
static int without_unnamed_files(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {ARRAY_SIZE(code), code};
    struct error err;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
        return 1;
    struct snapfile_writer *writer;
    if (snapfile_create(&writer, target, &err) < 0 || write_sections(writer, &err) < 0 ||
        names() != 1 || access(target, F_OK) == 0)
        return 2;
    snapfile_abort(writer);
    if (names() != 0)
        return 3;
    if (write_snapshot(target, &err) < 0 || names() != 1)
        return 4;
    return write_snapshot(target, &err) == -EEXIST && names() == 1 ? 0 : 5;
}

static void test_without_unnamed_files(void **state)
{
    (void)state;
    in_child(without_unnamed_files, 0);
    check_snapshot(target);
    unlink(target);
}

static int write_text(const char *path, const char *text)
{
    CLEAN_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 ? fd_write_all(fd, text, strlen(text)) : -errno;
}

/* Mounts of our own: root may have them anyway, others as the root of a user namespace. */
static bool own_mounts(void)
{
    if (unshare(CLONE_NEWNS) == 0)
        return true;
    CLEAN_FREE char *uid = str_printf("0 %u 1", (unsigned)geteuid());
    CLEAN_FREE char *gid = str_printf("0 %u 1", (unsigned)getegid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           write_text("/proc/self/setgroups", "deny") == 0 &&
           write_text("/proc/self/uid_map", uid) == 0 && write_text("/proc/self/gid_map", gid) == 0;
}

/* 2 MiB of room: enough for the disk, not for the memory; 128 KiB: not even for the disk. */
static int disk_full(void)
{
    static const char *const sizes[] = {"size=2m", "size=128k"};
    struct error err = {0};
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 1;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        if (mount("none", files, "tmpfs", 0, sizes[i]) < 0)
            return 2;
        if (write_snapshot(target, &err) != -ENOSPC || strstr(err.message, files) == NULL)
            return 3;
        if (names() != 0 || umount2(files, MNT_DETACH) < 0)
            return 4;
    }
    return 0;
}

static void test_disk_full(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0)
        _exit(own_mounts() ? disk_full() : 77);
    int status = process_wait(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

/* The bytes of a file, changed and written as another. */
static void read_file(const char *path, struct buf *out)
{
    assert_int_equal(path_read(path, 16 * M, out, NULL), 0);
}

static int open_bytes(const uint8_t *data, size_t size, bool verify, struct error *err)
{
    CLEAN_FREE char *path = str_printf("%s/other.qcow2", directory);
    CLEAN_SNAPFILE struct snapfile *file = NULL;
    assert_int_equal(path_write(path, 0600, data, size, NULL), 0);
    int rc = snapfile_open(&file, path, err);
    return rc == 0 && verify ? snapfile_verify(file, NULL, err) : rc;
}

static void test_damage(void **state)
{
    (void)state;
    struct error err = {0};
    CLEAN_BUF struct buf bytes = {0};
    assert_int_equal(write_snapshot(target, &err), 0);
    read_file(target, &bytes);
    uint8_t *data = buf_data(&bytes);
    const size_t size = buf_len(&bytes), trailer = size - TRAILER_SIZE;
    const struct {
        size_t at;
        int rc;
        const char *words;
    } rows[] = {
        {24, -EBADMSG, "its section disk has changed"},
        {4 * QCOW2_CLUSTER + 4, -EBADMSG, "its section device-state has changed"},
        {5 * QCOW2_CLUSTER, -EBADMSG, "its section memory has changed"},
        {5 * QCOW2_CLUSTER + MEMORY_SIZE - 1, -EBADMSG, "its section memory has changed"},
        {trailer - 1, -EBADMSG, "its manifest has changed"},
        {trailer - 100, -EBADMSG, "its manifest has changed"},
        {trailer, -EBADMSG, "truncated, or a qcow2 image that is not a snapshot"},
        {trailer + T_VERSION, -ENOTSUP, "version"},
        {trailer + T_VERSION + 4, -EBADMSG, "damaged"},
        {trailer + T_MANIFEST, -EBADMSG, "truncated within"},
        {trailer + T_MANIFEST + 7, -EBADMSG, "truncated within"},
        {trailer + T_MANIFEST + 8, -EBADMSG, "truncated within"},
        {trailer + T_MANIFEST + 15, -EBADMSG, "truncated within"},
        {trailer + T_SHA256, -EBADMSG, "its manifest has changed"},
        {trailer + T_SHA256 + 31, -EBADMSG, "its manifest has changed"},
        {size - 1, -EBADMSG, "damaged"},
        {4 * QCOW2_CLUSTER + 5, 0, ""}, /* between the sections: nobody's */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        data[rows[i].at] ^= 0x40;
        if (open_bytes(data, size, true, &err) != rows[i].rc ||
            (rows[i].rc < 0 && strstr(err.message, rows[i].words) == NULL))
            fail_msg("%zu: %s", rows[i].at, err.message);
        data[rows[i].at] ^= 0x40;
    }
    static const size_t cut[] = {1, 8, TRAILER_SIZE, TRAILER_SIZE + 1, TRAILER_SIZE + 300, M};
    for (size_t i = 0; i < ARRAY_SIZE(cut); i++)
        assert_int_equal(open_bytes(data, size - cut[i], false, &err), -EBADMSG);
    assert_int_equal(open_bytes(data, 0, false, &err), -EBADMSG);
    assert_non_null(strstr(err.message, "not a snapshot"));
    assert_int_equal(open_bytes(data + 1, size - 1, false, &err), -EBADMSG);
    assert_int_equal(buf_append(&bytes, "", 1), 0);
    assert_int_equal(open_bytes(buf_data(&bytes), size + 1, false, &err), -EBADMSG);
    assert_int_equal(snapfile_open(&(struct snapfile *){NULL}, files, &err), -EBADMSG);
    assert_int_equal(snapfile_open(&(struct snapfile *){NULL}, "/dev/null", &err), -EBADMSG);
    unlink(target);
}

#define HASH "\"sha256\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""
#define DISK(offset, length) \
    "{\"name\":\"disk\",\"offset\":" offset ",\"length\":" length "," HASH "}"
#define MORE(name, offset, length) \
    ",{\"name\":\"" name "\",\"offset\":" offset ",\"length\":" length "," HASH "}"

/* Manifests in front of a right trailer, 192 KiB into the file. */
static const struct {
    const char *manifest;
    int rc;
} manifests[] = {
    {"{\"sections\":[" DISK("0", "196608") "]}", 0},
    {"{\"sections\":[" DISK("0", "1") MORE("a", "65536", "0") MORE("b", "65536", "9") "]}", 0},
    {"{\"sections\":[" DISK("0", "65536") MORE("a", "65536", "131072")
         MORE("b", "196608", "0") "]}",
     0},
    {"", -EBADMSG},
    {"{", -EBADMSG},
    {"[]", -EBADMSG},
    {"[" DISK("0", "1") "]", -EBADMSG},
    {"{}", -EBADMSG},
    {"{\"sections\":{}}", -EBADMSG},
    {"{\"sections\":[]}", -EBADMSG},
    {"{\"sections\":[1]}", -EBADMSG},
    {"{\"sections\":[{}]}", -EBADMSG},
    {"{\"sections\":[" DISK("65536", "1") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "196609") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "-1") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "0.5") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "1e300") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "1e999") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "\"1\"") "]}", -EBADMSG},
    {"{\"sections\":[{\"name\":\"disk\",\"offset\":0,\"length\":1}]}", -EBADMSG},
    {"{\"sections\":[{\"name\":\"disk\",\"offset\":0,\"length\":1,\"sha256\":\"a\"}]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "1") DISK("65536", "1") "]}", -EBADMSG}, /* no comma */
    {"{\"sections\":[" DISK("0", "1") "," DISK("65536", "1") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "1") MORE("a", "65535", "1") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "65537") MORE("a", "65536", "1") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "1") MORE("a", "131072", "1") MORE("b", "65536", "1") "]}",
     -EBADMSG},
    {"{\"sections\":[" DISK("0", "1") MORE("a", "262144", "0") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "1") MORE("A", "65536", "1") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "1") MORE("", "65536", "1") "]}", -EBADMSG},
    {"{\"sections\":[" DISK("0", "1") MORE("a23456789012345678901234567890123", "65536", "1") "]}",
     -EBADMSG},
};

/* A file of zeros, a manifest, a trailer that fits. */
static int open_manifest(const char *text, size_t length, struct error *err)
{
    CLEAN_BUF struct buf bytes = {0};
    uint8_t *zeros = buf_reserve(&bytes, 3 * SNAPFILE_ALIGNMENT), trailer[TRAILER_SIZE];
    char hex[HASH_HEX_SIZE];
    memset(zeros, 0, 3 * SNAPFILE_ALIGNMENT);
    buf_added(&bytes, 3 * SNAPFILE_ALIGNMENT);
    assert_int_equal(hash_memory(text, length, hex, err), 0);
    trailer_make(trailer, 3 * SNAPFILE_ALIGNMENT, length, hex);
    assert_int_equal(buf_append(&bytes, text, length), 0);
    assert_int_equal(buf_append(&bytes, trailer, sizeof trailer), 0);
    return open_bytes(buf_data(&bytes), buf_len(&bytes), false, err);
}

static void test_manifests(void **state)
{
    (void)state;
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(manifests); i++)
        if (open_manifest(manifests[i].manifest, strlen(manifests[i].manifest), &err) !=
            manifests[i].rc)
            fail_msg("%s: %s", manifests[i].manifest, err.message);
    /* one section too many; nested too deep; a byte too long */
    CLEAN_BUF struct buf text = {0};
    buf_printf(&text, "{\"sections\":[" DISK("0", "1"));
    for (int i = 0; i < SNAPFILE_SECTIONS_MAX; i++)
        buf_printf(&text, ",{\"name\":\"s%d\",\"offset\":65536,\"length\":0," HASH "}", i);
    buf_printf(&text, "]}");
    assert_int_equal(open_manifest((char *)buf_data(&text), buf_len(&text), &err), -EBADMSG);
    size_t size = SNAPFILE_MANIFEST_MAX + 1;
    CLEAN_FREE char *deep = malloc(size);
    memset(deep, '[', size);
    assert_int_equal(open_manifest(deep, size - 1, &err), -EBADMSG);
    memset(deep, ' ', size);
    memcpy(deep, manifests[0].manifest, strlen(manifests[0].manifest));
    assert_int_equal(open_manifest(deep, size - 1, &err), 0);
    assert_int_equal(open_manifest(deep, size, &err), -EBADMSG);
}

/* Bytes that this process has read so far, from whatever. */
static unsigned long long bytes_read(void)
{
    CLEAN_BUF struct buf text = {0};
    assert_int_equal(path_read("/proc/self/io", 4096, &text, NULL), 0);
    return strtoull(buf_string(&text) + strlen("rchar: "), NULL, 10);
}

/* Until the clock of inode times shows another time than that of the file's last change. */
static void wait_for_tick(const char *path)
{
    struct stat changed, now;
    assert_int_equal(stat(path, &changed), 0);
    do {
        assert_int_equal(path_write(base, 0600, "x", 1, NULL), 0);
        assert_int_equal(stat(base, &now), 0);
    } while (now.st_ctim.tv_sec == changed.st_ctim.tv_sec &&
             now.st_ctim.tv_nsec == changed.st_ctim.tv_nsec);
}

static int verify_again(struct error *err)
{
    CLEAN_SNAPFILE struct snapfile *file = NULL;
    assert_int_equal(snapfile_open(&file, target, err), 0);
    return snapfile_verify(file, NULL, err);
}

static void test_remembered(void **state)
{
    (void)state;
    struct error err = {0};
    volatile int cancel = 1;
    CLEAN_FREE char *stamps = str_printf("%s/vmdeck/verified", directory);
    assert_int_equal(write_snapshot(target, &err), 0);
    unsigned long long before = bytes_read();
    assert_int_equal(verify_again(&err), 0); /* the writer's word is enough */
    assert_true(bytes_read() - before < MEMORY_SIZE / 2);
    assert_int_equal(path_remove(stamps, &err), 0);
    CLEAN_SNAPFILE struct snapfile *file = NULL;
    assert_int_equal(snapfile_open(&file, target, &err), 0);
    assert_int_equal(snapfile_verify(file, &cancel, &err), -ECANCELED);
    before = bytes_read();
    assert_int_equal(snapfile_verify(file, NULL, &err), 0);
    assert_true(bytes_read() - before >= MEMORY_SIZE);

    unlink(target);
    assert_int_equal(write_snapshot(target, &err), 0);
    wait_for_tick(target);
    CLEAN_FD int fd = open(target, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "!", 1, 5 * QCOW2_CLUSTER + 9), 1);
    assert_int_equal(verify_again(&err), -EBADMSG);
    assert_int_equal(verify_again(&err), -EBADMSG);
    unlink(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_writer_mistakes),
        cmocka_unit_test(test_name_taken),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_without_unnamed_files),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_manifests),
        cmocka_unit_test(test_remembered),
    };
    return cmocka_run_group_tests(tests, make_directories, remove_directories);
}
