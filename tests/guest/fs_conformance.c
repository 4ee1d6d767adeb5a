/*
 * Does a directory behave like a file system? Runs in the guest (and, in the unit tests, against
 * this machine's kernel) on any directory: a mount of ours or, for comparison, ext4 or tmpfs.
 *
 *     fs_conformance DIRECTORY [-v] [-r] [-b ENTRIES] [-s TEST]…
 *
 * -r: the directory is read-only and holds a file "file". -b: size of the big directory (50,000).
 * -s: leaves a test out. Makes everything in a directory of its own and removes it. One line for
 * each failure, then a summary; the exit status says whether there were any. Only libc.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *current;
static int failures;
static bool verbose;
static int big = 50000;

static void fail(int line, const char *what)
{
    printf("FAIL %s (line %d): %s, errno %d (%s)\n", current, line, what, errno, strerror(errno));
    failures++;
}

#define CHECK(condition)                \
    do {                                \
        errno = 0;                      \
        if (!(condition))               \
            fail(__LINE__, #condition); \
    } while (0)
#define FAILS(call, code)                           \
    do {                                            \
        errno = 0;                                  \
        if ((call) != -1 || errno != (code))        \
            fail(__LINE__, #call " is not " #code); \
    } while (0)

static int make_file(const char *name, const char *text)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd >= 0 && write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail(__LINE__, "write");
    return fd;
}

static void put_file(const char *name, const char *text)
{
    int fd = make_file(name, text);
    CHECK(fd >= 0);
    close(fd);
}

static bool file_is(const char *name, const char *text)
{
    char buffer[4096];
    int fd = open(name, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, buffer, sizeof buffer) : -1;
    if (fd >= 0)
        close(fd);
    return n == (ssize_t)strlen(text) && memcmp(buffer, text, (size_t)n) == 0;
}

static off_t size_of(const char *name)
{
    struct stat st = {0};
    return lstat(name, &st) == 0 ? st.st_size : -1;
}

static mode_t mode_of(const char *name)
{
    struct stat st = {0};
    return lstat(name, &st) == 0 ? st.st_mode : 0;
}

static ino_t inode_of(const char *name)
{
    struct stat st = {0};
    return lstat(name, &st) == 0 ? st.st_ino : 0;
}

static nlink_t links_of(const char *name)
{
    struct stat st = {0};
    return lstat(name, &st) == 0 ? st.st_nlink : 0;
}

static void test_open(void)
{
    FAILS(open("none", O_RDONLY), ENOENT);
    int fd = open("f", O_WRONLY | O_CREAT | O_EXCL, 0640);
    CHECK(fd >= 0);
    CHECK(write(fd, "hello", 5) == 5);
    char c;
    FAILS(read(fd, &c, 1), EBADF);
    close(fd);
    FAILS(open("f", O_WRONLY | O_CREAT | O_EXCL, 0640), EEXIST);
    FAILS(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(open("f/x", O_RDONLY), ENOTDIR);
    FAILS(open(".", O_WRONLY), EISDIR);
    CHECK(file_is("f", "hello"));
    fd = open("f", O_RDWR | O_TRUNC);
    CHECK(size_of("f") == 0);
    CHECK(pwrite(fd, "abc", 3, 2) == 3);
    CHECK(size_of("f") == 5);
    close(fd);
    fd = open("f", O_RDONLY);
    FAILS(write(fd, "x", 1), EBADF);
    close(fd);
    fd = open("nomode", O_WRONLY | O_CREAT | O_EXCL, 0000);
    CHECK(fd >= 0 && write(fd, "x", 1) == 1);
    close(fd);
    CHECK((mode_of("nomode") & 07777) == 0);
    CHECK(symlink("f", "l") == 0);
    FAILS(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
    FAILS(open("l", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
    CHECK((fd = open("l", O_RDONLY)) >= 0);
    close(fd);
    CHECK(symlink("missing", "dangling") == 0);
    CHECK((fd = open("dangling", O_WRONLY | O_CREAT, 0600)) >= 0);
    close(fd);
    CHECK(size_of("missing") == 0);
}

static void test_modes(void)
{
    mode_t before = umask(022);
    put_file("f", "");
    CHECK((mode_of("f") & 07777) == 0644);
    umask(077);
    CHECK(mkdir("d", 0777) == 0);
    CHECK((mode_of("d") & 07777) == 0700);
    umask(before);
    CHECK(chmod("f", 0755) == 0 && (mode_of("f") & 07777) == 0755);
    CHECK(chmod("f", 01600) == 0 && (mode_of("f") & 07777) == 01600);
    int fd = open("f", O_RDONLY);
    CHECK(fchmod(fd, 0400) == 0 && (mode_of("f") & 07777) == 0400);
    close(fd);
    CHECK(chmod("d", 01777) == 0 && (mode_of("d") & 07777) == 01777);
    if (geteuid() == 0) {
        CHECK(chmod("f", 06755) == 0 && (mode_of("f") & 07777) == 06755);
        CHECK(chown("f", 1234, 4321) == 0);
        struct stat st = {0};
        CHECK(stat("f", &st) == 0 && st.st_uid == 1234 && st.st_gid == 4321);
        CHECK((st.st_mode & 06000) == 0);
        CHECK(chown("f", (uid_t)-1, 7) == 0 && stat("f", &st) == 0 && st.st_uid == 1234 &&
              st.st_gid == 7);
        CHECK(symlink("f", "l") == 0 && lchown("l", 5, 6) == 0);
        CHECK(lstat("l", &st) == 0 && st.st_uid == 5);
        CHECK(stat("f", &st) == 0 && st.st_uid == 1234);
    }
}

static void test_killpriv(void)
{
    if (geteuid() != 0)
        return;
    put_file("f", "x");
    CHECK(chown("f", 1000, 1000) == 0 && chmod("f", 06777) == 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = setgid(1000) == 0 && setuid(1000) == 0 ? open("f", O_WRONLY) : -1;
        _exit(fd >= 0 && write(fd, "y", 1) == 1 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK((mode_of("f") & 06000) == 0);
}

static void test_owner_of_new(void)
{
    if (geteuid() != 0)
        return;
    CHECK(mkdir("d", 0777) == 0 && chmod("d", 0777) == 0);
    pid_t child = fork();
    if (child == 0) {
        bool ok = setgid(1001) == 0 && setuid(1000) == 0;
        ok = ok && close(open("d/f", O_WRONLY | O_CREAT, 0644)) == 0 && mkdir("d/s", 0755) == 0;
        _exit(ok && chmod("d/f", 0600) == 0 && symlink("x", "d/l") == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(status == 0);
    struct stat st = {0};
    CHECK(stat("d/f", &st) == 0 && st.st_uid == 1000 && st.st_gid == 1001);
    CHECK(stat("d/s", &st) == 0 && st.st_uid == 1000);
    CHECK(lstat("d/l", &st) == 0 && st.st_uid == 1000);
    child = fork();
    if (child == 0)
        _exit(setuid(2000) == 0 && open("d/f", O_RDONLY) < 0 && errno == EACCES &&
                      chmod("d/f", 0666) < 0 && errno == EPERM
                  ? 0
                  : 1);
    waitpid(child, &status, 0);
    CHECK(status == 0);
}

static void test_times(void)
{
    put_file("f", "x");
    struct timespec times[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
    struct stat st = {0};
    CHECK(utimensat(AT_FDCWD, "f", times, 0) == 0 && stat("f", &st) == 0);
    CHECK(st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_sec == 1100000000);
    CHECK(st.st_mtim.tv_nsec == 987654321 && st.st_atim.tv_nsec == 123456789);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = UTIME_NOW;
    CHECK(utimensat(AT_FDCWD, "f", times, 0) == 0 && stat("f", &st) == 0);
    CHECK(st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_sec > 1500000000);
    struct timespec old = st.st_ctim;
    CHECK(chmod("f", 0600) == 0 && stat("f", &st) == 0);
    CHECK(st.st_ctim.tv_sec > old.tv_sec ||
          (st.st_ctim.tv_sec == old.tv_sec && st.st_ctim.tv_nsec >= old.tv_nsec));
    CHECK(symlink("f", "l") == 0);
    times[0] = times[1] = (struct timespec){5, 0};
    CHECK(utimensat(AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW) == 0 && lstat("l", &st) == 0 &&
          st.st_mtim.tv_sec == 5);
    CHECK(stat("f", &st) == 0 && st.st_mtim.tv_sec != 5);
    CHECK(mkdir("d", 0755) == 0);
    times[1].tv_sec = 77;
    CHECK(utimensat(AT_FDCWD, "d", times, 0) == 0 && stat("d", &st) == 0 &&
          st.st_mtim.tv_sec == 77);
    put_file("d/x", "");
    CHECK(stat("d", &st) == 0 && st.st_mtim.tv_sec != 77);
    int fd = open("f", O_WRONLY);
    CHECK(futimens(fd, times) == 0 && write(fd, "y", 1) == 1 && fsync(fd) == 0);
    CHECK(fstat(fd, &st) == 0 && st.st_mtim.tv_sec != 77);
    close(fd);
}

static void test_links(void)
{
    put_file("a", "data");
    CHECK(link("a", "b") == 0);
    CHECK(inode_of("a") == inode_of("b") && links_of("a") == 2);
    FAILS(link("a", "b"), EEXIST);
    CHECK(unlink("a") == 0 && links_of("b") == 1 && file_is("b", "data"));
    CHECK(mkdir("d", 0755) == 0);
    FAILS(link("d", "e"), EPERM);
    FAILS(unlink("d"), EISDIR);
    FAILS(rmdir("b"), ENOTDIR);
    put_file("d/x", "");
    FAILS(rmdir("d"), ENOTEMPTY);
    FAILS(unlink("none"), ENOENT);
    FAILS(mkdir("d", 0755), EEXIST);
    char target[64];
    CHECK(symlink("some/where", "s") == 0);
    CHECK(readlink("s", target, sizeof target) == 10 && memcmp(target, "some/where", 10) == 0);
    CHECK(size_of("s") == 10 && S_ISLNK(mode_of("s")));
    FAILS(readlink("b", target, sizeof target), EINVAL);
    CHECK(symlink("loop2", "loop1") == 0 && symlink("loop1", "loop2") == 0);
    FAILS(open("loop1", O_RDONLY), ELOOP);
    CHECK(link("s", "s2") == 0 && S_ISLNK(mode_of("s2")) && links_of("s") == 2);
    CHECK(mkdir("d/e", 0755) == 0 && links_of("d") >= 1);
    char longer[PATH_MAX + 1];
    memset(longer, 'x', PATH_MAX - 1);
    longer[PATH_MAX - 1] = '\0';
    CHECK(symlink(longer, "longest") == 0 || errno == ENAMETOOLONG);
    CHECK(symlink(longer + 200, "long") == 0);
    CHECK(readlink("long", longer, sizeof longer) == PATH_MAX - 1 - 200);
}

static void test_special(void)
{
    CHECK(mkfifo("fifo", 0600) == 0 && S_ISFIFO(mode_of("fifo")));
    int reader = open("fifo", O_RDONLY | O_NONBLOCK), writer = open("fifo", O_WRONLY);
    char c = 0;
    CHECK(write(writer, "z", 1) == 1 && read(reader, &c, 1) == 1 && c == 'z');
    close(reader);
    close(writer);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sock"};
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    close(client);
    close(fd);
    CHECK(S_ISSOCK(mode_of("sock")));
}

static int rename2(const char *from, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void test_rename(void)
{
    put_file("a", "A");
    put_file("b", "B");
    CHECK(rename("a", "c") == 0 && size_of("a") == -1 && file_is("c", "A"));
    CHECK(rename("c", "b") == 0 && file_is("b", "A"));
    put_file("a", "A2");
    FAILS(rename2("a", "b", RENAME_NOREPLACE), EEXIST);
    CHECK(rename2("a", "b", RENAME_EXCHANGE) == 0 && file_is("a", "A") && file_is("b", "A2"));
    FAILS(rename2("a", "none", RENAME_EXCHANGE), ENOENT);
    CHECK(rename2("a", "new", RENAME_NOREPLACE) == 0 && file_is("new", "A"));
    CHECK(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0 && mkdir("full", 0755) == 0);
    put_file("full/x", "");
    FAILS(rename("d", "d/e/f"), EINVAL);
    FAILS(rename("d", "b"), ENOTDIR);
    FAILS(rename("b", "d"), EISDIR);
    FAILS(rename("d", "full"), ENOTEMPTY);
    CHECK(mkdir("empty", 0755) == 0 && rename("d", "empty") == 0);
    CHECK(S_ISDIR(mode_of("empty/e")));
    int fd = open("b", O_RDONLY);
    char text[4];
    CHECK(rename("b", "empty/e/b") == 0 && pread(fd, text, 2, 0) == 2 && text[0] == 'A');
    close(fd);
    CHECK(rename2("empty", "new", RENAME_EXCHANGE) == 0 && S_ISDIR(mode_of("new/e")) &&
          file_is("empty", "A") && file_is("new/e/b", "A2"));
    FAILS(rename("none", "x"), ENOENT);
    put_file("same", "S");
    CHECK(link("same", "same2") == 0 && rename("same", "same2") == 0 && size_of("same") == 1);
}

static void test_unlinked(void)
{
    struct stat st = {0};
    char text[16] = "";
    int fd = make_file("f", "still");
    CHECK(unlink("f") == 0);
    CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 5);
    CHECK(write(fd, "here", 4) == 4 && pread(fd, text, 9, 0) == 9 &&
          memcmp(text, "stillhere", 9) == 0);
    CHECK(ftruncate(fd, 3) == 0 && fstat(fd, &st) == 0 && st.st_size == 3);
    CHECK(fchmod(fd, 0600) == 0 && fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0600);
    put_file("f", "other");
    CHECK(pread(fd, text, 9, 0) == 3 && file_is("f", "other"));
    close(fd);
    fd = open("f", O_RDONLY);
    put_file("g", "replacement");
    CHECK(rename("g", "f") == 0 && pread(fd, text, 16, 0) == 5 && file_is("f", "replacement"));
    CHECK(fstat(fd, &st) == 0 && st.st_size == 5);
    close(fd);
    CHECK(mkdir("d", 0755) == 0);
    int dir = open("d", O_RDONLY | O_DIRECTORY);
    CHECK(rmdir("d") == 0);
    FAILS(openat(dir, "x", O_CREAT | O_WRONLY, 0600), ENOENT);
    CHECK(fstat(dir, &st) == 0);
    close(dir);
}

static void test_truncate(void)
{
    char text[32];
    put_file("f", "0123456789");
    CHECK(truncate("f", 4) == 0 && file_is("f", "0123"));
    CHECK(truncate("f", 8) == 0 && size_of("f") == 8);
    int fd = open("f", O_RDWR);
    CHECK(pread(fd, text, 32, 0) == 8 && memcmp(text, "0123\0\0\0\0", 8) == 0);
    CHECK(ftruncate(fd, 200000) == 0 && pwrite(fd, "end", 3, 199997) == 3);
    CHECK(ftruncate(fd, 100000) == 0 && ftruncate(fd, 200000) == 0);
    CHECK(pread(fd, text, 3, 199997) == 3 && memcmp(text, "\0\0\0", 3) == 0);
    FAILS(ftruncate(fd, -1), EINVAL);
    close(fd);
    FAILS(truncate(".", 0), EISDIR);
    fd = open("f", O_RDONLY);
    FAILS(ftruncate(fd, 0), EINVAL);
    close(fd);
}

static void test_append(void)
{
    put_file("f", "a");
    int one = open("f", O_WRONLY | O_APPEND), two = open("f", O_WRONLY | O_APPEND);
    CHECK(write(one, "b", 1) == 1 && write(two, "c", 1) == 1 && write(one, "d", 1) == 1);
    CHECK(lseek(one, 0, SEEK_SET) == 0 && write(one, "e", 1) == 1);
    close(one);
    close(two);
    CHECK(file_is("f", "abcde"));
    put_file("log", "");
    for (int i = 0; i < 4; i++)
        if (fork() == 0) {
            int fd = open("log", O_WRONLY | O_APPEND);
            char line[9];
            for (int n = 0; n < 200; n++) {
                snprintf(line, sizeof line, "%d%06d\n", i, n);
                if (write(fd, line, 8) != 8)
                    _exit(1);
            }
            _exit(0);
        }
    int status;
    while (wait(&status) > 0)
        CHECK(status == 0);
    CHECK(size_of("log") == 4L * 200 * 8);
    FILE *log = fopen("log", "r");
    char line[64];
    int count = 0;
    while (log != NULL && fgets(line, sizeof line, log) != NULL)
        count += strlen(line) == 8;
    CHECK(count == 800);
    if (log != NULL)
        fclose(log);
}

static void test_fallocate(void)
{
    struct stat st = {0};
    char text[8];
    int fd = make_file("f", "xy");
    CHECK(fallocate(fd, 0, 10, 5) == 0 && size_of("f") == 15);
    CHECK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000) == 0 && size_of("f") == 15);
    CHECK(fstat(fd, &st) == 0 && st.st_blocks > 0);
    CHECK(ftruncate(fd, 0) == 0);
    static char block[65536];
    memset(block, 'b', sizeof block);
    for (int i = 0; i < 8; i++)
        CHECK(write(fd, block, sizeof block) == sizeof block);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 131072, 131072) == 0);
    CHECK(pread(fd, text, 2, 131071) == 2 && text[0] == 'b' && text[1] == 0);
    CHECK(pread(fd, text, 2, 262143) == 2 && text[0] == 0 && text[1] == 'b');
    FAILS(fallocate(fd, 0, 0, 0), EINVAL);
    FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
    close(fd);
    fd = open("f", O_RDONLY);
    FAILS(fallocate(fd, 0, 0, 10), EBADF);
    close(fd);
}

static void test_holes(void)
{
    int fd = make_file("f", "");
    CHECK(pwrite(fd, "x", 1, 4 << 20) == 1 && fsync(fd) == 0);
    off_t data = lseek(fd, 0, SEEK_DATA);
    CHECK(data > 0 && data <= 4 << 20);
    CHECK(lseek(fd, 0, SEEK_HOLE) == 0);
    off_t hole = lseek(fd, 4 << 20, SEEK_HOLE);
    CHECK(hole == (4 << 20) + 1);
    FAILS(lseek(fd, (4 << 20) + 1, SEEK_DATA), ENXIO);
    FAILS(lseek(fd, 5 << 20, SEEK_HOLE), ENXIO);
    struct stat st = {0};
    CHECK(fstat(fd, &st) == 0 && st.st_blocks * 512 < 4 << 20);
    close(fd);
}

static void test_xattr(void)
{
    char value[64], list[256];
    put_file("f", "");
    CHECK(setxattr("f", "user.one", "1", 1, 0) == 0);
    CHECK(setxattr("f", "user.two", "second", 6, XATTR_CREATE) == 0);
    FAILS(setxattr("f", "user.two", "x", 1, XATTR_CREATE), EEXIST);
    FAILS(setxattr("f", "user.none", "x", 1, XATTR_REPLACE), ENODATA);
    CHECK(getxattr("f", "user.two", NULL, 0) == 6);
    CHECK(getxattr("f", "user.two", value, sizeof value) == 6 && memcmp(value, "second", 6) == 0);
    FAILS(getxattr("f", "user.two", value, 3), ERANGE);
    FAILS(getxattr("f", "user.none", value, sizeof value), ENODATA);
    ssize_t length = listxattr("f", list, sizeof list);
    CHECK(length >= 18 && memmem(list, (size_t)length, "user.one", 9) != NULL &&
          memmem(list, (size_t)length, "user.two", 9) != NULL);
    CHECK(removexattr("f", "user.one") == 0);
    FAILS(removexattr("f", "user.one"), ENODATA);
    CHECK(mkdir("d", 0755) == 0 && setxattr("d", "user.dir", "", 0, 0) == 0 &&
          getxattr("d", "user.dir", value, sizeof value) == 0);
    static char huge[2000];
    memset(huge, 'h', sizeof huge);
    CHECK(setxattr("f", "user.huge", huge, sizeof huge, 0) == 0 &&
          getxattr("f", "user.huge", NULL, 0) == (ssize_t)sizeof huge);
}

/* Only of mounts of ours: what they refuse, with the errno that programs know. */
static void test_refused(void)
{
    char value[64];
    put_file("f", "");
    FAILS(setxattr("f", "system.posix_acl_access", "\2\0\0\0", 4, 0), EOPNOTSUPP);
    FAILS(getxattr("f", "system.posix_acl_access", value, sizeof value), EOPNOTSUPP);
    FAILS(setxattr("f", "trusted.x", "1", 1, 0), EOPNOTSUPP);
    FAILS(rename2("f", "w", RENAME_WHITEOUT), EINVAL);
    CHECK(size_of("f") == 0 && size_of("w") == -1);
}

static void test_locks(void)
{
    int one = make_file("f", "0123456789"), two = open("f", O_RDWR);
    CHECK(flock(one, LOCK_EX) == 0);
    FAILS(flock(two, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK(flock(one, LOCK_UN) == 0 && flock(two, LOCK_SH | LOCK_NB) == 0);
    CHECK(flock(one, LOCK_SH | LOCK_NB) == 0);
    struct flock lock = {.l_type = F_WRLCK, .l_start = 2, .l_len = 3};
    CHECK(fcntl(one, F_SETLK, &lock) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct flock other = {.l_type = F_WRLCK, .l_start = 4, .l_len = 1};
        int fd = open("f", O_RDWR);
        if (fcntl(fd, F_SETLK, &other) == 0 || (errno != EAGAIN && errno != EACCES))
            _exit(1);
        other.l_start = 6;
        if (fcntl(fd, F_SETLK, &other) != 0)
            _exit(2);
        other.l_start = 2;
        _exit(fcntl(fd, F_GETLK, &other) == 0 && other.l_pid == getppid() ? 0 : 3);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(status == 0);
    close(one);
    close(two);
}

static void test_sync(void)
{
    int fd = make_file("f", "synced");
    CHECK(fsync(fd) == 0 && fdatasync(fd) == 0);
    close(fd);
    CHECK((fd = open("f", O_WRONLY | O_SYNC)) >= 0 && write(fd, "S", 1) == 1);
    close(fd);
    fd = open(".", O_RDONLY | O_DIRECTORY);
    CHECK(fsync(fd) == 0);
    close(fd);
}

static void test_mmap(void)
{
    enum { SIZE = 3 * 4096 + 100 };
    int fd = make_file("f", "");
    CHECK(ftruncate(fd, SIZE) == 0);
    char *shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(shared != MAP_FAILED);
    if (shared == MAP_FAILED)
        return;
    memcpy(shared + 4090, "across pages", 12);
    CHECK(msync(shared, SIZE, MS_SYNC) == 0);
    char text[16] = "";
    CHECK(pread(fd, text, 12, 4090) == 12 && memcmp(text, "across pages", 12) == 0);
    CHECK(pwrite(fd, "written", 7, 8192) == 7 && memcmp(shared + 8192, "written", 7) == 0);
    char *private = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(private != MAP_FAILED);
    private[8192] = 'X';
    CHECK(pread(fd, text, 1, 8192) == 1 && text[0] == 'w');
    munmap(private, SIZE);
    shared[SIZE - 1] = 'e';
    munmap(shared, SIZE);
    close(fd);
    fd = open("f", O_RDONLY);
    CHECK(pread(fd, text, 1, SIZE - 1) == 1 && text[0] == 'e');
    close(fd);
    fd = open("f", O_RDWR | O_APPEND);
    shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(open("f", O_RDONLY));
    memcpy(shared, "front", 5);
    munmap(shared, SIZE);
    close(fd);
    CHECK(size_of("f") == SIZE);
}

static void test_read_write(void)
{
    enum { SIZE = 5 * 1024 * 1024 + 321 };
    unsigned char *data = malloc(SIZE), *back = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 13);
    int fd = make_file("f", "");
    CHECK(write(fd, data, SIZE) == SIZE);
    CHECK(pread(fd, back, SIZE, 0) == SIZE && memcmp(data, back, SIZE) == 0);
    close(fd);
    fd = open("f", O_RDWR);
    CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    memset(back, 0, SIZE);
    CHECK(pread(fd, back, SIZE, 0) == SIZE && memcmp(data, back, SIZE) == 0);
    for (size_t at = 1; at < SIZE; at += 777777) {
        CHECK(pwrite(fd, "#", 1, (off_t)at) == 1);
        data[at] = '#';
    }
    CHECK(fsync(fd) == 0 && pread(fd, back, SIZE, 0) == SIZE && memcmp(data, back, SIZE) == 0);
    CHECK(pread(fd, back, 10, SIZE) == 0 && pread(fd, back, 100, SIZE - 7) == 7);
    int copy = make_file("copy", "");
    loff_t in = 0, out = 0;
    ssize_t n = 1;
    while (n > 0 && in < SIZE)
        n = copy_file_range(fd, &in, copy, &out, (size_t)(SIZE - in), 0);
    CHECK(n > 0 && pread(copy, back, SIZE, 0) == SIZE && memcmp(data, back, SIZE) == 0);
    close(copy);
    close(fd);
    free(data);
    free(back);
}

static void test_names(void)
{
    char name[300];
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    put_file(name, "long");
    CHECK(file_is(name, "long"));
    name[255] = 'n';
    name[256] = '\0';
    FAILS(open(name, O_CREAT | O_WRONLY, 0600), ENAMETOOLONG);
    static const char *const odd[] = {
        "with space", "a,b", "\xff\xfe\x80",         "new\nline", "-rf",
        "\\back",     "*?[", "\xc3\xa4\xe2\x82\xac", "...",       "\x01"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        put_file(odd[i], odd[i]);
        CHECK(file_is(odd[i], odd[i]));
    }
    DIR *dir = opendir(".");
    const struct dirent *entry;
    size_t seen = 0;
    while ((entry = readdir(dir)) != NULL)
        for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
            seen += strcmp(entry->d_name, odd[i]) == 0;
    closedir(dir);
    CHECK(seen == sizeof odd / sizeof odd[0]);
    put_file("Case", "1");
    FAILS(open("case", O_RDONLY), ENOENT);
}

static void test_deep(void)
{
    char name[64];
    memset(name, 'd', 60);
    name[60] = '\0';
    int top = open(".", O_RDONLY | O_DIRECTORY), depth = 0;
    for (; depth < 40; depth++) {
        CHECK(mkdir(name, 0755) == 0);
        CHECK(chdir(name) == 0);
    }
    put_file("bottom", "b");
    CHECK(file_is("bottom", "b") && unlink("bottom") == 0);
    for (; depth > 0; depth--) {
        CHECK(chdir("..") == 0);
        CHECK(rmdir(name) == 0);
    }
    CHECK(fchdir(top) == 0);
    close(top);
}

/* Entries that stay are seen exactly once, whatever comes and goes meanwhile. */
static void test_big_directory(void)
{
    char name[64];
    int count = big, made = 0;
    CHECK(mkdir("big", 0755) == 0 && chdir("big") == 0);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "entry-%06d", i);
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
        made += fd >= 0;
        close(fd);
    }
    CHECK(made == count);
    unsigned char *seen = calloc((size_t)count, 1);
    DIR *dir = opendir(".");
    const struct dirent *entry;
    int others = 0, steps = 0, twice = 0, missed = 0;
    while ((entry = readdir(dir)) != NULL) {
        int number = -1;
        if (sscanf(entry->d_name, "entry-%d", &number) == 1 && number < count)
            twice += seen[number]++;
        if (++steps % 10 == 0) { /* even ones stay, of the odd ones every fifth goes */
            snprintf(name, sizeof name, "entry-%06d", (steps * 7) % count | 1);
            others += unlink(name) == 0;
            snprintf(name, sizeof name, "added-%06d", steps);
            close(open(name, O_CREAT | O_WRONLY, 0600));
        }
    }
    for (int i = 0; i < count; i += 2)
        missed += seen[i] != 1;
    CHECK(missed == 0 && twice == 0 && others > 0);
    rewinddir(dir);
    steps = 0;
    while (readdir(dir) != NULL)
        steps++;
    CHECK(steps > 2);
    closedir(dir);
    dir = opendir(".");
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            CHECK(unlink(entry->d_name) == 0);
    closedir(dir);
    free(seen);
    CHECK(chdir("..") == 0 && rmdir("big") == 0);
}

static void test_space(void)
{
    struct statvfs st;
    CHECK(statvfs(".", &st) == 0 && st.f_blocks > 0 && st.f_bsize >= 512 && st.f_namemax == 255);
    CHECK(st.f_bfree <= st.f_blocks && st.f_bavail <= st.f_bfree);
}

/* Only where -s space_full is not given: fills the file system, which must be a small one. */
static void test_space_full(void)
{
    static char block[1 << 20];
    int fd = make_file("f", "");
    ssize_t n = 0;
    for (int i = 0; i < 4096 && n >= 0; i++)
        n = write(fd, block, sizeof block);
    int code = errno;
    if (n >= 0)
        n = fsync(fd), code = errno;
    CHECK(n == -1 && (code == ENOSPC || code == EDQUOT));
    close(fd);
    CHECK(unlink("f") == 0);
    put_file("after", "room again");
    CHECK(file_is("after", "room again"));
}

static void read_only(void)
{
    current = "read_only";
    FAILS(open("new", O_CREAT | O_WRONLY, 0600), EROFS);
    FAILS(open("file", O_WRONLY), EROFS);
    FAILS(open("file", O_WRONLY | O_APPEND), EROFS);
    FAILS(open("file", O_RDWR), EROFS);
    FAILS(open("file", O_RDONLY | O_TRUNC), EROFS);
    FAILS(mkdir("d", 0755), EROFS);
    FAILS(unlink("file"), EROFS);
    FAILS(rename("file", "other"), EROFS);
    FAILS(symlink("x", "l"), EROFS);
    FAILS(link("file", "l"), EROFS);
    FAILS(chmod("file", 0600), EROFS);
    FAILS(truncate("file", 0), EROFS);
    FAILS(utimensat(AT_FDCWD, "file", NULL, 0), EROFS);
    FAILS(setxattr("file", "user.x", "1", 1, 0), EROFS);
    FAILS(access("file", W_OK), EROFS);
    CHECK(access("file", R_OK) == 0);
    int fd = open("file", O_RDONLY);
    char c;
    CHECK(fd >= 0 && read(fd, &c, 1) == 1);
    close(fd);
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"open", test_open},
    {"modes", test_modes},
    {"killpriv", test_killpriv},
    {"owner_of_new", test_owner_of_new},
    {"times", test_times},
    {"links", test_links},
    {"special", test_special},
    {"rename", test_rename},
    {"unlinked", test_unlinked},
    {"truncate", test_truncate},
    {"append", test_append},
    {"fallocate", test_fallocate},
    {"holes", test_holes},
    {"xattr", test_xattr},
    {"refused", test_refused},
    {"locks", test_locks},
    {"sync", test_sync},
    {"mmap", test_mmap},
    {"read_write", test_read_write},
    {"names", test_names},
    {"deep", test_deep},
    {"big_directory", test_big_directory},
    {"space", test_space},
    {"space_full", test_space_full},
};
#define TESTS (sizeof tests / sizeof tests[0])

static void run_all(const bool skip[TESTS])
{
    for (size_t i = 0; i < TESTS; i++) {
        if (skip[i])
            continue;
        char directory[64], command[128];
        current = tests[i].name;
        snprintf(directory, sizeof directory, "conformance-%s", current);
        if (mkdir(directory, 0777) < 0 || chmod(directory, 0777) < 0 || chdir(directory) < 0) {
            fail(__LINE__, "a directory of its own");
            continue;
        }
        int before = failures;
        tests[i].run();
        if (chdir("..") < 0)
            fail(__LINE__, "chdir");
        snprintf(command, sizeof command, "rm -rf %s", directory);
        if (system(command) != 0)
            fail(__LINE__, "rm -rf");
        if (verbose)
            printf("%s %s\n", failures == before ? "ok  " : "bad ", current);
    }
}

int main(int argc, char **argv)
{
    bool skip[TESTS] = {false}, only_read = false;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int option; (option = getopt(argc, argv, "vrb:s:")) != -1;) {
        if (option == 'v')
            verbose = true;
        else if (option == 'r')
            only_read = true;
        else if (option == 'b')
            big = atoi(optarg);
        else if (option == 's')
            for (size_t i = 0; i < TESTS; i++)
                skip[i] |= strcmp(tests[i].name, optarg) == 0;
        else
            return 2;
    }
    if (optind != argc - 1 || chdir(argv[optind]) < 0) {
        fprintf(stderr, "usage: fs_conformance DIRECTORY [-v] [-r] [-b ENTRIES] [-s TEST]...\n");
        return 2;
    }
    umask(022);
    if (only_read)
        read_only();
    else
        run_all(skip);
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
