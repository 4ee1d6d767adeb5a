#include "unit.h"

#include "vfs_session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/path.h"
#include "base/process.h"
#include "base/str.h"

static void on_ready(void *context)
{
    ((struct session *)context)->ready++;
}

static void keep_error(struct session *session, const struct error *why)
{
    session->error = why != NULL ? *why : (struct error){0};
}

static void on_mounted(void *context, const char *guest, const struct error *why)
{
    (void)guest;
    keep_error(context, why);
    ((struct session *)context)->mounted++;
}

static void on_unmounted(void *context, const char *guest, const struct error *why)
{
    (void)guest;
    keep_error(context, why);
    ((struct session *)context)->unmounted++;
}

static void on_denied(void *context, const char *path)
{
    struct session *session = context;
    snprintf(session->path, sizeof session->path, "%s", path);
    session->denied++;
}

static void on_paused(void *context)
{
    ((struct session *)context)->paused++;
}

static void on_failed(void *context, const struct error *why)
{
    keep_error(context, why);
    ((struct session *)context)->failed++;
}

static const struct vfs_events events = {on_ready,  on_mounted, on_unmounted,
                                         on_denied, on_paused,  on_failed};

static const char *keep_path(const struct session *session, const char *middle, const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s%s", session->directory, middle, name);
    return path;
}

const char *session_guest(const struct session *session, const char *name)
{
    return keep_path(session, "g/", name);
}

const char *session_host(const struct session *session, const char *name)
{
    return keep_path(session, "", name);
}

static int open_server(struct session *session, const char *const *shadows)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct strv patterns = {0};
    for (; shadows != NULL && *shadows != NULL; shadows++)
        strv_addf(&patterns, "%s%s", (*shadows)[0] == '/' ? session_guest(session, "") : "",
                  *shadows);
    struct vfs_config config = {.loop = &session->loop,
                                .fd = fds[0],
                                .epoch = {1, 2, 3},
                                .shadows = (const char *const *)patterns.items,
                                .shadow_count = patterns.count,
                                .events = &events,
                                .context = session};
    struct error err = {0};
    if (vfs_open(&session->vfs, &config, &err) < 0)
        fail_msg("%s", err.message);
    strv_free(&patterns);
    return fds[1];
}

void session_start(struct session *session, const char *const *shadows)
{
    *session = (struct session){.directory = "/tmp/vmdeck-vfs-XXXXXX"};
    signal(SIGPIPE, SIG_IGN); /* the guest's kernel may have something to say after the end */
    assert_non_null(mkdtemp(session->directory));
    assert_int_equal(mkdir(session_guest(session, ""), 0755), 0);
    assert_int_equal(uv_loop_init(&session->loop), 0);
    session->guest = guest_start(open_server(session, shadows));
    session_wait(session, &session->ready, 1);
}

static const char *same_host(void *context, const char *guest, const char *host, bool *read_only)
{
    (void)context;
    (void)read_only;
    (void)guest;
    return host;
}

void session_restart(struct session *session, const char *const *shadows, FILE *state)
{
    struct error err = {0};
    vfs_close(session->vfs);
    uv_run(&session->loop, UV_RUN_DEFAULT);
    int ready = session->ready;
    int fd = open_server(session, shadows);
    if (state != NULL && vfs_load(session->vfs, state, same_host, NULL, &err) < 0)
        fail_msg("%s", err.message);
    guest_reconnect(session->guest, fd);
    session_wait(session, &session->ready, ready + 1);
}

void session_stop(struct session *session)
{
    guest_stop(session->guest);
    vfs_close(session->vfs);
    uv_run(&session->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&session->loop), 0);
    assert_int_equal(path_remove(session->directory, NULL), 0);
}

static void on_timeout(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

void session_wait(struct session *session, const int *counter, int value)
{
    uv_timer_t timer;
    bool late = false;
    uv_timer_init(&session->loop, &timer);
    timer.data = &late;
    uv_timer_start(&timer, on_timeout, 60000, 0);
    while (*counter < value && !late)
        uv_run(&session->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&session->loop, UV_RUN_NOWAIT);
    assert_false(late);
}

int session_mount(struct session *session, const char *host, const char *guest, bool read_only)
{
    struct error err = {0};
    struct vfs_mount_spec spec = {.host = host != NULL ? session_host(session, host) : NULL,
                                  .guest = session_guest(session, guest),
                                  .read_only = read_only,
                                  .memory = 64u << 20};
    if (host != NULL)
        mkdir(spec.host, 0755);
    if (vfs_mount(session->vfs, &spec, &err) < 0)
        return err.code;
    session_wait(session, &session->mounted, session->mounted + 1);
    return session->error.code;
}

int session_run(const char *const *argv)
{
    struct error err = {0};
    struct process_fd fds[] = {{1, 1}, {2, 2}};
    struct process_spec spec = {.argv = argv, .fds = fds, .fd_count = 2};
    pid_t pid = process_spawn(&spec, &err);
    if (pid < 0)
        fail_msg("%s", err.message);
    int status = process_wait(pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
