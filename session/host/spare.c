/*
 * A spare's life: "spare" on the connection it was born with (which then closes), fork, one command
 * in the guest so that what every session runs has been translated, stand still, stop, listen.
 * "claim" turns it into a session: it gets its row in the registry, its socket its usual name, the
 * VM goes on and is configured like any fork. The loop is single, so there is one that is first.
 */
#include "session/host/spare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "session/host/record.h"
#include "session/host/vm.h"
#include "session/protocol/json.h"
#include "session/protocol/launch.h"
#include "session/protocol/spare.h"

static void spare_idle(uv_timer_t *timer)
{
    host_stop(timer->data, NULL);
}

static int spare_config(struct host *host, const cJSON *request, struct error *err)
{
    session_config_free(&host->config);
    session_config_init(&host->config);
    return session_config_parse(cJSON_GetObjectItemCaseSensitive(request, "session"), &host->config,
                                err);
}

int spare_request(struct peer *peer, const cJSON *request, struct error *err)
{
    struct host *host = peer->host;
    if (!peer->birth || host->state != HOST_WAITING)
        return error_set(err, EALREADY, "this session has been started");
    int rc = spare_config(host, request, err);
    if (rc == 0)
        rc = spare_shape(&host->config, host->spare_shape, err);
    if (rc < 0) {
        host_stop(host, err);
        return rc;
    }
    peer->birth = false; /* nobody waits for it */
    host->spare = true;
    host_start(host);
    return 0;
}

static void on_stopped(void *context, const cJSON *result, const struct error *why)
{
    struct host *host = context;
    struct error err = {0};
    if (result == NULL || host->state != HOST_STARTING) {
        host_stop(host, why);
        return;
    }
    CLEAN_FREE char *name = spare_socket_name(host->spare_shape, host->id);
    if (name == NULL || peer_listen(host, name, &err) < 0) {
        host_stop(host, &err);
        return;
    }
    uv_timer_start(&host->last_words, spare_idle, SPARE_IDLE_MS, 0);
    host->spare_waits = true;
}

static void on_quiet(void *context, uint32_t code)
{
    struct host *host = context;
    (void)code;
    if (host->qemu != NULL)
        qmp_run(qemu_qmp(host->qemu), "stop", NULL, on_stopped, host);
}

static void on_failed(void *context, uint32_t code, enum wire_stage stage, const char *text)
{
    struct host *host = context;
    (void)code;
    (void)stage;
    (void)text;
    guest_quiesce(host->guest, false, on_quiet, host);
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    struct host *host = context;
    (void)code;
    (void)signal;
    guest_quiesce(host->guest, false, on_quiet, host);
}

void spare_ready(struct host *host)
{
    static const struct guest_command_events events = {.failed = on_failed, .exited = on_exited};
    CLEAN_STRV struct strv argv = {0};
    struct guest_command *command;
    struct error err = {0};
    const struct guest_spawn spawn = {.argv = &argv, .no_stdin = true};
    if (strv_add(&argv, "true") < 0 ||
        guest_spawn(host->guest, &spawn, &events, host, &command, &err) < 0)
        host_stop(host, &err);
}

/* The image may have got another meaning since: then it is not this one. */
static int spare_fits(const struct host *host, const struct session_config *config,
                      struct error *err)
{
    char shape[SPARE_SHAPE_SIZE];
    CLEAN_IMAGE struct image image = {0};
    const char *selector = config->image != NULL ? config->image : IMAGE_DEFAULT;
    int rc = spare_shape(config, shape, err);
    if (rc == 0)
        rc = image_open(selector, &image, err);
    if (rc == 0 && (strcmp(shape, host->spare_shape) != 0 || strcmp(image.id, host->image.id) != 0))
        rc = error_set(err, ESTALE, "this spare is of another shape");
    return rc;
}

/* From here on it is a session like any other. */
static int spare_become(struct host *host, struct error *err)
{
    CLEAN_FREE char *name = str_printf("%s.sock", host->id);
    CLEAN_FREE char *path = NULL;
    int rc = record_add(host, err);
    if (rc == 0)
        rc = name != NULL ? path_xdg(PATH_RUNTIME, name, &path, err) : -ENOMEM;
    if (rc == 0 && rename(host->socket_path, path) < 0)
        rc = error_system(err, errno, "cannot rename %s", host->socket_path);
    if (rc < 0)
        return rc;
    free(host->socket_path);
    host->socket_path = take_ptr(path);
    record_session(host, "started", NULL);
    return vm_wake(host, err);
}

int spare_request_claim(struct peer *peer, const cJSON *request, struct error *err)
{
    struct host *host = peer->host;
    struct session_config config;
    if (!host->spare_waits)
        return error_set(err, ESTALE, "this session is no spare any more");
    session_config_init(&config);
    cJSON *secrets = cJSON_GetObjectItemCaseSensitive(request, "secrets");
    int rc =
        session_config_parse(cJSON_GetObjectItemCaseSensitive(request, "session"), &config, err);
    if (rc == 0)
        rc = session_secrets_parse(secrets, &config.secrets, err);
    session_secrets_wipe(secrets);
    if (rc == 0)
        rc = spare_fits(host, &config, err);
    if (rc < 0) {
        session_config_free(&config);
        return rc;
    }
    uv_timer_stop(&host->last_words);
    session_config_free(&host->config);
    host->config = config;
    host->spare = host->spare_waits = false;
    peer->birth = true;
    host->starter = peer;
    host->start_id = (uint32_t)json_number(request, "id", 0);
    rc = spare_become(host, err);
    if (rc < 0)
        host_stop(host, err); /* which answers */
    return 1;
}

/* Nobody waits for the new host's answers. */
static void spare_launch(const struct host *host)
{
    struct error err = {0};
    CLEAN_BUF struct buf out = {0};
    CLEAN_FD int fd = launch_host(NULL, &err);
    cJSON *hello = cJSON_CreateObject(), *spare = cJSON_CreateObject();
    cJSON *session = session_config_json(&host->config);
    cJSON_AddStringToObject(hello, "request", "hello");
    cJSON_AddNumberToObject(hello, "id", 1);
    cJSON_AddNumberToObject(hello, "version", CONTROL_VERSION);
    cJSON_AddStringToObject(spare, "request", "spare");
    cJSON_AddNumberToObject(spare, "id", 2);
    static const char *const personal[] = {"name",          "command",      "argv",
                                           "env",           "cwd",          "bound",
                                           "mounts_hostfs", "mounts_memfs", "shadows"};
    for (size_t i = 0; i < sizeof personal / sizeof personal[0]; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(session, personal[i]);
    session_config_remove_network(session);
    cJSON_AddItemToObject(spare, "session", session);
    cJSON *const messages[] = {hello, spare};
    for (size_t i = 0; i < 2; i++) {
        char *text = cJSON_PrintUnformatted(messages[i]);
        if (text != NULL)
            frame_append(&out, CONTROL_MESSAGE, 0, 0, text, (uint32_t)strlen(text));
        cJSON_free(text);
        cJSON_Delete(messages[i]);
    }
    int rc = fd < 0 ? fd : fd_write_all(fd, buf_data(&out), buf_len(&out));
    if (fd >= 0 && rc < 0)
        error_system(&err, -rc, "its session host does not listen");
    if (rc < 0)
        log_warn(LOG_HOST, "no spare could be started: %s", err.message);
}

void spare_top_up(const struct host *host)
{
    char shape[SPARE_SHAPE_SIZE];
    if (host->config.spares == 0 || host->spare || spare_shape(&host->config, shape, NULL) < 0)
        return;
    for (size_t have = spare_count(shape); have < host->config.spares; have++)
        spare_launch(host);
}
