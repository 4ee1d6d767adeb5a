/*
 * What is to be written gathers in `pending`. One job at a time takes all of it to a worker
 * thread, and what came meanwhile is the next job: so a burst of events becomes few transactions,
 * and the connection to the database is used by one thread at a time.
 */
#include "session/host/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "session/host/peer.h"
#include "session/protocol/json.h"
#include "session/store/leftover.h"

#define PENDING_MAX 10000                      /* events; beyond, the newest are dropped */
#define BATCH       256                        /* events of one transaction */
#define COMMAND_MAX 1000                       /* bytes of it that are kept */
#define UNREAD_MAX  ((size_t)16 * 1024 * 1024) /* bytes that wait for a subscriber */

struct job {
    struct event *events;
    size_t count;
    bool update, end; /* which change of state goes with it */
};

struct record {
    struct host *host;
    struct registry *registry;
    struct session_record session; /* its texts belong to the host */
    enum session_state state, final;
    char reason[ERROR_MESSAGE_MAX];
    struct job pending, current;
    size_t dropped;
    bool busy, ending;
    uv_work_t work;
    void (*done)(struct host *host);
};

/*
 * The configuration as it was given, but with the names only of the environment and without the
 * arguments, which `command` shows as far as they are to be shown.
 */
static char *record_config(const struct session_config *config)
{
    cJSON *json = session_config_json(config);
    cJSON *names = config->env.count > 0 ? cJSON_CreateArray() : NULL;
    for (size_t i = 0; i < config->env.count; i++) {
        const char *text = config->env.items[i];
        CLEAN_FREE char *name = strndup(text, strcspn(text, "="));
        cJSON_AddItemToArray(names, cJSON_CreateString(name != NULL ? name : ""));
    }
    if (names != NULL)
        cJSON_ReplaceItemInObjectCaseSensitive(json, "env", names);
    cJSON_DeleteItemFromObjectCaseSensitive(json, "argv");
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

/* The row stays that of a suspended session until the VM runs: its files are all there is of it. */
static int record_revive(struct record *record, const char *id, struct error *err)
{
    CLEAN_SESSION struct session_record row = {0};
    int rc = session_find(record->registry, id, SESSIONS_LIVE, &row, err);
    if (rc == 0 && row.state != SESSION_SUSPENDED)
        rc = error_set(err, EBUSY, "session %s is not suspended", id);
    memcpy(record->session.id, row.id, sizeof record->session.id);
    record->session.created = row.created;
    return rc;
}

int record_add(struct host *host, struct error *err)
{
    struct record *record = calloc(1, sizeof *record);
    CLEAN_FREE char *config = record_config(&host->config);
    CLEAN_FREE char *command =
        str_printf("%.*s", COMMAND_MAX, host->config.command != NULL ? host->config.command : "");
    if (record == NULL || command == NULL || config == NULL) {
        free(record);
        return error_set(err, ENOMEM, "out of memory");
    }
    record->host = host;
    record->work.data = record;
    struct session_record *session = &record->session;
    *session = (struct session_record){
        .state = SESSION_STARTING,
        .name = host->config.name,
        .image = host->image.name,
        .image_build = host->image.id,
        .arch = host->image.arch,
        .memory = (int64_t)host->config.memory,
        .cpus = (int64_t)host->config.cpus,
        .host_pid = getpid(),
        .command = command,
        .config = config,
    };
    memcpy(session->id, host->id, sizeof session->id);
    int rc = registry_open(&record->registry, NULL, err);
    if (rc == 0)
        rc = leftover_collect(record->registry, err);
    if (rc == 0)
        rc = session_host_start(session->host_pid, &session->host_start, err);
    if (rc == 0)
        rc = host->revive ? record_revive(record, host->id, err)
                          : session_add_known(record->registry, session, err);
    if (rc < 0) {
        registry_close(record->registry);
        free(record);
        return rc;
    }
    session->config = session->command = NULL;
    memcpy(host->id, session->id, sizeof host->id);
    host->record = record;
    return 0;
}

int64_t record_created(const struct host *host)
{
    return host->record != NULL ? host->record->session.created : 0;
}

static void job_free(struct job *job)
{
    for (size_t i = 0; i < job->count; i++)
        cJSON_free((char *)job->events[i].json);
    free(job->events);
    *job = (struct job){0};
}

/* The worker thread: the record's registry, session and current job are its alone until it is
 * through. */
static void record_write(uv_work_t *work)
{
    struct record *record = work->data;
    const struct job *job = &record->current;
    struct error err = {0};
    int rc = 0;
    if (job->update)
        rc = session_update(
            record->registry, &record->session,
            SESSION_SET_STATE | SESSION_SET_HOST | SESSION_SET_MACHINE | SESSION_SET_FILES, &err);
    for (size_t at = 0; at < job->count; at += BATCH) {
        size_t count = job->count - at < BATCH ? job->count - at : BATCH;
        int failed = events_append(record->registry, job->events + at, count, &err);
        rc = failed < 0 ? failed : rc;
    }
    if (job->end && record->final != SESSION_SUSPENDED) {
        int failed =
            session_end(record->registry, record->session.id, record->final, record->reason, &err);
        rc = failed < 0 ? failed : rc;
    }
    if (rc < 0)
        log_warn(LOG_HOST, "session %s: its record: %s", record->session.id, err.message);
}

static void record_close(struct record *record)
{
    struct host *host = record->host;
    void (*done)(struct host *) = record->done;
    host->record = NULL;
    if (record->dropped > 0)
        log_warn(LOG_HOST, "session %s: %zu events were dropped", host->id, record->dropped);
    job_free(&record->pending);
    registry_close(record->registry);
    free(record);
    done(host);
}

static void record_flush(struct record *record);

static void record_written(uv_work_t *work, int status)
{
    (void)status;
    struct record *record = work->data;
    bool end = record->current.end;
    record->busy = false;
    job_free(&record->current);
    if (end)
        record_close(record);
    else
        record_flush(record);
}

static void record_flush(struct record *record)
{
    const struct job *job = &record->pending;
    if (record->busy || (job->count == 0 && !job->update && !job->end))
        return;
    if (job->update) { /* while no worker reads it */
        record->session.state = record->state;
        record->session.accel = accel_name(&record->host->accel);
        record->session.directory = record->host->directory;
    }
    record->current = record->pending;
    record->pending = (struct job){0};
    record->busy = true;
    uv_queue_work(&record->host->loop, &record->work, record_write, record_written);
}

void record_state(struct host *host, enum session_state state)
{
    if (host->record == NULL || host->record->ending)
        return;
    host->record->state = state;
    host->record->pending.update = true;
    record_flush(host->record);
}

/* Takes the text over. */
static void record_append(struct record *record, const struct event *event, char *text)
{
    struct job *job = &record->pending;
    struct event *events = NULL;
    if (text != NULL && strlen(text) <= EVENT_JSON_MAX && job->count < PENDING_MAX)
        events = realloc(job->events, (job->count + 1) * sizeof *events);
    if (events == NULL) {
        record->dropped++;
        cJSON_free(text);
        return;
    }
    job->events = events;
    events[job->count] = *event;
    events[job->count++].json = text;
    record_flush(record);
}

void record_event(struct host *host, enum event_type type, cJSON *fields)
{
    struct record *record = host->record;
    if (record == NULL || record->ending || !cJSON_IsObject(fields)) {
        cJSON_Delete(fields);
        return;
    }
    struct timespec now;
    char time[EVENT_TIME_SIZE];
    clock_gettime(CLOCK_REALTIME, &now);
    struct event event = {.time = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, .type = type};
    memcpy(event.session, host->id, sizeof event.session);
    event_time_text(event.time, time);

    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "time", time);
    cJSON_AddStringToObject(entry, "session", host->id);
    cJSON_AddStringToObject(entry, "type", event_type_name(type));
    for (cJSON *item = fields->child; item != NULL; item = fields->child) {
        cJSON_DetachItemViaPointer(fields, item);
        CLEAN_FREE char *name = strdup(item->string); /* the item's own is replaced */
        cJSON_AddItemToObject(entry, name != NULL ? name : "", item);
    }
    cJSON_Delete(fields);
    for (struct peer *peer = host->peers; peer != NULL; peer = peer->next)
        if (peer->subscribed && conn_queued(peer->conn) > UNREAD_MAX) {
            peer_violation(peer, "it does not read the events that it subscribed to");
        } else if (peer->subscribed) {
            cJSON *message = cJSON_CreateObject();
            cJSON_AddStringToObject(message, "event", "log");
            cJSON_AddItemToObject(message, "entry", cJSON_Duplicate(entry, true));
            peer_event(peer, message);
        }
    record_append(record, &event, cJSON_PrintUnformatted(entry));
    cJSON_Delete(entry);
}

void record_session(struct host *host, const char *action, const char *detail)
{
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "action", action);
    if (detail != NULL)
        cJSON_AddStringToObject(fields, "detail", detail);
    record_event(host, EVENT_SESSION, fields);
}

void record_end(struct host *host, void (*done)(struct host *host))
{
    struct record *record = host->record;
    const struct error *why = &host->reason;
    if (record == NULL) {
        done(host);
        return;
    }
    /* Asked to, by a signal, or by the guest, which powered off: these are no failures. */
    bool stopped = why->code == 0 || why->code == EINTR || why->code == ESHUTDOWN;
    const char *detail = why->code != 0 ? why->message : "as it was asked to";
    record->final = host->suspended ? SESSION_SUSPENDED : stopped ? SESSION_STOPPED : SESSION_DEAD;
    snprintf(record->reason, sizeof record->reason, "%s", detail);
    if (host->suspended) {
        record->session.host_pid = record->session.host_start = 0;
        record_state(host, SESSION_SUSPENDED);
    } else {
        record_session(host, stopped ? "stopped" : "failed", detail);
    }
    record->ending = true;
    record->done = done;
    record->pending.end = true;
    record_flush(record);
}
