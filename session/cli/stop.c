/*
 * vmdeck stop: all sessions at once, on one loop. A host closes the connection when nothing of its
 * session is left, so the end of the connection is the answer that counts.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "session/cli/find.h"
#include "session/cli/verb.h"

#define STOP_TIMEOUT_MS \
    20000 /* the host takes 8 s at most: see SHUTDOWN_TIMEOUT_MS, QEMU_GRACE_MS */

struct stop_options {
    bool all;
};

struct stop {
    uv_loop_t loop;
    uv_timer_t timer;
    size_t waiting;
    struct error failure; /* the last one; those before it have been printed */
};

struct stopped {
    struct stop *stop;
    struct session_record *record;
    struct client *client;
    bool gone;
};

static void stop_failed(struct stop *stop, const struct error *why)
{
    if (stop->failure.code != 0)
        fprintf(stderr, "vmdeck stop: %s\n", stop->failure.message);
    stop->failure = *why;
}

static void on_reply(void *context, const cJSON *reply, const struct error *why)
{
    struct stopped *stopped = context;
    struct error failed = *why;
    if (reply != NULL || failed.code == EPIPE)
        return; /* on_ended() follows */
    error_wrap(&failed, "session %s", stopped->record->id);
    stop_failed(stopped->stop, &failed);
}

static void on_ended(void *context, const struct error *why)
{
    (void)why;
    struct stopped *stopped = context;
    stopped->gone = true;
    if (--stopped->stop->waiting == 0)
        uv_stop(&stopped->stop->loop);
}

static void on_timeout(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void stop_one(struct stopped *stopped)
{
    static const struct client_events events = {NULL, on_ended};
    struct stop *stop = stopped->stop;
    struct error err = {0};
    int rc =
        client_connect(&stopped->client, &stop->loop, stopped->record->id, &events, stopped, &err);
    if (rc < 0) {
        if (rc == -ENOENT)
            error_set(&err, EAGAIN, "session %s is only just starting or ending (try again)",
                      stopped->record->id);
        stop_failed(stop, &err);
        return;
    }
    stop->waiting++;
    client_request(stopped->client, "stop", NULL, on_reply, stopped);
}

static void stop_wait(struct stop *stop, struct stopped *all, size_t count)
{
    uv_timer_start(&stop->timer, on_timeout, STOP_TIMEOUT_MS, 0);
    if (stop->waiting > 0)
        uv_run(&stop->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < count; i++) {
        struct error err = {0};
        if (all[i].client != NULL && !all[i].gone) {
            error_set(&err, ETIMEDOUT,
                      "session %s does not answer (kill -9 %lld ends its host, and with it the VM)",
                      all[i].record->id, (long long)all[i].record->host_pid);
            stop_failed(stop, &err);
        }
        client_close(all[i].client);
    }
    uv_close((uv_handle_t *)&stop->timer, NULL);
    uv_run(&stop->loop, UV_RUN_DEFAULT); /* lets go of what was closed */
    uv_loop_close(&stop->loop);
}

static int stop_sessions(struct stop *stop, const struct session_list *list, struct error *err)
{
    struct stopped *all = calloc(list->count + 1, sizeof *all);
    if (all == NULL || uv_loop_init(&stop->loop) < 0) {
        free(all);
        return error_set(err, ENOMEM, "out of memory");
    }
    uv_timer_init(&stop->loop, &stop->timer);
    for (size_t i = 0; i < list->count; i++) {
        all[i] = (struct stopped){.stop = stop, .record = &list->items[i]};
        stop_one(&all[i]);
    }
    stop_wait(stop, all, list->count);
    free(all);
    return 0;
}

static bool stop_has(const struct session_list *list, const char *id)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].id, id) == 0)
            return true;
    return false;
}

/* The sessions that the words mean, each once; a word that means none is a failure noted. */
static int stop_find(struct stop *stop, struct registry *registry, char **words,
                     struct session_list *list, struct error *err)
{
    size_t count = 0;
    while (words[count] != NULL)
        count++;
    list->items = calloc(count + 1, sizeof *list->items);
    if (list->items == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct error failed = {0};
        struct session_record *record = &list->items[list->count];
        if (session_find(registry, words[i], SESSIONS_LIVE, record, &failed) < 0)
            stop_failed(stop, &failed);
        else if (stop_has(list, record->id))
            session_record_free(record);
        else
            list->count++;
    }
    return 0;
}

static int stop_run(const struct stop_options *options, char **words, struct error *err)
{
    struct stop stop = {0};
    struct session_list list = {0};
    struct registry *registry;
    int rc = find_registry(&registry, err);
    if (rc < 0)
        return rc;
    rc = options->all ? session_list(registry, SESSIONS_LIVE, &list, err)
                      : stop_find(&stop, registry, words, &list, err);
    registry_close(registry);
    if (rc == 0)
        rc = stop_sessions(&stop, &list, err);
    session_list_free(&list);
    if (rc < 0 || stop.failure.code == 0)
        return rc;
    *err = stop.failure;
    return -err->code;
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
    return stop_run(&options, args, err);
}

const struct verb verb_stop = {
    .name = "stop",
    .usage = "ID...\n--all",
    .summary = "End sessions: SIGTERM to the guest's processes, then the VM",
    .groups = {&stop_group},
    .run = stop_main,
};
