/*
 * The command line of exec. "-- CMD ARG…" is one command; groups of --cmd, --arg, --env and --cwd
 * are several. --env and --cwd in front of the first --cmd are for all of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/cli/exec.h"
#include "session/cli/verb.h"
#include "session/cli/vmoptions.h"
#include "session/cli/vmoptions_net.h"

static struct exec_command *group_add(struct exec_options *options, struct error *err)
{
    struct exec_command *commands =
        options->command_count < EXEC_COMMANDS_MAX
            ? realloc(options->commands, (options->command_count + 1) * sizeof *commands)
            : NULL;
    if (commands == NULL) {
        error_set(err, EINVAL, "more than %d commands", EXEC_COMMANDS_MAX);
        return NULL;
    }
    options->commands = commands;
    commands += options->command_count++;
    *commands = (struct exec_command){0};
    return commands;
}

static struct exec_command *group_last(struct exec_options *options)
{
    return options->command_count > 0 ? &options->commands[options->command_count - 1] : NULL;
}

static int set_cmd(void *target, const char *value, struct error *err)
{
    struct exec_command *command = group_add(target, err);
    if (command == NULL)
        return -EINVAL;
    return strv_add(&command->argv, value);
}

static int set_arg(void *target, const char *value, struct error *err)
{
    struct exec_command *command = group_last(target);
    if (command == NULL)
        return error_set(err, EINVAL, "--arg without a --cmd before it");
    return strv_add(&command->argv, value);
}

static int set_env(void *target, const char *value, struct error *err)
{
    struct exec_options *options = target;
    struct exec_command *command = group_last(options);
    return env_add(command != NULL ? &command->env : &options->config.env, value, err);
}

static int set_cwd(void *target, const char *value, struct error *err)
{
    struct exec_options *options = target;
    struct exec_command *command = group_last(options);
    char **to = command != NULL ? &command->cwd : &options->cwd;
    if (value[0] != '/')
        return error_set(err, EINVAL, "--cwd '%.200s': not an absolute path in the guest", value);
    free(*to);
    *to = strdup(value);
    return *to != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int set_tty(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct exec_options *)target)->tty = true;
    return 0;
}

static int set_interactive(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct exec_options *)target)->interactive = true;
    return 0;
}

static int set_json(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct exec_options *)target)->json = true;
    return 0;
}

static int set_timeout(void *target, const char *value, struct error *err)
{
    struct exec_options *options = target;
    return str_number(value, "--timeout", 1, 365 * 86400, &options->timeout, err);
}

static const struct option rows[] = {
    {"tty", 't', NULL, set_tty, "give the command a terminal"},
    {"interactive", 'i', NULL, set_interactive, "forward stdin though it is a terminal"},
    {"timeout", 0, "SECONDS", set_timeout, "end everything after that long (status 124)"},
    {"json", 0, NULL, set_json, "one JSON object per command instead of its output"},
    {"cmd", 0, "CMD", set_cmd, "another command (instead of -- CMD); repeatable"},
    {"arg", 0, "ARG", set_arg, "an argument of the --cmd before it; repeatable"},
    {"env", 0, "K=V", set_env, "behind a --cmd: for that command, else for all"},
    {"cwd", 0, "DIR", set_cwd, "behind a --cmd: for that command, else for all"},
    {0},
};

static const struct option_group exec_group = {"exec options", rows};

static int exec_take_rest(struct exec_options *options, char **rest, struct error *err)
{
    if (*rest == NULL)
        return options->command_count > 0
                   ? 0
                   : error_set(err, USAGE_ERROR,
                               "no command (vmdeck exec -- CMD; see vmdeck exec --help)");
    if (options->command_count > 0)
        return error_set(err, USAGE_ERROR, "'%.60s': either --cmd groups or -- CMD, not both",
                         *rest);
    struct exec_command *command = group_add(options, err);
    for (; command != NULL && *rest != NULL; rest++)
        if (strv_add(&command->argv, *rest) < 0)
            return error_set(err, ENOMEM, "out of memory");
    return command != NULL ? 0 : -EINVAL;
}

static void exec_options_free(struct exec_options *options)
{
    for (size_t i = 0; i < options->command_count; i++) {
        strv_free(&options->commands[i].argv);
        strv_free(&options->commands[i].env);
        free(options->commands[i].cwd);
    }
    free(options->commands);
    free(options->cwd);
    session_config_free(&options->config);
}

static int exec_main(const struct verb *verb, char **args, struct error *err)
{
    struct exec_options options = {0};
    struct error early = {0}; /* which --help need not see */
    int defaults = vm_options_defaults(&options.config, &early);
    options.config.bound = true;
    void *const targets[] = {&options, &options.config, &options.config};
    char **rest;
    int rc = verb_parse(verb, targets, args, &rest, err);
    if (rc == 0)
        rc = exec_take_rest(&options, rest, err);
    else if (rc == 1)
        rc = -ECANCELED;
    if (rc == 0 && options.json && options.tty)
        rc = error_set(err, USAGE_ERROR, "--json and --tty exclude each other");
    if (rc == 0 && defaults < 0) {
        *err = early;
        rc = defaults;
    }
    if (rc == 0) {
        options.config.command = strdup(options.commands[0].argv.items[0]);
        rc = exec_run(&options.config, &options, err);
    } else if (rc == -ECANCELED) {
        rc = 0; /* the help was printed */
    }
    exec_options_free(&options);
    return rc;
}

const struct verb verb_exec = {
    .name = "exec",
    .usage = "[OPTIONS] -- CMD [ARG...]\n[OPTIONS] --cmd CMD [--arg ARG]... [--cmd CMD ...]",
    .summary = "Run a command in a fresh disposable VM",
    .groups = {&exec_group, &vm_options, &network_options},
    .run = exec_main,
};
