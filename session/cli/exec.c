/*
 * vmdeck exec: one VM, one or several commands in it, one after the other, and both are gone at
 * the end. The loop has at most one command at a time; its output goes to ours as fast as ours
 * is read, its input comes from ours as fast as the guest takes it.
 *
 * Signals: the first SIGINT goes to the command, a second one (or one while there is no command)
 * ends the VM. SIGTERM and SIGHUP end it at once. The exit status is decided before the VM is
 * taken down, and the verb returns when the host has killed the VM and removed what it had.
 */
#include "session/cli/exec.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/watch.h"
#include "session/cli/output.h"
#include "session/cli/start.h"
#include "session/cli/tty.h"
#include "session/cli/vmoptions.h"
#include "session/protocol/control.h"
#include "session/protocol/json.h"

#define STATUS_TIMEOUT 124 /* as timeout(1) */
#define KILL_AFTER_MS  2000
#define SIGNALS        4
#define DETACH_KEY     0x1d /* Ctrl-] */

struct exec_run {
    const struct exec_options *options;
    uv_loop_t loop;
    struct client *client;
    bool gone; /* the host's connection has ended */
    size_t current;
    struct client_command *command; /* NULL: none runs */
    bool exited;
    int status;     /* of the whole: the first that is not zero */
    int interrupts; /* SIGINTs so far */
    bool timed_out, ending;
    struct output out[3]; /* [1] and [2] */
    struct watch *input;
    bool input_open;
    bool raw;                    /* our terminal is in raw mode: its Ctrl-] is ours */
    struct exec_capture capture; /* --json */
    uv_signal_t signals[SIGNALS];
    uv_timer_t timeout;
    struct error error; /* what vmdeck itself failed with */
    char *console;      /* the last lines of a VM that ended by itself */
};

static void run_next(struct exec_run *run);

static void run_status(struct exec_run *run, int status)
{
    if (run->status == 0)
        run->status = status;
}

/* Takes the VM down; the loop ends when the host has gone. */
static void run_end(struct exec_run *run)
{
    if (run->ending)
        return;
    run->ending = true;
    run->command = NULL;
    if (run->input != NULL)
        watch_stop(run->input);
    uv_timer_stop(&run->timeout);
    tty_restore();
    if (run->gone || run->client == NULL)
        uv_stop(&run->loop);
    else
        client_request(run->client, "stop", NULL, NULL, NULL);
}

/* The command is over once it has exited and all its output is out. */
static void run_check_over(struct exec_run *run)
{
    if (!run->exited || !output_idle(&run->out[1]) || !output_idle(&run->out[2]) || run->ending)
        return;
    run->exited = false;
    if (run->options->json)
        exec_capture_print(&run->capture);
    run->current++;
    run_next(run);
}

static void on_started(void *context, uint32_t pid)
{
    struct exec_run *run = context;
    (void)pid;
    if (run->input != NULL && run->current == 0) {
        run->input_open = true;
        watch_start(run->input);
    }
}

static void on_failed(void *context, const struct error *why, int status)
{
    struct exec_run *run = context;
    run->command = NULL;
    if (run->ending || run->gone)
        return;
    if (status == STATUS_FAILED) {
        if (run->error.code == 0)
            run->error = *why;
        run_end(run);
        return;
    }
    fprintf(stderr, "vmdeck exec: %s\n", why->message);
    run_status(run, status);
    run->capture.exit = status;
    run->exited = true;
    run_check_over(run);
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    struct exec_run *run = context;
    (void)last;
    if (run->options->json) {
        exec_capture_add(&run->capture, channel, data, size);
        if (run->command != NULL)
            client_consumed(run->command, channel, size);
    } else {
        output_write(&run->out[channel], data, size);
    }
}

static void on_accepted(void *context, uint32_t bytes)
{
    const struct exec_run *run = context;
    (void)bytes;
    if (run->input_open)
        watch_start(run->input);
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    struct exec_run *run = context;
    run->command = NULL;
    run->exited = true;
    if (run->input != NULL)
        watch_stop(run->input);
    run->input_open = false;
    run->capture.exit = (int)(signal != 0 ? 128 + signal : code);
    run->capture.signal = (int)signal;
    run_status(run, run->timed_out ? STATUS_TIMEOUT : run->capture.exit);
    if (run->timed_out)
        run_end(run);
    else
        run_check_over(run);
}

static void on_written(void *context, int fd, uint32_t bytes)
{
    struct exec_run *run = context;
    if (run->command != NULL)
        client_consumed(run->command, (unsigned)fd, bytes);
    run_check_over(run);
}

/* Nobody reads our output any more: the command gets what it would get in a pipe. */
static void on_output_gone(void *context, int fd, int code)
{
    struct exec_run *run = context;
    if (code != EPIPE && run->error.code == 0)
        error_system(&run->error, code, "cannot write to %s", fd == 1 ? "stdout" : "stderr");
    if (run->command != NULL)
        client_signal(run->command, SIGPIPE);
}

static void on_input(void *context)
{
    struct exec_run *run = context;
    uint8_t data[CONTROL_DATA_MAX];
    uint32_t room = run->command != NULL ? client_input_room(run->command) : 0;
    if (room == 0) {
        watch_stop(run->input);
        return;
    }
    ssize_t got = read(STDIN_FILENO, data, room < sizeof data ? room : sizeof data);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && run->raw && memchr(data, DETACH_KEY, (size_t)got) != NULL) {
        run_status(run, 130);
        run_end(run);
        return;
    }
    client_input(run->command, data, got > 0 ? (uint32_t)got : 0, got <= 0);
    if (got <= 0) {
        run->input_open = false;
        watch_stop(run->input);
    }
}

static void on_client_event(void *context, const char *name, const cJSON *event)
{
    struct exec_run *run = context;
    if (strcmp(name, "stopping") == 0 && !run->ending && run->error.code == 0)
        error_set(&run->error, ECANCELED, "the session was stopped"); /* not the command's doing */
    if (strcmp(name, "ended") != 0)
        return;
    const char *message = json_string(event, "message"), *console = json_string(event, "console");
    if (run->ending || run->error.code != 0)
        return; /* as asked, or there is a reason already */
    bool said = message != NULL && message[0] != '\0';
    error_set(&run->error, EIO, "%s", said ? message : "the session ended");
    if (console != NULL && run->console == NULL)
        run->console = strdup(console);
}

static void on_client_ended(void *context, const struct error *why)
{
    struct exec_run *run = context;
    run->gone = true;
    if (!run->ending && run->error.code == 0)
        run->error = *why;
    run->ending = true;
    uv_stop(&run->loop);
}

static void on_start(void *context, const cJSON *reply, const struct error *why)
{
    struct exec_run *run = context;
    if (run->ending)
        return;
    if (reply == NULL) {
        if (run->error.code == 0)
            run->error = *why;
        return; /* the host ends, and with it the connection */
    }
    start_notice("exec", reply);
    run_next(run);
}

static void on_kill(uv_timer_t *timer)
{
    run_end(timer->data);
}

static void on_timeout(uv_timer_t *timer)
{
    struct exec_run *run = timer->data;
    fprintf(stderr, "vmdeck exec: timed out after %llu s\n",
            (unsigned long long)run->options->timeout);
    run->timed_out = true;
    run_status(run, STATUS_TIMEOUT);
    if (run->command == NULL) {
        run_end(run);
        return;
    }
    client_signal(run->command, SIGTERM);
    uv_timer_start(&run->timeout, on_kill, KILL_AFTER_MS, 0);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct exec_run *run = handle->data;
    uint16_t rows, columns;
    if (signum == SIGWINCH) {
        tty_size(&rows, &columns);
        if (run->command != NULL && run->options->tty)
            client_resize(run->command, rows, columns);
    } else if (signum == SIGINT && run->command != NULL && run->interrupts++ == 0) {
        client_signal(run->command, SIGINT);
    } else {
        run_status(run, 128 + signum);
        run_end(run);
    }
}

static void run_next(struct exec_run *run)
{
    const struct exec_options *options = run->options;
    if (run->current == options->command_count) {
        run_end(run);
        return;
    }
    static const struct client_command_events events = {on_started, on_failed, on_output,
                                                        on_accepted, .exited = on_exited};
    const struct exec_command *command = &options->commands[run->current];
    struct client_exec exec = {
        .argv = &command->argv,
        .env = &command->env,
        .cwd = command->cwd != NULL ? command->cwd : options->cwd,
        .tty = options->tty,
        .no_stdin = run->input == NULL || run->current > 0,
    };
    if (options->tty)
        tty_size(&exec.rows, &exec.columns);
    exec_capture_begin(&run->capture);
    if (client_exec(run->client, &exec, &events, run, &run->command, &run->error) < 0)
        run_end(run);
}

static int run_open(struct exec_run *run, struct session_config *config, struct error *err)
{
    static const int signals[SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    static const struct client_events events = {on_client_event, on_client_ended};
    const struct exec_options *options = run->options;
    int rc = uv_loop_init(&run->loop);
    if (rc < 0)
        return error_set(err, -rc, "cannot make an event loop: %s", uv_strerror(rc));
    uv_timer_init(&run->loop, &run->timeout);
    run->timeout.data = run;
    for (int fd = 1; fd <= 2; fd++) {
        rc = output_open(&run->out[fd], &run->loop, fd, on_written, on_output_gone, run, err);
        if (rc < 0)
            return rc;
    }
    if (options->tty || options->interactive || !isatty(STDIN_FILENO))
        rc = watch_open(&run->input, &run->loop, STDIN_FILENO, UV_READABLE, on_input, run, err);
    if (rc == 0)
        rc = start_session(&run->client, &run->loop, config, &events, on_start, run, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(&run->loop, &run->signals[i]);
        run->signals[i].data = run;
        uv_signal_start(&run->signals[i], on_signal, signals[i]);
    }
    if (options->timeout > 0)
        uv_timer_start(&run->timeout, on_timeout, options->timeout * 1000, 0);
    run->raw = options->tty && isatty(STDIN_FILENO);
    return run->raw ? tty_raw(err) : 0;
}

/* The process ends next; what the loop still holds is let go with it. */
static int run_close(struct exec_run *run, int rc, struct error *err)
{
    tty_restore();
    if (run->client != NULL)
        client_close(run->client);
    exec_capture_free(&run->capture);
    if (rc < 0)
        return rc;
    if (run->error.code == 0)
        return run->status;
    if (run->console != NULL)
        fprintf(stderr, "vmdeck exec: the guest's console said last:\n%s", run->console);
    free(run->console);
    *err = run->error;
    return -err->code;
}

int exec_run(struct session_config *config, const struct exec_options *options, struct error *err)
{
    struct exec_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return error_set(err, ENOMEM, "out of memory");
    run->options = options;
    int rc = run_open(run, config, err);
    if (rc == 0)
        uv_run(&run->loop, UV_RUN_DEFAULT);
    return run_close(run, rc, err); /* `run` stays: handles of the loop are in it */
}
