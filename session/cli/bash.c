/*
 * vmdeck bash: a session with a shell (or another command) on a terminal. The session is its own
 * process from the start: when this one ends, however it does, the session goes on.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "session/cli/start.h"
#include "session/cli/tty.h"
#include "session/cli/verb.h"
#include "session/cli/view.h"
#include "session/cli/vmoptions.h"
#include "session/cli/vmoptions_net.h"
#include "session/protocol/json.h"

struct bash_options {
    struct session_config config;
    bool detached;
};

static int set_cwd(void *target, const char *value, struct error *err)
{
    struct bash_options *options = target;
    if (value[0] != '/')
        return error_set(err, EINVAL, "--cwd '%.200s': not an absolute path in the guest", value);
    free(options->config.cwd);
    options->config.cwd = strdup(value);
    return options->config.cwd != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int set_detached(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct bash_options *)target)->detached = true;
    return 0;
}

static int set_keep(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct bash_options *)target)->config.keep = true;
    return 0;
}

static int set_scrollback(void *target, const char *value, struct error *err)
{
    struct bash_options *options = target;
    return str_number(value, "--scrollback", 0, 1000000, &options->config.scrollback, err);
}

static const struct option rows[] = {
    {"detached", 0, NULL, set_detached, "start it, print its id, and don't attach"},
    {"keep", 0, NULL, set_keep, "the session stays when the shell ends"},
    {"cwd", 0, "DIR", set_cwd, "where the shell starts"},
    {"scrollback", 0, "LINES", set_scrollback, "lines kept of each terminal (10000)"},
    {0},
};

static const struct option_group bash_group = {"bash options", rows};

struct starting {
    struct view view;
    bool answered, failed;
    int status; /* of a command that cannot be run */
    struct error error;
};

static void on_start(void *context, const cJSON *reply, const struct error *why)
{
    struct starting *starting = context;
    starting->answered = true;
    uv_stop(&starting->view.loop);
    if (reply == NULL) {
        starting->failed = true;
        starting->error = *why;
        return;
    }
    const char *id = json_string(reply, "session"), *message = json_string(reply, "message");
    starting->view.id = id != NULL ? strdup(id) : NULL;
    starting->status = (int)json_number(reply, "status", 0);
    if (starting->status != 0)
        error_set(&starting->error, EIO, "%s", message != NULL ? message : "failed");
    start_notice("bash", reply);
}

static void on_interrupt(uv_signal_t *handle, int signum)
{
    struct starting *starting = handle->data;
    starting->failed = true;
    starting->status = 128 + signum;
    uv_stop(&starting->view.loop);
}

/* Waits for the VM; Ctrl-C ends it, because its first connection closes. */
static int bash_wait(struct starting *starting, struct session_config *config, struct error *err)
{
    static uv_signal_t interrupt;
    int rc = start_session(&starting->view.client, &starting->view.loop, config, &view_events,
                           on_start, starting, err);
    if (rc < 0)
        return rc;
    uv_signal_init(&starting->view.loop, &interrupt);
    interrupt.data = starting;
    uv_signal_start(&interrupt, on_interrupt, SIGINT);
    uv_run(&starting->view.loop, UV_RUN_DEFAULT);
    uv_signal_stop(&interrupt);
    if (starting->view.ended.code != 0 && starting->error.code == 0)
        starting->error = starting->view.ended;
    return 0;
}

static int bash_run(struct bash_options *options, struct error *err)
{
    struct starting *starting = calloc(1, sizeof *starting);
    if (starting == NULL)
        return error_set(err, ENOMEM, "out of memory");
    struct view *view = &starting->view;
    int rc = options->detached ? uv_loop_init(&view->loop) : view_init(view, "bash", err);
    if (rc == 0)
        rc = bash_wait(starting, &options->config, err);
    if (rc < 0)
        return rc;
    if (starting->status != 0) {
        if (starting->error.code != 0)
            fprintf(stderr, "vmdeck bash: %s\n", starting->error.message);
        client_close(view->client);
        return starting->status;
    }
    if (starting->failed || view->id == NULL) {
        *err = starting->error;
        return err->code != 0 ? -err->code : error_set(err, EIO, "the session did not start");
    }
    if (!options->detached)
        return view_run(view, err);
    puts(view->id);
    client_close(view->client);
    return 0;
}

/* What `list` shows: the command's words. */
static char *bash_command(char *const *words)
{
    CLEAN_BUF struct buf text = {0};
    if (*words == NULL)
        buf_printf(&text, "bash");
    for (; *words != NULL; words++)
        buf_printf(&text, "%s%s", buf_len(&text) > 0 ? " " : "", *words);
    if (buf_len(&text) > 1024)
        text.end = text.start + 1024;
    const char *string = buf_string(&text);
    return string != NULL ? strdup(string) : NULL;
}

static int bash_main(const struct verb *verb, char **args, struct error *err)
{
    struct bash_options options = {0};
    struct error early = {0}; /* which --help need not see */
    int defaults = vm_options_defaults(&options.config, &early);
    void *const targets[] = {&options, &options.config, &options.config};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc == 0 && *args != NULL)
        rc = error_set(err, USAGE_ERROR,
                       "'%.60s': a command goes behind -- (see vmdeck bash "
                       "--help)",
                       *args);
    if (rc == 0 && defaults < 0) {
        *err = early;
        rc = defaults;
    }
    if (rc == 0) {
        uint16_t lines, columns;
        tty_size(&lines, &columns);
        options.config.rows = lines;
        options.config.columns = columns;
        options.config.terminal = true;
        for (char **word = command; word != NULL && *word != NULL && rc == 0; word++)
            rc = strv_add(&options.config.argv, *word);
        options.config.command = bash_command(command != NULL ? command : args);
        rc = rc == 0 ? bash_run(&options, err) : error_set(err, ENOMEM, "out of memory");
    } else if (rc == 1) {
        rc = 0; /* the help was printed */
    }
    session_config_free(&options.config);
    return rc;
}

const struct verb verb_bash = {
    .name = "bash",
    .usage = "[OPTIONS] [-- CMD [ARG...]]",
    .summary = "Start a session with a shell; Ctrl-] leaves it running",
    .groups = {&bash_group, &vm_options, &network_options},
    .run = bash_main,
};
