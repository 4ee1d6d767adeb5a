/*
 * Flows are numbered one after the other, so the last OWNERS_KEPT_MAX have a place each in a ring,
 * and nobody has to say when one is over. A flow that is still open after that many others is
 * reported without its process.
 *
 * The answer comes from the guest: it is for people to read. Nothing is decided by it.
 */
#include "session/host/owner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/str.h"
#include "session/host/record.h"
#include "session/protocol/json.h"

struct owner {
    uint32_t flow; /* 0: nobody's */
    uint32_t pid;  /* 0: not known */
    bool asked;    /* and not answered yet */
    char name[WIRE_NAME_MAX + 1];
};

/* An event, or something else that waits for a flow. */
struct held {
    enum event_type type;
    cJSON *fields;
    void (*then)(void *context); /* NULL: an event */
    void *context;
    uint32_t flow;  /* whose owner is waited for; 0: nobody's */
    uint64_t until; /* loop time */
    TAILQ_ENTRY(held) entry;
};

struct owners {
    struct host *host;
    void (*known)(struct host *host, uint32_t flow);
    uv_timer_t timer;
    TAILQ_HEAD(held_list, held) held;
    size_t held_count;
    struct owner ring[OWNERS_KEPT_MAX];
};

static const struct owner *owner_of(const struct owners *owners, uint64_t flow)
{
    const struct owner *owner = &owners->ring[flow % OWNERS_KEPT_MAX];
    return flow != 0 && owner->flow == flow ? owner : NULL;
}

void owners_describe(const struct owners *owners, cJSON *fields)
{
    const struct owner *owner =
        owners != NULL ? owner_of(owners, json_number(fields, "flow", 0)) : NULL;
    if (owner == NULL || owner->pid == 0)
        return;
    cJSON *process = cJSON_AddObjectToObject(fields, "process");
    cJSON_AddNumberToObject(process, "pid", owner->pid);
    cJSON_AddStringToObject(process, "name", owner->name);
}

static bool is_asked(const struct owners *owners, uint64_t flow)
{
    const struct owner *owner = owner_of(owners, flow);
    return owner != NULL && owner->asked;
}

static void finish(const struct owners *owners, const struct held *held)
{
    if (held->then != NULL) {
        held->then(held->context);
        return;
    }
    if (held->type == EVENT_NET) /* of a secret, the decision on its flow says it */
        owners_describe(owners, held->fields);
    record_event(owners->host, held->type, held->fields);
}

static void finish_first(struct owners *owners)
{
    struct held *first = TAILQ_FIRST(&owners->held);
    TAILQ_REMOVE(&owners->held, first, entry);
    owners->held_count--;
    finish(owners, first);
    free(first);
}

static void too_long(uv_timer_t *timer);

static void go_on(struct owners *owners)
{
    uint64_t now = uv_now(&owners->host->loop);
    const struct held *first;
    while ((first = TAILQ_FIRST(&owners->held)) != NULL) {
        if (first->until > now && is_asked(owners, first->flow)) {
            uv_timer_start(&owners->timer, too_long, first->until - now, 0);
            return;
        }
        finish_first(owners);
    }
    uv_timer_stop(&owners->timer);
}

static void too_long(uv_timer_t *timer)
{
    go_on(timer->data);
}

static void was_found(void *context, uint32_t flow, uint32_t pid, const char *name)
{
    struct owners *owners = context;
    struct owner *owner = &owners->ring[flow % OWNERS_KEPT_MAX];
    if (owner->flow != flow)
        return;
    owner->asked = false;
    owner->pid = pid;
    snprintf(owner->name, sizeof owner->name, "%s", name);
    owners->known(owners->host, flow);
    go_on(owners);
}

void owners_opened(struct owners *owners, const struct net_flow *flow)
{
    struct owner *owner = &owners->ring[flow->id % OWNERS_KEPT_MAX];
    struct guest_socket socket = {.local_port = flow->guest_port, .remote_port = flow->port};
    memcpy(socket.remote_address, flow->address, sizeof socket.remote_address);
    *owner = (struct owner){.flow = flow->id};
    owner->asked = owners->host->guest != NULL &&
                   guest_find_owner(owners->host->guest, &socket, was_found, owners, flow->id) == 0;
    if (!owner->asked)
        owners->known(owners->host, flow->id);
}

/* In its turn, or at once if nothing has to wait (or there is no memory to do so). */
static void hold(struct owners *owners, const struct held *what)
{
    struct held *held = NULL;
    bool wait = !TAILQ_EMPTY(&owners->held) || is_asked(owners, what->flow);
    if (wait && owners->held_count == OWNERS_HELD_MAX)
        finish_first(owners);
    if (wait)
        held = malloc(sizeof *held);
    if (held == NULL) {
        finish(owners, what);
        return;
    }
    *held = *what;
    held->until = uv_now(&owners->host->loop) + OWNER_WAIT_MS;
    TAILQ_INSERT_TAIL(&owners->held, held, entry);
    owners->held_count++;
    go_on(owners);
}

void owners_record(struct owners *owners, enum event_type type, cJSON *fields)
{
    const uint64_t flow = type == EVENT_NET ? json_number(fields, "flow", 0) : 0;
    hold(owners, &(struct held){.type = type, .fields = fields, .flow = (uint32_t)flow});
}

void owners_await(struct owners *owners, const cJSON *list, void (*then)(void *context),
                  void *context)
{
    struct held held = {.then = then, .context = context};
    const cJSON *item;
    cJSON_ArrayForEach(item, list) /* the agent answers in turn: the last one will do */
    {
        uint64_t flow = json_number(item, "flow", 0);
        if (is_asked(owners, flow) && flow > held.flow)
            held.flow = (uint32_t)flow;
    }
    hold(owners, &held);
}

struct owners *owners_new(struct host *host, void (*known)(struct host *host, uint32_t flow))
{
    struct owners *owners = calloc(1, sizeof *owners);
    if (owners == NULL)
        return NULL;
    owners->host = host;
    owners->known = known;
    TAILQ_INIT(&owners->held);
    uv_timer_init(&host->loop, &owners->timer);
    owners->timer.data = owners;
    return owners;
}

void owners_settle(struct owners *owners)
{
    while (owners != NULL && !TAILQ_EMPTY(&owners->held))
        finish_first(owners);
}

static void was_closed(uv_handle_t *timer)
{
    free(timer->data);
}

void owners_free(struct owners *owners)
{
    if (owners == NULL)
        return;
    owners_settle(owners);
    uv_close((uv_handle_t *)&owners->timer, was_closed);
}
