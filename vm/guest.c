/*
 * Commands sit in a table indexed by stream id minus one, so looking an id up is a bounds check.
 * An id is used again only after EXIT or FAILED, and after ABANDON only when the EXIT has come.
 *
 * Credit is counted here in both directions for every channel: the guest's claims are never
 * trusted, so what it makes us hold is at most two windows per command.
 */
#include "vm/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/conn.h"
#include "base/log.h"

#define ENTROPY_SIZE 64

/* The clock: as late as the way to the guest is long. Tried again until that is short. */
#define CLOCK_TRIP_NS UINT64_C(5000000)
#define CLOCK_TRIES   10

#define QUEUE_MAX ((size_t)WIRE_STREAMS_MAX * WIRE_WINDOW)

struct guest_command {
    struct guest *guest;
    uint32_t stream;
    struct guest_command_events events;
    void *context;
    bool spawned, abandoned;
    uint32_t input_credit;                 /* what we may send */
    uint32_t output_credit[WIRE_CHANNELS]; /* what the agent may send */
    bool ended[WIRE_CHANNELS];
};

/* A SOCKET that was not answered yet. */
struct lookup {
    uint32_t id; /* 0: free */
    uint32_t tag;
    guest_owner_found *found;
    void *context;
};

struct guest {
    struct conn *conn;
    struct guest_events events;
    void *context;
    uint8_t epoch[WIRE_EPOCH_SIZE];
    struct buf settings;
    bool greeted, ready, ended;
    unsigned configures;  /* that are not answered yet */
    unsigned clock_tries; /* that are left */
    uint64_t clock_sent;  /* CLOCK_MONOTONIC, ns */
    bool eager, bare;
    bool held; /* frames wait in `waiting` until guest_resume() */
    struct buf waiting;
    void (*quiet)(void *context, uint32_t code);
    void *quiet_context;
    unsigned quiets; /* that are still to come; only the last one answers guest_quiesce() */
    uint32_t next;   /* where to look for a free id */
    struct guest_command *commands[WIRE_STREAMS_MAX];
    struct lookup lookups[GUEST_LOOKUPS_MAX];
    uint32_t last_lookup;
};

static void guest_violation(struct guest *guest, const char *what)
{
    struct error why = {0};
    if (guest->ended)
        return;
    guest->ended = true;
    error_set(&why, EPROTO, "the guest's agent broke the protocol: %s", what);
    guest->events.ended(guest->context, &why);
}

static void command_free(struct guest_command *command)
{
    command->guest->commands[command->stream - 1] = NULL;
    free(command);
}

static void guest_send(struct guest *guest, uint8_t type, uint8_t flags, uint32_t stream,
                       const void *payload, uint32_t length)
{
    if (!guest->held)
        conn_send(guest->conn, type, flags, stream, payload, length);
    else if (frame_append(&guest->waiting, type, flags, stream, payload, length) < 0)
        log_warn(LOG_AGENT, "out of memory for a frame to the guest");
}

static void put_time(uint8_t time_ns[8])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    put_u64(time_ns, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

static void guest_hello(struct guest *guest)
{
    uint8_t hello[4 + WIRE_EPOCH_SIZE];
    put_u32(hello, WIRE_VERSION);
    memcpy(hello + 4, guest->epoch, WIRE_EPOCH_SIZE);
    conn_send(guest->conn, WIRE_HELLO, 0, 0, hello, sizeof hello);
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * A clock that is set to a time of ours is late by what that took to arrive, never early: the
 * latest of several is the best.
 */
static void guest_correct_clock(struct guest *guest)
{
    uint8_t field[5 + 8] = {WIRE_SET_TIME_PASSED, 8};
    put_time(field + 5);
    guest->clock_sent = monotonic_ns();
    guest->configures++;
    guest_send(guest, WIRE_CONFIGURE, 0, 0, field, sizeof field);
}

void guest_clock(struct guest *guest)
{
    if (!guest->ready || guest->bare)
        return;
    guest->clock_tries = CLOCK_TRIES;
    guest_correct_clock(guest);
}

static void guest_clock_answer(struct guest *guest)
{
    if (guest->clock_tries == 0 || --guest->clock_tries == 0 || guest->held)
        return;
    if (monotonic_ns() - guest->clock_sent > CLOCK_TRIP_NS)
        guest_correct_clock(guest);
}

static void send_settings(struct guest *guest)
{
    guest->configures++;
    conn_send(guest->conn, WIRE_CONFIGURE, 0, 0, buf_data(&guest->settings),
              (uint32_t)buf_len(&guest->settings));
    if (buf_len(&guest->settings) > 0)
        explicit_bzero(buf_data(&guest->settings), buf_len(&guest->settings));
    buf_free(&guest->settings);
}

static void guest_configure(struct guest *guest)
{
    uint8_t time_ns[8], entropy[ENTROPY_SIZE];
    if (guest->bare) {
        if (buf_len(&guest->settings) > 0)
            send_settings(guest);
    } else {
        put_time(time_ns);
        wire_field_append(&guest->settings, WIRE_SET_TIME, time_ns, sizeof time_ns);
        if (getrandom(entropy, sizeof entropy, 0) == (ssize_t)sizeof entropy)
            wire_field_append(&guest->settings, WIRE_SET_ENTROPY, entropy, sizeof entropy);
        explicit_bzero(entropy, sizeof entropy);
    }
    send_settings(guest); /* an empty one is answered when there is nothing left to do */
}

/* Copies a text of the guest's into a string that may be shown. */
static void guest_text(char *out, size_t room, const uint8_t *data, uint32_t size)
{
    size_t len = size < room - 1 ? size : room - 1;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(data[i] >= ' ' && data[i] != 0x7f ? data[i] : '?');
    out[len] = '\0';
}

static void on_hello(struct guest *guest, struct guest_command *command, const struct frame *frame)
{
    (void)command;
    if (memcmp(frame->payload + 4, guest->epoch, WIRE_EPOCH_SIZE) != 0)
        return; /* of an earlier connection */
    if (get_u32(frame->payload) != WIRE_VERSION) {
        guest_violation(guest, "another protocol version");
    } else if (!guest->greeted) {
        guest->greeted = true;
        if (!guest->eager)
            guest_configure(guest);
    }
}

static void on_configured(struct guest *guest, struct guest_command *command,
                          const struct frame *frame)
{
    (void)command;
    char text[WIRE_TEXT_MAX + 1];
    uint32_t code = get_u32(frame->payload);
    if (code != 0) {
        guest_text(text, sizeof text, frame->payload + 4, frame->length - 4);
        log_warn(LOG_AGENT, "configure: %s: %s", text, strerror((int)(code & 0xff)));
    }
    if (guest->configures == 0) {
        guest_violation(guest, "an answer that nobody waits for");
    } else if (--guest->configures > 0) {
        return;
    } else if (guest->ready) {
        guest_clock_answer(guest);
    } else {
        guest->ready = true;
        guest_clock(guest);
        guest->events.ready(guest->context);
    }
}

static void on_spawned(struct guest *guest, struct guest_command *command,
                       const struct frame *frame)
{
    if (command->spawned) {
        guest_violation(guest, "a command started twice");
        return;
    }
    command->spawned = true;
    if (!command->abandoned && command->events.spawned != NULL)
        command->events.spawned(command->context, get_u32(frame->payload));
}

static void on_failed(struct guest *guest, struct guest_command *command, const struct frame *frame)
{
    char text[WIRE_TEXT_MAX + 1];
    uint32_t code = get_u32(frame->payload), stage = get_u32(frame->payload + 4);
    if (command->spawned || stage == 0 || stage >= WIRE_STAGES || code > 4095) {
        guest_violation(guest, "a failure that cannot be");
        return;
    }
    guest_text(text, sizeof text, frame->payload + 8, frame->length - 8);
    if (!command->abandoned && command->events.failed != NULL)
        command->events.failed(command->context, code, (enum wire_stage)stage, text);
    command_free(command);
}

static void on_data(struct guest *guest, struct guest_command *command, const struct frame *frame)
{
    unsigned channel = frame->flags & WIRE_CHANNEL;
    bool last = (frame->flags & WIRE_EOF) != 0;
    if ((frame->flags & ~(WIRE_CHANNEL | WIRE_EOF)) != 0 || channel == WIRE_STDIN ||
        channel >= WIRE_CHANNELS || !command->spawned || command->ended[channel]) {
        guest_violation(guest, "data on a channel that has none");
        return;
    }
    if (frame->length > command->output_credit[channel]) {
        guest_violation(guest, "more data than it had credit for");
        return;
    }
    command->output_credit[channel] -= frame->length;
    command->ended[channel] = last;
    if (command->abandoned || command->events.output == NULL)
        guest_consumed(command, channel, frame->length);
    else
        command->events.output(command->context, channel, frame->payload, frame->length, last);
}

static void on_credit(struct guest *guest, struct guest_command *command, const struct frame *frame)
{
    uint32_t bytes = get_u32(frame->payload);
    if (frame->flags != WIRE_STDIN || bytes > WIRE_WINDOW - command->input_credit) {
        guest_violation(guest, "more credit than a window");
        return;
    }
    command->input_credit += bytes;
    if (!command->abandoned && command->events.accepted != NULL)
        command->events.accepted(command->context, bytes);
}

static void on_exited(struct guest *guest, struct guest_command *command, const struct frame *frame)
{
    uint32_t code = get_u32(frame->payload), signal = get_u32(frame->payload + 4);
    if (!command->spawned || code > 255 || signal > 127) {
        guest_violation(guest, "an exit that cannot be");
        return;
    }
    if (!command->abandoned && command->events.exited != NULL)
        command->events.exited(command->context, code, signal);
    command_free(command);
}

static void on_quiet(struct guest *guest, struct guest_command *command, const struct frame *frame)
{
    (void)command;
    if (guest->quiets == 0) {
        guest_violation(guest, "quiet although nobody asked");
        return;
    }
    if (--guest->quiets > 0 || guest->quiet == NULL)
        return; /* it came too late */
    void (*quiet)(void *context, uint32_t code) = guest->quiet;
    guest->quiet = NULL;
    quiet(guest->quiet_context, get_u32(frame->payload) & 0xfff);
}

/* One that nobody waits for is of a host before this one, or invented. */
static void on_owner(struct guest *guest, struct guest_command *command, const struct frame *frame)
{
    char name[WIRE_NAME_MAX + 1];
    (void)command;
    struct lookup *lookup = &guest->lookups[frame->stream % GUEST_LOOKUPS_MAX];
    if (frame->stream == 0 || lookup->id != frame->stream)
        return;
    lookup->id = 0;
    guest_text(name, sizeof name, frame->payload + 4, frame->length - 4);
    for (char *at = name; *at != '\0'; at++)
        if ((uint8_t)*at >= 0x80)
            *at = '?';
    lookup->found(lookup->context, lookup->tag, get_u32(frame->payload) & INT32_MAX, name);
}

static void on_relay(struct guest *guest, struct guest_command *command, const struct frame *frame)
{
    (void)command;
    if (guest->events.relay != NULL)
        guest->events.relay(guest->context, get_u32(frame->payload) & 0xfff);
}

static void on_log(struct guest *guest, struct guest_command *command, const struct frame *frame)
{
    (void)guest;
    (void)command;
    char text[WIRE_TEXT_MAX + 1];
    guest_text(text, sizeof text, frame->payload, frame->length);
    log_warn(LOG_AGENT, "%s", text);
}

static const struct {
    void (*handle)(struct guest *guest, struct guest_command *command, const struct frame *frame);
    bool of_command; /* dropped unless its stream is in use */
} handlers[WIRE_TYPES] = {
    [WIRE_HELLO] = {on_hello, false},    [WIRE_CONFIGURED] = {on_configured, false},
    [WIRE_SPAWNED] = {on_spawned, true}, [WIRE_FAILED] = {on_failed, true},
    [WIRE_DATA] = {on_data, true},       [WIRE_CREDIT] = {on_credit, true},
    [WIRE_EXIT] = {on_exited, true},     [WIRE_LOG] = {on_log, false},
    [WIRE_QUIET] = {on_quiet, false},    [WIRE_OWNER] = {on_owner, false},
    [WIRE_RELAY] = {on_relay, false},
};

static void guest_frame(void *context, const struct frame *frame)
{
    struct guest *guest = context;
    struct guest_command *command = NULL;
    if (guest->ended || (!guest->greeted && frame->type != WIRE_HELLO))
        return;
    if (handlers[frame->type].handle == NULL) {
        guest_violation(guest, "a frame that only a host may send");
        return;
    }
    if (handlers[frame->type].of_command) {
        if (frame->stream == 0 || frame->stream > WIRE_STREAMS_MAX) {
            guest_violation(guest, "a stream that was never used");
            return;
        }
        command = guest->commands[frame->stream - 1];
        if (command == NULL)
            return;
    }
    handlers[frame->type].handle(guest, command, frame);
}

static void guest_conn_ended(void *context, const struct error *why)
{
    struct guest *guest = context;
    struct error reason = *why;
    if (guest->ended)
        return;
    guest->ended = true;
    if (why->code == 0)
        error_set(&reason, EPIPE, "the connection to the guest's agent closed");
    else
        error_wrap(&reason, "the guest's agent");
    guest->events.ended(guest->context, &reason);
}

static int guest_take_settings(struct guest *guest, const struct guest_settings *settings,
                               struct error *err)
{
    guest->eager = settings->eager;
    guest->bare = settings->bare;
    if (settings->hostname != NULL)
        wire_field_append(&guest->settings, WIRE_SET_HOSTNAME, settings->hostname,
                          (uint32_t)strlen(settings->hostname));
    for (size_t i = 0; settings->env != NULL && i < settings->env->count; i++)
        wire_field_append(&guest->settings, WIRE_SET_ENV, settings->env->items[i],
                          (uint32_t)strlen(settings->env->items[i]));
    if (settings->trust != NULL)
        wire_field_append(&guest->settings, WIRE_SET_TRUST, settings->trust,
                          (uint32_t)strlen(settings->trust));
    if (settings->offline)
        wire_field_append(&guest->settings, WIRE_SET_OFFLINE, NULL, 0);
    if (settings->restored)
        wire_field_append(&guest->settings, WIRE_SET_RESTORED, NULL, 0);
    if (buf_len(&guest->settings) > WIRE_SPAWN_MAX / 2)
        return error_set(err, EMSGSIZE, "the environment is larger than 1 MiB");
    return 0;
}

int guest_configure_again(struct guest *guest, const struct guest_settings *settings,
                          struct error *err)
{
    int rc = guest_take_settings(guest, settings, err);
    if (rc < 0)
        return rc;
    guest->ready = false;
    guest_resume(guest);
    guest_configure(guest);
    return 0;
}

int guest_open(struct guest **out, uv_loop_t *loop, int fd, const struct guest_settings *settings,
               const struct guest_events *events, void *context, struct error *err)
{
    static const struct conn_events conn_events = {guest_frame, guest_conn_ended};
    struct guest *guest = calloc(1, sizeof *guest);
    if (guest == NULL)
        return error_set(err, ENOMEM, "out of memory");
    guest->events = *events;
    guest->context = context;
    if (getrandom(guest->epoch, sizeof guest->epoch, 0) != (ssize_t)sizeof guest->epoch)
        memset(guest->epoch, 0x5a, sizeof guest->epoch);
    int rc = guest_take_settings(guest, settings, err);
    if (rc == 0)
        rc = conn_open(&guest->conn, loop, fd, &wire_rules, QUEUE_MAX, &conn_events, guest, err);
    if (rc < 0) {
        buf_free(&guest->settings);
        free(guest);
        return rc;
    }
    guest_hello(guest);
    if (guest->eager)
        guest_configure(guest);
    *out = guest;
    return 0;
}

static int spawn_fields(const struct guest_spawn *spawn, struct buf *out)
{
    int rc = 0;
    for (size_t i = 0; i < spawn->argv->count; i++)
        rc |= wire_field_append(out, WIRE_SPAWN_ARG, spawn->argv->items[i],
                                (uint32_t)strlen(spawn->argv->items[i]));
    for (size_t i = 0; spawn->env != NULL && i < spawn->env->count; i++)
        rc |= wire_field_append(out, WIRE_SPAWN_ENV, spawn->env->items[i],
                                (uint32_t)strlen(spawn->env->items[i]));
    if (spawn->cwd != NULL)
        rc |= wire_field_append(out, WIRE_SPAWN_CWD, spawn->cwd, (uint32_t)strlen(spawn->cwd));
    if (spawn->user != NULL)
        rc |= wire_field_append(out, WIRE_SPAWN_USER, spawn->user, (uint32_t)strlen(spawn->user));
    if (spawn->tty) {
        uint8_t size[4];
        put_u16(size, spawn->rows);
        put_u16(size + 2, spawn->columns);
        rc |= wire_field_append(out, WIRE_SPAWN_PTY, size, sizeof size);
    }
    if (spawn->no_stdin)
        rc |= wire_field_append(out, WIRE_SPAWN_NO_STDIN, NULL, 0);
    return rc;
}

int guest_spawn(struct guest *guest, const struct guest_spawn *spawn,
                const struct guest_command_events *events, void *context,
                struct guest_command **out, struct error *err)
{
    uint32_t slot = 0;
    while (slot < WIRE_STREAMS_MAX && guest->commands[(guest->next + slot) % WIRE_STREAMS_MAX])
        slot++;
    if (slot == WIRE_STREAMS_MAX)
        return error_set(err, EAGAIN, "%u commands run in this VM already", WIRE_STREAMS_MAX);
    slot = (guest->next + slot) % WIRE_STREAMS_MAX;
    CLEAN_BUF struct buf fields = {0};
    if (spawn_fields(spawn, &fields) != 0)
        return error_set(err, ENOMEM, "out of memory");
    if (buf_len(&fields) > WIRE_SPAWN_MAX)
        return error_set(err, EMSGSIZE, "arguments and environment are larger than %u MiB",
                         WIRE_SPAWN_MAX >> 20);
    struct guest_command *command = calloc(1, sizeof *command);
    if (command == NULL)
        return error_set(err, ENOMEM, "out of memory");
    command->guest = guest;
    command->stream = slot + 1;
    command->events = *events;
    command->context = context;
    command->input_credit = WIRE_WINDOW;
    for (int i = 0; i < WIRE_CHANNELS; i++)
        command->output_credit[i] = WIRE_WINDOW;
    guest->commands[slot] = command;
    guest->next = (slot + 1) % WIRE_STREAMS_MAX;
    guest_send(guest, WIRE_SPAWN, 0, command->stream, buf_data(&fields),
               (uint32_t)buf_len(&fields));
    *out = command;
    return 0;
}

int guest_input(struct guest_command *command, const void *data, uint32_t size, bool last)
{
    if (command->ended[WIRE_STDIN])
        return -EPIPE;
    if (size > command->input_credit)
        return -ENOBUFS;
    command->input_credit -= size;
    command->ended[WIRE_STDIN] = last;
    guest_send(command->guest, WIRE_DATA, (uint8_t)(WIRE_STDIN | (last ? WIRE_EOF : 0)),
               command->stream, data, size);
    return 0;
}

void guest_consumed(struct guest_command *command, unsigned channel, uint32_t bytes)
{
    uint8_t payload[4];
    if (bytes == 0)
        return;
    put_u32(payload, bytes);
    command->output_credit[channel] += bytes;
    guest_send(command->guest, WIRE_CREDIT, (uint8_t)channel, command->stream, payload, 4);
}

void guest_resize(struct guest_command *command, uint16_t rows, uint16_t columns)
{
    uint8_t payload[4];
    put_u16(payload, rows);
    put_u16(payload + 2, columns);
    guest_send(command->guest, WIRE_RESIZE, 0, command->stream, payload, 4);
}

void guest_signal(struct guest_command *command, uint32_t signal)
{
    uint8_t payload[4];
    put_u32(payload, signal);
    guest_send(command->guest, WIRE_SIGNAL, 0, command->stream, payload, 4);
}

void guest_abandon(struct guest_command *command)
{
    command->abandoned = true;
    guest_send(command->guest, WIRE_ABANDON, 0, command->stream, NULL, 0);
    for (unsigned channel = WIRE_STDOUT; channel < WIRE_CHANNELS; channel++)
        guest_consumed(command, channel, WIRE_WINDOW - command->output_credit[channel]);
}

void guest_quiesce(struct guest *guest, bool freeze, void (*quiet)(void *context, uint32_t code),
                   void *context)
{
    guest->quiet = quiet;
    guest->quiet_context = context;
    guest->quiets++;
    guest_send(guest, WIRE_QUIESCE, freeze ? WIRE_FREEZE : 0, 0, NULL, 0);
    guest->held = true;
}

void guest_resume(struct guest *guest)
{
    guest->quiet = NULL;
    guest->held = false;
    guest_hello(guest);
    struct frame frame;
    const char *why = "";
    int64_t size;
    while ((size = frame_parse(buf_data(&guest->waiting), buf_len(&guest->waiting), &wire_rules,
                               &frame, &why)) > 0) {
        conn_send(guest->conn, frame.type, frame.flags, frame.stream, frame.payload, frame.length);
        buf_consume(&guest->waiting, (size_t)size);
    }
    guest_clock(guest); /* it stood still, and so did its clock */
}

/* Takes back what the guest has not been told of: frames that wait until it goes on. */
static void state_as_told(const struct guest *guest, struct guest_command_state *state)
{
    const uint8_t *data = buf_data(&guest->waiting);
    size_t left = buf_len(&guest->waiting);
    struct frame frame;
    const char *why = "";
    int64_t size;
    while ((size = frame_parse(data, left, &wire_rules, &frame, &why)) > 0) {
        data += size;
        left -= (size_t)size;
        if (frame.stream != state->stream)
            continue;
        if (frame.type == WIRE_DATA)
            state->input_credit += frame.length;
        else if (frame.type == WIRE_CREDIT)
            state->output_credit[frame.flags & WIRE_CHANNEL] -= get_u32(frame.payload);
    }
}

void guest_command_state(const struct guest_command *command, struct guest_command_state *out)
{
    *out = (struct guest_command_state){.stream = command->stream,
                                        .input_credit = command->input_credit};
    for (unsigned i = WIRE_STDOUT; i < WIRE_CHANNELS; i++) {
        out->output_credit[i] = command->output_credit[i];
        out->ended[i] = command->ended[i];
    }
    state_as_told(command->guest, out);
}

void guest_each_command(const struct guest *guest,
                        void (*each)(void *context, const struct guest_command *command),
                        void *context)
{
    for (size_t i = 0; i < WIRE_STREAMS_MAX; i++)
        if (guest->commands[i] != NULL)
            each(context, guest->commands[i]);
}

int guest_adopt(struct guest *guest, const struct guest_command_state *state,
                const struct guest_command_events *events, void *context,
                struct guest_command **out, struct error *err)
{
    if (state->stream == 0 || state->stream > WIRE_STREAMS_MAX ||
        state->input_credit > WIRE_WINDOW || state->output_credit[WIRE_STDOUT] > WIRE_WINDOW ||
        state->output_credit[WIRE_STDERR] > WIRE_WINDOW ||
        guest->commands[state->stream - 1] != NULL)
        return error_set(err, EINVAL, "a terminal's state that cannot be");
    struct guest_command *command = calloc(1, sizeof *command);
    if (command == NULL)
        return error_set(err, ENOMEM, "out of memory");
    *command = (struct guest_command){.guest = guest,
                                      .stream = state->stream,
                                      .events = *events,
                                      .context = context,
                                      .spawned = true,
                                      .input_credit = state->input_credit};
    for (unsigned i = WIRE_STDOUT; i < WIRE_CHANNELS; i++) {
        command->output_credit[i] = state->output_credit[i];
        command->ended[i] = state->ended[i];
    }
    guest->commands[state->stream - 1] = command;
    for (unsigned i = WIRE_STDOUT; i < WIRE_CHANNELS; i++) /* nobody here holds any of it */
        guest_consumed(command, i, WIRE_WINDOW - command->output_credit[i]);
    *out = command;
    return 0;
}

int guest_find_owner(struct guest *guest, const struct guest_socket *socket,
                     guest_owner_found *found, void *context, uint32_t tag)
{
    uint8_t payload[8];
    uint32_t id = guest->last_lookup + 1 != 0 ? guest->last_lookup + 1 : GUEST_LOOKUPS_MAX;
    struct lookup *lookup = &guest->lookups[id % GUEST_LOOKUPS_MAX];
    if (!guest->ready || guest->ended || guest->held || lookup->id != 0)
        return -EAGAIN; /* the oldest is not answered yet: the agent has enough to do */
    guest->last_lookup = id;
    *lookup = (struct lookup){id, tag, found, context};
    put_u16(payload, socket->local_port);
    put_u16(payload + 2, socket->remote_port);
    memcpy(payload + 4, socket->remote_address, 4);
    guest_send(guest, WIRE_SOCKET, 0, id, payload, sizeof payload);
    return 0;
}

void guest_shutdown(struct guest *guest)
{
    guest_send(guest, WIRE_SHUTDOWN, 0, 0, NULL, 0);
}

void guest_close(struct guest *guest)
{
    if (guest == NULL)
        return;
    conn_close(guest->conn);
    for (size_t i = 0; i < WIRE_STREAMS_MAX; i++)
        free(guest->commands[i]);
    buf_free(&guest->settings);
    buf_free(&guest->waiting);
    free(guest);
}
