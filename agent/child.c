/*
 * The child shares our memory until its exec (CLONE_VM): nothing is copied, which is most of what
 * fork costs, and it tells us why it failed by writing it down. It therefore runs on a stack of its
 * own, allocates nothing, and makes only system calls: libc's setuid() and its kin would try to
 * reach the other threads of "this" process. We stand still (CLONE_VFORK) as long as it does.
 *
 * In a template one is started beforehand, and waits: for a fork that is less to run until its
 * first command ends. It is told by a byte in a pipe, and tells by the end of another, which its
 * exec or its end closes. Its descriptors are its own by then: what it is to have is opened before
 * it is started. It is for a fork's first command only: later ones would seem to have begun before
 * they were asked for, and are no faster by it.
 *
 * Its signals: the agent handles and ignores none, it only blocks them all, so unblocking is
 * enough. Its descriptors: everything of ours is close-on-exec. Its OOM score needs no reset:
 * the kernel never picks PID 1, so ours was not touched.
 */
#include "agent/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK         (64u * 1024)
#define FALLBACK_HOME "/"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(SANITIZED) || defined(__SANITIZE_ADDRESS__)
#define ON_OTHER_STACK __attribute__((no_sanitize("address", "undefined")))
#else
#define ON_OTHER_STACK
#endif

static struct {
    struct child child;
    pid_t pid;     /* 0: none; -1: it was dismissed, and may have its stack yet */
    int go, done;  /* ours: told by a byte; at its end when the program runs, or nothing does */
    int told, end; /* its own: go's and done's other ends */
} waiting;

/* The program's path in the next directory of PATH; false for one that is too long. */
ON_OTHER_STACK static bool next_candidate(const char **path, const char *name, char out[PATH_MAX])
{
    const char *from = *path;
    size_t length = 0, name_size = 0;
    while (from[length] != '\0' && from[length] != ':')
        length++;
    *path = from[length] == ':' ? from + length + 1 : NULL;
    while (name[name_size++] != '\0')
        ;
    if (length + 1 + name_size > PATH_MAX)
        return false;
    size_t at = 0;
    for (; at < length; at++)
        out[at] = from[at];
    if (length > 0) /* an empty entry is the working directory */
        out[at++] = '/';
    for (size_t i = 0; i < name_size; i++)
        out[at + i] = name[i];
    return true;
}

ON_OTHER_STACK static bool has_slash(const char *name)
{
    while (*name != '\0' && *name != '/')
        name++;
    return *name == '/';
}

/*
 * Like execvpe(3), but a file without a format is an error, not a script. Returns errno. Whether it
 * is there is asked first: an execve that fails has made most of a process's memory by then.
 */
ON_OTHER_STACK static int exec_program(const struct child *child)
{
    char *const *argv = child->request->argv;
    const char *path = child->path;
    char candidate[PATH_MAX];
    struct stat st;
    int worst = ENOENT;
    if (has_slash(argv[0])) {
        syscall(SYS_execve, argv[0], argv, child->env);
        return errno;
    }
    while (path != NULL) {
        if (!next_candidate(&path, argv[0], candidate))
            continue;
        if (syscall(SYS_newfstatat, AT_FDCWD, candidate, &st, 0) == 0)
            syscall(SYS_execve, candidate, argv, child->env);
        if (errno == EACCES)
            worst = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            return errno;
    }
    return worst;
}

ON_OTHER_STACK static int enter_directory(const struct child *child)
{
    if (child->request->cwd != NULL)
        return syscall(SYS_chdir, child->request->cwd) != 0 ? errno : 0;
    if (syscall(SYS_chdir, child->user->home) == 0)
        return 0;
    return syscall(SYS_chdir, FALLBACK_HOME) != 0 ? errno : 0;
}

ON_OTHER_STACK static int become_user(const struct child *child)
{
    const struct user *user = child->user;
    if (!child->change_user)
        return 0;
    if (syscall(SYS_setgroups, user->group_count, user->groups) != 0 ||
        syscall(SYS_setresgid, user->gid, user->gid, user->gid) != 0 ||
        syscall(SYS_setresuid, user->uid, user->uid, user->uid) != 0)
        return errno;
    return 0;
}

ON_OTHER_STACK static int take_terminal(const struct child *child)
{
    return child->request->pty && syscall(SYS_ioctl, STDOUT_FILENO, TIOCSCTTY, 0) != 0 ? errno : 0;
}

ON_OTHER_STACK static int take_descriptors(const struct child *child)
{
    for (int i = 0; i < 3; i++)
        if (child->fds[i] >= 0 && syscall(SYS_dup3, child->fds[i], i, 0) < 0)
            return errno;
    return 0;
}

ON_OTHER_STACK static int leave_agent(const struct child *child)
{
    static const struct sched_param none;
    uint64_t signals = 0; /* the kernel's sigset_t */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &signals, NULL, sizeof signals);
    if (syscall(SYS_setsid) < 0)
        return errno;
    syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &none); /* the agent's own is another */
    if (child->limit_files)
        syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &child->files, NULL);
    return 0;
}

/* Each step of the child, and what its failure means. */
static const struct step {
    int (*run)(const struct child *child);
    enum wire_stage stage;
    const char *text;
} steps[] = {
    {leave_agent, WIRE_STAGE_SETUP, "cannot set up the process"},
    {take_descriptors, WIRE_STAGE_SETUP, "cannot set up the process"},
    {take_terminal, WIRE_STAGE_SETUP, "cannot set up the process"},
    {become_user, WIRE_STAGE_USER, "cannot become the user"},
    {enter_directory, WIRE_STAGE_CWD, "cannot enter the directory"},
    {exec_program, WIRE_STAGE_EXEC, "cannot execute the program"},
};

ON_OTHER_STACK static void run_steps(struct child *child, const struct step *from)
{
    for (; from < steps + sizeof steps / sizeof steps[0]; from++) {
        int code = from->run(child);
        if (code != 0) {
            child->failure = (struct spawn_failure){code, from->stage, from->text};
            break;
        }
    }
    syscall(SYS_exit_group, 127);
}

ON_OTHER_STACK static int child_main(void *context)
{
    run_steps(context, steps);
    return 127;
}

/* A write that fails, and an end instead of the byte, mean that the agent is no more. */
ON_OTHER_STACK static int waiting_main(void *context)
{
    struct child *child = context;
    char byte = 0;
    syscall(SYS_close, waiting.go);
    syscall(SYS_close, waiting.done);
    if (leave_agent(child) == 0 && take_descriptors(child) == 0 &&
        syscall(SYS_write, waiting.end, &byte, 1) == 1 &&
        syscall(SYS_read, waiting.told, &byte, 1) == 1)
        run_steps(child, &steps[1]); /* descriptors again: its input may be another */
    syscall(SYS_exit_group, 127);
    return 127;
}

pid_t child_start(struct child *child)
{
    static char stack[STACK] __attribute__((aligned(16)));
    pid_t pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, child);
    if (pid < 0)
        child->failure = (struct spawn_failure){errno, WIRE_STAGE_SETUP, "cannot start a process"};
    return pid;
}

static int open_pipes(void)
{
    int go[2], done[2];
    if (pipe2(go, O_CLOEXEC) != 0)
        return -1;
    if (pipe2(done, O_CLOEXEC) != 0) {
        close(go[0]);
        close(go[1]);
        return -1;
    }
    waiting.told = go[0];
    waiting.go = go[1];
    waiting.done = done[0];
    waiting.end = done[1];
    return 0;
}

/* The end of what it says, or a byte. */
static bool heard(void)
{
    char byte;
    ssize_t n;
    while ((n = read(waiting.done, &byte, 1)) < 0 && errno == EINTR)
        ;
    return n > 0;
}

static void forget(void)
{
    close(waiting.go);
    close(waiting.done);
    waiting.pid = 0;
}

int child_prepare(const struct child *child)
{
    static char stack[STACK] __attribute__((aligned(16)));
    if (waiting.pid != 0 || open_pipes() < 0)
        return -1;
    waiting.child = *child;
    pid_t pid = clone(waiting_main, stack + sizeof stack, CLONE_VM | SIGCHLD, &waiting.child);
    close(waiting.told);
    close(waiting.end);
    if (pid > 0 && heard())
        waiting.pid = pid;
    else
        forget();
    return waiting.pid != 0 ? 0 : -1;
}

pid_t child_wake(struct child *child)
{
    pid_t pid = waiting.pid;
    if (pid <= 0)
        return -1;
    waiting.child = *child;
    if (write(waiting.go, "", 1) != 1)
        pid = -1; /* somebody in the guest has killed it */
    else
        heard();
    child->failure = waiting.child.failure;
    forget();
    return pid;
}

void child_dismiss(void)
{
    if (waiting.pid <= 0)
        return;
    forget();
    waiting.pid = -1;
}
