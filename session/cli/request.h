/* One request to several sessions at once, each answered in its own time: stop, pause, snapshot. */
#ifndef VMDECK_SESSION_CLI_REQUEST_H
#define VMDECK_SESSION_CLI_REQUEST_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "session/store/registry.h"

/* When a request is over. */
enum request_until {
    REQUEST_REPLY, /* with its reply */
    REQUEST_ENDS, /* after its reply, when the host has gone: nothing of the session is left then */
    REQUEST_GONE, /* when the host has gone, with or without a reply */
};

struct request {
    const char *verb;     /* for messages */
    const char *name;     /* of the request */
    const cJSON *members; /* of its object; NULL: none */
    enum request_until until;
    unsigned timeout_ms; /* for all together; 0: as long as it takes */
    bool revive;         /* "start" for a suspended session, to a new host */
    bool progress;       /* show the host's on a terminal; Ctrl-C takes the request back */
    /*
     * What to do with a session that is suspended, and so has no host; NULL: that is a failure.
     * Not with `revive`.
     */
    int (*suspended)(struct registry *registry, const struct session_record *record,
                     struct error *err);
    /* The request was carried out. NULL: nothing to do. */
    void (*done)(void *context, const struct session_record *record, const cJSON *reply);
    void *context;
};

/*
 * The live sessions that the words (id, prefix, name) mean, each once; NULL: all there are. A word
 * that means none and a session that fails do not keep the others from being asked: the last
 * failure is returned, those before it are printed. -ECANCELED: by a signal.
 */
int request_send(const struct request *request, char **words, struct error *err);

#endif
