/*
 * fork and exec. The child moves the named descriptors to a range above PROCESS_FD_MAX first, so
 * that no mapping can overwrite the source of another, then down to their numbers, then marks all
 * others close-on-exec. A failure before or in exec travels back through a close-on-exec pipe.
 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/str.h"

#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED 2
#endif

extern char **environ;

static int child_descriptors(const struct process_spec *spec, int *report)
{
    int wanted[PROCESS_FD_MAX];
    for (int i = 0; i < PROCESS_FD_MAX; i++)
        wanted[i] = i < 3 ? -2 : -1;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int moved_report = fcntl(*report, F_DUPFD_CLOEXEC, PROCESS_FD_MAX);
    int moved_null = null >= 0 ? fcntl(null, F_DUPFD_CLOEXEC, PROCESS_FD_MAX) : -1;
    if (moved_report < 0 || moved_null < 0)
        return -errno;
    *report = moved_report;
    for (size_t i = 0; i < spec->fd_count; i++) {
        const struct process_fd *fd = &spec->fds[i];
        int moved = fd->ours < 0 ? moved_null : fcntl(fd->ours, F_DUPFD_CLOEXEC, PROCESS_FD_MAX);
        if (moved < 0)
            return -errno;
        wanted[fd->theirs] = moved;
    }
    for (int i = 0; i < PROCESS_FD_MAX; i++) {
        int from = wanted[i] == -2 ? moved_null : wanted[i];
        if (from >= 0 ? dup2(from, i) < 0 : (close(i) < 0 && errno != EBADF))
            return -errno;
    }
    if (close_range(PROCESS_FD_MAX, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return -errno;
    return 0;
}

/*
 * Where the host gives huge pages to everybody (always), a kernel since 6.18 can be told to give
 * them only where they are advised; an older one gives all or none. One without them is fine, too.
 */
static void child_huge_pages(void)
{
    char modes[64] = "";
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, modes, sizeof modes - 1) : 0;
    if (fd >= 0)
        close(fd);
    if (got > 0 && strstr(modes, "[always]") != NULL &&
        prctl(PR_SET_THP_DISABLE, 1, PR_THP_DISABLE_EXCEPT_ADVISED, 0, 0) < 0)
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

static int child_exec(const struct process_spec *spec, pid_t parent, int *report)
{
    sigset_t none;
    sigemptyset(&none);
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (spec->parent_death_signal != 0) {
        if (prctl(PR_SET_PDEATHSIG, spec->parent_death_signal) < 0)
            return -errno;
        if (getppid() != parent)
            _exit(1); /* the parent ended before the request stood */
    }
    int rc = child_descriptors(spec, report);
    if (rc < 0)
        return rc;
    if (spec->new_session && setsid() < 0)
        return -errno;
    if (spec->directory != NULL && chdir(spec->directory) < 0)
        return -errno;
    for (size_t i = 0; i < spec->limit_count; i++) {
        struct rlimit limit = {spec->limits[i].value, spec->limits[i].value};
        if (setrlimit((__rlimit_resource_t)spec->limits[i].resource, &limit) < 0)
            return -errno;
    }
    if (spec->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    if (spec->sparse_huge_pages)
        child_huge_pages();
    execvpe(spec->argv[0], (char *const *)spec->argv,
            spec->env != NULL ? (char *const *)spec->env : environ);
    return -errno;
}

pid_t process_spawn(const struct process_spec *spec, struct error *err)
{
    int report[2];
    for (size_t i = 0; i < spec->fd_count; i++)
        if (spec->fds[i].theirs < 0 || spec->fds[i].theirs >= PROCESS_FD_MAX)
            return error_set(err, EINVAL, "descriptor %d is out of range", spec->fds[i].theirs);
    if (pipe2(report, O_CLOEXEC) < 0)
        return error_system(err, errno, "cannot make a pipe");
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        int code = errno;
        close(report[0]);
        close(report[1]);
        return error_system(err, code, "cannot fork");
    }
    if (pid == 0) {
        int code = child_exec(spec, self, &report[1]);
        ssize_t put = write(report[1], &code, sizeof code);
        (void)put;
        _exit(127);
    }
    close(report[1]);
    int code = 0;
    ssize_t got;
    do
        got = read(report[0], &code, sizeof code);
    while (got < 0 && errno == EINTR);
    close(report[0]);
    if (got != (ssize_t)sizeof code)
        return pid;
    process_wait(pid);
    return error_system(err, -code, "cannot run %s", spec->argv[0]);
}

int process_wait(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

char *process_find(const char *program)
{
    if (strchr(program, '/') != NULL)
        return access(program, X_OK) == 0 ? strdup(program) : NULL;
    const char *path = getenv("PATH");
    if (path == NULL)
        path = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
    while (*path != '\0') {
        size_t len = strcspn(path, ":");
        CLEAN_FREE char *full = str_printf("%.*s/%s", (int)len, path, program);
        if (full != NULL && len > 0 && access(full, X_OK) == 0)
            return take_ptr(full);
        path += len + (path[len] == ':');
    }
    return NULL;
}
