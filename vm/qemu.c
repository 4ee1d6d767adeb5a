/*
 * QEMU gets one end of a socket pair each for QMP, the serial console the ports of the agent and
 * the NIC, and a pipe as stderr; a file where a state is loaded. It is watched through a pidfd,
 * dies with us (PR_SET_PDEATHSIG), cannot spawn, gain privileges or dump core, and its address
 * space has a limit well above what guest and translator need, so that a leak cannot take the host
 * along.
 */
#include "vm/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "vm/tail.h"

#define ADDRESS_SPACE_EXTRA ((uint64_t)6 << 30) /* translation cache, stacks, libraries */

struct qemu {
    uv_loop_t *loop;
    uv_poll_t exit; /* on the pidfd */
    uv_timer_t grace;
    int handles;
    pid_t pid; /* 0: reaped */
    int pidfd, port, nic, vfs;
    struct qmp *qmp;
    struct tail *console, *errors;
    struct qemu_events events;
    void *context;
    bool stopping, closed, restored;
};

int qemu_find(const char *arch, char **path, struct error *err)
{
    CLEAN_FREE char *program = str_printf("qemu-system-%s", arch);
    *path = program != NULL ? process_find(program) : NULL;
    if (*path == NULL)
        return error_set(err, ENOENT, "%s: not found in PATH (install qemu-system-x86)", program);
    return 0;
}

/* How QEMU ended, for the user. */
static void qemu_reason(struct qemu *qemu, int status, struct error *why)
{
    CLEAN_BUF struct buf line = {0};
    tail_drain(qemu->errors);
    tail_drain(qemu->console);
    tail_lines(qemu->errors, 1, &line);
    const char *text = buf_len(&line) > 0 ? buf_string(&line) : NULL;
    int len = text != NULL ? (int)strcspn(text, "\n") : 0;
    if (qemu->stopping) {
        error_set(why, ESHUTDOWN, "the VM was stopped");
    } else if (WIFSIGNALED(status)) {
        error_set(why, EIO, "QEMU was killed by signal %d (%s)%s%.*s", WTERMSIG(status),
                  strsignal(WTERMSIG(status)), len > 0 ? ": " : "", len, len > 0 ? text : "");
    } else if (WEXITSTATUS(status) != 0) {
        error_set(why, EIO, "QEMU failed with status %d%s%.*s", WEXITSTATUS(status),
                  len > 0 ? ": " : "", len, len > 0 ? text : "");
    } else {
        buf_consume(&line, buf_len(&line));
        tail_lines(qemu->console, 1, &line);
        text = buf_len(&line) > 0 ? buf_string(&line) : NULL;
        error_set(why, ESHUTDOWN, "the guest powered off%s%.*s", text != NULL ? "; it said: " : "",
                  text != NULL ? (int)strcspn(text, "\n") : 0, text != NULL ? text : "");
    }
}

static void qemu_exited(uv_poll_t *poll, int poll_status, int events)
{
    (void)poll_status;
    (void)events;
    struct qemu *qemu = poll->data;
    uv_poll_stop(&qemu->exit);
    uv_timer_stop(&qemu->grace);
    int status = process_wait(qemu->pid);
    qemu->pid = 0;
    struct error why = {0};
    qemu_reason(qemu, status, &why);
    log_debug(LOG_QEMU, "ended: %s", why.message);
    qemu->events.ended(qemu->context, &why);
}

/* The state has been loaded, or QEMU, which is about to end, says why it cannot be. */
static void qemu_migration(struct qemu *qemu, const cJSON *data)
{
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(data, "status");
    bool completed = cJSON_IsString(status) && strcmp(status->valuestring, "completed") == 0;
    if (!completed || qemu->restored)
        return;
    qemu->restored = true;
    qemu->events.restored(qemu->context);
}

static void on_migration_queried(void *context, const cJSON *result, const struct error *why)
{
    (void)why; /* the connection has ended: the process does too */
    if (result != NULL)
        qemu_migration(context, result);
}

static void qemu_qmp_event(void *context, const char *name, const cJSON *data)
{
    struct qemu *qemu = context;
    if (strcmp(name, "MIGRATION") == 0)
        qemu_migration(qemu, data);
    if (qemu->events.event != NULL)
        qemu->events.event(qemu->context, name, data);
}

static void qemu_qmp_ended(void *context, const struct error *why)
{
    (void)context; /* the process ends too, and that says more */
    log_debug(LOG_QEMU, "%s", why->message);
}

/* Both ends of the descriptors, ours and QEMU's. */
struct plumbing {
    int qmp[2], console[2], port[2], nic[2], vfs[2], errors[2];
};

static void plumbing_close(struct plumbing *p)
{
    int *const all[] = {p->qmp, p->console, p->port, p->nic, p->vfs, p->errors};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        for (int side = 0; side < 2; side++)
            cleanup_fd(&all[i][side]);
}

static int plumbing_open(struct plumbing *p, struct error *err)
{
    const int type = SOCK_STREAM | SOCK_CLOEXEC;
    *p = (struct plumbing){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    if (socketpair(AF_UNIX, type, 0, p->qmp) < 0 || socketpair(AF_UNIX, type, 0, p->console) < 0 ||
        socketpair(AF_UNIX, type, 0, p->port) < 0 || socketpair(AF_UNIX, type, 0, p->nic) < 0 ||
        socketpair(AF_UNIX, type, 0, p->vfs) < 0 || pipe2(p->errors, O_CLOEXEC) < 0)
        return error_system(err, errno, "cannot make QEMU's descriptors");
    /* larger sockets carry more per switch between the two processes */
    int size = 1 << 20;
    for (int side = 0; side < 2; side++) {
        setsockopt(p->port[side], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        setsockopt(p->nic[side], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        setsockopt(p->vfs[side], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    return 0;
}

/*
 * A translator starts by filling 20 MB of its own, page by page: a tenth of a fork's time, of which
 * larger pages spare two thirds. It advises them for its translations by itself; this makes libc do
 * so for the heap, and all threads share one, as in a fork one works at a time. Who has settings
 * for libc of their own keeps them.
 */
static int qemu_environment(struct strv *env)
{
    static const char name[] = "GLIBC_TUNABLES";
    int rc = 0;
    if (getenv(name) == NULL)
        rc = strv_addf(env, "%s=glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1", name);
    for (char **entry = environ; *entry != NULL && rc == 0; entry++)
        rc = strv_add(env, *entry);
    return rc;
}

static int qemu_spawn(struct qemu *qemu, const struct machine *machine, int state,
                      const struct plumbing *p, struct error *err)
{
    CLEAN_STRV struct strv argv = {0};
    int rc = machine_arguments(machine, &argv, err);
    if (rc < 0)
        return rc;
    const struct process_fd fds[] = {{p->errors[1], 2},
                                     {p->qmp[1], MACHINE_FD_QMP},
                                     {p->console[1], MACHINE_FD_CONSOLE},
                                     {p->port[1], MACHINE_FD_PORT},
                                     {p->nic[1], MACHINE_FD_NIC},
                                     {p->vfs[1], MACHINE_FD_VFS},
                                     {state, MACHINE_FD_STATE}};
    const struct process_limit limits[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_NOFILE, 256},
        {RLIMIT_AS, machine->memory + machine->memory / 4 + ADDRESS_SPACE_EXTRA},
    };
    CLEAN_STRV struct strv env = {0};
    rc = machine->kvm ? 0 : qemu_environment(&env);
    if (rc < 0)
        return error_set(err, -rc, "out of memory");
    qemu->pid = process_spawn(
        &(struct process_spec){
            .env = machine->kvm ? NULL : (const char *const *)env.items,
            .argv = (const char *const *)argv.items,
            .fds = fds,
            .fd_count = sizeof fds / sizeof fds[0],
            .limits = limits,
            .limit_count = sizeof limits / sizeof limits[0],
            .parent_death_signal = SIGKILL,
            .new_session = true, /* a Ctrl-C at our terminal is ours alone */
            .no_new_privileges = true,
            .sparse_huge_pages = !machine->kvm,
        },
        err);
    if (qemu->pid < 0) {
        rc = qemu->pid;
        qemu->pid = 0;
        return rc;
    }
    qemu->pidfd = (int)syscall(SYS_pidfd_open, qemu->pid, 0);
    return qemu->pidfd < 0 ? error_system(err, errno, "cannot watch QEMU") : 0;
}

static int qemu_connect(struct qemu *qemu, struct plumbing *p, struct error *err)
{
    static const struct qmp_events events = {qemu_qmp_event, qemu_qmp_ended};
    int rc = tail_open(&qemu->errors, qemu->loop, take_fd(&p->errors[0]), err);
    if (rc == 0)
        rc = tail_open(&qemu->console, qemu->loop, take_fd(&p->console[0]), err);
    if (rc == 0)
        rc = qmp_open(&qemu->qmp, qemu->loop, take_fd(&p->qmp[0]), &events, qemu, err);
    if (rc < 0)
        return rc;
    rc = uv_poll_init(qemu->loop, &qemu->exit, qemu->pidfd);
    if (rc < 0)
        return error_set(err, -rc, "cannot watch QEMU: %s", uv_strerror(rc));
    uv_timer_init(qemu->loop, &qemu->grace);
    qemu->handles = 2;
    qemu->exit.data = qemu->grace.data = qemu;
    uv_poll_start(&qemu->exit, UV_READABLE, qemu_exited);
    qemu->port = take_fd(&p->port[0]);
    qemu->nic = take_fd(&p->nic[0]);
    qemu->vfs = take_fd(&p->vfs[0]);
    return 0;
}

int qemu_start(struct qemu **out, uv_loop_t *loop, const struct machine *machine, int state,
               const struct qemu_events *events, void *context, struct error *err)
{
    struct plumbing plumbing;
    struct qemu *qemu = calloc(1, sizeof *qemu);
    if (qemu == NULL)
        return error_set(err, ENOMEM, "out of memory");
    qemu->loop = loop;
    qemu->events = *events;
    qemu->context = context;
    qemu->pidfd = qemu->port = qemu->nic = qemu->vfs = -1;
    int rc = plumbing_open(&plumbing, err);
    if (rc == 0)
        rc = qemu_spawn(qemu, machine, state, &plumbing, err);
    if (rc == 0)
        rc = qemu_connect(qemu, &plumbing, err);
    qemu->restored = !machine->stopped; /* nobody waits for it */
    if (rc == 0 && machine->stopped)    /* loaded before QMP was up, there was no event */
        qmp_run(qemu->qmp, "query-migrate", NULL, on_migration_queried, qemu);
    plumbing_close(&plumbing);
    if (rc < 0) {
        qemu_close(qemu);
        return rc;
    }
    *out = qemu;
    return 0;
}

int qemu_take_port(struct qemu *qemu)
{
    return take_fd(&qemu->port);
}

int qemu_take_nic(struct qemu *qemu)
{
    return take_fd(&qemu->nic);
}

int qemu_take_vfs(struct qemu *qemu)
{
    return take_fd(&qemu->vfs);
}

struct qmp *qemu_qmp(struct qemu *qemu)
{
    return qemu->qmp;
}

pid_t qemu_pid(const struct qemu *qemu)
{
    return qemu->pid;
}

void qemu_console(const struct qemu *qemu, size_t lines, struct buf *out)
{
    tail_lines(qemu->console, lines, out);
}

void qemu_save_devices(struct qemu *qemu, const char *path, qmp_done *done, void *context)
{
    cJSON *arguments = cJSON_CreateObject();
    cJSON_AddStringToObject(arguments, "filename", path);
    cJSON_AddBoolToObject(arguments, "live", false);
    qmp_run(qemu->qmp, "xen-save-devices-state", arguments, done, context);
}

static void qemu_kill(uv_timer_t *timer)
{
    const struct qemu *qemu = timer->data;
    if (qemu->pid > 0)
        kill(qemu->pid, SIGKILL);
}

void qemu_abort(struct qemu *qemu)
{
    qemu->stopping = true;
    if (qemu->pid > 0)
        kill(qemu->pid, SIGKILL);
}

void qemu_stop(struct qemu *qemu)
{
    if (qemu->pid == 0 || qemu->stopping)
        return;
    qemu->stopping = true;
    kill(qemu->pid, SIGTERM);
    uv_timer_start(&qemu->grace, qemu_kill, QEMU_GRACE_MS, 0);
}

static void qemu_free(struct qemu *qemu)
{
    cleanup_fd(&qemu->pidfd);
    free(qemu);
}

static void qemu_freed(uv_handle_t *handle)
{
    struct qemu *qemu = handle->data;
    if (--qemu->handles == 0)
        qemu_free(qemu);
}

void qemu_close(struct qemu *qemu)
{
    if (qemu == NULL || qemu->closed)
        return;
    qemu->closed = true;
    if (qemu->pid > 0) {
        kill(qemu->pid, SIGKILL);
        process_wait(qemu->pid);
        qemu->pid = 0;
    }
    tail_close(qemu->errors);
    tail_close(qemu->console);
    qmp_close(qemu->qmp);
    cleanup_fd(&qemu->port);
    cleanup_fd(&qemu->nic);
    cleanup_fd(&qemu->vfs);
    qemu->port = qemu->nic = qemu->vfs = -1;
    if (qemu->handles == 0) {
        qemu_free(qemu);
        return;
    }
    uv_close((uv_handle_t *)&qemu->exit, qemu_freed);
    uv_close((uv_handle_t *)&qemu->grace, qemu_freed);
}
