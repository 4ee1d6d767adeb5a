/* One loop, one connection to each, one timer for all of them. */
#include "session/cli/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "session/protocol/client.h"

struct asking {
    uv_loop_t loop;
    uv_timer_t timer;
    size_t waiting;
};

struct asked {
    struct asking *asking;
    struct ask *ask;
    struct client *client;
};

static void on_reply(void *context, const cJSON *reply, const struct error *why)
{
    struct asked *asked = context;
    if (reply != NULL)
        asked->ask->reply = cJSON_Duplicate(reply, true);
    asked->ask->why = *why;
    if (--asked->asking->waiting == 0)
        uv_stop(&asked->asking->loop);
}

static void on_ended(void *context, const struct error *why)
{
    (void)context;
    (void)why; /* on_reply() has been told */
}

static void on_timeout(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void asked_open(struct asked *asked, const char *request)
{
    static const struct client_events events = {NULL, on_ended};
    struct ask *ask = asked->ask;
    ask->reply = NULL;
    if (client_connect(&asked->client, &asked->asking->loop, ask->id, &events, asked, &ask->why) <
        0)
        return;
    error_set(&ask->why, ETIMEDOUT, "session %s does not answer", ask->id);
    asked->asking->waiting++;
    client_request(asked->client, request, NULL, on_reply, asked);
}

int ask_all(const char *request, struct ask *asks, size_t count, struct error *err)
{
    struct asking asking = {0};
    struct asked *asked = calloc(count + 1, sizeof *asked);
    if (asked == NULL || uv_loop_init(&asking.loop) < 0) {
        free(asked);
        return error_set(err, ENOMEM, "out of memory");
    }
    uv_timer_init(&asking.loop, &asking.timer);
    uv_timer_start(&asking.timer, on_timeout, ASK_TIMEOUT_MS, 0);
    for (size_t i = 0; i < count; i++) {
        asked[i].asking = &asking;
        asked[i].ask = &asks[i];
        asked_open(&asked[i], request);
    }
    if (asking.waiting > 0)
        uv_run(&asking.loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < count; i++)
        client_close(asked[i].client);
    uv_close((uv_handle_t *)&asking.timer, NULL);
    uv_run(&asking.loop, UV_RUN_DEFAULT); /* lets go of what was closed */
    uv_loop_close(&asking.loop);
    free(asked);
    return 0;
}

void ask_free(struct ask *asks, size_t count)
{
    for (size_t i = 0; asks != NULL && i < count; i++)
        cJSON_Delete(asks[i].reply);
    free(asks);
}
