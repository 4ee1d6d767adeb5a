/*
 * One loop: the port, SIGCHLD through a signalfd, the commands' descriptors, one timer. Each turn
 * delivers events (which mostly note what is ready), reads a bounded amount from the port, lets
 * outputs send as long as the port takes it, and flushes: so one write carries all the answers of
 * a turn, and no side can keep the loop to itself.
 */
#include "agent/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/configure.h"
#include "agent/console.h"
#include "agent/freeze.h"
#include "agent/owner.h"
#include "agent/stream.h"

struct engine {
    struct loop loop;
    struct port port;
    struct watch children;
    struct streams streams;
    struct settings settings; /* of the last CONFIGURE that had an environment */
    const struct engine_hooks *hooks;
    pid_t late;       /* the child that does late work; -1: done */
    unsigned waiting; /* empty CONFIGUREs that wait for it */
    bool frozen;      /* the root file system is */
    bool met;         /* a HELLO came: `epoch` is the host's */
    bool died;        /* a child; the signal that says so is still to be read */
    bool bare;        /* the last CONFIGURE was empty: we become a template */
    bool prepared;    /* for the first command of a fork, or it was tried */
    uint8_t epoch[WIRE_EPOCH_SIZE];
    int end; /* enum engine_end; 0 while it goes on */
};

static void send_configured(struct engine *engine, int code, const char *text)
{
    uint8_t answer[4 + WIRE_TEXT_MAX];
    size_t length = strlen(text);
    put_u32(answer, (uint32_t)code);
    memcpy(answer + 4, text, length);
    port_send(&engine->port, WIRE_CONFIGURED, 0, 0, answer, (uint32_t)(4 + length));
}

static void late_work_done(struct engine *engine)
{
    engine->late = -1;
    for (; engine->waiting > 0; engine->waiting--)
        send_configured(engine, 0, "");
}

/* What engine_hooks.reaped() has to say. */
static void tell_relay(struct engine *engine, int news)
{
    uint8_t code[4];
    put_u32(code, news < 0 ? (uint32_t)-news : 0);
    if (news != 0)
        port_send(&engine->port, WIRE_RELAY, 0, 0, code, sizeof code);
}

static void reap(struct engine *engine)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        streams_reaped(&engine->streams, pid, status);
        if (pid == engine->late)
            late_work_done(engine);
        if (engine->hooks->reaped != NULL)
            tell_relay(engine, engine->hooks->reaped(pid, status));
    }
}

static void children_ready(struct watch *watch, uint32_t events)
{
    struct engine *engine = WATCH_OWNER(watch, struct engine, children);
    (void)events;
    engine->died = true;
    reap(engine);
}

static int on_hello(struct engine *engine, const struct frame *frame, const char **why)
{
    const uint8_t *epoch = frame->payload + 4;
    if (get_u32(frame->payload) != WIRE_VERSION) {
        *why = "a host of another version";
        return -EPROTO;
    }
    bool restart = !engine->met || !engine->port.greeted ||
                   memcmp(engine->epoch, epoch, sizeof engine->epoch) != 0;
    memcpy(engine->epoch, epoch, sizeof engine->epoch);
    if (restart)
        engine->waiting = 0;
    if (engine->frozen)
        freeze_end();
    engine->frozen = false;
    port_greet(&engine->port, epoch, restart);
    if (!engine->met && engine->hooks->greeted != NULL) {
        port_flush(&engine->port);
        engine->late = engine->hooks->greeted();
    }
    engine->met = true;
    return 0;
}

static int on_configure(struct engine *engine, const struct frame *frame, const char **why)
{
    struct settings settings;
    const char *text = "";
    (void)why;
    engine->bare = frame->length == 0;
    if (engine->bare && engine->late > 0) {
        engine->waiting++;
        return 0;
    }
    int rc = configure_parse(frame->payload, frame->length, &settings, &text);
    if (rc == 0) {
        rc = configure_apply(&settings, &text);
        if (settings.env_count > 0) {
            configure_free(&engine->settings);
            engine->settings = settings;
        } else {
            configure_free(&settings);
        }
    }
    send_configured(engine, -rc, rc < 0 ? text : "");
    return 0;
}

static void send_failed(struct engine *engine, uint32_t id, const struct spawn_failure *failure)
{
    uint8_t answer[8 + WIRE_TEXT_MAX];
    size_t length = strlen(failure->text);
    put_u32(answer, (uint32_t)failure->code);
    put_u32(answer + 4, failure->stage);
    memcpy(answer + 8, failure->text, length);
    port_send(&engine->port, WIRE_FAILED, 0, id, answer, (uint32_t)(8 + length));
}

static int spawn(struct engine *engine, const struct frame *frame, struct spawn_failure *failure)
{
    struct spawn_request request;
    struct spawn_result result;
    uint8_t pid[4];
    if (spawn_parse(frame->payload, frame->length, &request, failure) < 0)
        return -1;
    bool pty = request.pty;
    int rc =
        spawn_start(&request, engine->settings.env, engine->settings.env_count, &result, failure);
    spawn_request_free(&request);
    if (rc < 0)
        return -1;
    rc = stream_add(&engine->streams, frame->stream, pty, &result);
    if (rc < 0) {
        kill(-result.pid, SIGKILL);
        *failure = (struct spawn_failure){-rc, WIRE_STAGE_SETUP, "cannot watch the command"};
        return -1;
    }
    put_u32(pid, (uint32_t)result.pid);
    port_send(&engine->port, WIRE_SPAWNED, 0, frame->stream, pid, sizeof pid);
    return 0;
}

static int on_spawn(struct engine *engine, const struct frame *frame, const char **why)
{
    struct spawn_failure failure = {EAGAIN, WIRE_STAGE_REQUEST, "too many commands at once"};
    if (frame->stream == 0 || stream_find(&engine->streams, frame->stream) != NULL) {
        *why = "a command with an id that is not free";
        return -EPROTO;
    }
    engine->prepared = false;
    if (engine->streams.count >= WIRE_STREAMS_MAX || spawn(engine, frame, &failure) < 0)
        send_failed(engine, frame->stream, &failure);
    return 0;
}

static int on_data(struct engine *engine, const struct frame *frame, const char **why)
{
    struct stream *stream = stream_find(&engine->streams, frame->stream);
    return stream != NULL ? stream_data(stream, frame, why) : 0;
}

static int on_credit(struct engine *engine, const struct frame *frame, const char **why)
{
    struct stream *stream = stream_find(&engine->streams, frame->stream);
    return stream != NULL ? stream_credit(stream, frame, why) : 0;
}

static int on_resize(struct engine *engine, const struct frame *frame, const char **why)
{
    const struct stream *stream = stream_find(&engine->streams, frame->stream);
    (void)why;
    if (stream != NULL)
        stream_resize(stream, get_u16(frame->payload), get_u16(frame->payload + 2));
    return 0;
}

static int on_signal(struct engine *engine, const struct frame *frame, const char **why)
{
    const struct stream *stream = stream_find(&engine->streams, frame->stream);
    uint32_t number = get_u32(frame->payload);
    if (number == 0 || number > 64) {
        *why = "a signal that does not exist";
        return -EPROTO;
    }
    if (stream != NULL)
        stream_signal(stream, (int)number);
    return 0;
}

static int on_abandon(struct engine *engine, const struct frame *frame, const char **why)
{
    struct stream *stream = stream_find(&engine->streams, frame->stream);
    (void)why;
    if (stream != NULL)
        stream_abandon(stream);
    return 0;
}

static int on_quiesce(struct engine *engine, const struct frame *frame, const char **why)
{
    uint8_t answer[4];
    int rc = 0;
    (void)why;
    if ((frame->flags & WIRE_FREEZE) != 0 && !engine->frozen) {
        rc = freeze_root();
        engine->frozen = rc == 0;
    }
    put_u32(answer, (uint32_t)-rc);
    port_send(&engine->port, WIRE_QUIET, 0, 0, answer, sizeof answer);
    port_quiesce(&engine->port);
    return 0;
}

static int on_socket(struct engine *engine, const struct frame *frame, const char **why)
{
    uint8_t answer[4 + WIRE_NAME_MAX];
    struct owner_socket socket = {.local_port = get_u16(frame->payload),
                                  .remote_port = get_u16(frame->payload + 2)};
    char name[WIRE_NAME_MAX + 1];
    (void)why;
    memcpy(&socket.remote_address, frame->payload + 4, 4);
    put_u32(answer, (uint32_t)owner_find(&socket, name));
    size_t length = strlen(name);
    memcpy(answer + 4, name, length);
    port_send(&engine->port, WIRE_OWNER, 0, frame->stream, answer, (uint32_t)(4 + length));
    return 0;
}

static int on_shutdown(struct engine *engine, const struct frame *frame, const char **why)
{
    (void)frame;
    (void)why;
    engine->end = ENGINE_SHUTDOWN;
    return 0;
}

static int receive(void *context, const struct frame *frame, const char **why)
{
    static int (*const handlers[WIRE_TYPES])(struct engine *, const struct frame *,
                                             const char **) = {
        [WIRE_HELLO] = on_hello,     [WIRE_CONFIGURE] = on_configure, [WIRE_SPAWN] = on_spawn,
        [WIRE_DATA] = on_data,       [WIRE_CREDIT] = on_credit,       [WIRE_RESIZE] = on_resize,
        [WIRE_SIGNAL] = on_signal,   [WIRE_ABANDON] = on_abandon,     [WIRE_SHUTDOWN] = on_shutdown,
        [WIRE_QUIESCE] = on_quiesce, [WIRE_SOCKET] = on_socket,
    };
    struct engine *engine = context;
    if (!engine->port.greeted && frame->type != WIRE_HELLO) {
        *why = "a frame before HELLO";
        return -EPROTO;
    }
    return handlers[frame->type](engine, frame, why);
}

static int watch_children(struct engine *engine)
{
    sigset_t all, child;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    engine->children.fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (engine->children.fd < 0)
        return -errno;
    return loop_add(&engine->loop, &engine->children, EPOLLIN);
}

static void send_all(struct engine *engine)
{
    port_flush(&engine->port);
    streams_pump(&engine->streams);
    port_flush(&engine->port);
}

/* What nobody waits for. A child may have died behind reap(): the signal may have been its, too. */
static void tidy_up(struct engine *engine)
{
    struct signalfd_siginfo info;
    if (engine->died && read(engine->children.fd, &info, sizeof info) > 0) {
        reap(engine);
        send_all(engine);
    }
    loop_sweep(&engine->loop);
    engine->died = false;
    if (engine->prepared || !engine->bare || engine->late > 0 || engine->streams.count > 0)
        return;
    engine->prepared = true;
    spawn_prepare();
}

static int serve(struct engine *engine)
{
    const char *why = "";
    while (engine->end == 0 && !engine->port.failed) {
        bool busy = engine->port.readable && !port_stuffed(&engine->port);
        int rc = loop_run(&engine->loop, busy);
        if (rc < 0)
            return rc;
        rc = port_read(&engine->port, receive, engine, &why);
        if (rc < 0) {
            console_log("the host broke the protocol: %s", why);
            engine->end = ENGINE_PROTOCOL;
        }
        send_all(engine);
        tidy_up(engine);
    }
    return engine->port.failed ? -EIO : engine->end;
}

int engine_run(int port, const struct engine_hooks *hooks)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        close(port);
        return -ENOMEM;
    }
    engine->hooks = hooks;
    engine->late = -1;
    engine->children = (struct watch){.fd = -1, .ready = children_ready};
    int rc = loop_open(&engine->loop);
    if (rc < 0) {
        close(port);
        free(engine);
        return rc;
    }
    rc = port_open(&engine->port, &engine->loop, port);
    if (rc == 0)
        rc = watch_children(engine);
    if (rc == 0)
        rc = streams_open(&engine->streams, &engine->loop, &engine->port);
    if (rc == 0) {
        rc = serve(engine);
        streams_close(&engine->streams);
    }
    port_close(&engine->port);
    loop_close(&engine->loop, &engine->children);
    loop_end(&engine->loop);
    configure_free(&engine->settings);
    free(engine);
    return rc;
}
