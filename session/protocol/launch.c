/*
 * The host detaches by itself (it forks once more and its first process ends), so whoever
 * launches has one short-lived child to wait for and no zombie later.
 */
#include "session/protocol/launch.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/process.h"

/* The real path looks better in ps; an upgraded binary's path says " (deleted)". */
static const char *launch_self(char *room, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", room, size - 1);
    room[len > 0 ? len : 0] = '\0';
    return len > 0 && access(room, X_OK) == 0 ? room : "/proc/self/exe";
}

int launch_host(const char *program, struct error *err)
{
    char self[4096];
    if (program == NULL)
        program = launch_self(self, sizeof self);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_system(err, errno, "cannot make a socket pair");
    CLEAN_FD int ours = pair[0];
    CLEAN_FD int theirs = pair[1];
    const char *const argv[] = {program, LAUNCH_VERB, NULL};
    const struct process_fd fds[] = {{theirs, LAUNCH_FD}};
    pid_t pid = process_spawn(
        &(struct process_spec){.argv = argv, .fds = fds, .fd_count = 1, .new_session = true}, err);
    if (pid < 0)
        return error_wrap(err, "cannot start a session host");
    int status = process_wait(pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return error_set(err, EIO, "the session host did not start (wait status 0x%x)",
                         (unsigned)status);
    return take_fd(&ours);
}
