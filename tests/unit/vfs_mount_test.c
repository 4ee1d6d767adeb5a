/* Mounts with this machine's kernel as the guest's: conformance, busy, coherence, snapshots. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/path.h"
#include "vfs_session.h"

static void need_fuse(void)
{
    const char *why;
    if (!guest_possible(&why)) {
        print_message("skipped: %s\n", why);
        skip();
    }
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail_msg("cannot write %s: %s", path, strerror(errno));
    close(fd);
}

static bool holds(const char *path, const char *text)
{
    struct buf buf = {0};
    bool same = path_read(path, 1 << 20, &buf, NULL) == 0 && buf_len(&buf) == strlen(text) &&
                memcmp(buf_data(&buf), text, strlen(text)) == 0;
    buf_free(&buf);
    return same;
}

static int conformance(const char *directory, const char *const *more)
{
    const char *argv[16] = {CONFORMANCE, directory, "-b", "2500"};
    for (int i = 4; more != NULL && *more != NULL; i++)
        argv[i] = *more++;
    return session_run(argv);
}

static void test_hostfs(void **state)
{
    (void)state;
    need_fuse();
    static const char *const more[] = {"-s", "space_full", NULL};
    struct session session;
    session_start(&session, NULL);
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    assert_int_equal(conformance(session_guest(&session, "m"), more), 0);
    session_stop(&session);
}

static void test_memfs(void **state)
{
    (void)state;
    need_fuse();
    struct session session;
    session_start(&session, NULL);
    assert_int_equal(session_mount(&session, NULL, "m", false), 0);
    assert_int_equal(conformance(session_guest(&session, "m"), NULL), 0);
    session_stop(&session);
}

static void test_read_only(void **state)
{
    (void)state;
    need_fuse();
    static const char *const more[] = {"-r", NULL};
    struct session session;
    session_start(&session, NULL);
    assert_int_equal(mkdir(session_host(&session, "h"), 0755), 0);
    put(session_host(&session, "h/file"), "text");
    assert_int_equal(session_mount(&session, "h", "m", true), 0);
    assert_int_equal(conformance(session_guest(&session, "m"), more), 0);
    session_stop(&session);
}

/* Far below every lifetime that the kernel is given: only a notification can be in time. */
#define SOON_MS 4000u

static void on_tick(uv_timer_t *timer)
{
    ++*(int *)timer->data;
}

/* Until `seen` says so; the time that it took. */
static unsigned wait_for(struct session *session, bool (*seen)(const char *), const char *path)
{
    uv_timer_t timer;
    int ticks = 0;
    uint64_t start = uv_hrtime();
    uv_timer_init(&session->loop, &timer);
    timer.data = &ticks;
    uv_timer_start(&timer, on_tick, 2, 2);
    bool found = false;
    while (!(found = seen(path)) && uv_hrtime() - start < SOON_MS * 1000000ull)
        uv_run(&session->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&session->loop, UV_RUN_NOWAIT);
    if (!found)
        fail_msg("%s: the change was not seen", path);
    return (unsigned)((uv_hrtime() - start) / 1000000);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool is_gone(const char *path)
{
    return !is_there(path);
}

static bool says_new(const char *path)
{
    return holds(path, "new");
}

static bool says_changed(const char *path)
{
    return holds(path, "changed on the host");
}

static bool is_private(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & 0777) == 0600;
}

static bool lists_it(const char *path)
{
    char parent[512];
    snprintf(parent, sizeof parent, "%s", path);
    char *name = strrchr(parent, '/');
    *name++ = '\0';
    DIR *dir = opendir(parent);
    bool found = false;
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        found |= strcmp(entry->d_name, name) == 0;
    if (dir != NULL)
        closedir(dir);
    return found;
}

static bool lists_it_not(const char *path)
{
    return !lists_it(path);
}

static void test_coherence(void **state)
{
    (void)state;
    need_fuse();
    struct session session;
    session_start(&session, NULL);
    assert_int_equal(mkdir(session_host(&session, "h"), 0755), 0);
    assert_int_equal(mkdir(session_host(&session, "h/sub"), 0755), 0);
    put(session_host(&session, "h/f"), "old");
    put(session_host(&session, "h/sub/g"), "old");
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    const char *f = session_guest(&session, "m/f"), *made = session_guest(&session, "m/made");
    const char *g = session_guest(&session, "m/sub/g");
    unsigned most = 0, took;
#define SEEN(what, path) \
    (took = wait_for(&session, what, path), most = took > most ? took : most, (void)0)
    assert_true(holds(f, "old") && holds(g, "old") && is_gone(made) && lists_it_not(made));
    put(session_host(&session, "h/f"), "changed on the host");
    SEEN(says_changed, f);
    put(session_host(&session, "h/sub/g"), "new");
    SEEN(says_new, g);
    put(session_host(&session, "h/made"), "new");
    SEEN(is_there, made);
    assert_true(lists_it(made));
    chmod(session_host(&session, "h/made"), 0600);
    SEEN(is_private, made);
    /* another file under the name */
    put(session_host(&session, "h/other"), "new");
    assert_int_equal(rename(session_host(&session, "h/other"), session_host(&session, "h/f")), 0);
    SEEN(says_new, f);
    unlink(session_host(&session, "h/made"));
    SEEN(is_gone, made);
    assert_true(lists_it_not(made));
    assert_int_equal(rename(session_host(&session, "h/sub"), session_host(&session, "h/moved")), 0);
    SEEN(is_gone, g);
    assert_true(holds(session_guest(&session, "m/moved/g"), "new"));
    print_message("changes were seen after at most %u ms\n", most);
    session_stop(&session);
}

/* A name that the host changes all the time is one notification a batch, not one a change: the
 * guest's kernel takes them far more slowly than they can be made. */
static void test_flood(void **state)
{
    (void)state;
    need_fuse();
    enum { CHANGES = 20000 };
    struct session session;
    session_start(&session, NULL);
    assert_int_equal(mkdir(session_host(&session, "h"), 0755), 0);
    put(session_host(&session, "h/one"), "new");
    put(session_host(&session, "other"), "old");
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    const char *f = session_guest(&session, "m/one");
    assert_true(says_new(f));
    for (int i = 0; i < CHANGES; i++)
        renameat2(AT_FDCWD, session_host(&session, "h/one"), AT_FDCWD,
                  session_host(&session, "other"), RENAME_EXCHANGE);
    put(session_host(&session, "h/one"), "changed on the host");
    wait_for(&session, says_changed, f);
    unsigned notes = (unsigned)guest_notes(session.guest);
    print_message("%d changes, %u notifications\n", CHANGES, notes);
    assert_true(notes < CHANGES / 10);
    session_stop(&session);
}

/* What the guest does itself must not cost it its caches. */
static void test_own_changes(void **state)
{
    (void)state;
    need_fuse();
    static char block[1 << 20];
    struct session session;
    memset(block, 1, sizeof block); /* present, or it is written page by page */
    session_start(&session, NULL);
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    const char *f = session_guest(&session, "m/f"), *none = session_guest(&session, "m/none");
    int fd = open(f, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, block, sizeof block), sizeof block);
    close(fd);
    uint64_t before = guest_requests(session.guest);
    for (int i = 0; i < 20; i++) {
        struct stat st;
        assert_int_equal(stat(f, &st), 0);
        assert_int_equal(access(none, F_OK), -1);
    }
    uint64_t stats = guest_requests(session.guest) - before;
    fd = open(f, O_RDONLY | O_CLOEXEC);
    before = guest_requests(session.guest);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pread(fd, block, sizeof block, 0), sizeof block);
    uint64_t reads = guest_requests(session.guest) - before;
    close(fd);
    print_message("20 stats and misses: %u requests, 4 reads: %u\n", (unsigned)stats,
                  (unsigned)reads);
    assert_true(stats <= 5 && reads == 0);
    session_stop(&session);
}

/* find: attributes come with the names, a page of them at a time, and are asked for later. */
static void test_listing(void **state)
{
    (void)state;
    need_fuse();
    enum { FILES = 1000 };
    struct session session;
    char name[32];
    unsigned seen = 0;
    session_start(&session, NULL);
    assert_int_equal(mkdir(session_host(&session, "h"), 0755), 0);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "h/%d", i);
        put(session_host(&session, name), "");
    }
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    uint64_t before = guest_requests(session.guest);
    DIR *dir = opendir(session_guest(&session, "m"));
    assert_non_null(dir);
    struct stat st;
    while (readdir(dir) != NULL)
        seen++;
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW), 0);
    }
    closedir(dir);
    unsigned requests = (unsigned)(guest_requests(session.guest) - before);
    print_message("%d entries with attributes: %u requests\n", FILES, requests);
    assert_true(seen == FILES + 2 && requests < FILES / 10);
    session_stop(&session);
}

/* Making, writing and removing files asks the host for each no more than it has to. */
static void test_round_trips(void **state)
{
    (void)state;
    need_fuse();
    enum { FILES = 100 };
    struct session session;
    struct stat st;
    char name[32];
    session_start(&session, NULL);
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    uint64_t start = guest_requests(session.guest);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "m/%d", i);
        int fd = open(session_guest(&session, name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        assert_int_equal(write(fd, "x", 1), 1);
        assert_int_equal(ioctl(fd, TCGETS, &(struct termios){0}), -1);
        assert_int_equal(errno, ENOTTY);
        close(fd);
        /* what was said of the directory with the last file is true of it now */
        assert_int_equal(stat(session_guest(&session, "m"), &st), 0);
    }
    uint64_t made = guest_requests(session.guest);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "m/%d", i);
        assert_int_equal(unlink(session_guest(&session, name)), 0);
    }
    uint64_t removed = guest_requests(session.guest);
    print_message("%d files: made by %u requests, removed by %u\n", FILES, (unsigned)(made - start),
                  (unsigned)(removed - made));
    /* lookup, create, write, release; unlink, forget. On a slow machine the directory's attributes
     * are too old when they are asked for, and come by a request of their own. */
    assert_true(made - start <= FILES * 5 + 5 && removed - made < FILES * 3);
    /* the directory's attributes are those of now: links of it are counted by its entries */
    for (unsigned i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "m/d%u", i);
        assert_int_equal(mkdir(session_guest(&session, name), 0755), 0);
        assert_int_equal(stat(session_guest(&session, "m"), &st), 0);
        struct stat host;
        assert_int_equal(stat(session_host(&session, "h"), &host), 0);
        assert_int_equal(st.st_nlink, host.st_nlink);
        assert_true(st.st_mtim.tv_nsec == host.st_mtim.tv_nsec);
        assert_int_equal(chmod(session_guest(&session, "m"), 0700 + i), 0);
        assert_int_equal(stat(session_guest(&session, "m"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700 + i);
    }
    session_stop(&session);
}

static void test_busy(void **state)
{
    (void)state;
    need_fuse();
    struct session session;
    struct error err = {0};
    session_start(&session, NULL);
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    assert_int_equal(session_mount(&session, "h", "m", false), EEXIST);
    assert_int_equal(vfs_umount(session.vfs, "/nowhere", &err), -ENOENT);
    put(session_guest(&session, "m/f"), "x");
    int fd = open(session_guest(&session, "m/f"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(vfs_umount(session.vfs, session_guest(&session, "m"), &err), 0);
    session_wait(&session, &session.unmounted, 1);
    assert_int_equal(session.error.code, EBUSY);
    assert_non_null(strstr(session.error.message, "sh (pid 7)"));
    close(fd);
    assert_int_equal(vfs_umount(session.vfs, session_guest(&session, "m/"), &err), 0);
    session_wait(&session, &session.unmounted, 2);
    assert_int_equal(session.error.code, 0);
    assert_false(is_there(session_guest(&session, "m/f")));
    assert_int_equal(session_mount(&session, "h", "m", true), 0);
    assert_true(holds(session_guest(&session, "m/f"), "x"));
    session_stop(&session);
}

static void test_many(void **state)
{
    (void)state;
    need_fuse();
    struct session session;
    char host[64], guest[64];
    session_start(&session, NULL);
    for (int i = 0; i < 40; i++) {
        snprintf(host, sizeof host, "h %d,x=\xff", i);
        snprintf(guest, sizeof guest, "m,%d \\040\"'\xfe", i);
        assert_int_equal(session_mount(&session, host, guest, false), 0);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(host, sizeof host, "h %d,x=\xff/f", i);
        snprintf(guest, sizeof guest, "m,%d \\040\"'\xfe/f", i);
        put(session_guest(&session, guest), host);
        assert_true(holds(session_host(&session, host), host));
    }
    assert_int_equal(session_mount(&session, NULL, "m,0 \\040\"'\xfe/inner", false), 0);
    put(session_guest(&session, "m,0 \\040\"'\xfe/inner/f"), "in memory");
    assert_int_equal(rename(session_guest(&session, "m,0 \\040\"'\xfe/inner/f"),
                            session_guest(&session, "m,0 \\040\"'\xfe/g")),
                     -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(link(session_guest(&session, "m,1 \\040\"'\xfe/f"),
                          session_guest(&session, "m,2 \\040\"'\xfe/g")),
                     -1);
    assert_int_equal(errno, EXDEV);
    session_stop(&session);
}

static void test_host_gone(void **state)
{
    (void)state;
    need_fuse();
    struct session session;
    session_start(&session, NULL);
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    assert_int_equal(rmdir(session_host(&session, "h")), 0);
    errno = 0;
    assert_int_equal(open(session_guest(&session, "m/f"), O_WRONLY | O_CREAT, 0600), -1);
    assert_int_equal(errno, EIO);
    session_stop(&session);
}

static const char *const shadow_patterns[] = {"/m/.env",      "/m/sub/*.key", "**/.git",
                                              "/m/cfg=tmpfs", "node_?=tmpfs", NULL};

static void test_shadow(void **state)
{
    (void)state;
    need_fuse();
    struct session session;
    session_start(&session, shadow_patterns);
    assert_int_equal(path_mkdirs(session_host(&session, "h/sub/.git"), 0755, NULL), 0);
    put(session_host(&session, "h/.env"), "SECRET");
    put(session_host(&session, "h/cfg"), "host's");
    put(session_host(&session, "h/sub/a.key"), "KEY");
    put(session_host(&session, "h/sub/.git/config"), "git");
    put(session_host(&session, "h/plain"), "plain");
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    static const char *const hidden[] = {"m/.env", "m/sub/a.key", "m/sub/.git", "m/sub/.git/config",
                                         "m/cfg"};
    for (size_t i = 0; i < ARRAY_SIZE(hidden); i++) {
        const char *path = session_guest(&session, hidden[i]);
        assert_true(is_gone(path) && errno == ENOENT && lists_it_not(path));
        assert_int_equal(open(path, O_RDONLY), -1);
        assert_int_equal(errno, ENOENT);
    }
    const char *env = session_guest(&session, "m/.env"), *cfg = session_guest(&session, "m/cfg");
    const char *plain = session_guest(&session, "m/plain");
    assert_true(holds(plain, "plain"));
    session_wait(&session, &session.denied, 1);
    assert_int_equal(open(env, O_WRONLY | O_CREAT, 0600), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(rename(plain, env), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(link(plain, env), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(mkdir(env, 0755), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(symlink(".env", session_guest(&session, "m/l")), 0);
    assert_true(is_gone(session_guest(&session, "m/l")));
    /* a rename of what is above would uncover it */
    assert_int_equal(rename(session_guest(&session, "m/sub"), session_guest(&session, "m/s2")), -1);
    assert_int_equal(errno, EXDEV);
    /* private copies */
    put(cfg, "guest's");
    assert_true(holds(cfg, "guest's") && lists_it(cfg));
    assert_true(holds(session_host(&session, "h/cfg"), "host's"));
    assert_int_equal(mkdir(session_guest(&session, "m/sub/node_m"), 0755), 0);
    put(session_guest(&session, "m/sub/node_m/f"), "deep");
    assert_true(holds(session_guest(&session, "m/sub/node_m/f"), "deep"));
    assert_false(is_there(session_host(&session, "h/sub/node_m")));
    assert_int_equal(
        rename(session_guest(&session, "m/sub/node_m/f"), session_guest(&session, "m/f")), -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(unlink(cfg), 0);
    assert_true(is_gone(cfg) && holds(session_host(&session, "h/cfg"), "host's"));
    assert_int_equal(rmdir(session_guest(&session, "m/sub")), -1);
    assert_int_equal(errno, ENOTEMPTY);
    session_stop(&session);
}

static FILE *save(struct session *session)
{
    struct error err = {0};
    assert_int_equal(vfs_save(session->vfs, stdout, &err), -EBUSY);
    int paused = session->paused;
    vfs_pause(session->vfs);
    session_wait(session, &session->paused, paused + 1);
    FILE *state = tmpfile();
    if (vfs_save(session->vfs, state, &err) < 0)
        fail_msg("%s", err.message);
    rewind(state);
    return state;
}

struct opened {
    int kept, replaced, memory, gone, dir;
};

static struct opened make_snapshot_files(struct session *session)
{
    put(session_guest(session, "m/kept"), "kept");
    put(session_guest(session, "m/replaced"), "before");
    put(session_guest(session, "m/changed"), "before");
    put(session_guest(session, "m/cfg"), "private");
    assert_int_equal(mkdir(session_guest(session, "m/d"), 0755), 0);
    put(session_guest(session, "m/d/inner"), "in d");
    put(session_guest(session, "mem/f"), "in memory");
    assert_int_equal(symlink("f", session_guest(session, "mem/l")), 0);
    assert_int_equal(chown(session_guest(session, "m/kept"), 77, 78), 0);
    struct opened opened = {
        .kept = open(session_guest(session, "m/kept"), O_RDWR | O_APPEND | O_CLOEXEC),
        .replaced = open(session_guest(session, "m/replaced"), O_RDONLY | O_CLOEXEC),
        .memory = open(session_guest(session, "mem/f"), O_RDWR | O_CLOEXEC),
        .gone = open(session_guest(session, "mem/gone"), O_RDWR | O_CREAT | O_CLOEXEC, 0600),
        .dir = open(session_guest(session, "m/d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
    };
    assert_int_equal(write(opened.gone, "unlinked", 8), 8);
    assert_int_equal(unlink(session_guest(session, "mem/gone")), 0);
    return opened;
}

static void assert_reads(int fd, const char *expected)
{
    char text[16] = "";
    size_t size = strlen(expected);
    assert_int_equal(pread(fd, text, size, 0), size);
    assert_memory_equal(text, expected, size);
}

/* After the restore: what is the same goes on, what is not is ESTALE. */
static void check_snapshot_files(struct session *session, const struct opened *opened)
{
    struct stat st;
    char c;
    assert_int_equal(write(opened->kept, "+", 1), 1);
    assert_true(holds(session_host(session, "h/kept"), "kept+"));
    assert_int_equal(stat(session_guest(session, "m/kept"), &st), 0);
    assert_true(st.st_uid == 77 && st.st_gid == 78);
    wait_for(session, says_changed, session_guest(session, "m/changed"));
    assert_int_equal(pread(opened->replaced, &c, 1, 0), -1);
    assert_int_equal(errno, ESTALE);
    assert_true(holds(session_guest(session, "m/replaced"), "after"));
    assert_true(holds(session_guest(session, "m/cfg"), "private"));
    assert_reads(opened->memory, "in memory");
    assert_reads(opened->gone, "unlinked");
    assert_true(holds(session_guest(session, "mem/l"), "in memory"));
    int inner = openat(opened->dir, "inner", O_RDONLY | O_CLOEXEC);
    assert_true(inner >= 0);
    assert_int_equal(close(inner), 0);
}

static void test_snapshot(void **state)
{
    (void)state;
    need_fuse();
    struct session session;
    struct error err = {0};
    session_start(&session, shadow_patterns);
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    assert_int_equal(session_mount(&session, NULL, "mem", false), 0);
    struct opened opened = make_snapshot_files(&session);
    vfs_pause(session.vfs);
    session_wait(&session, &session.paused, 1);
    vfs_resume(session.vfs);
    FILE *saved = save(&session);
    /* while nobody served it */
    const char *other = session_host(&session, "h/other");
    put(other, "after");
    assert_int_equal(rename(other, session_host(&session, "h/replaced")), 0);
    put(session_host(&session, "h/changed"), "changed on the host");
    session_restart(&session, shadow_patterns, saved);
    fclose(saved);
    vfs_resume(session.vfs);
    check_snapshot_files(&session, &opened);
    assert_int_equal(session_mount(&session, "h2", "m2", false), 0);
    close(opened.kept);
    close(opened.replaced);
    close(opened.memory);
    close(opened.gone);
    close(opened.dir);
    assert_int_equal(vfs_umount(session.vfs, session_guest(&session, "mem"), &err), 0);
    session_wait(&session, &session.unmounted, 1);
    assert_int_equal(session.error.code, 0);
    session_stop(&session);
}

/* How often each has had its turn; both processes have it. */
struct escapes {
    atomic_uint stirred, attacked;
    atomic_bool enough;
};

#define ESCAPE_ROUNDS 1000u /* of both; one of them may be much faster than the other */

/* The host swaps directories for links to the outside, and moves them there and back. */
static void stir(struct session *session, struct escapes *escapes)
{
    for (; !atomic_load(&escapes->enough); atomic_fetch_add(&escapes->stirred, 1)) {
        rename(session_host(session, "h/x"), session_host(session, "h/real"));
        (void)!symlink("../outside", session_host(session, "h/x"));
        rename(session_host(session, "h/d"), session_host(session, "outside/d"));
        rename(session_host(session, "h"), session_host(session, "h-renamed"));
        rename(session_host(session, "h-renamed"), session_host(session, "h"));
        rename(session_host(session, "outside/d"), session_host(session, "h/d"));
        unlink(session_host(session, "h/x"));
        rename(session_host(session, "h/real"), session_host(session, "h/x"));
    }
}

/* A guest that wants out. What it may not do fails; what it reads must not be the secret. */
static void attack(struct session *session)
{
    static const char *const ways[] = {"m/x/secret", "m/d/../../outside/secret", "m/link/secret",
                                       "m/absolute/secret", "m/x/../../outside/secret"};
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
        if (holds(session_guest(session, ways[i]), "the secret"))
            fail_msg("%s was read", ways[i]);
    static const char *const plants[] = {"m/x/planted", "m/link/planted",
                                         "m/d/../../outside/planted"};
    for (size_t i = 0; i < ARRAY_SIZE(plants); i++) {
        int fd = open(session_guest(session, plants[i]), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0)
            close(fd);
        (void)!mkdir(session_guest(session, plants[i]), 0700);
        (void)!unlink(session_guest(session, "m/x/secret"));
        (void)!rename(session_guest(session, "m/x/secret"), session_guest(session, "m/stolen"));
        (void)!link(session_guest(session, "m/x/secret"), session_guest(session, "m/linked"));
    }
}

static void test_escapes(void **state)
{
    (void)state;
    need_fuse();
    struct session session;
    session_start(&session, NULL);
    assert_int_equal(mkdir(session_host(&session, "outside"), 0700), 0);
    put(session_host(&session, "outside/secret"), "the secret");
    assert_int_equal(path_mkdirs(session_host(&session, "h/x"), 0755, NULL), 0);
    assert_int_equal(mkdir(session_host(&session, "h/d"), 0755), 0);
    assert_int_equal(symlink("../outside", session_host(&session, "h/link")), 0);
    assert_int_equal(symlink("/proc/self/root", session_host(&session, "h/absolute")), 0);
    assert_int_equal(session_mount(&session, "h", "m", false), 0);
    struct escapes *escapes =
        mmap(NULL, sizeof *escapes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(escapes, MAP_FAILED);
    pid_t host = fork();
    if (host == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stir(&session, escapes);
        _exit(0);
    }
    assert_true(host > 0);
    for (; atomic_load(&escapes->attacked) < ESCAPE_ROUNDS ||
           atomic_load(&escapes->stirred) < ESCAPE_ROUNDS;
         atomic_fetch_add(&escapes->attacked, 1))
        attack(&session);
    atomic_store(&escapes->enough, true);
    assert_int_equal(waitpid(host, NULL, 0), host);
    print_message("%u attacks, while the host changed it all %u times\n",
                  atomic_load(&escapes->attacked), atomic_load(&escapes->stirred));
    munmap(escapes, sizeof *escapes);
    assert_true(holds(session_host(&session, "outside/secret"), "the secret"));
    assert_int_equal(unlink(session_host(&session, "outside/secret")), 0);
    assert_int_equal(rmdir(session_host(&session, "outside")), 0); /* nothing else is in it */
    session_stop(&session);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostfs),      cmocka_unit_test(test_memfs),
        cmocka_unit_test(test_read_only),   cmocka_unit_test(test_coherence),
        cmocka_unit_test(test_flood),       cmocka_unit_test(test_own_changes),
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_busy),
        cmocka_unit_test(test_listing),     cmocka_unit_test(test_many),
        cmocka_unit_test(test_host_gone),   cmocka_unit_test(test_shadow),
        cmocka_unit_test(test_snapshot),    cmocka_unit_test(test_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
