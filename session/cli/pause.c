/*
 * vmdeck pause, unpause, suspend, start: a session stands still and goes on, with its memory where
 * it is or in a file. One row a verb; what happens is the session host's business.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "session/cli/request.h"
#include "session/cli/start.h"
#include "session/cli/verb.h"

#define PAUSE_TIMEOUT_MS 10000 /* stopping a guest's processors takes no time */

static void started(void *context, const struct session_record *record, const cJSON *reply)
{
    (void)context;
    (void)record;
    start_notice("start", reply);
}

/* How long the memory takes to and from its file depends on the disk. */
static const struct request requests[] = {
    {.verb = "pause", .name = "pause", .timeout_ms = PAUSE_TIMEOUT_MS},
    {.verb = "unpause", .name = "unpause", .timeout_ms = PAUSE_TIMEOUT_MS},
    {.verb = "suspend", .name = "suspend", .until = REQUEST_ENDS, .progress = true},
    {.verb = "start", .name = "start", .revive = true, .progress = true, .done = started},
};

static int pause_main(const struct verb *verb, char **args, struct error *err)
{
    char **command;
    int rc = verb_words(verb, NULL, args, &command, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (command != NULL || *args == NULL)
        return error_set(err, USAGE_ERROR, "which sessions? (vmdeck %s ID...)", verb->name);
    const struct request *request = requests;
    while (strcmp(request->verb, verb->name) != 0)
        request++;
    return request_send(request, args, err);
}

const struct verb verb_pause = {
    .name = "pause",
    .usage = "ID...",
    .summary = "Let sessions stand still; their memory stays",
    .run = pause_main,
};

const struct verb verb_unpause = {
    .name = "unpause",
    .usage = "ID...",
    .summary = "Let paused sessions go on",
    .run = pause_main,
};

const struct verb verb_suspend = {
    .name = "suspend",
    .usage = "ID...",
    .summary = "Put sessions away into files, memory and disk",
    .run = pause_main,
};

const struct verb verb_start = {
    .name = "start",
    .usage = "ID...",
    .summary = "Take suspended sessions up again",
    .run = pause_main,
};
