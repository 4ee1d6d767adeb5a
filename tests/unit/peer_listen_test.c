/* A session host's socket: whose it is, and that making it is nobody else's business. */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "session/host/peer.h"

#define ROUNDS 2000

static char directory[] = "/tmp/vmdeck-listen-XXXXXX";
static atomic_bool over;

/* What another thread of the host does meanwhile; returns a mode that it did not ask for, or 0. */
static void *make_directories(void *context)
{
    static mode_t wrong;
    char path[sizeof directory + 8];
    struct stat st;
    (void)context;
    snprintf(path, sizeof path, "%s/other", directory);
    while (!atomic_load(&over) && wrong == 0)
        if (mkdir(path, 0700) == 0 && stat(path, &st) == 0 && rmdir(path) == 0 &&
            (st.st_mode & 0777) != 0700)
            wrong = st.st_mode;
    return &wrong;
}

static void test_modes(void **state)
{
    static struct host host;
    struct error err = {0};
    pthread_t thread;
    void *wrong;
    (void)state;
    assert_int_equal(uv_loop_init(&host.loop), 0);
    mode_t before = umask(0); /* the socket is ours alone, whatever the user's is */
    assert_int_equal(pthread_create(&thread, NULL, make_directories, NULL), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct stat st;
        assert_int_equal(peer_listen(&host, "a.sock", &err), 0);
        assert_int_equal(stat(host.socket_path, &st), 0);
        assert_int_equal(st.st_mode, S_IFSOCK | 0600);
        peer_unlisten(&host);
        uv_run(&host.loop, UV_RUN_DEFAULT);
    }
    atomic_store(&over, true);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_int_equal(*(mode_t *)wrong, 0);
    umask(before);
    assert_int_equal(uv_loop_close(&host.loop), 0);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL || setenv("XDG_RUNTIME_DIR", directory, 1) != 0;
}

static int teardown(void **state)
{
    (void)state;
    return path_remove(directory, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_modes)};
    return cmocka_run_group_tests_name("peer_listen", tests, setup, teardown);
}
