/* Mounts with this machine's kernel as the guest's: conformance, busy, coherence, snapshots. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostfs),
        cmocka_unit_test(test_memfs),
        cmocka_unit_test(test_read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
