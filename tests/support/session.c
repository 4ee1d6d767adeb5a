/* See the header. */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/protocol/json.h"
#include "session/protocol/launch.h"

static void on_ended(void *context, const struct error *why)
{
    struct test_session *session = context;
    session->ended = true;
    if (session->why.code == 0)
        session->why = *why;
}

static void on_start(void *context, const cJSON *reply, const struct error *why)
{
    struct test_session *session = context;
    session->ready = reply != NULL;
    if (reply == NULL)
        session->why = *why;
    else
        snprintf(session->id, sizeof session->id, "%s", json_string(reply, "session"));
}

bool test_session_start(struct test_session *session)
{
    static const struct client_events events = {NULL, on_ended};
    CLEAN_SESSION_CONFIG struct session_config config;
    const char *image = getenv("VMDECK_IMAGE");
    session_config_init(&config);
    config.bound = true;
    config.image = image != NULL ? strdup(image) : NULL;
    *session = (struct test_session){0};
    uv_loop_init(&session->loop);
    int fd = launch_host(getenv("VMDECK"), &session->why);
    if (fd < 0 ||
        client_open(&session->client, &session->loop, fd, &events, session, &session->why) < 0)
        return false;
    cJSON *request = cJSON_CreateObject();
    cJSON_AddItemToObject(request, "session", session_config_json(&config));
    client_request(session->client, "start", request, on_start, session);
    while (!session->ready && !session->ended)
        uv_run(&session->loop, UV_RUN_ONCE);
    return session->ready;
}

void test_session_stop(struct test_session *session)
{
    client_request(session->client, "stop", NULL, NULL, NULL);
    while (!session->ended)
        uv_run(&session->loop, UV_RUN_ONCE);
    client_close(session->client);
    uv_run(&session->loop, UV_RUN_DEFAULT);
    uv_loop_close(&session->loop);
}
