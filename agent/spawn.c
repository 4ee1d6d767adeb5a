/*
 * A command's user, environment and ends are made here; the process that becomes it is child.c's.
 * A template has one that waits, with pipes, for a fork's first command.
 */
#include "agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/child.h"
#include "agent/environment.h"
#include "agent/pty.h"
#include "agent/users.h"

#define CHILD_FILES  1024 /* soft limit on descriptors; the hard one is ours */
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULTS_MAX 6

/* What is the same for each command is asked for once: an emulated guest pays for each call. */
static struct {
    bool known;
    int null_fd;
    uid_t uid;
    gid_t gid;
    struct rlimit files;
} agent;

/* Our ends of the pipes of the process that waits. */
static struct spawn_result prepared = {-1, -1, -1, -1};

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

static int know_agent(void)
{
    if (agent.known)
        return 0;
    agent.uid = geteuid();
    agent.gid = getegid();
    if (getrlimit(RLIMIT_NOFILE, &agent.files) != 0)
        return -errno;
    agent.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    agent.known = agent.null_fd >= 0;
    return agent.known ? 0 : -errno;
}

static int take_constants(struct child *child)
{
    int rc = know_agent();
    child->limit_files = agent.files.rlim_cur > CHILD_FILES;
    child->files = (struct rlimit){CHILD_FILES, agent.files.rlim_max};
    return rc;
}

static bool changes_user(const struct user *user)
{
    return user->uid != agent.uid || user->gid != agent.gid ||
           (user->uid == 0 && user->group_count > 1);
}

static void close_result(struct spawn_result *result)
{
    close_fd(&result->in);
    close_fd(&result->out);
    close_fd(&result->err);
}

void spawn_prepare(void)
{
    struct child child = {.fds = {-1, -1, -1}};
    const struct spawn_request pipes = {0};
    if (prepared.out < 0 &&
        (take_constants(&child) < 0 || open_ends(&pipes, agent.uid, child.fds, &prepared) < 0 ||
         child_prepare(&child) < 0))
        close_result(&prepared);
    for (int i = 0; i < 3; i++)
        close_fd(&child.fds[i]);
}

/* With the process that waits; false if there is none, or none that fits. */
static bool start_prepared(struct child *child, struct spawn_result *result)
{
    if (child->request->pty) {
        child_dismiss();
        close_result(&prepared);
    }
    if (prepared.out < 0)
        return false;
    child->fds[0] = child->request->no_stdin ? agent.null_fd : -1;
    *result = prepared;
    prepared = (struct spawn_result){-1, -1, -1, -1};
    result->pid = child_wake(child);
    if (child->request->no_stdin)
        close_fd(&result->in);
    if (result->pid < 0)
        close_result(result);
    return result->pid >= 0;
}

/* With one that is started now. */
static void start_new(struct child *child, struct spawn_result *result)
{
    const struct spawn_request *request = child->request;
    int theirs[3] = {-1, -1, -1};
    int rc = open_ends(request, child->user->uid, theirs, result);
    if (rc < 0) {
        child->failure = (struct spawn_failure){
            -rc, WIRE_STAGE_SETUP, request->pty ? "cannot open a terminal" : "cannot open pipes"};
    } else {
        child->fds[0] = request->no_stdin ? agent.null_fd : theirs[request->pty ? 1 : 0];
        child->fds[1] = theirs[1];
        child->fds[2] = theirs[request->pty ? 1 : 2];
        result->pid = child_start(child);
    }
    for (int i = 0; i < 3; i++)
        close_fd(&theirs[i]);
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
    child.env = build_environment(request, &user, configured, count);
    rc = child.env != NULL ? take_constants(&child) : -ENOMEM;
    if (rc < 0) {
        child.failure = (struct spawn_failure){-rc, WIRE_STAGE_SETUP, "cannot start a process"};
    } else {
        child.path = environment_get(child.env, "PATH");
        child.change_user = changes_user(&user);
        if (!start_prepared(&child, result))
            start_new(&child, result);
    }
    free(child.env);
    if (child.failure.code == 0)
        return 0;
    close_result(result);
    *failure = child.failure;
    return -1;
}
