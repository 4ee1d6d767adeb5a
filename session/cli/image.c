/*
 * vmdeck image: the image store from the command line. Its own small table of actions, one row
 * each; what they do is vm/image/'s business.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/cli/progress.h"
#include "session/cli/verb.h"
#include "vm/image/image.h"

static int image_build_action(char **args, struct error *err)
{
    (void)args;
    char id[IMAGE_ID_SIZE];
    int rc = progress_build_default(id, err);
    if (rc == 0)
        puts(id);
    return rc;
}

static const struct image_action {
    const char *name;
    int min, max; /* arguments */
    int (*run)(char **args, struct error *err);
} actions[] = {
    {"build", 0, 0, image_build_action},
};

static int image_main(const struct verb *verb, char **args, struct error *err)
{
    char **rest;
    int rc = verb_parse(verb, NULL, args, &rest, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (*rest == NULL)
        return error_set(err, USAGE_ERROR, "what to do? (see vmdeck image --help)");
    const struct image_action *action = NULL;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(actions[i].name, *rest) == 0)
            action = &actions[i];
    if (action == NULL)
        return error_set(err, USAGE_ERROR, "%.60s: no such action (see vmdeck image --help)",
                         *rest);
    int count = 0;
    while (rest[1 + count] != NULL)
        count++;
    if (count < action->min || count > action->max)
        return error_set(err, USAGE_ERROR,
                         "%s: wrong number of arguments (see vmdeck image "
                         "--help)",
                         action->name);
    return action->run(rest + 1, err);
}

const struct verb verb_image = {
    .name = "image",
    .usage = "build\nls [--json]\ninspect SEL\ntag SEL REF\nimport DIR [REF]\nrm REF...",
    .summary = "Build, list and name the images VMs start from",
    .run = image_main,
};
