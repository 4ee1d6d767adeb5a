/*
 * A relay joins a stream of a client to a command in the guest. It lives from the request until
 * the command's end (exited, failed) or the client's. Stream ids are the client's; the guest's
 * are vm/guest.c's business.
 */
#include "session/host/exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/host/viewers.h"
#include "session/protocol/json.h"

struct relay {
    struct peer *peer;
    uint32_t stream;
    struct guest_command *command;
    char *program, *cwd;             /* for messages */
    uint32_t owed[CONTROL_CHANNELS]; /* sent to the client, not yet consumed */
};

static struct relay *relay_find(struct peer *peer, uint64_t stream)
{
    return stream > 0 && stream <= CONTROL_STREAMS_MAX ? peer->relays[stream - 1] : NULL;
}

static void relay_free(struct relay *relay)
{
    relay->peer->relays[relay->stream - 1] = NULL;
    free(relay->program);
    free(relay->cwd);
    free(relay);
}

static cJSON *relay_event(const struct relay *relay, const char *name)
{
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", name);
    cJSON_AddNumberToObject(event, "stream", relay->stream);
    return event;
}

static void relay_spawned(void *context, uint32_t pid)
{
    const struct relay *relay = context;
    cJSON *event = relay_event(relay, "started");
    cJSON_AddNumberToObject(event, "pid", pid);
    peer_event(relay->peer, event);
}

static void relay_end_failed(struct relay *relay, int status, const char *message)
{
    cJSON *event = relay_event(relay, "failed");
    cJSON_AddNumberToObject(event, "status", status);
    cJSON_AddStringToObject(event, "message", message);
    peer_event(relay->peer, event);
    relay_free(relay);
}

/* What a shell would exit with (POSIX 2.8.2): 127 not found, 126 found but not runnable. */
static void relay_failed(void *context, uint32_t code, enum wire_stage stage, const char *text)
{
    struct relay *relay = context;
    struct error why = {0};
    bool missing = code == ENOENT || code == ENOTDIR;
    int status = 126;
    if (stage == WIRE_STAGE_EXEC && missing) {
        status = 127;
        error_set(&why, ENOENT, "%s: command not found in the guest", relay->program);
    } else if (stage == WIRE_STAGE_EXEC) {
        error_system(&why, (int)code, "%s: cannot be run in the guest", relay->program);
    } else if (stage == WIRE_STAGE_CWD) {
        error_system(&why, (int)code, "%s: not usable as directory in the guest", relay->cwd);
    } else {
        status = stage == WIRE_STAGE_USER ? 126 : 125;
        error_system(&why, (int)code, "%s: %s", relay->program, text);
    }
    relay_end_failed(relay, status, why.message);
}

static void relay_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                         bool last)
{
    struct relay *relay = context;
    relay->owed[channel] += size;
    conn_send(relay->peer->conn, CONTROL_DATA, (uint8_t)(channel | (last ? CONTROL_EOF : 0)),
              relay->stream, data, size);
}

static void relay_accepted(void *context, uint32_t bytes)
{
    const struct relay *relay = context;
    uint8_t payload[4];
    put_u32(payload, bytes);
    conn_send(relay->peer->conn, CONTROL_CREDIT, CONTROL_STDIN, relay->stream, payload, 4);
}

static void relay_exited(void *context, uint32_t code, uint32_t signal)
{
    struct relay *relay = context;
    cJSON *event = relay_event(relay, "exit");
    cJSON_AddNumberToObject(event, "code", code);
    cJSON_AddNumberToObject(event, "signal", signal);
    peer_event(relay->peer, event);
    relay_free(relay);
}

static int exec_spawn(struct relay *relay, const cJSON *request, struct error *err)
{
    static const struct guest_command_events events = {relay_spawned, relay_failed, relay_output,
                                                       relay_accepted, relay_exited};
    CLEAN_STRV struct strv argv = {0}, env = {0};
    if (json_strings(request, "argv", &argv) < 0 || json_strings(request, "env", &env) < 0 ||
        argv.count == 0)
        return error_set(err, EINVAL, "exec: argv and env must be lists of strings");
    const char *cwd = json_string(request, "cwd");
    relay->program = strdup(argv.items[0]);
    relay->cwd = cwd != NULL ? strdup(cwd) : NULL;
    if (relay->program == NULL || (cwd != NULL && relay->cwd == NULL))
        return error_set(err, ENOMEM, "out of memory");
    const struct guest_spawn spawn = {
        .argv = &argv,
        .env = &env,
        .cwd = relay->cwd,
        .user = json_string(request, "user"),
        .tty = cJSON_HasObjectItem(request, "rows"),
        .rows = (uint16_t)(json_number(request, "rows", 24) & 0xffff),
        .columns = (uint16_t)(json_number(request, "columns", 80) & 0xffff),
        .no_stdin = !json_bool(request, "stdin"),
    };
    return guest_spawn(relay->peer->host->guest, &spawn, &events, relay, &relay->command, err);
}

int exec_request(struct peer *peer, const cJSON *request, struct error *err)
{
    uint64_t stream = json_number(request, "stream", 0);
    if (stream == 0 || stream > CONTROL_STREAMS_MAX || peer->relays[stream - 1] != NULL ||
        viewer_find(peer, (uint32_t)stream) != NULL)
        return error_set(err, EINVAL, "exec: stream is in use or not from 1 to %u",
                         CONTROL_STREAMS_MAX);
    struct relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL)
        return error_set(err, ENOMEM, "out of memory");
    relay->peer = peer;
    relay->stream = (uint32_t)stream;
    peer->relays[stream - 1] = relay;
    struct error why = {0};
    if (exec_spawn(relay, request, &why) < 0)
        relay_end_failed(relay, 125, why.message);
    return 0;
}

int exec_signal(struct peer *peer, const cJSON *request, struct error *err)
{
    const struct relay *relay = relay_find(peer, json_number(request, "stream", 0));
    uint64_t signal = json_number(request, "signal", 0);
    if (signal == 0 || signal > 64)
        return error_set(err, EINVAL, "signal: not from 1 to 64");
    if (relay != NULL)
        guest_signal(relay->command, (uint32_t)signal);
    return 0;
}

int exec_resize(struct peer *peer, const cJSON *request, struct error *err)
{
    const struct relay *relay = relay_find(peer, json_number(request, "stream", 0));
    uint64_t rows = json_number(request, "rows", 0), columns = json_number(request, "columns", 0);
    if (rows == 0 || rows > UINT16_MAX || columns == 0 || columns > UINT16_MAX)
        return error_set(err, EINVAL, "resize: rows and columns must be from 1 to 65535");
    struct viewer *viewer = viewer_find(peer, (uint32_t)json_number(request, "stream", 0));
    if (relay != NULL)
        guest_resize(relay->command, (uint16_t)rows, (uint16_t)columns);
    else if (viewer != NULL)
        viewer_resize(viewer, (uint16_t)rows, (uint16_t)columns);
    return 0;
}

void exec_data(struct peer *peer, const struct frame *frame)
{
    const struct relay *relay = relay_find(peer, frame->stream);
    struct viewer *viewer = relay == NULL ? viewer_find(peer, frame->stream) : NULL;
    if (viewer != NULL)
        viewer_input(viewer, frame);
    if (relay == NULL)
        return; /* a viewer's, or the command has just ended */
    if ((frame->flags & ~CONTROL_EOF) != CONTROL_STDIN ||
        guest_input(relay->command, frame->payload, frame->length,
                    (frame->flags & CONTROL_EOF) != 0) < 0)
        peer_violation(peer, "input without credit");
}

void exec_credit(struct peer *peer, const struct frame *frame)
{
    struct relay *relay = relay_find(peer, frame->stream);
    uint32_t bytes = get_u32(frame->payload);
    unsigned channel = frame->flags;
    struct viewer *viewer = relay == NULL ? viewer_find(peer, frame->stream) : NULL;
    if (viewer != NULL)
        viewer_credit(viewer, bytes);
    if (relay == NULL)
        return;
    if (channel == CONTROL_STDIN || channel >= CONTROL_CHANNELS || bytes > relay->owed[channel]) {
        peer_violation(peer, "credit for what was not sent");
        return;
    }
    relay->owed[channel] -= bytes;
    guest_consumed(relay->command, channel, bytes);
}

void exec_abandon_all(struct peer *peer)
{
    for (size_t i = 0; i < CONTROL_STREAMS_MAX; i++) {
        struct relay *relay = peer->relays[i];
        if (relay == NULL)
            continue;
        if (peer->host->guest != NULL)
            guest_abandon(relay->command);
        relay_free(relay);
    }
}
