/*
 * Two threads and two queues. Down go calls, a reset and the end; up go events, answers, the number
 * of requests that wait, and last of all that the thread has ended. Everything that can fail is
 * made before the thread starts, on the owner's.
 *
 * Nobody waits for the other, but for the end of the link, which is one turn of the thread's loop
 * away: whoever closes may open the next at once, and lwIP is one per process. Events are dropped
 * (and counted in the log) when EVENTS_MAX of them were not taken, and the thread's end is a
 * message. It can be late, because a name that is being resolved cannot be given up; until then it
 * only waits.
 */
#include "net/net.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/queue.h"
#include "net/ca.h"
#include "net/net_internal.h"
#include "net/proxy.h"

#define EVENTS_MAX 4096
#define CALLS_MAX  1024

enum down_kind { DOWN_CALL, DOWN_RESET, DOWN_CLOSE };
enum up_kind { UP_EVENT, UP_FLOW, UP_PENDING, UP_ANSWER, UP_ENDED };

/* A call travels down and comes back up. Or a message that is only a kind. */
struct call {
    enum up_kind up; /* first: what comes up begins with it */
    enum down_kind kind;
    char name[16];
    cJSON *arguments, *result;
    struct error error;
    net_done *done; /* NULL when the owner has been answered */
    void *context;
    TAILQ_ENTRY(call) entry;
};

struct event {
    enum up_kind up; /* first */
    char type[16];
    cJSON *fields; /* of UP_EVENT */
    struct net_flow flow;
};

struct net {
    /* The owner's. */
    struct net_events events;
    void *context;
    struct queue *up, *down;
    uv_thread_t id;
    TAILQ_HEAD(call_list, call) calls;
    size_t call_count;
    struct strv placeholders;
    bool closed;
    struct call reset, close; /* messages that need no memory when they are sent */

    /* Both sides'. */
    atomic_uint pending, waiting_events;
    atomic_bool pending_sent, reset_sent;
    uv_sem_t detached; /* posted when the thread has let go of the VM and of lwIP, which is one */

    /* The thread's. */
    struct net_thread thread;
    struct event pending_message, ended_message;
    uint64_t dropped;
};

/* Taken over; false: nobody takes them, it is gone. */
static bool send_up(struct net *net, struct event *event)
{
    if (event != NULL && atomic_load(&net->waiting_events) < EVENTS_MAX) {
        atomic_fetch_add(&net->waiting_events, 1);
        if (queue_send(net->up, event) == 0)
            return true;
        atomic_fetch_sub(&net->waiting_events, 1);
    }
    free(event);
    return false;
}

static bool send_flow(void *context, uint32_t flow, const struct proxy_ends *ends)
{
    struct net *net = context;
    struct event *event =
        net->events.flow != NULL && !ends->address.v6 ? calloc(1, sizeof *event) : NULL;
    if (event == NULL)
        return false;
    event->up = UP_FLOW;
    event->flow = (struct net_flow){.id = flow, .guest_port = ends->guest_port, .port = ends->port};
    memcpy(event->flow.address, ends->address.bytes, sizeof event->flow.address);
    return send_up(net, event);
}

static void send_event(void *context, const char *type, cJSON *fields)
{
    struct net *net = context;
    struct event *event = calloc(1, sizeof *event);
    if (event != NULL) {
        event->up = UP_EVENT;
        event->fields = fields;
        strncpy(event->type, type, sizeof event->type - 1);
    }
    if (send_up(net, event))
        return;
    cJSON_Delete(fields);
    if ((net->dropped++ & 0xfff) == 0)
        log_warn(LOG_NET, "events are dropped: nobody takes them (%llu so far)",
                 (unsigned long long)net->dropped);
}

static void send_pending(void *context, unsigned count)
{
    struct net *net = context;
    atomic_store(&net->pending, count);
    if (!atomic_exchange(&net->pending_sent, true))
        (void)queue_send(net->up, &net->pending_message);
}

static void link_ended(void *context, const struct error *why)
{
    (void)context;
    if (why->code != 0)
        log_warn(LOG_NET, "the link has ended: %s", why->message);
}

/* On the thread. */
static void down_came(void *context, void *message)
{
    struct net *net = context;
    struct call *call = message;
    switch (call->kind) {
    case DOWN_RESET:
        atomic_store(&net->reset_sent, false);
        if (net->thread.guest.link != NULL)
            link_reset_flows(net->thread.guest.link);
        return;
    case DOWN_CLOSE:
        setup_close(&net->thread);
        uv_sem_post(&net->detached);
        queue_close(net->down);
        return;
    case DOWN_CALL:
        break;
    }
    call->result = call_run(&net->thread, call->name, call->arguments, &call->error);
    call->up = UP_ANSWER;
    (void)queue_send(net->up, call); /* there is room for CALLS_MAX of them */
}

static void thread_main(void *context)
{
    struct net *net = context;
    uv_run(&net->thread.loop, UV_RUN_DEFAULT);
    (void)queue_send(net->up, &net->ended_message);
}

static void call_free(struct call *call)
{
    cJSON_Delete(call->arguments);
    cJSON_Delete(call->result);
    free(call);
}

static void net_free(struct net *net)
{
    (void)uv_loop_close(&net->thread.loop);
    setup_free(&net->thread);
    uv_sem_destroy(&net->detached);
    strv_free(&net->placeholders);
    free(net);
}

static void answered(struct net *net, struct call *call)
{
    TAILQ_REMOVE(&net->calls, call, entry);
    net->call_count--;
    if (call->done != NULL)
        call->done(call->context, call->result, call->result == NULL ? &call->error : NULL);
    call_free(call);
}

static void event_came(struct net *net, struct event *event)
{
    atomic_fetch_sub(&net->waiting_events, 1);
    if (net->closed || net->events.event == NULL)
        cJSON_Delete(event->fields);
    else if (event->up == UP_FLOW)
        net->events.flow(net->context, &event->flow);
    else
        net->events.event(net->context, event->type, event->fields);
    free(event);
}

/* On the owner's loop. */
static void up_came(void *context, void *message)
{
    struct net *net = context;
    enum up_kind kind = *(enum up_kind *)message;
    switch (kind) {
    case UP_EVENT:
    case UP_FLOW:
        event_came(net, message);
        break;
    case UP_PENDING:
        atomic_store(&net->pending_sent, false);
        if (!net->closed && net->events.pending != NULL)
            net->events.pending(net->context, atomic_load(&net->pending));
        break;
    case UP_ANSWER:
        answered(net, message);
        break;
    case UP_ENDED:
        uv_thread_join(&net->id);
        queue_close(net->up);
        net_free(net);
        break;
    }
}

static int collect_placeholders(struct net *net, struct error *err)
{
    const struct secrets *secrets = net->thread.core.secrets;
    const char *name;
    for (size_t i = 0; (name = secrets_name(secrets, i)) != NULL; i++)
        if (strv_addf(&net->placeholders, "%s=%s", name, secrets_placeholder(secrets, i)) < 0)
            return error_set(err, ENOMEM, "out of memory");
    return 0;
}

/* The thread takes no signals: they are the owner's. */
static int start_thread(struct net *net, struct error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = uv_thread_create(&net->id, thread_main, net);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc < 0 ? error_set(err, -rc, "cannot start a thread: %s", uv_strerror(rc)) : 0;
}

static int make(struct net *net, uv_loop_t *owner, int *nic, const struct net_options *options,
                struct error *err)
{
    struct net_thread *thread = &net->thread;
    thread->core.event = send_event;
    thread->core.opened = send_flow;
    thread->core.questions.changed = send_pending;
    thread->core.context = thread->core.questions.context = net;
    thread->guest.ended = link_ended;
    int rc = setup_make(thread, options, err);
    if (rc == 0)
        rc = collect_placeholders(net, err);
    if (rc == 0)
        rc = queue_open(&net->down, &thread->loop, CALLS_MAX + 8, down_came, net, err);
    if (rc == 0)
        rc = queue_open(&net->up, owner, EVENTS_MAX + CALLS_MAX + 8, up_came, net, err);
    if (rc == 0)
        rc = guest_attach(&thread->guest, take_fd(nic), err);
    return rc < 0 ? rc : start_thread(net, err);
}

int net_open(struct net **out, uv_loop_t *owner, int nic, const struct net_options *options,
             const struct net_events *events, void *context, struct error *err)
{
    CLEAN_FD int fd = nic;
    struct net *net = calloc(1, sizeof *net);
    int rc = net != NULL ? uv_sem_init(&net->detached, 0) : UV_ENOMEM;
    if (rc == 0 && (rc = uv_loop_init(&net->thread.loop)) < 0)
        uv_sem_destroy(&net->detached);
    if (rc < 0) {
        free(net);
        return error_set(err, -rc, "cannot start the network: %s", uv_strerror(rc));
    }
    net->events = *events;
    net->context = context;
    TAILQ_INIT(&net->calls);
    net->reset.kind = DOWN_RESET;
    net->close.kind = DOWN_CLOSE;
    net->pending_message.up = UP_PENDING;
    net->ended_message.up = UP_ENDED;
    rc = make(net, owner, &fd, options, err);
    if (rc == 0) {
        *out = net;
        return 0;
    }
    setup_close(&net->thread);
    if (net->down != NULL)
        queue_close(net->down);
    if (net->up != NULL)
        queue_close(net->up);
    uv_run(&net->thread.loop, UV_RUN_DEFAULT); /* what closes; nothing else is there */
    net_free(net);
    return rc;
}

int net_ca_read(char **pem, struct error *err)
{
    return ca_read(pem, err);
}

const char *net_ca(const struct net *net)
{
    return ca_certificate(net->thread.ca);
}

const struct strv *net_placeholders(const struct net *net)
{
    return &net->placeholders;
}

/* The thread only reads them, so the owner may as well. */
const uint8_t *net_secret_value(const struct net *net, const char *name, size_t *size)
{
    const struct secrets *secrets = net->thread.core.secrets;
    const char *other;
    for (size_t i = 0; (other = secrets_name(secrets, i)) != NULL; i++)
        if (strcmp(other, name) == 0)
            return secrets_value(secrets, i, size);
    return NULL;
}

static int send_call(struct net *net, const char *name, cJSON *arguments, net_done *done,
                     void *context, struct error *err)
{
    struct call *call = net->call_count < CALLS_MAX ? calloc(1, sizeof *call) : NULL;
    if (call == NULL) {
        cJSON_Delete(arguments);
        return error_set(err, EBUSY, "the network has too much to answer");
    }
    call->kind = DOWN_CALL;
    call->arguments = arguments;
    call->done = done;
    call->context = context;
    strncpy(call->name, name, sizeof call->name - 1);
    TAILQ_INSERT_TAIL(&net->calls, call, entry);
    net->call_count++;
    (void)queue_send(net->down, call); /* there is room for CALLS_MAX of them */
    return 0;
}

void net_call(struct net *net, const char *name, cJSON *arguments, net_done *done, void *context)
{
    struct error err = {0};
    if (send_call(net, name, arguments, done, context, &err) < 0)
        done(context, NULL, &err);
}

void net_reset(struct net *net)
{
    if (!atomic_exchange(&net->reset_sent, true))
        (void)queue_send(net->down, &net->reset);
}

void net_close(struct net *net)
{
    if (net == NULL)
        return;
    struct error why = {0};
    struct call *call;
    net->closed = true;
    error_set(&why, ECANCELED, "the network has ended");
    TAILQ_FOREACH(call, &net->calls, entry)
    {
        net_done *done = call->done;
        call->done = NULL;
        done(call->context, NULL, &why);
    }
    if (queue_send(net->down, &net->close) == 0)
        uv_sem_wait(&net->detached);
}
