/*
 * See the header. The image is built here, not in the host: it is the user who watches. Where the
 * settings want spares, one that waits is asked first; if it cannot take the session (another was
 * faster, the image's name has a new meaning), a new host is started as if there had been none.
 */
#include "session/cli/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/cli/progress.h"
#include "session/cli/verb.h"
#include "session/cli/vmoptions.h"
#include "session/protocol/json.h"
#include "session/protocol/launch.h"
#include "session/protocol/spare.h"

struct claim {
    struct client **out;
    uv_loop_t *loop;
    struct session_config *config;
    const struct client_events *events;
    client_done *done;
    void *context;
    struct error error;
};

static void ask(struct client *client, const char *name, struct session_config *config,
                client_done *done, void *context)
{
    cJSON *request = cJSON_CreateObject();
    cJSON_AddItemToObject(request, "session", session_config_json(config));
    if (config->secrets.count > 0)
        cJSON_AddItemToObject(request, "secrets", session_secrets_json(&config->secrets, true));
    client_request(client, name, request, done, context);
}

static int start_new(struct client **out, uv_loop_t *loop, struct session_config *config,
                     const struct client_events *events, client_done *done, void *context,
                     struct error *err)
{
    int fd = launch_host(NULL, err);
    if (fd < 0)
        return fd;
    int rc = client_open(out, loop, fd, events, context, err);
    if (rc == 0)
        ask(*out, "start", config, done, context);
    session_secrets_free(&config->secrets); /* the host has them now */
    return rc;
}

static void on_claimed(void *context, const cJSON *reply, const struct error *why)
{
    struct claim claim = *(struct claim *)context;
    free(context);
    if (reply != NULL) {
        client_listen(*claim.out, claim.events, claim.context);
        session_secrets_free(&claim.config->secrets);
        claim.done(claim.context, reply, why);
        return;
    }
    client_close(*claim.out);
    *claim.out = NULL;
    if (start_new(claim.out, claim.loop, claim.config, claim.events, claim.done, claim.context,
                  &claim.error) < 0)
        claim.done(claim.context, NULL, &claim.error);
}

/* Until it is ours, what becomes of it concerns somebody else: who was faster. */
static void ignore_event(void *context, const char *name, const cJSON *event)
{
    (void)context;
    (void)name;
    (void)event;
}

static void ignore_end(void *context, const struct error *why)
{
    (void)context;
    (void)why; /* on_claimed() has heard of it */
}

/* A spare that was asked; -ENOENT: there is none. */
static int start_spare(const struct claim *what, struct error *err)
{
    char shape[SPARE_SHAPE_SIZE];
    int rc = what->config->spares > 0 ? spare_shape(what->config, shape, err) : -ENOENT;
    int fd = rc == 0 ? spare_connect(shape, err) : rc;
    struct claim *claim = fd >= 0 ? malloc(sizeof *claim) : NULL;
    if (claim == NULL)
        return fd < 0 ? fd : -ENOMEM;
    *claim = *what;
    static const struct client_events nobody = {ignore_event, ignore_end};
    rc = client_open(claim->out, claim->loop, fd, &nobody, NULL, err);
    if (rc < 0) {
        free(claim);
        return rc;
    }
    ask(*claim->out, "claim", claim->config, on_claimed, claim);
    return 0;
}

int start_session(struct client **out, uv_loop_t *loop, struct session_config *config,
                  const struct client_events *events, client_done *done, void *context,
                  struct error *err)
{
    /* A snapshot names its image. */
    int rc = config->resume == NULL ? progress_ensure_image(config->image, err) : 0;
    for (size_t i = 0; i < config->secrets.count && config->resume == NULL && rc == 0; i++)
        if (config->secrets.items[i].value == NULL)
            rc =
                error_set(err, USAGE_ERROR, "--secret-in-query %s: there is no --host-secret of it",
                          config->secrets.items[i].name);
    if (rc < 0)
        return rc;
    const struct claim claim = {out, loop, config, events, done, context, {0}};
    struct error none = {0};
    if (start_spare(&claim, &none) == 0)
        return 0;
    return start_new(out, loop, config, events, done, context, err);
}

struct once {
    uv_loop_t loop;
    struct client *client;
    struct error error;
};

static void once_gone(void *context, const struct error *why)
{
    struct once *once = context;
    (void)why;
    uv_stop(&once->loop);
}

static void once_started(void *context, const cJSON *reply, const struct error *why)
{
    struct once *once = context;
    if (reply == NULL) {
        once->error = *why;
        uv_stop(&once->loop);
    } else {
        client_request(once->client, "stop", NULL, NULL, NULL);
    }
}

int start_once(const char *image, struct error *err)
{
    static const struct client_events events = {ignore_event, once_gone};
    static struct once once; /* the loop's handles stay in it */
    CLEAN_SESSION_CONFIG struct session_config config;
    int rc = vm_options_defaults(&config, err);
    if (rc == 0) {
        free(config.image);
        config.image = strdup(image);
        config.bound = true;
        config.spares = 0;
        rc = uv_loop_init(&once.loop);
    }
    if (rc == 0)
        rc = start_session(&once.client, &once.loop, &config, &events, once_started, &once, err);
    if (rc < 0)
        return rc;
    uv_run(&once.loop, UV_RUN_DEFAULT);
    *err = once.error;
    client_close(once.client);
    return -once.error.code;
}

void start_notice(const char *verb, const cJSON *reply)
{
    const char *notice = json_string(reply, "notice");
    const cJSON *note;
    cJSON_ArrayForEach(note, cJSON_GetObjectItemCaseSensitive(reply, "notes"))
    {
        if (cJSON_IsString(note))
            fprintf(stderr, "vmdeck %s: note: %s\n", verb, note->valuestring);
    }
    if (notice != NULL)
        fprintf(stderr,
                "vmdeck %s: note: emulating, which is slower, and QEMU promises isolation only "
                "with KVM: %s\n",
                verb, notice);
}
