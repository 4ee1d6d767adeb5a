/*
 * Requests wait for their replies in a list, commands in a table by stream id minus one. Credit
 * is counted on this side too: a host that sends more than it may is cut off like any other peer.
 */
#include "session/protocol/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/conn.h"
#include "base/path.h"
#include "session/protocol/control.h"
#include "session/protocol/json.h"
#include "session/protocol/secrets.h"

#define QUEUE_MAX ((size_t)64 * 1024 * 1024)

struct client_waiting {
    struct client_waiting *next;
    uint32_t id;
    uint32_t stream; /* of "exec": its refusal is the command's end */
    client_done *done;
    void *context;
};

struct client_command {
    struct client *client;
    uint32_t stream;
    struct client_command_events events;
    void *context;
    uint32_t input_credit;
    uint32_t output_credit[CONTROL_CHANNELS];
    bool input_ended;
};

struct client {
    struct conn *conn;
    struct client_events events;
    void *context;
    uint32_t next_id;
    bool closed, ended;
    unsigned depth; /* of callbacks: client_close() in one frees when they have returned */
    struct client_waiting *waiting;
    struct client_command *commands[CONTROL_STREAMS_MAX];
};

static void client_free(struct client *client)
{
    while (client->waiting != NULL) {
        struct client_waiting *waiting = client->waiting;
        client->waiting = waiting->next;
        free(waiting);
    }
    for (size_t i = 0; i < CONTROL_STREAMS_MAX; i++)
        free(client->commands[i]);
    free(client);
}

static void client_leave(struct client *client)
{
    if (--client->depth == 0 && client->closed)
        client_free(client);
}

static void command_free(struct client_command *command)
{
    command->client->commands[command->stream - 1] = NULL;
    free(command);
}

static void command_failed(struct client_command *command, const struct error *why, int status)
{
    struct client_command copy = *command;
    command_free(command);
    copy.events.failed(copy.context, why, status);
}

/* Everything that waits learns why nothing will come. */
static void client_fail(struct client *client, const struct error *why)
{
    if (client->ended || client->closed)
        return;
    client->ended = true;
    for (size_t i = 0; i < CONTROL_STREAMS_MAX && !client->closed; i++)
        if (client->commands[i] != NULL)
            command_failed(client->commands[i], why, 125);
    while (client->waiting != NULL && !client->closed) {
        struct client_waiting *waiting = client->waiting;
        client->waiting = waiting->next;
        if (waiting->done != NULL)
            waiting->done(waiting->context, NULL, why);
        free(waiting);
    }
    if (!client->closed)
        client->events.ended(client->context, why);
}

static void client_violation(struct client *client, const char *what)
{
    struct error why = {0};
    error_set(&why, EPROTO, "the session host broke the protocol: %s", what);
    client_fail(client, &why);
}

static struct client_command *client_find(struct client *client, uint64_t stream)
{
    return stream > 0 && stream <= CONTROL_STREAMS_MAX ? client->commands[stream - 1] : NULL;
}

static void client_reply(struct client *client, const cJSON *message)
{
    uint32_t id = (uint32_t)json_number(message, "reply", 0);
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(message, "error");
    struct error why = {0};
    if (error != NULL) {
        const char *text = json_string(error, "message");
        int code = (int)json_number(error, "code", EIO);
        error_set(&why, code > 0 && code < 4096 ? code : EIO, "%s", text != NULL ? text : "failed");
    }
    for (struct client_waiting **at = &client->waiting; *at != NULL; at = &(*at)->next)
        if ((*at)->id == id) {
            struct client_waiting *waiting = *at;
            *at = waiting->next;
            struct client_command *command = client_find(client, waiting->stream);
            if (command != NULL && error != NULL)
                command_failed(command, &why, 125);
            else if (command != NULL && cJSON_HasObjectItem(message, "terminal"))
                command->events.started(command->context, 0); /* attached */
            if (waiting->done != NULL)
                waiting->done(waiting->context, error == NULL ? message : NULL, &why);
            free(waiting);
            return;
        }
    client_violation(client, "a reply to no request");
}

/* What a viewer's stream has to say and does not end it. */
static bool client_viewer_event(const struct client_command *command, const char *name)
{
    bool painted = strcmp(name, "painted") == 0;
    void (*event)(void *) = painted ? command->events.painted : command->events.skipped;
    if (!painted && strcmp(name, "skipped") != 0)
        return false;
    if (event != NULL)
        event(command->context);
    return true;
}

/* The events that concern one command: "started", "failed", "exit". False for all others. */
static bool client_command_event(struct client *client, const char *name, const cJSON *message)
{
    struct client_command *command = client_find(client, json_number(message, "stream", 0));
    if (command == NULL)
        return false;
    if (strcmp(name, "started") == 0) {
        command->events.started(command->context, (uint32_t)json_number(message, "pid", 0));
    } else if (strcmp(name, "failed") == 0) {
        struct error why = {0};
        const char *text = json_string(message, "message");
        error_set(&why, EIO, "%s", text != NULL ? text : "failed");
        command_failed(command, &why, (int)json_number(message, "status", 125));
    } else if (strcmp(name, "exit") == 0) {
        struct client_command copy = *command;
        command_free(command);
        copy.events.exited(copy.context, (uint32_t)json_number(message, "code", 0),
                           (uint32_t)json_number(message, "signal", 0));
    } else if (strcmp(name, "detached") == 0) {
        struct client_command copy = *command;
        command_free(command);
        if (copy.events.detached != NULL)
            copy.events.detached(copy.context);
    } else {
        return client_viewer_event(command, name);
    }
    return true;
}

static void client_message(struct client *client, const struct frame *frame)
{
    cJSON *message = cJSON_ParseWithLength((const char *)frame->payload, frame->length);
    const char *name = json_string(message, "event");
    if (name != NULL) {
        if (!client_command_event(client, name, message) && client->events.event != NULL)
            client->events.event(client->context, name, message);
    } else if (cJSON_HasObjectItem(message, "reply")) {
        client_reply(client, message);
    } else {
        client_violation(client, "a message that is neither reply nor event");
    }
    cJSON_Delete(message);
}

static void client_data(struct client *client, const struct frame *frame)
{
    struct client_command *command = client_find(client, frame->stream);
    unsigned channel = frame->flags & CONTROL_CHANNEL;
    if (command == NULL)
        return;
    if (channel == CONTROL_STDIN || channel >= CONTROL_CHANNELS ||
        frame->length > command->output_credit[channel]) {
        client_violation(client, "data without credit");
        return;
    }
    command->output_credit[channel] -= frame->length;
    command->events.output(command->context, channel, frame->payload, frame->length,
                           (frame->flags & CONTROL_EOF) != 0);
}

static void client_credit(struct client *client, const struct frame *frame)
{
    struct client_command *command = client_find(client, frame->stream);
    uint32_t bytes = get_u32(frame->payload);
    if (command == NULL)
        return;
    if (frame->flags != CONTROL_STDIN || bytes > CONTROL_WINDOW - command->input_credit) {
        client_violation(client, "more credit than a window");
        return;
    }
    command->input_credit += bytes;
    command->events.accepted(command->context, bytes);
}

static void client_frame(void *context, const struct frame *frame)
{
    static void (*const handlers[CONTROL_TYPES])(struct client *, const struct frame *) = {
        [CONTROL_MESSAGE] = client_message,
        [CONTROL_DATA] = client_data,
        [CONTROL_CREDIT] = client_credit,
    };
    struct client *client = context;
    client->depth++;
    if (!client->ended && !client->closed)
        handlers[frame->type](client, frame);
    client_leave(client);
}

static void client_conn_ended(void *context, const struct error *why)
{
    struct error reason = *why;
    if (why->code == 0)
        error_set(&reason, EPIPE, "the session host went away");
    else
        error_wrap(&reason, "session host");
    struct client *client = context;
    client->depth++;
    client_fail(client, &reason);
    client_leave(client);
}

/* Without its hello nothing else will be answered. */
static void client_greeted(void *context, const cJSON *reply, const struct error *why)
{
    if (reply == NULL)
        client_fail(context, why);
}

int client_open(struct client **out, uv_loop_t *loop, int fd, const struct client_events *events,
                void *context, struct error *err)
{
    static const struct conn_events conn_events = {client_frame, client_conn_ended};
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        close(fd);
        return error_set(err, ENOMEM, "out of memory");
    }
    client->events = *events;
    client->context = context;
    int rc =
        conn_open(&client->conn, loop, fd, &control_rules, QUEUE_MAX, &conn_events, client, err);
    if (rc < 0) {
        free(client);
        return rc;
    }
    cJSON *hello = cJSON_CreateObject();
    cJSON_AddNumberToObject(hello, "version", CONTROL_VERSION);
    client_request(client, "hello", hello, client_greeted, client);
    *out = client;
    return 0;
}

void client_listen(struct client *client, const struct client_events *events, void *context)
{
    client->events = *events;
    client->context = context;
}

int client_connect(struct client **out, uv_loop_t *loop, const char *id,
                   const struct client_events *events, void *context, struct error *err)
{
    CLEAN_FREE char *path = NULL;
    CLEAN_FREE char *name = str_printf("%s.sock", id);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rc = name != NULL ? path_xdg(PATH_RUNTIME, name, &path, err) : -ENOMEM;
    if (rc < 0)
        return rc;
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, ENAMETOOLONG, "%s: too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    CLEAN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int code = errno == ECONNREFUSED ? ENOENT : errno;
        return error_set(err, code, "session %s does not answer: %s", id, strerror(errno));
    }
    return client_open(out, loop, take_fd(&fd), events, context, err);
}

void client_request(struct client *client, const char *name, cJSON *request, client_done *done,
                    void *context)
{
    if (request == NULL)
        request = cJSON_CreateObject();
    struct client_waiting *waiting = calloc(1, sizeof *waiting);
    if (waiting == NULL || client->ended) {
        struct error why = {0};
        error_set(&why, EPIPE, "the session host went away");
        free(waiting);
        session_secrets_wipe(cJSON_GetObjectItemCaseSensitive(request, "secrets"));
        cJSON_Delete(request);
        if (done != NULL)
            done(context, NULL, &why);
        return;
    }
    *waiting = (struct client_waiting){client->waiting, ++client->next_id,
                                       strcmp(name, "exec") == 0 || strcmp(name, "attach") == 0
                                           ? (uint32_t)json_number(request, "stream", 0)
                                           : 0,
                                       done, context};
    client->waiting = waiting;
    cJSON_AddStringToObject(request, "request", name);
    cJSON_AddNumberToObject(request, "id", waiting->id);
    json_send(client->conn, request);
}

/* A stream of its own for what `request` asks for; sends it. */
static int client_stream(struct client *client, const char *name, cJSON *request,
                         const struct client_command_events *events, void *context,
                         struct client_command **out, struct error *err)
{
    uint32_t slot = 0;
    if (client->ended) {
        cJSON_Delete(request);
        return error_set(err, EPIPE, "the session host went away");
    }
    while (slot < CONTROL_STREAMS_MAX && client->commands[slot] != NULL)
        slot++;
    struct client_command *command = slot < CONTROL_STREAMS_MAX ? calloc(1, sizeof *command) : NULL;
    if (command == NULL) {
        cJSON_Delete(request);
        return error_set(err, EAGAIN, "%u commands run on this connection already",
                         CONTROL_STREAMS_MAX);
    }
    command->client = client;
    command->stream = slot + 1;
    command->events = *events;
    command->context = context;
    command->input_credit = CONTROL_WINDOW;
    for (int i = 0; i < CONTROL_CHANNELS; i++)
        command->output_credit[i] = CONTROL_WINDOW;
    client->commands[slot] = command;
    cJSON_AddNumberToObject(request, "stream", command->stream);
    *out = command;
    client_request(client, name, request, NULL, NULL);
    return 0;
}

int client_exec(struct client *client, const struct client_exec *exec,
                const struct client_command_events *events, void *context,
                struct client_command **out, struct error *err)
{
    cJSON *request = cJSON_CreateObject();
    json_add_strings(request, "argv", exec->argv);
    json_add_strings(request, "env", exec->env);
    if (exec->cwd != NULL)
        cJSON_AddStringToObject(request, "cwd", exec->cwd);
    if (exec->user != NULL)
        cJSON_AddStringToObject(request, "user", exec->user);
    if (exec->tty) {
        cJSON_AddNumberToObject(request, "rows", exec->rows);
        cJSON_AddNumberToObject(request, "columns", exec->columns);
    }
    cJSON_AddBoolToObject(request, "stdin", !exec->no_stdin);
    int rc = client_stream(client, "exec", request, events, context, out, err);
    if (rc == 0)
        (*out)->input_ended = exec->no_stdin;
    return rc;
}

int client_attach(struct client *client, const struct client_attach *attach,
                  const struct client_command_events *events, void *context,
                  struct client_command **out, struct error *err)
{
    cJSON *request = cJSON_CreateObject();
    cJSON_AddNumberToObject(request, "terminal", attach->terminal);
    cJSON_AddNumberToObject(request, "rows", attach->rows);
    cJSON_AddNumberToObject(request, "columns", attach->columns);
    cJSON_AddBoolToObject(request, "read_only", attach->read_only);
    cJSON_AddBoolToObject(request, "preview", attach->preview);
    cJSON_AddNumberToObject(request, "colors", attach->colors);
    cJSON_AddBoolToObject(request, "strings", attach->strings);
    cJSON_AddBoolToObject(request, "empty", attach->empty);
    return client_stream(client, "attach", request, events, context, out, err);
}

int client_input(struct client_command *command, const void *data, uint32_t size, bool last)
{
    if (command->input_ended)
        return -EPIPE;
    if (size > command->input_credit)
        return -ENOBUFS;
    command->input_credit -= size;
    command->input_ended = last;
    conn_send(command->client->conn, CONTROL_DATA,
              (uint8_t)(CONTROL_STDIN | (last ? CONTROL_EOF : 0)), command->stream, data, size);
    return 0;
}

uint32_t client_input_room(const struct client_command *command)
{
    return command->input_ended ? 0 : command->input_credit;
}

void client_consumed(struct client_command *command, unsigned channel, uint32_t bytes)
{
    uint8_t payload[4];
    if (bytes == 0)
        return;
    put_u32(payload, bytes);
    command->output_credit[channel] += bytes;
    conn_send(command->client->conn, CONTROL_CREDIT, (uint8_t)channel, command->stream, payload, 4);
}

static void client_command_request(const struct client_command *command, const char *name,
                                   cJSON *request)
{
    cJSON_AddNumberToObject(request, "stream", command->stream);
    client_request(command->client, name, request, NULL, NULL);
}

void client_detach(struct client_command *command)
{
    client_command_request(command, "detach", cJSON_CreateObject());
}

void client_signal(struct client_command *command, int signal)
{
    cJSON *request = cJSON_CreateObject();
    cJSON_AddNumberToObject(request, "signal", signal);
    client_command_request(command, "signal", request);
}

void client_resize(struct client_command *command, uint16_t rows, uint16_t columns)
{
    cJSON *request = cJSON_CreateObject();
    cJSON_AddNumberToObject(request, "rows", rows);
    cJSON_AddNumberToObject(request, "columns", columns);
    client_command_request(command, "resize", request);
}

void client_close(struct client *client)
{
    if (client == NULL || client->closed)
        return;
    client->closed = true;
    conn_close(client->conn);
    if (client->depth == 0)
        client_free(client);
}
