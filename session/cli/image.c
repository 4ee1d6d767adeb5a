/*
 * vmdeck image: the image store from the command line. Its own small table of actions, one row
 * each; what they do is vm/image/'s business.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/cleanup.h"
#include "session/cli/progress.h"
#include "session/cli/start.h"
#include "session/cli/verb.h"
#include "vm/image/image.h"

struct image_options {
    bool json;
    const char *tag;
};

static int set_json(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct image_options *)target)->json = true;
    return 0;
}

static int set_tag(void *target, const char *value, struct error *err)
{
    (void)err;
    ((struct image_options *)target)->tag = value;
    return 0;
}

static int action_build(const struct image_options *options, char **args, struct error *err)
{
    (void)args;
    char id[IMAGE_ID_SIZE];
    int rc = progress_build_default(id, err);
    if (rc == 0 && options->tag != NULL)
        rc = image_tag(id, options->tag, err);
    struct error why = {0};
    if (rc == 0 && start_once(id, &why) < 0) /* the image is there all the same */
        fprintf(stderr, "vmdeck image: a VM of it does not start: %s\n", why.message);
    if (rc == 0)
        puts(id);
    return rc;
}

static void list_line(void *context, const struct image_row *row)
{
    (void)context;
    printf("%-24s %-12.12s %-8s %8.1fM  %s\n", row->ref != NULL ? row->ref : "-", row->id,
           row->arch, (double)row->disk / (1 << 20), row->created);
}

static void list_json(void *context, const struct image_row *row)
{
    cJSON *object = cJSON_CreateObject();
    if (row->ref != NULL)
        cJSON_AddStringToObject(object, "ref", row->ref);
    else
        cJSON_AddNullToObject(object, "ref");
    cJSON_AddStringToObject(object, "id", row->id);
    cJSON_AddStringToObject(object, "arch", row->arch);
    cJSON_AddStringToObject(object, "created", row->created);
    cJSON_AddStringToObject(object, "title", row->title);
    cJSON_AddNumberToObject(object, "disk", (double)row->disk);
    cJSON_AddItemToArray(context, object);
}

static int action_ls(const struct image_options *options, char **args, struct error *err)
{
    (void)args;
    if (!options->json) {
        printf("%-24s %-12s %-8s %9s  %s\n", "REF", "ID", "ARCH", "DISK", "CREATED");
        return image_list(list_line, NULL, err);
    }
    cJSON *array = cJSON_CreateArray();
    int rc = image_list(list_json, array, err);
    CLEAN_FREE char *text = cJSON_PrintUnformatted(array);
    cJSON_Delete(array);
    if (rc == 0 && text != NULL)
        puts(text);
    return rc;
}

static int action_inspect(const struct image_options *options, char **args, struct error *err)
{
    (void)options;
    CLEAN_FREE char *manifest = NULL;
    int rc = image_inspect(args[0], &manifest, err);
    if (rc == 0)
        puts(manifest);
    return rc;
}

static int action_tag(const struct image_options *options, char **args, struct error *err)
{
    (void)options;
    return image_tag(args[0], args[1], err);
}

static int action_import(const struct image_options *options, char **args, struct error *err)
{
    char id[IMAGE_ID_SIZE];
    int rc = image_import(args[0], options->tag, id, err);
    if (rc == 0)
        puts(id);
    return rc;
}

static int action_rm(const struct image_options *options, char **args, struct error *err)
{
    (void)options;
    for (; *args != NULL; args++) {
        int rc = image_remove(*args, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static const struct action {
    const char *name;
    int min, max; /* arguments */
    int (*run)(const struct image_options *options, char **args, struct error *err);
} actions[] = {
    {"build", 0, 0, action_build},     {"ls", 0, 0, action_ls},
    {"inspect", 1, 1, action_inspect}, {"tag", 2, 2, action_tag},
    {"import", 1, 1, action_import},   {"rm", 1, 1000, action_rm},
};

static const struct option rows[] = {
    {"json", 0, NULL, set_json, "ls: an array of objects instead of a table"},
    {"tag", 0, "REF", set_tag, "build, import: a name[:tag] for the result"},
    {0},
};

static const struct option_group image_group = {"Options", rows};

static int image_main(const struct verb *verb, char **args, struct error *err)
{
    struct image_options options = {0};
    void *const targets[] = {&options};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    const char *name = *args;
    if (name == NULL)
        return error_set(err, USAGE_ERROR, "what to do? (see vmdeck image --help)");
    const struct action *action = NULL;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(actions[i].name, name) == 0)
            action = &actions[i];
    if (action == NULL)
        return error_set(err, USAGE_ERROR, "%.60s: no such action (see vmdeck image --help)", name);
    int count = 0;
    while (args[1 + count] != NULL)
        count++;
    if (count < action->min || count > action->max || command != NULL)
        return error_set(err, USAGE_ERROR,
                         "%s: wrong number of arguments (see vmdeck image --help)", name);
    return action->run(&options, args + 1, err);
}

const struct verb verb_image = {
    .name = "image",
    .usage = "build [--tag REF]\nls [--json]\ninspect SEL\ntag SEL REF\nimport [--tag REF] DIR\n"
             "rm SEL...",
    .summary = "Build, list and name the images that VMs start from",
    .groups = {&image_group},
    .run = image_main,
};
