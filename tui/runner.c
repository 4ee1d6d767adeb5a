/* A command has ended when its process has, and whatever held its output too. */
#include "tui/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

static void runner_free(struct runner *runner)
{
    buf_free(&runner->output);
    free(runner->line);
    free(runner);
}

static void on_closed(uv_handle_t *handle)
{
    struct runner *runner = handle->data;
    if (--runner->handles > 0)
        return;
    struct runners *owner = runner->owner;
    if (owner != NULL) {
        for (struct runner **at = &owner->first; *at != NULL; at = &(*at)->next)
            if (*at == runner) {
                *at = runner->next;
                break;
            }
        if (runner->line != NULL)
            owner->ended(owner->context, runner);
    }
    runner_free(runner);
}

static void on_exit_status(uv_process_t *process, int64_t status, int signal)
{
    struct runner *runner = process->data;
    runner->status = status;
    runner->signal = signal;
    uv_close((uv_handle_t *)process, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct runner *runner = handle->data;
    (void)size;
    *buf = uv_buf_init(runner->chunk, sizeof runner->chunk);
}

/* The last line, where a progress bar returns with CR. */
static void runner_progress(struct runner *runner)
{
    const char *text = buf_string(&runner->output);
    size_t end = text != NULL ? strlen(text) : 0;
    while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r'))
        end--;
    size_t from = end;
    while (from > 0 && text[from - 1] != '\n' && text[from - 1] != '\r')
        from--;
    char line[256];
    size_t size = end - from < sizeof line - 1 ? end - from : sizeof line - 1;
    if (size == 0)
        return;
    memcpy(line, text + from, size);
    line[size] = '\0';
    runner->owner->progress(runner->owner->context, runner, line);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct runner *runner = stream->data;
    if (got < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    if (buf_len(&runner->output) + (size_t)got <= RUNNER_OUTPUT_MAX)
        buf_append(&runner->output, buf->base, (size_t)got);
    if (runner->owner != NULL)
        runner_progress(runner);
}

/* Words as a shell takes them, for the user's eye. */
static char *runner_line(const struct strv *argv)
{
    struct buf line = {0};
    buf_printf(&line, "vmdeck");
    for (size_t i = 0; i < argv->count; i++) {
        bool plain =
            argv->items[i][0] != '\0' && strpbrk(argv->items[i], " '\"$\\*?&|;<>()") == NULL;
        buf_printf(&line, plain ? " %s" : " '%s'", argv->items[i]);
    }
    char *copy = buf_string(&line) != NULL ? strdup(buf_string(&line)) : NULL;
    buf_free(&line);
    return copy;
}

static int runner_pipe(struct runner *runner, int *theirs)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return -errno;
    *theirs = pair[1];
    int rc = uv_pipe_open(&runner->pipe, pair[0]);
    if (rc < 0)
        close(pair[0]);
    return rc;
}

/* Both handles are initialised and will be closed, or none of them has run. */
static int runner_spawn(struct runner *runner, char **words)
{
    char self[] = "/proc/self/exe";
    CLEAN_FD int theirs = -1;
    int rc = runner_pipe(runner, &theirs);
    if (rc < 0) {
        uv_close((uv_handle_t *)&runner->pipe, on_closed);
        runner->handles = 1;
        return rc;
    }
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE},
                                     {.flags = UV_INHERIT_FD, .data.fd = theirs},
                                     {.flags = UV_INHERIT_FD, .data.fd = theirs}};
    const uv_process_options_t options = {.file = self,
                                          .args = words,
                                          .exit_cb = on_exit_status,
                                          .stdio = stdio,
                                          .stdio_count = 3,
                                          .flags = UV_PROCESS_DETACHED};
    runner->handles = 2;
    rc = uv_spawn(runner->owner->loop, &runner->process, &options);
    if (rc == 0)
        return uv_read_start((uv_stream_t *)&runner->pipe, on_alloc, on_read);
    uv_close((uv_handle_t *)&runner->process, on_closed);
    uv_close((uv_handle_t *)&runner->pipe, on_closed);
    return rc;
}

int runner_start(struct runners *runners, const struct strv *argv, bool show, struct error *err)
{
    struct runner *runner = calloc(1, sizeof *runner);
    char **words = calloc(argv->count + 2, sizeof *words), name[] = "vmdeck";
    if (runner == NULL || words == NULL) {
        free(runner);
        free(words);
        return error_set(err, ENOMEM, "out of memory");
    }
    runner->owner = runners;
    runner->show = show;
    runner->line = runner_line(argv);
    runner->process.data = runner->pipe.data = runner;
    words[0] = name;
    for (size_t i = 0; i < argv->count; i++)
        words[i + 1] = argv->items[i];
    uv_pipe_init(runners->loop, &runner->pipe, 0);
    int rc = runner_spawn(runner, words);
    free(words);
    if (rc < 0) {
        runner->owner = NULL;
        return error_system(err, -rc, "cannot run vmdeck %s",
                            argv->count > 0 ? argv->items[0] : "");
    }
    runner->next = runners->first;
    runners->first = runner;
    return 0;
}

void runners_close(struct runners *runners)
{
    while (runners->first != NULL) {
        struct runner *runner = runners->first;
        runners->first = runner->next;
        runner->owner = NULL;
        if (!uv_is_closing((uv_handle_t *)&runner->process))
            uv_close((uv_handle_t *)&runner->process, on_closed);
        if (!uv_is_closing((uv_handle_t *)&runner->pipe))
            uv_close((uv_handle_t *)&runner->pipe, on_closed);
    }
}
