/*
 * The client library calls back from the loop; here the caller runs the loop until the callback it
 * needs has come. Nothing is called back from within a callback, so there is no nesting.
 */
#include "session/cli/cp_stream.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/watch.h"
#include "session/cli/cp_guest.h"
#include "session/cli/find.h"
#include "session/cli/verb.h"
#include "session/protocol/client.h"
#include "session/protocol/control.h"
#include "session/protocol/json.h"

#define COMPLAINTS_MAX 4096 /* bytes of stderr that are kept */
#define SIGNALS        3

struct cp_stream {
    uv_loop_t loop;
    struct client *client;
    struct client_command *command; /* NULL: none runs */
    struct buf output;
    struct buf taken; /* what the caller has */
    bool output_ended;
    struct buf complaints;
    bool exited;
    int status;
    int interrupted;
    struct watch *watch;
    bool ready;
    uv_signal_t signals[SIGNALS];
    struct error error; /* why nothing will come any more */
};

void cp_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++)
        if (*p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0))
            *p = '?';
}

static void stream_fail(struct cp_stream *stream, const struct error *why)
{
    stream->command = NULL;
    if (stream->error.code == 0)
        stream->error = *why;
    if (stream->error.code == 0)
        error_set(&stream->error, EIO, "the session ended");
}

static void on_started(void *context, uint32_t pid)
{
    (void)context;
    (void)pid;
}

static void on_failed(void *context, const struct error *why, int status)
{
    (void)status;
    stream_fail(context, why);
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    struct cp_stream *stream = context;
    struct error why = {0};
    if (channel == CONTROL_STDERR) {
        size_t room = COMPLAINTS_MAX - buf_len(&stream->complaints);
        (void)buf_append(&stream->complaints, data, size < room ? size : room);
        client_consumed(stream->command, channel, size);
        return;
    }
    if (size > 0 && buf_append(&stream->output, data, size) < 0) {
        error_set(&why, ENOMEM, "out of memory");
        stream_fail(stream, &why);
    }
    stream->output_ended = stream->output_ended || last;
}

static void on_accepted(void *context, uint32_t bytes)
{
    (void)context;
    (void)bytes;
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    struct cp_stream *stream = context;
    stream->command = NULL;
    stream->exited = true;
    stream->output_ended = true;
    stream->status = (int)(signal != 0 ? 128 + signal : code);
}

static void on_event(void *context, const char *name, const cJSON *event)
{
    struct cp_stream *stream = context;
    const char *message = json_string(event, "message");
    if (strcmp(name, "ended") == 0 && stream->error.code == 0)
        error_set(&stream->error, EIO, "%s", message != NULL ? message : "the session ended");
}

static void on_ended(void *context, const struct error *why)
{
    stream_fail(context, why);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    ((struct cp_stream *)handle->data)->interrupted = signum;
}

/* One turn of the loop, unless there is a reason to stop. */
static int stream_turn(struct cp_stream *stream, uv_run_mode mode, struct error *err)
{
    if (stream->interrupted == 0 && stream->error.code == 0)
        uv_run(&stream->loop, mode);
    if (stream->interrupted != 0)
        return error_set(err, ECANCELED, "interrupted");
    if (stream->error.code != 0) {
        *err = stream->error;
        return -err->code;
    }
    return 0;
}

int cp_stream_open(struct cp_stream **out, const char *session, struct error *err)
{
    static const int signals[SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    static const struct client_events events = {on_event, on_ended};
    struct cp_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = uv_loop_init(&stream->loop);
    if (rc < 0) {
        free(stream);
        return error_set(err, -rc, "cannot make an event loop: %s", uv_strerror(rc));
    }
    *out = stream;
    for (int i = 0; i < SIGNALS; i++) {
        uv_signal_init(&stream->loop, &stream->signals[i]);
        stream->signals[i].data = stream;
        uv_signal_start(&stream->signals[i], on_signal, signals[i]);
    }
    return find_client(&stream->client, &stream->loop, session, &events, stream, NULL, err);
}

int cp_stream_run(struct cp_stream *stream, const struct strv *argv, bool input, struct error *err)
{
    static const struct client_command_events events = {
        .started = on_started,
        .failed = on_failed,
        .output = on_output,
        .accepted = on_accepted,
        .exited = on_exited,
    };
    struct client_exec exec = {.argv = argv, .no_stdin = !input};
    return client_exec(stream->client, &exec, &events, stream, &stream->command, err);
}

ssize_t cp_stream_read(struct cp_stream *stream, const void **data, struct error *err)
{
    size_t taken = buf_len(&stream->taken);
    buf_consume(&stream->taken, taken);
    if (stream->command != NULL)
        client_consumed(stream->command, CONTROL_STDOUT, (uint32_t)taken);
    do {
        bool wait = buf_len(&stream->output) == 0 && !stream->output_ended;
        int rc = stream_turn(stream, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT, err);
        if (rc < 0)
            return rc;
    } while (buf_len(&stream->output) == 0 && !stream->output_ended);
    struct buf empty = stream->taken; /* its memory is used again */
    stream->taken = stream->output;
    stream->output = empty;
    *data = buf_data(&stream->taken);
    return (ssize_t)buf_len(&stream->taken);
}

/* The command's end: 0, or what it complained of. */
static int stream_status(struct cp_stream *stream, int warning, struct error *err)
{
    const char *all = buf_string(&stream->complaints);
    char *text = strdup(all != NULL ? all : "");
    if (text == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = 0;
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        cp_printable(line);
        if (line[0] == '\0')
            continue;
        if (stream->status > warning) {
            rc = error_set(err, EPIPE, "in the guest: %s", line);
            if (stream->status != CP_GUEST_SAID)
                break;
            continue;
        }
        fprintf(stderr, "vmdeck cp: warning: in the guest: %s\n", line);
    }
    if (stream->status > warning && rc == 0)
        rc = error_set(err, EPIPE, "the command in the guest ended with status %d", stream->status);
    free(text);
    return rc;
}

int cp_stream_write(struct cp_stream *stream, const void *data, size_t size, struct error *err)
{
    const uint8_t *bytes = data;
    while (size > 0) {
        uint32_t room = stream->command != NULL ? client_input_room(stream->command) : 0;
        int rc = stream_turn(stream, room > 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE, err);
        if (rc < 0)
            return rc;
        if (stream->exited)
            return stream_status(stream, -1, err);
        room = client_input_room(stream->command);
        if (room > CONTROL_DATA_MAX)
            room = CONTROL_DATA_MAX;
        if (room > size)
            room = (uint32_t)size;
        if (room == 0)
            continue;
        rc = client_input(stream->command, bytes, room, false);
        if (rc < 0)
            return error_system(err, -rc, "cannot send to the guest");
        bytes += room;
        size -= room;
    }
    return 0;
}

int cp_stream_finish(struct cp_stream *stream, int warning, struct error *err)
{
    if (stream->command != NULL)
        (void)client_input(stream->command, NULL, 0, true); /* -EPIPE: it has none */
    while (!stream->exited) {
        const void *dropped;
        ssize_t got = cp_stream_read(stream, &dropped, err);
        if (got < 0)
            return (int)got;
        int rc = got == 0 && !stream->exited ? stream_turn(stream, UV_RUN_ONCE, err) : 0;
        if (rc < 0)
            return rc;
    }
    return stream_status(stream, warning, err);
}

static void on_ready(void *context)
{
    struct cp_stream *stream = context;
    stream->ready = true;
    watch_stop(stream->watch);
}

int cp_stream_wait(struct cp_stream *stream, int fd, int event, struct error *err)
{
    int rc = stream->watch != NULL
                 ? 0
                 : watch_open(&stream->watch, &stream->loop, fd, event, on_ready, stream, err);
    if (rc < 0)
        return rc;
    stream->ready = false;
    watch_start(stream->watch);
    while (rc == 0 && !stream->ready && !(event == UV_READABLE && stream->exited))
        rc = stream_turn(stream, UV_RUN_ONCE, err);
    if (rc == 0 && event == UV_READABLE && stream->exited)
        rc = stream_status(stream, -1, err);
    return rc;
}

int cp_stream_interrupted(const struct cp_stream *stream)
{
    return stream->interrupted;
}

/* The process ends next: handles still open in the loop, and the loop, go with it. */
void cp_stream_close(struct cp_stream *stream)
{
    if (stream == NULL)
        return;
    client_close(stream->client);
    stream->client = NULL;
    stream->command = NULL;
    watch_close(stream->watch);
    stream->watch = NULL;
    buf_free(&stream->output);
    buf_free(&stream->taken);
    buf_free(&stream->complaints);
}
