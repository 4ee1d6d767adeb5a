/* vmdeck mount, umount: the session's host does it; an answer from the guest is waited for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/cli/request.h"
#include "session/cli/verb.h"
#include "session/cli/vmoptions_mounts.h"
#include "session/protocol/mounts.h"

#define MOUNT_TIMEOUT_MS 60000 /* unmounting may have much to write */

struct mount_options {
    char *memfs;
};

static int set_memfs(void *target, const char *value, struct error *err)
{
    struct mount_options *options = target;
    free(options->memfs);
    options->memfs = NULL;
    return mount_guest_path(value, &options->memfs, err);
}

static const struct option rows[] = {
    {"memfs", 0, "PATH", set_memfs, "one in the host's memory instead of a directory"},
    {0},
};

static const struct option_group mount_group = {"Options", rows};

/* Sends the request with one member to the session. */
static int mount_send(const struct verb *verb, char *session, const char *name, const char *value,
                      struct error *err)
{
    char *words[] = {session, NULL};
    cJSON *members = cJSON_CreateObject();
    cJSON_AddStringToObject(members, name, value);
    const struct request request = {
        .verb = verb->name, .name = verb->name, .members = members, .timeout_ms = MOUNT_TIMEOUT_MS};
    int rc = request_send(&request, words, err);
    cJSON_Delete(members);
    return rc;
}

static int mount_run(const struct verb *verb, const struct mount_options *options, char **words,
                     struct error *err)
{
    CLEAN_FREE char *hostfs = NULL;
    if (words[0] == NULL || (words[1] == NULL) == (options->memfs == NULL) ||
        (words[1] != NULL && words[2] != NULL))
        return error_set(err, USAGE_ERROR,
                         "what, and where? (vmdeck mount ID HOST:GUEST[:ro], or --memfs PATH)");
    if (options->memfs != NULL)
        return mount_send(verb, words[0], "memfs", options->memfs, err);
    int rc = mount_resolve(words[1], &hostfs, err);
    return rc == 0 ? mount_send(verb, words[0], "hostfs", hostfs, err) : rc;
}

static int mount_main(const struct verb *verb, char **args, struct error *err)
{
    struct mount_options options = {0};
    void *const targets[] = {&options};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc == 0 && command != NULL)
        rc = error_set(err, USAGE_ERROR, "mount takes no command");
    if (rc == 0)
        rc = mount_run(verb, &options, args, err);
    free(options.memfs);
    return rc < 0 ? rc : 0;
}

static int umount_main(const struct verb *verb, char **args, struct error *err)
{
    CLEAN_FREE char *guest = NULL;
    char **command;
    int rc = verb_words(verb, NULL, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (command != NULL || args[0] == NULL || args[1] == NULL || args[2] != NULL)
        return error_set(err, USAGE_ERROR, "what? (vmdeck umount ID PATH)");
    rc = mount_guest_path(args[1], &guest, err);
    return rc == 0 ? mount_send(verb, args[0], "guest", guest, err) : rc;
}

const struct verb verb_mount = {
    .name = "mount",
    .usage = "ID HOST:GUEST[:ro]\nID --memfs PATH",
    .summary = "Mount a directory of the host, or memory, in a running session",
    .groups = {&mount_group},
    .run = mount_main,
};

const struct verb verb_umount = {
    .name = "umount",
    .usage = "ID PATH",
    .summary = "Unmount what vmdeck has mounted in a session",
    .run = umount_main,
};
