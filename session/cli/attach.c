/*
 * vmdeck attach: back to a session's terminal, or a new one in it. Without --new, --cwd, --env or
 * a command it is the terminal last used, as it was left; where none is left, a new shell.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "session/cli/find.h"
#include "session/cli/tty.h"
#include "session/cli/verb.h"
#include "session/cli/view.h"
#include "session/cli/vmoptions.h"
#include "session/protocol/json.h"

struct attach_options {
    bool fresh, read_only;
    char *cwd;
    struct strv env, argv;
};

static int set_new(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct attach_options *)target)->fresh = true;
    return 0;
}

static int set_read_only(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct attach_options *)target)->read_only = true;
    return 0;
}

static int set_cwd(void *target, const char *value, struct error *err)
{
    struct attach_options *options = target;
    if (value[0] != '/')
        return error_set(err, EINVAL, "--cwd '%.200s': not an absolute path in the guest", value);
    free(options->cwd);
    options->cwd = strdup(value);
    options->fresh = true;
    return options->cwd != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int set_env(void *target, const char *value, struct error *err)
{
    struct attach_options *options = target;
    options->fresh = true;
    return env_add(&options->env, value, err);
}

static const struct option rows[] = {
    {"new", 0, NULL, set_new, "a new terminal with a shell"},
    {"read-only", 0, NULL, set_read_only, "look, but don't type"},
    {"cwd", 0, "DIR", set_cwd, "a new terminal, started there"},
    {"env", 0, "K=V", set_env, "a new terminal with that environment; repeatable"},
    {0},
};

static const struct option_group attach_group = {"Options", rows};

struct attaching {
    struct view view;
    bool answered;
    struct error error;
    unsigned count;
};

static void on_list(void *context, const cJSON *reply, const struct error *why)
{
    struct attaching *attaching = context;
    attaching->answered = true;
    uv_stop(&attaching->view.loop);
    if (reply == NULL)
        attaching->error = *why;
    else
        attaching->count =
            (unsigned)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(reply, "terminals"));
}

static void on_open(void *context, const cJSON *reply, const struct error *why)
{
    struct attaching *attaching = context;
    attaching->answered = true;
    uv_stop(&attaching->view.loop);
    if (reply == NULL)
        attaching->error = *why;
    else
        attaching->view.terminal = (unsigned)json_number(reply, "terminal", 0);
}

static int attach_wait(struct attaching *attaching, struct error *err)
{
    while (!attaching->answered && !attaching->view.gone)
        uv_run(&attaching->view.loop, UV_RUN_DEFAULT);
    attaching->answered = false;
    if (attaching->error.code == 0 && attaching->view.gone)
        attaching->error = attaching->view.ended;
    if (attaching->error.code == 0)
        return 0;
    *err = attaching->error;
    return -err->code;
}

static int attach_open(struct attaching *attaching, const struct attach_options *options,
                       struct error *err)
{
    uint16_t lines, columns;
    tty_size(&lines, &columns);
    cJSON *request = cJSON_CreateObject();
    json_add_strings(request, "argv", &options->argv);
    json_add_strings(request, "env", &options->env);
    if (options->cwd != NULL)
        cJSON_AddStringToObject(request, "cwd", options->cwd);
    cJSON_AddNumberToObject(request, "rows", lines);
    cJSON_AddNumberToObject(request, "columns", columns);
    client_request(attaching->view.client, "open", request, on_open, attaching);
    return attach_wait(attaching, err);
}

static int attach_run(const char *word, const struct attach_options *options, struct error *err)
{
    struct attaching *attaching = calloc(1, sizeof *attaching);
    CLEAN_SESSION struct session_record record = {0};
    if (attaching == NULL)
        return error_set(err, ENOMEM, "out of memory");
    struct view *view = &attaching->view;
    int rc = view_init(view, "attach", err);
    if (rc == 0)
        rc = find_client(&view->client, &view->loop, word, &view_events, view, &record, err);
    if (rc < 0)
        return rc;
    view->id = strdup(record.id);
    view->read_only = options->read_only;
    bool fresh = options->fresh || options->argv.count > 0;
    if (!fresh) {
        client_request(view->client, "terminals", NULL, on_list, attaching);
        rc = attach_wait(attaching, err);
        fresh = attaching->count == 0;
    }
    if (rc == 0 && fresh)
        rc = attach_open(attaching, options, err);
    return rc == 0 && view->id != NULL ? view_run(view, err) : rc;
}

static int attach_main(const struct verb *verb, char **args, struct error *err)
{
    struct attach_options options = {0};
    void *const targets[] = {&options};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (args[0] == NULL || args[1] != NULL)
        return error_set(err, USAGE_ERROR, "one session (see vmdeck list; vmdeck attach --help)");
    for (; command != NULL && *command != NULL; command++)
        if (strv_add(&options.argv, *command) < 0)
            return error_set(err, ENOMEM, "out of memory");
    rc = attach_run(args[0], &options, err);
    strv_free(&options.argv);
    strv_free(&options.env);
    free(options.cwd);
    return rc;
}

const struct verb verb_attach = {
    .name = "attach",
    .usage = "ID [OPTIONS] [-- CMD [ARG...]]",
    .summary = "Return to a session's terminal, or open a new one in it",
    .groups = {&attach_group},
    .run = attach_main,
};
