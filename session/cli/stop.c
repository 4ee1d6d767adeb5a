/*
 * vmdeck stop: all sessions at once. A host closes the connection when nothing of its session is
 * left, so the end of the connection is the answer that counts. A suspended session has no host:
 * it is ended from here.
 */
#include <errno.h>
#include <stdbool.h>

#include "session/cli/request.h"
#include "session/cli/verb.h"
#include "session/store/leftover.h"

#define STOP_TIMEOUT_MS \
    20000 /* the host takes 8 s at most: see SHUTDOWN_TIMEOUT_MS, QEMU_GRACE_MS */

struct stop_options {
    bool all;
};

static int stop_suspended(struct registry *registry, const struct session_record *record,
                          struct error *err)
{
    return leftover_discard(registry, record->id, err);
}

static int set_all(void *target, const char *value, struct error *err)
{
    (void)value;
    (void)err;
    ((struct stop_options *)target)->all = true;
    return 0;
}

static const struct option rows[] = {
    {"all", 0, NULL, set_all, "every session"},
    {0},
};

static const struct option_group stop_group = {"Options", rows};

static int stop_main(const struct verb *verb, char **args, struct error *err)
{
    struct stop_options options = {0};
    void *const targets[] = {&options};
    char **command;
    int rc = verb_words(verb, targets, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (command != NULL || (*args == NULL) != options.all)
        return error_set(err, USAGE_ERROR, "which sessions? (vmdeck stop ID..., or --all)");
    const struct request request = {.verb = verb->name,
                                    .name = "stop",
                                    .until = REQUEST_GONE,
                                    .timeout_ms = STOP_TIMEOUT_MS,
                                    .suspended = stop_suspended};
    return request_send(&request, options.all ? NULL : args, err);
}

const struct verb verb_stop = {
    .name = "stop",
    .usage = "ID...\n--all",
    .summary = "End sessions: SIGTERM to the guest's processes, then the VM",
    .groups = {&stop_group},
    .run = stop_main,
};
