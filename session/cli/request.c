/*
 * One loop, a connection to each. Where the session ends with the request, the end of the
 * connection is what is waited for: only then are its files and its name free.
 */
#include "session/cli/request.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "session/cli/find.h"
#include "session/cli/progress.h"
#include "session/protocol/client.h"
#include "session/protocol/json.h"
#include "session/protocol/launch.h"

#define SIGNALS 3

struct asking {
    const struct request *request;
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t signals[SIGNALS];
    size_t waiting;
    bool running, interrupted, bar;
    struct progress progress;
    struct error failure; /* the last one; those before it have been printed */
};

struct asked {
    struct asking *asking;
    struct session_record *record;
    struct client *client;
    cJSON *reply; /* kept until the host has gone */
    bool over;
};

static void ask_failed(struct asking *asking, const struct error *why)
{
    if (asking->failure.code != 0)
        fprintf(stderr, "vmdeck %s: %s\n", asking->request->verb, asking->failure.message);
    asking->failure = *why;
}

/* NULL: it was carried out. */
static void asked_over(struct asked *asked, const cJSON *reply, const struct error *why)
{
    struct asking *asking = asked->asking;
    if (asked->over)
        return;
    asked->over = true;
    progress_end(&asking->progress);
    if (why != NULL)
        ask_failed(asking, why);
    else if (asking->request->done != NULL)
        asking->request->done(asking->request->context, asked->record, reply);
    if (--asking->waiting == 0 && asking->running)
        uv_stop(&asking->loop);
}

static void asked_refused(struct asked *asked, const struct error *why)
{
    struct error failed = *why;
    error_wrap(&failed, "session %s", asked->record->id);
    asked_over(asked, NULL, &failed);
}

static void on_reply(void *context, const cJSON *reply, const struct error *why)
{
    struct asked *asked = context;
    enum request_until until = asked->asking->request->until;
    if (until == REQUEST_GONE && (reply != NULL || why->code == EPIPE))
        return; /* on_ended() follows */
    if (reply == NULL)
        asked_refused(asked, why);
    else if (until == REQUEST_REPLY)
        asked_over(asked, reply, NULL);
    else
        asked->reply = cJSON_Duplicate(reply, true);
}

static void on_event(void *context, const char *name, const cJSON *event)
{
    const struct asked *asked = context;
    struct asking *asking = asked->asking;
    const char *step = json_string(event, "step");
    if (strcmp(name, "progress") == 0 && asking->bar && !asked->over)
        progress_show(&asking->progress, (unsigned)json_number(event, "per_mille", 0),
                      step != NULL ? step : "");
}

static void on_ended(void *context, const struct error *why)
{
    struct asked *asked = context;
    if (asked->reply != NULL || asked->asking->request->until == REQUEST_GONE)
        asked_over(asked, asked->reply, NULL);
    else
        asked_refused(asked, why);
}

static void on_timeout(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct asking *asking = handle->data;
    (void)signum;
    asking->interrupted = true;
    uv_stop(&asking->loop);
}

/* The configuration as it was when the session was suspended; it now belongs to nobody. */
static int revive_members(const struct session_record *record, cJSON *members, struct error *err)
{
    cJSON *config = cJSON_Parse(record->config);
    if (!cJSON_IsObject(config)) {
        cJSON_Delete(config);
        return error_set(err, EUCLEAN, "its configuration in the registry cannot be read");
    }
    cJSON_DeleteItemFromObjectCaseSensitive(config, "bound");
    cJSON_AddItemToObject(members, "session", config);
    cJSON_AddStringToObject(members, "revive", record->id);
    return 0;
}

static int asked_connect(struct asked *asked, cJSON *members, struct error *err)
{
    static const struct client_events events = {on_event, on_ended};
    struct asking *asking = asked->asking;
    const struct session_record *record = asked->record;
    if (!asking->request->revive) {
        int rc = client_connect(&asked->client, &asking->loop, record->id, &events, asked, err);
        return rc == -ENOENT ? find_no_host(record, err) : rc;
    }
    int rc = revive_members(record, members, err);
    int fd = rc == 0 ? launch_host(NULL, err) : rc;
    if (fd >= 0)
        rc = client_open(&asked->client, &asking->loop, fd, &events, asked, err);
    return fd < 0 || rc < 0 ? error_wrap(err, "session %s", record->id) : 0;
}

static void asked_open(struct asked *asked)
{
    struct asking *asking = asked->asking;
    const struct request *request = asking->request;
    cJSON *members =
        request->members != NULL ? cJSON_Duplicate(request->members, true) : cJSON_CreateObject();
    struct error err = {0};
    asking->waiting++;
    if (asked_connect(asked, members, &err) < 0) {
        cJSON_Delete(members);
        asked_over(asked, NULL, &err);
    } else {
        client_request(asked->client, request->name, members, on_reply, asked);
    }
}

static void asking_wait(struct asking *asking, struct asked *all, size_t count)
{
    asking->running = true;
    if (asking->waiting > 0)
        uv_run(&asking->loop, UV_RUN_DEFAULT);
    asking->running = false;
    progress_end(&asking->progress);
    for (size_t i = 0; i < count; i++) {
        struct error err = {0};
        if (!all[i].over && !asking->interrupted) {
            error_set(&err, ETIMEDOUT,
                      "session %s does not answer (kill -9 %lld ends its host, and with it the VM)",
                      all[i].record->id, (long long)all[i].record->host_pid);
            asked_over(&all[i], NULL, &err);
        }
        client_close(all[i].client);
        cJSON_Delete(all[i].reply);
    }
}

static void asking_open(struct asking *asking)
{
    static const int signals[SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    uv_timer_init(&asking->loop, &asking->timer);
    if (asking->request->timeout_ms > 0)
        uv_timer_start(&asking->timer, on_timeout, asking->request->timeout_ms, 0);
    for (size_t i = 0; asking->request->progress && i < SIGNALS; i++) {
        uv_signal_init(&asking->loop, &asking->signals[i]);
        asking->signals[i].data = asking;
        uv_signal_start(&asking->signals[i], on_signal, signals[i]);
    }
}

static void asking_close(struct asking *asking)
{
    uv_close((uv_handle_t *)&asking->timer, NULL);
    for (size_t i = 0; asking->request->progress && i < SIGNALS; i++)
        uv_close((uv_handle_t *)&asking->signals[i], NULL);
    uv_run(&asking->loop, UV_RUN_DEFAULT); /* lets go of what was closed */
    uv_loop_close(&asking->loop);
}

static int ask_sessions(struct asking *asking, const struct session_list *list, struct error *err)
{
    struct asked *all = calloc(list->count + 1, sizeof *all);
    if (all == NULL || uv_loop_init(&asking->loop) < 0) {
        free(all);
        return error_set(err, ENOMEM, "out of memory");
    }
    asking_open(asking);
    asking->bar = asking->request->progress && list->count == 1; /* there is one line */
    progress_begin(&asking->progress, NULL);
    for (size_t i = 0; i < list->count; i++) {
        all[i] = (struct asked){.asking = asking, .record = &list->items[i]};
        asked_open(&all[i]);
    }
    asking_wait(asking, all, list->count);
    asking_close(asking);
    free(all);
    return asking->interrupted ? error_set(err, ECANCELED, "interrupted") : 0;
}

/* 1: its host is to be asked. 0: that was all. */
static int ask_state(const struct request *request, struct registry *registry,
                     const struct session_record *record, struct error *err)
{
    bool suspended = record->state == SESSION_SUSPENDED;
    if (request->revive && !suspended)
        return error_set(err, EBUSY, "session %s is not suspended", record->id);
    if (!suspended || request->revive)
        return 1;
    return request->suspended != NULL ? request->suspended(registry, record, err)
                                      : find_no_host(record, err);
}

static bool list_has(const struct session_list *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0)
            return true;
    return false;
}

/* The sessions that the words mean, each once; a word that means none is a failure noted. */
static int ask_find(struct asking *asking, struct registry *registry, char **words,
                    struct session_list *list, struct error *err)
{
    size_t count = 0;
    if (words == NULL)
        return session_list(registry, SESSIONS_LIVE, list, err);
    while (words[count] != NULL)
        count++;
    list->items = calloc(count + 1, sizeof *list->items);
    if (list->items == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct error failed = {0};
        struct session_record *record = &list->items[list->count];
        if (session_find(registry, words[i], SESSIONS_LIVE, record, &failed) < 0)
            ask_failed(asking, &failed);
        else if (list_has(list, record->id))
            session_record_free(record);
        else
            list->count++;
    }
    return 0;
}

/* Drops those from the list that have no host to ask. */
static void ask_select(struct asking *asking, struct registry *registry, struct session_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct error failed = {0};
        struct session_record record = list->items[i];
        int rc = ask_state(asking->request, registry, &record, &failed);
        if (rc < 0)
            ask_failed(asking, &failed);
        if (rc > 0)
            list->items[kept++] = record;
        else
            session_record_free(&record);
    }
    list->count = kept;
}

int request_send(const struct request *request, char **words, struct error *err)
{
    struct asking *asking = calloc(1, sizeof *asking);
    CLEAN_SESSIONS struct session_list list = {0};
    struct registry *registry = NULL;
    if (asking == NULL)
        return error_set(err, ENOMEM, "out of memory");
    asking->request = request;
    int rc = find_registry(&registry, err);
    if (rc == 0)
        rc = ask_find(asking, registry, words, &list, err);
    if (rc == 0)
        ask_select(asking, registry, &list);
    registry_close(registry);
    if (rc == 0)
        rc = ask_sessions(asking, &list, err);
    if (rc == 0 && asking->failure.code != 0) {
        *err = asking->failure;
        rc = -err->code;
    }
    free(asking);
    return rc;
}
