/*
 * vmdeck snapshot: the file's name is chosen and checked here, so that the guest does not stand
 * still for a name that is taken; the session's host writes it.
 */
#include "session/cli/snapshot.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "session/cli/request.h"
#include "session/cli/show.h"
#include "session/cli/verb.h"
#include "session/protocol/json.h"
#include "session/store/snapshots.h"

struct snapshot_options {
    const char *output, *name;
    bool disk, keep_running, json;
};

static int set_output(void *target, const char *value, struct error *err)
{
    ((struct snapshot_options *)target)->output = value;
    return *value != '\0' ? 0 : error_set(err, EINVAL, "--output: an empty path");
}

static int set_name(void *target, const char *value, struct error *err)
{
    ((struct snapshot_options *)target)->name = value;
    return session_name_check(value, err);
}

static int set_disk(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct snapshot_options *)target)->disk = true;
    return 0;
}

static int set_keep_running(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct snapshot_options *)target)->keep_running = true;
    return 0;
}

static int set_json(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct snapshot_options *)target)->json = true;
    return 0;
}

static const struct option rows[] = {
    {"output", 0, "PATH", set_output, "the file to make, which must not exist"},
    {"name", 0, "NAME", set_name, "a name for the snapshot"},
    {"disk", 0, NULL, set_disk, "the disk alone: what is in memory is lost"},
    {"keep-running", 0, NULL, set_keep_running, "the session goes on"},
    {"json", 0, NULL, set_json, "objects instead of text; for ID and ls"},
    {0},
};

static const struct option_group snapshot_group = {"Options", rows};

/* The session's host works elsewhere: its path has to be whole. */
static int output_path(const char *value, char **out, struct error *err)
{
    const char *slash = strrchr(value, '/');
    const char *leaf = slash != NULL ? slash + 1 : value;
    CLEAN_FREE char *parent =
        slash == NULL ? strdup(".") : strndup(value, (size_t)(slash - value) + 1);
    CLEAN_FREE char *directory = parent != NULL ? realpath(parent, NULL) : NULL;
    if (directory == NULL)
        return error_system(err, errno, "--output '%.200s': its directory", value);
    if (*leaf == '\0' || strcmp(leaf, ".") == 0 || strcmp(leaf, "..") == 0)
        return error_set(err, EISDIR, "--output '%.200s': not a file's name", value);
    *out = str_printf("%s/%s", strcmp(directory, "/") == 0 ? "" : directory, leaf);
    return *out != NULL ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int choose_path(const struct snapshot_options *options, char **out, struct error *err)
{
    struct registry *registry = NULL;
    struct stat st;
    int rc = options->output != NULL ? output_path(options->output, out, err)
                                     : snapshot_path(options->name, out, err);
    if (rc < 0 || *out == NULL)
        return rc;
    int taken = 0;
    if (options->name != NULL) {
        rc = registry_open(&registry, NULL, err);
        if (rc == 0)
            rc = snapshot_name_check(registry, options->name, err);
        if (rc == 0)
            rc = taken = snapshot_indexed(registry, *out, err);
        registry_close(registry);
    }
    if (rc >= 0 && taken > 0) { /* by one that was renamed since: its file stays */
        free(*out);
        rc = snapshot_path(NULL, out, err);
    }
    if (rc >= 0 && lstat(*out, &st) == 0)
        rc =
            error_set(err, EEXIST, "%s is there already (choose another name, or remove it)", *out);
    return rc < 0 ? rc : 0;
}

/* The id alone on standard output, for scripts; the rest is for who watches. */
static void snapshot_made(void *context, const struct session_record *record, const cJSON *reply)
{
    (void)record;
    const struct snapshot_options *options = context;
    const char *id = json_string(reply, "snapshot"), *path = json_string(reply, "path");
    char size[SHOW_SIZE];
    if (options->json) {
        cJSON *object = cJSON_Duplicate(reply, true);
        cJSON_DeleteItemFromObjectCaseSensitive(object, "reply"); /* the protocol's own */
        CLEAN_FREE char *text = cJSON_PrintUnformatted(object);
        cJSON_Delete(object);
        if (text != NULL)
            show_json(text);
        return;
    }
    puts(id != NULL ? id : "");
    if (id == NULL || path == NULL || !isatty(STDERR_FILENO))
        return;
    show_size(json_number(reply, "size", 0), size);
    fprintf(stderr, "vmdeck snapshot: %s, %s; the guest stood still for %llu ms%s\n", path, size,
            (unsigned long long)json_number(reply, "stopped_ms", 0),
            options->keep_running ? "" : ", and the session has ended");
    fprintf(stderr, "vmdeck snapshot: to go on from it: vmdeck bash --resume %s\n",
            options->name != NULL ? options->name : id);
}

static int snapshot_make(struct snapshot_options *options, char **words, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    int rc = choose_path(options, &path, err);
    if (rc < 0)
        return rc;
    cJSON *members = cJSON_CreateObject();
    cJSON_AddStringToObject(members, "path", path);
    cJSON_AddBoolToObject(members, "disk", options->disk);
    cJSON_AddBoolToObject(members, "keep_running", options->keep_running);
    if (options->name != NULL)
        cJSON_AddStringToObject(members, "name", options->name);
    const struct request request = {.verb = "snapshot",
                                    .name = "snapshot",
                                    .members = members,
                                    .until = options->keep_running ? REQUEST_REPLY : REQUEST_ENDS,
                                    .progress = true,
                                    .done = snapshot_made,
                                    .context = options};
    rc = request_send(&request, words, err);
    cJSON_Delete(members);
    return rc;
}

static int snapshot_usage(struct error *err)
{
    return error_set(err, USAGE_ERROR,
                     "which session, or what to do? (see vmdeck snapshot --help)");
}

/* A session that is called like an action is reached by its id. */
static int snapshot_run(struct snapshot_options *options, char **words, struct error *err)
{
    const char *first = words[0];
    bool making =
        options->output != NULL || options->name != NULL || options->disk || options->keep_running;
    if (first == NULL)
        return snapshot_usage(err);
    if (strcmp(first, "ls") == 0)
        return words[1] == NULL && !making ? snapshot_ls(options->json, err) : snapshot_usage(err);
    bool plain = words[1] != NULL && !making && !options->json;
    if (strcmp(first, "rm") == 0)
        return plain ? snapshot_rm(words + 1, err) : snapshot_usage(err);
    if (strcmp(first, "inspect") == 0)
        return plain && words[2] == NULL ? snapshot_inspect(words[1], err) : snapshot_usage(err);
    if (strcmp(first, "rename") == 0)
        return plain && words[2] != NULL && words[3] == NULL
                   ? snapshot_renamed(words[1], words[2], err)
                   : snapshot_usage(err);
    if (words[1] != NULL)
        return snapshot_usage(err);
    if (options->output != NULL && options->name != NULL)
        return error_set(err, USAGE_ERROR, "--output and --name exclude each other");
    return snapshot_make(options, words, err);
}

static int snapshot_main(const struct verb *verb, char **args, struct error *err)
{
    struct snapshot_options options = {0};
    void *const targets[] = {&options};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    return command != NULL ? snapshot_usage(err) : snapshot_run(&options, args, err);
}

const struct verb verb_snapshot = {
    .name = "snapshot",
    .usage = "ID [--output PATH|--name NAME] [--disk] [--keep-running] [--json]\nls [--json]\n"
             "rename ID NAME\nrm ID...\ninspect ID|PATH",
    .summary = "Save a session, memory and disk, to a file; it ends, or keeps running",
    .groups = {&snapshot_group},
    .run = snapshot_main,
};
