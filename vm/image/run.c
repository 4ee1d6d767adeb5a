/*
 * Cancelling kills the child's own child first: with unshare --pid --fork that is the first
 * process of a PID namespace, and the kernel ends all others in it before it can be reaped; so
 * when unshare has seen its end, nothing is left that could still write.
 *
 * The cancel flag is set by a signal handler, perhaps while another thread takes the signal:
 * nothing that can be waited for. Hence the one timeout in poll().
 */
#include "vm/image/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"
#include "base/str.h"

#define CANCEL_LATENCY_MS 200

static void run_kill(pid_t pid)
{
    CLEAN_FREE char *path = str_printf("/proc/%d/task/%d/children", (int)pid, (int)pid);
    CLEAN_BUF struct buf text = {0};
    long child = 0;
    if (path != NULL && path_read(path, 4096, &text, NULL) == 0 && buf_string(&text) != NULL)
        child = strtol(buf_string(&text), NULL, 10);
    if (child <= 1 || kill((pid_t)child, SIGKILL) < 0)
        kill(pid, SIGKILL);
}

/* Hands over whole lines; '\r' ends one too. */
static void run_lines(const struct run *run, struct buf *text, bool end)
{
    while (buf_len(text) > 0) {
        char line[RUN_LINE_MAX];
        const char *data = (const char *)buf_data(text);
        size_t length = 0;
        while (length < buf_len(text) && data[length] != '\n' && data[length] != '\r')
            length++;
        bool whole = length < buf_len(text);
        if (!whole && !end && length < RUN_LINE_MAX - 1)
            return;
        size_t cut = length < RUN_LINE_MAX - 1 ? length : RUN_LINE_MAX - 1;
        memcpy(line, data, cut);
        line[cut] = '\0';
        buf_consume(text, length + whole);
        if (run->line != NULL && cut > 0)
            run->line(run->context, line);
    }
}

/* Reads until the other end is closed. */
static int run_listen(const struct run *run, pid_t pid, int fd, struct error *err)
{
    CLEAN_BUF struct buf text = {0};
    bool cancelled = false;
    for (;;) {
        if (!cancelled && run->cancel != NULL && *run->cancel != 0) {
            cancelled = true;
            run_kill(pid);
        }
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int got = poll(&ready, 1, cancelled ? -1 : CANCEL_LATENCY_MS);
        if (got < 0 && errno != EINTR)
            return error_system(err, errno, "cannot wait for %s", run->argv[0]);
        if (got <= 0)
            continue;
        uint8_t *room = buf_reserve(&text, 4096);
        if (room == NULL)
            return error_set(err, ENOMEM, "out of memory");
        ssize_t size = read(fd, room, 4096);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            break;
        buf_added(&text, (size_t)size);
        run_lines(run, &text, false);
    }
    run_lines(run, &text, true);
    return cancelled ? error_set(err, ECANCELED, "cancelled") : 0;
}

int run_program(const struct run *run, struct error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_system(err, errno, "cannot make a pipe");
    CLEAN_FD int from = ends[0];
    CLEAN_FD int to = ends[1];
    const struct process_fd fds[] = {{run->out, 1}, {to, 2}};
    pid_t pid = process_spawn(
        &(struct process_spec){
            .argv = run->argv,
            .env = run->env,
            .fds = fds,
            .fd_count = 2,
            .parent_death_signal = SIGKILL,
            .new_session = true,
        },
        err);
    if (pid < 0)
        return pid;
    close(take_fd(&to));
    int rc = run_listen(run, pid, from, err);
    if (rc < 0)
        run_kill(pid);
    int status = process_wait(pid);
    if (rc < 0)
        return rc;
    if (WIFSIGNALED(status))
        return error_set(err, EIO, "%s was ended by signal %d", run->argv[0], WTERMSIG(status));
    if (status != 0)
        return error_set(err, EIO, "%s failed with status %d", run->argv[0], WEXITSTATUS(status));
    return 0;
}
