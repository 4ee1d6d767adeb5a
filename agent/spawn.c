/*
 * The child shares our memory until its exec (CLONE_VM | CLONE_VFORK): nothing is copied, which
 * is most of what fork costs, and it tells us why it failed by writing it down. It therefore runs
 * on a stack of its own, allocates nothing, and makes only system calls: libc's setuid() and its
 * kin would try to reach the other threads of "this" process.
 *
 * Its signals: the agent handles and ignores none, it only blocks them all, so unblocking is
 * enough. Its descriptors: everything of ours is close-on-exec. Its OOM score needs no reset:
 * the kernel never picks PID 1, so ours was not touched.
 */
#include "agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/environment.h"
#include "agent/pty.h"
#include "agent/users.h"

#define CHILD_STACK   (64u * 1024)
#define CHILD_FILES   1024 /* soft limit on descriptors; the hard one is ours */
#define DEFAULT_PATH  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULTS_MAX  6
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

struct child {
    const struct spawn_request *request;
    const struct user *user;
    char **env;
    const char *path; /* PATH */
    int fds[3];
    bool change_user;
    bool limit_files;
    struct rlimit files;
    struct spawn_failure failure;
};

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

/* Like execvpe(3), but a file without a format is an error, not a script. Returns errno. */
ON_OTHER_STACK static int exec_program(const struct child *child)
{
    char *const *argv = child->request->argv;
    const char *path = child->path;
    char candidate[PATH_MAX];
    int worst = ENOENT;
    if (has_slash(argv[0])) {
        syscall(SYS_execve, argv[0], argv, child->env);
        return errno;
    }
    while (path != NULL) {
        if (!next_candidate(&path, argv[0], candidate))
            continue;
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

ON_OTHER_STACK static int set_up_process(const struct child *child)
{
    static const struct sched_param none;
    if (syscall(SYS_setsid) < 0)
        return errno;
    syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &none); /* the agent's own is another */
    for (int i = 0; i < 3; i++)
        if (syscall(SYS_dup3, child->fds[i], i, 0) < 0)
            return errno;
    if (child->request->pty && syscall(SYS_ioctl, STDOUT_FILENO, TIOCSCTTY, 0) != 0)
        return errno;
    if (child->limit_files)
        syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &child->files, NULL);
    return 0;
}

/* Each step of the child, and what its failure means. */
static const struct {
    int (*run)(const struct child *child);
    enum wire_stage stage;
    const char *text;
} steps[] = {
    {set_up_process, WIRE_STAGE_SETUP, "cannot set up the process"},
    {become_user, WIRE_STAGE_USER, "cannot become the user"},
    {enter_directory, WIRE_STAGE_CWD, "cannot enter the directory"},
    {exec_program, WIRE_STAGE_EXEC, "cannot execute the program"},
};

ON_OTHER_STACK static int child_main(void *context)
{
    struct child *child = context;
    uint64_t none = 0; /* the kernel's sigset_t */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int code = steps[i].run(child);
        if (code != 0) {
            child->failure = (struct spawn_failure){code, steps[i].stage, steps[i].text};
            break;
        }
    }
    syscall(SYS_exit_group, 127);
    return 127;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* One pipe: the command's end in *theirs, ours (non-blocking) in *ours. */
static int open_pipe(bool we_read, int *theirs, int *ours)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    *ours = ends[we_read ? 0 : 1];
    *theirs = ends[we_read ? 1 : 0];
    return fcntl(*ours, F_SETFL, O_NONBLOCK) != 0 ? -errno : 0;
}

static int open_ends(const struct spawn_request *request, uid_t owner, int theirs[3],
                     struct spawn_result *ours)
{
    int rc = 0;
    if (request->pty)
        return pty_open(request->rows, request->columns, owner, &ours->out, &theirs[1]);
    if (!request->no_stdin)
        rc = open_pipe(false, &theirs[0], &ours->in);
    if (rc == 0)
        rc = open_pipe(true, &theirs[1], &ours->out);
    if (rc == 0)
        rc = open_pipe(true, &theirs[2], &ours->err);
    return rc;
}

/* Defaults, configured, the command's own: a new list (the caller frees it), or NULL. */
static char **build_environment(const struct spawn_request *request, const struct user *user,
                                char *const *configured, size_t count)
{
    static char text[DEFAULTS_MAX][USERS_TEXT_MAX + 16]; /* valid until the next command */
    char **env = malloc((DEFAULTS_MAX + count + request->env_count + 1) * sizeof *env);
    size_t n = 0;
    if (env == NULL)
        return NULL;
    stpcpy(text[n++], DEFAULT_PATH); /* each fits; printf would be code that nothing else runs */
    stpcpy(stpcpy(text[n++], "HOME="), user->home);
    stpcpy(stpcpy(text[n++], "USER="), user->name);
    stpcpy(stpcpy(text[n++], "LOGNAME="), user->name);
    stpcpy(stpcpy(text[n++], "SHELL="), user->shell);
    if (request->pty)
        stpcpy(text[n++], "TERM=xterm-256color");
    for (size_t i = 0; i < n; i++)
        env[i] = text[i];
    if (count > 0)
        memcpy(env + n, configured, count * sizeof *env);
    n += count;
    if (request->env_count > 0)
        memcpy(env + n, request->env, request->env_count * sizeof *env);
    n += request->env_count;
    if (environment_unique(env, n) < 0) {
        free(env);
        return NULL;
    }
    return env;
}

/* What is the same for each command is asked for once: an emulated guest pays for each call. */
static int take_constants(struct child *child)
{
    static int null_fd = -1;
    static uid_t uid;
    static gid_t gid;
    static struct rlimit files;
    if (null_fd < 0) {
        uid = geteuid();
        gid = getegid();
        if (getrlimit(RLIMIT_NOFILE, &files) != 0)
            return -errno;
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null_fd < 0)
            return -errno;
    }
    const struct user *user = child->user;
    child->change_user =
        user->uid != uid || user->gid != gid || (user->uid == 0 && user->group_count > 1);
    child->limit_files = files.rlim_cur > CHILD_FILES;
    child->files = (struct rlimit){CHILD_FILES, files.rlim_max};
    if (child->request->no_stdin)
        child->fds[0] = null_fd;
    return 0;
}

static int start_child(struct child *child, struct spawn_result *result)
{
    static char stack[CHILD_STACK] __attribute__((aligned(16)));
    result->pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, child);
    if (result->pid < 0)
        child->failure = (struct spawn_failure){errno, WIRE_STAGE_SETUP, "cannot start a process"};
    return child->failure.code != 0 ? -1 : 0;
}

int spawn_start(const struct spawn_request *request, char *const *configured, size_t count,
                struct spawn_result *result, struct spawn_failure *failure)
{
    static struct user user; /* 6 KiB; nothing is kept in it between commands */
    *result = (struct spawn_result){-1, -1, -1, -1};
    int rc = users_find("/etc", request->user, &user);
    if (rc < 0) {
        *failure = (struct spawn_failure){-rc, WIRE_STAGE_USER, "no such user"};
        return -1;
    }
    struct child child = {.request = request, .user = &user, .fds = {-1, -1, -1}};
    int theirs[3] = {-1, -1, -1};
    child.env = build_environment(request, &user, configured, count);
    rc = child.env != NULL ? take_constants(&child) : -ENOMEM;
    if (rc == 0)
        rc = open_ends(request, user.uid, theirs, result);
    for (int i = 0; i < 3; i++)
        child.fds[i] = theirs[i] >= 0 ? theirs[i] : child.fds[i];
    if (rc < 0) {
        child.failure = (struct spawn_failure){
            -rc, WIRE_STAGE_SETUP, request->pty ? "cannot open a terminal" : "cannot open pipes"};
    } else {
        if (request->pty)
            child.fds[2] = child.fds[1];
        if (request->pty && !request->no_stdin)
            child.fds[0] = child.fds[1];
        child.path = environment_get(child.env, "PATH");
        rc = start_child(&child, result);
    }
    for (int i = 0; i < 3; i++)
        close_fd(&theirs[i]);
    free(child.env);
    if (rc == 0)
        return 0;
    close_fd(&result->in);
    close_fd(&result->out);
    close_fd(&result->err);
    *failure = child.failure;
    return -1;
}
