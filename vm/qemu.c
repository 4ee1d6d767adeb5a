/*
 * QEMU gets four descriptors: one end of a socket pair each for QMP, the serial console and the
 * agent's port, and a pipe as stderr. It is watched through a pidfd, dies with us
 * (PR_SET_PDEATHSIG), cannot spawn, gain privileges or dump core, and its address space has a
 * limit well above what guest and translator need, so that a leak cannot take the host along.
 *
 * The command line is deliberately bare (-nodefaults, no VGA, USB, SATA, SMBus or floppy): what
 * is not there does not have to be emulated, probed by the guest at boot, or saved.
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

/* QEMU's side of the descriptors. */
enum { FD_QMP = 3, FD_CONSOLE = 4, FD_PORT = 5 };

#define ADDRESS_SPACE_EXTRA ((uint64_t)6 << 30) /* translation cache, stacks, libraries */
#define MEMORY_MAX          ((uint64_t)1 << 42)

/* What the kernel need not look for; each costs emulated time at boot. */
static const char kernel_arguments[] =
    "console=ttyS0 quiet panic=-1 reboot=t no_timer_check noreplace-smp 8250.nr_uarts=1 "
    "i8042.noaux i8042.nokbd i8042.nopnp cryptomgr.notests random.trust_cpu=on "
    "rcupdate.rcu_expedited=1 mitigations=off";

/*
 * What emulation (TCG) pays for dearly, measured with a guest's /bin/true and streams: randomised
 * address spaces (a program at new addresses is translated anew: five times as long), clearing
 * pages twice, `rep movsb` (done byte by byte: a third of the throughput), five-level page tables,
 * SMAP and protection keys (a translation flush at every change), the memory controller of cgroups
 * (a twelfth of every fork and fault). The guest loses hardening
 * against itself by it, not the host; with KVM it keeps all of it.
 */
static const char emulated_arguments[] =
    " norandmaps init_on_alloc=0 psi=0 audit=0 lsm=landlock,yama "
    "randomize_kstack_offset=off hardened_usercopy=off cgroup_disable=memory";
static const char emulated_cpu[] =
    "max,erms=off,fsrm=off,la57=off,smap=off,smep=off,pku=off,pks=off,umip=off";

struct qemu {
    uv_loop_t *loop;
    uv_poll_t exit; /* on the pidfd */
    uv_timer_t grace;
    int handles;
    pid_t pid; /* 0: reaped */
    int pidfd, port;
    struct qmp *qmp;
    struct tail *console, *errors;
    struct qemu_events events;
    void *context;
    bool stopping, closed;
};

int qemu_find(const char *arch, char **path, struct error *err)
{
    CLEAN_FREE char *program = str_printf("qemu-system-%s", arch);
    *path = program != NULL ? process_find(program) : NULL;
    if (*path == NULL)
        return error_set(err, ENOENT, "%s: not found in PATH (install qemu-system-x86)", program);
    return 0;
}

static int qemu_arguments(const struct qemu_config *config, struct strv *argv)
{
    static const char *const fixed[] = {
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-chardev",
        "socket,id=qmp,fd=3",
        "-mon",
        "chardev=qmp,mode=control",
        "-chardev",
        "socket,id=console,fd=4",
        "-serial",
        "chardev:console",
        "-chardev",
        "socket,id=agent,fd=5",
        "-device",
        "virtio-serial-pci,max_ports=4",
        "-device",
        "virtserialport,chardev=agent,name=vmdeck.ctl",
        "-object",
        "rng-builtin,id=rng",
        "-device",
        "virtio-rng-pci,rng=rng",
        "-device",
        "virtio-blk-pci,drive=root",
    };
    int rc = strv_add(argv, config->binary);
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        rc |= strv_add(argv, fixed[i]);
    rc |= strv_add(argv, "-append");
    rc |= strv_addf(argv, "%s%s", kernel_arguments, config->kvm ? "" : emulated_arguments);
    rc |= strv_add(argv, "-name");
    rc |= strv_addf(argv, "%s,process=%s", config->name, config->name);
    rc |= strv_add(argv, "-machine");
    rc |= strv_add(argv, "q35,vmport=off,smm=off,graphics=off,usb=off,sata=off,smbus=off");
    rc |= strv_add(argv, "-accel");
    rc |= strv_add(argv, config->kvm ? "kvm" : "tcg,thread=multi");
    rc |= strv_add(argv, "-cpu");
    rc |= strv_add(argv, config->kvm ? "host" : emulated_cpu);
    rc |= strv_add(argv, "-m");
    rc |= strv_addf(argv, "%" PRIu64 "B", config->memory);
    rc |= strv_add(argv, "-smp");
    rc |= strv_addf(argv, "%u", config->cpus);
    rc |= strv_add(argv, "-kernel");
    rc |= strv_add(argv, config->kernel);
    rc |= strv_add(argv, "-initrd");
    rc |= strv_add(argv, config->initrd);
    /* the overlay is worth nothing without its running guest: no flushes */
    rc |= strv_add(argv, "-blockdev");
    rc |= strv_addf(argv,
                    "{\"driver\":\"qcow2\",\"node-name\":\"root\",\"discard\":\"unmap\","
                    "\"cache\":{\"no-flush\":true},\"file\":{\"driver\":\"file\","
                    "\"cache\":{\"no-flush\":true},\"discard\":\"unmap\",\"filename\":\"%s\"}}",
                    config->disk);
    return rc != 0 ? -ENOMEM : 0;
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

static void qemu_qmp_event(void *context, const char *name, const cJSON *data)
{
    struct qemu *qemu = context;
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
    int qmp[2], console[2], port[2], errors[2];
};

static void plumbing_close(struct plumbing *p)
{
    int *const all[] = {p->qmp, p->console, p->port, p->errors};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        for (int side = 0; side < 2; side++)
            cleanup_fd(&all[i][side]);
}

static int plumbing_open(struct plumbing *p, struct error *err)
{
    const int type = SOCK_STREAM | SOCK_CLOEXEC;
    *p = (struct plumbing){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    if (socketpair(AF_UNIX, type, 0, p->qmp) < 0 || socketpair(AF_UNIX, type, 0, p->console) < 0 ||
        socketpair(AF_UNIX, type, 0, p->port) < 0 || pipe2(p->errors, O_CLOEXEC) < 0)
        return error_system(err, errno, "cannot make QEMU's descriptors");
    /* larger sockets carry more per switch between the two processes */
    int size = 1 << 20;
    for (int side = 0; side < 2; side++)
        setsockopt(p->port[side], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return 0;
}

static int qemu_spawn(struct qemu *qemu, const struct qemu_config *config, const struct plumbing *p,
                      struct error *err)
{
    CLEAN_STRV struct strv argv = {0};
    if (qemu_arguments(config, &argv) < 0)
        return error_set(err, ENOMEM, "out of memory");
    const struct process_fd fds[] = {
        {p->errors[1], 2}, {p->qmp[1], FD_QMP}, {p->console[1], FD_CONSOLE}, {p->port[1], FD_PORT}};
    const struct process_limit limits[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_NOFILE, 256},
        {RLIMIT_AS, config->memory + config->memory / 4 + ADDRESS_SPACE_EXTRA},
    };
    qemu->pid = process_spawn(
        &(struct process_spec){
            .argv = (const char *const *)argv.items,
            .fds = fds,
            .fd_count = sizeof fds / sizeof fds[0],
            .limits = limits,
            .limit_count = sizeof limits / sizeof limits[0],
            .parent_death_signal = SIGKILL,
            .new_session = true, /* a Ctrl-C at our terminal is ours alone */
            .no_new_privileges = true,
        },
        err);
    if (qemu->pid < 0) {
        int rc = qemu->pid;
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
    return 0;
}

int qemu_start(struct qemu **out, uv_loop_t *loop, const struct qemu_config *config,
               const struct qemu_events *events, void *context, struct error *err)
{
    if (config->memory > MEMORY_MAX || strpbrk(config->disk, "\"\\,") != NULL)
        return error_set(err, EINVAL, "QEMU cannot have %" PRIu64 " bytes of memory, or %s",
                         config->memory, config->disk);
    struct plumbing plumbing;
    struct qemu *qemu = calloc(1, sizeof *qemu);
    if (qemu == NULL)
        return error_set(err, ENOMEM, "out of memory");
    qemu->loop = loop;
    qemu->events = *events;
    qemu->context = context;
    qemu->pidfd = qemu->port = -1;
    int rc = plumbing_open(&plumbing, err);
    if (rc == 0)
        rc = qemu_spawn(qemu, config, &plumbing, err);
    if (rc == 0)
        rc = qemu_connect(qemu, &plumbing, err);
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

static void qemu_kill(uv_timer_t *timer)
{
    const struct qemu *qemu = timer->data;
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
    qemu->port = -1;
    if (qemu->handles == 0) {
        qemu_free(qemu);
        return;
    }
    uv_close((uv_handle_t *)&qemu->exit, qemu_freed);
    uv_close((uv_handle_t *)&qemu->grace, qemu_freed);
}
