/*
 * Bytes go both ways as in exec; the differences are raw mode, the Ctrl-] filter, and giving the
 * terminal back. The host sends what that takes when it lets us go. When it cannot (it was
 * killed, we got a signal), view_reset() does: it knows from what it has shown whether the
 * alternate screen is on, and turns off the modes that would make a shell unusable.
 */
#include "session/cli/view.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "session/cli/keys.h"
#include "session/cli/output.h"
#include "session/cli/tty.h"
#include "session/protocol/control.h"
#include "session/protocol/json.h"

#define SIGNALS    6
#define LEAVE_MS   2000 /* for a host that does not let go */
#define READ_BYTES 4096

enum view_end { VIEW_RUNS, VIEW_EXITED, VIEW_DETACHED, VIEW_FAILED, VIEW_SIGNALLED };

struct run {
    struct view *view;
    struct client_command *command;
    struct output out;
    struct watch *input;
    struct keys keys;
    uv_timer_t flush, leave;
    uv_signal_t signals[SIGNALS];
    enum view_end end;
    int status;
    bool leaving, attached, alternate, finished;
    bool given_back; /* the host has sent what gives the terminal back */
    struct error error;
};

static void run_finish(struct run *run, enum view_end end)
{
    if (run->end == VIEW_RUNS)
        run->end = end;
    run->finished = true;
    if (output_idle(&run->out) || run->out.broken)
        uv_stop(&run->view->loop);
}

/* Remembers which screen the terminal shows; sequences come whole. */
static void run_note_screen(struct run *run, const uint8_t *data, size_t size)
{
    static const char *const modes[] = {"\033[?1049", "\033[?1047", "\033[?47"};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        size_t len = strlen(modes[i]);
        const uint8_t *p = data;
        size_t left = size;
        const uint8_t *hit;
        while ((hit = memmem(p, left, modes[i], len)) != NULL && hit + len < data + size) {
            if (hit[len] == 'h' || hit[len] == 'l')
                run->alternate = hit[len] == 'h';
            p = hit + len;
            left = (size_t)(data + size - p);
        }
    }
}

static void on_started(void *context, uint32_t pid)
{
    struct run *run = context;
    (void)pid;
    run->attached = true;
    watch_start(run->input);
}

static void on_failed(void *context, const struct error *why, int status)
{
    struct run *run = context;
    run->command = NULL;
    run->status = status;
    if (run->error.code == 0)
        run->error = *why;
    run->given_back = status == 126 || status == 127;
    run_finish(run, VIEW_FAILED); /* on_gone() may know more, and comes before the loop stops */
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    struct run *run = context;
    (void)channel;
    (void)last;
    run_note_screen(run, data, size);
    output_write(&run->out, data, size);
}

static void on_accepted(void *context, uint32_t bytes)
{
    struct run *run = context;
    (void)bytes;
    if (run->attached && !run->leaving)
        watch_start(run->input);
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    struct run *run = context;
    run->command = NULL;
    run->given_back = true;
    run->status = (int)(signal != 0 ? 128 + signal : code);
    if (run->view->ended.code == 0) {
        run_finish(run, VIEW_EXITED);
    } else {
        run->error = run->view->ended; /* not by itself */
        run_finish(run, VIEW_FAILED);
    }
}

static void on_detached(void *context)
{
    struct run *run = context;
    run->command = NULL;
    run->given_back = true;
    run_finish(run, VIEW_DETACHED);
}

static void on_written(void *context, int fd, uint32_t bytes)
{
    struct run *run = context;
    (void)fd;
    if (run->command != NULL)
        client_consumed(run->command, CONTROL_STDOUT, bytes);
    if (run->finished && output_idle(&run->out))
        uv_stop(&run->view->loop);
}

static void on_output_gone(void *context, int fd, int code)
{
    (void)fd;
    (void)code;
    run_finish(context, VIEW_DETACHED); /* the terminal is gone; the session stays */
}

static void on_leave_timeout(uv_timer_t *timer)
{
    struct run *run = timer->data;
    run->finished = true;
    run->end = run->end == VIEW_RUNS ? VIEW_DETACHED : run->end;
    uv_stop(&run->view->loop);
}

static void run_leave(struct run *run)
{
    if (run->leaving)
        return;
    run->leaving = true;
    watch_stop(run->input);
    if (run->command == NULL) {
        run_finish(run, VIEW_DETACHED);
        return;
    }
    client_detach(run->command);
    uv_timer_start(&run->leave, on_leave_timeout, LEAVE_MS, 0);
}

static void run_type(struct run *run, const uint8_t *data, size_t size)
{
    if (size > 0 && run->command != NULL)
        client_input(run->command, data, (uint32_t)size, false);
}

static void on_flush(uv_timer_t *timer)
{
    struct run *run = timer->data;
    uint8_t held[KEYS_HELD_MAX];
    run_type(run, held, keys_flush(&run->keys, held));
}

static void on_input(void *context)
{
    struct run *run = context;
    uint8_t data[READ_BYTES], typed[READ_BYTES + KEYS_HELD_MAX];
    size_t size;
    if (run->command == NULL || client_input_room(run->command) < sizeof typed) {
        watch_stop(run->input);
        return;
    }
    ssize_t got = read(STDIN_FILENO, data, sizeof data);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        run_leave(run);
        return;
    }
    uv_timer_stop(&run->flush);
    bool leave = keys_take(&run->keys, data, (size_t)got, typed, &size);
    run_type(run, typed, size);
    if (leave)
        run_leave(run);
    else if (keys_pending(&run->keys))
        uv_timer_start(&run->flush, on_flush, KEYS_WAIT_MS, 0);
}

static void on_event(void *context, const char *name, const cJSON *event)
{
    struct view *view = context;
    const char *message = json_string(event, "message"), *console = json_string(event, "console");
    if (strcmp(name, "stopping") == 0 && view->ended.code == 0)
        error_set(&view->ended, ECANCELED, "the session was stopped");
    if (strcmp(name, "ended") != 0)
        return;
    if (json_number(event, "code", 0) != 0 && view->ended.code == 0)
        error_set(&view->ended, EIO, "%s", message != NULL ? message : "the session ended");
    if (console != NULL && view->console == NULL)
        view->console = strdup(console);
}

static void on_gone(void *context, const struct error *why)
{
    struct view *view = context;
    struct run *run = view->run;
    view->gone = true;
    if (run == NULL) {
        if (view->ended.code == 0)
            view->ended = *why;
        uv_stop(&view->loop);
        return;
    }
    if (run->error.code == 0)
        run->error = *why;
    if (view->ended.code != 0)
        run->error = view->ended;
    run_finish(run, VIEW_FAILED);
}

const struct client_events view_events = {on_event, on_gone};

/* Without a word of the host: modes that a shell cannot live with go off. */
static void view_reset(const struct run *run)
{
    static const char modes[] = "\030\033[?2004l\033[?1000l\033[?1002l\033[?1003l\033[?1006l"
                                "\033[?1004l\033[?1l\033>\033[?7h\033[?25h\033[r\033[m\r\n";
    static const char screen[] = "\030\033[?1049l";
    if (run->alternate)
        fd_write_all(STDOUT_FILENO, screen, sizeof screen - 1);
    fd_write_all(STDOUT_FILENO, modes, sizeof modes - 1);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct run *run = handle->data;
    uint16_t rows, columns;
    if (signum == SIGWINCH || signum == SIGCONT) {
        tty_size(&rows, &columns);
        if (run->command != NULL)
            client_resize(run->command, rows, columns);
        return;
    }
    if (signum == SIGTSTP) { /* from elsewhere: typed, it is the guest's */
        view_reset(run);
        run->alternate = false;
        tty_suspend(); /* SIGCONT follows, and with it a new drawing */
        return;
    }
    run->status = 128 + signum;
    run->end = VIEW_SIGNALLED;
    run_leave(run);
}

static unsigned view_colors(void)
{
    const char *term = getenv("TERM"), *color = getenv("COLORTERM");
    if (color != NULL && (strcmp(color, "truecolor") == 0 || strcmp(color, "24bit") == 0))
        return 2;
    if (term == NULL || strcmp(term, "dumb") == 0 || strncmp(term, "vt", 2) == 0)
        return 0;
    return 1;
}

/* The Linux console prints what it does not know of OSC. */
static bool view_strings(void)
{
    const char *term = getenv("TERM");
    return term != NULL && strncmp(term, "linux", 5) != 0 && strcmp(term, "dumb") != 0 &&
           strncmp(term, "vt", 2) != 0;
}

int view_init(struct view *view, const char *verb, struct error *err)
{
    *view = (struct view){.verb = verb};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return error_set(err, ENOTTY, "standard input and output must be a terminal");
    int rc = uv_loop_init(&view->loop);
    return rc < 0 ? error_set(err, -rc, "cannot make an event loop: %s", uv_strerror(rc)) : 0;
}

static int run_open(struct run *run, struct error *err)
{
    static const struct client_command_events events = {
        on_started,  on_failed,           on_output,
        on_accepted, .exited = on_exited, .detached = on_detached};
    static const int signals[SIGNALS] = {SIGWINCH, SIGCONT, SIGTSTP, SIGTERM, SIGHUP, SIGINT};
    struct view *view = run->view;
    uv_timer_init(&view->loop, &run->flush);
    uv_timer_init(&view->loop, &run->leave);
    run->flush.data = run->leave.data = run;
    int rc =
        output_open(&run->out, &view->loop, STDOUT_FILENO, on_written, on_output_gone, run, err);
    if (rc == 0)
        rc = watch_open(&run->input, &view->loop, STDIN_FILENO, UV_READABLE, on_input, run, err);
    if (rc < 0)
        return rc;
    struct client_attach attach = {.terminal = view->terminal,
                                   .read_only = view->read_only,
                                   .colors = view_colors(),
                                   .strings = view_strings()};
    tty_size(&attach.rows, &attach.columns);
    fprintf(stderr, "vmdeck: session %s (Ctrl-] leaves it running)\n", view->id);
    rc = tty_raw(err);
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(&view->loop, &run->signals[i]);
        run->signals[i].data = run;
        uv_signal_start(&run->signals[i], on_signal, signals[i]);
    }
    if (rc == 0)
        rc = client_attach(view->client, &attach, &events, run, &run->command, err);
    return rc;
}

/* What the user reads when the terminal is theirs again. */
static int run_report(const struct run *run, struct error *err)
{
    const struct view *view = run->view;
    if (run->end == VIEW_DETACHED || (run->end == VIEW_SIGNALLED && !view->gone)) {
        fprintf(stderr, "vmdeck: left session %s running; back with: vmdeck attach %s\n", view->id,
                view->id);
        return run->status;
    }
    if (run->end == VIEW_EXITED)
        return run->status;
    if (view->ended.code == 0 && (run->status == 126 || run->status == 127)) {
        fprintf(stderr, "vmdeck %s: %s\n", view->verb, run->error.message);
        return run->status;
    }
    if (view->console != NULL)
        fprintf(stderr, "vmdeck %s: the guest's console said last:\n%s", view->verb, view->console);
    *err = run->error;
    return -(err->code != 0 ? err->code : EIO);
}

int view_run(struct view *view, struct error *err)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return error_set(err, ENOMEM, "out of memory");
    run->view = view;
    view->run = run;
    int rc = run_open(run, err);
    if (rc == 0)
        uv_run(&view->loop, UV_RUN_DEFAULT);
    if (!run->given_back && run->attached)
        view_reset(run);
    tty_restore();
    client_close(view->client);
    return rc == 0 ? run_report(run, err) : rc; /* `run` stays: the loop's handles are in it */
}
