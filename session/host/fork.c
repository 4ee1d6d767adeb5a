/*
 * The new host is asked like any other, by a client of our own. It is given the snapshot's path and
 * told to take the file with it: the copy is nobody else's. The values of secrets, which are in no
 * file, go to it by the connection that it was born with, from this host's memory.
 */
#include "session/host/fork.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/host/network.h"
#include "session/protocol/client.h"
#include "session/protocol/json.h"
#include "session/protocol/launch.h"

struct forking {
    struct client *client;
    void (*done)(void *context, const cJSON *reply, const struct error *why);
    void *context;
    bool over;
};

static void forking_end(struct forking *forking, const cJSON *reply, const struct error *why)
{
    if (forking->over)
        return;
    forking->over = true;
    forking->done(forking->context, reply, why);
    client_close(forking->client);
    free(forking);
}

static void on_event(void *context, const char *name, const cJSON *event)
{
    (void)context;
    (void)name;
    (void)event;
}

static void on_gone(void *context, const struct error *why)
{
    forking_end(context, NULL, why);
}

static void on_started(void *context, const cJSON *reply, const struct error *why)
{
    struct error none = {0};
    if (why == NULL && json_string(reply, "session") == NULL) {
        error_set(&none, EPROTO, "the new session has no id");
        reply = NULL;
    }
    forking_end(context, reply, why != NULL ? why : &none);
}

static cJSON *forking_config(const struct host *host, const char *path, const char *name)
{
    cJSON *session = session_config_json(&host->config);
    cJSON_DeleteItemFromObjectCaseSensitive(session, "name");
    cJSON_DeleteItemFromObjectCaseSensitive(session, "resume");
    cJSON_DeleteItemFromObjectCaseSensitive(session, "bound");
    cJSON_DeleteItemFromObjectCaseSensitive(session, "cold");
    cJSON_AddStringToObject(session, "resume", path);
    cJSON_AddBoolToObject(session, "adopt", true);
    if (name != NULL)
        cJSON_AddStringToObject(session, "name", name);
    return session;
}

int fork_session(struct forking **out, struct host *host, const char *path, const char *name,
                 void (*done)(void *context, const cJSON *reply, const struct error *why),
                 void *context, struct error *err)
{
    static const struct client_events events = {on_event, on_gone};
    struct forking *forking = calloc(1, sizeof *forking);
    if (forking == NULL)
        return error_set(err, ENOMEM, "out of memory");
    forking->done = done;
    forking->context = context;
    int fd = launch_host(NULL, err);
    int rc = fd < 0 ? fd : client_open(&forking->client, &host->loop, fd, &events, forking, err);
    if (rc < 0) {
        free(forking);
        return rc;
    }
    cJSON *request = cJSON_CreateObject();
    cJSON_AddItemToObject(request, "session", forking_config(host, path, name));
    cJSON_AddItemToObject(request, "secrets", network_secrets(host));
    *out = forking;
    client_request(forking->client, "start", request, on_started, forking);
    return 0;
}

/* The new host ends with the connection that it was born with, as long as it does not run yet. */
void fork_cancel(struct forking *forking)
{
    if (forking == NULL)
        return;
    client_close(forking->client);
    free(forking);
}
