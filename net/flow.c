/*
 * The table of flows: which segment belongs to which, which SYN waits for the owner, which flow
 * has been silent for too long, and who may hold memory.
 *
 * A segment goes through stack_input(), where lwIP's callbacks only note what happened; the owner
 * is told afterwards (flow_deliver), so it may abort or write from within any event. A flow that is
 * over leaves the table at once, its memory goes with the next flush: pointers on the C stack stay
 * valid.
 *
 * lwIP sends when the loop is about to sleep (flow_table_flush), so that several small writes
 * become one segment. What the frame queue does not take stays with lwIP and the flow in `unsent`.
 *
 * Memory: every flow is charged for what its owner has not consumed and what lwIP has queued. Over
 * FLOW_MEMORY a flow that holds more than FLOW_SHARE may not write, and what it receives is
 * dropped for the guest to send again.
 */
#include "net/flow.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "net/flow_internal.h"

#define EXPIRY_STEP 1000 /* milliseconds: flows expire this late at most */

/* ---- the table ---- */

static struct flow **flow_bucket(struct flow_table *table, uint16_t guest_port, uint32_t address,
                                 uint16_t port)
{
    uint64_t key = (uint64_t)address << 32 | (uint64_t)guest_port << 16 | port;
    return &table->buckets[key * table->hash >> (64 - FLOW_BUCKETS_LOG2)];
}

static struct flow *flow_find(struct flow_table *table, uint16_t guest_port, uint32_t address,
                              uint16_t port)
{
    struct flow *flow = *flow_bucket(table, guest_port, address, port);
    while (flow != NULL &&
           (flow->guest_port != guest_port || flow->address != address || flow->port != port))
        flow = flow->next;
    return flow;
}

static void flow_recharge(struct flow *flow)
{
    size_t charge = flow->unconsumed + stack_queued(flow);
    flow->table->held = flow->table->held - flow->charge + charge;
    flow->charge = charge;
}

static void flow_list_remove(struct flow *flow)
{
    if (flow->in_waiting)
        TAILQ_REMOVE(&flow->table->waiting, flow, waiting);
    if (flow->in_unsent)
        TAILQ_REMOVE(&flow->table->unsent, flow, unsent);
    flow->in_waiting = flow->in_unsent = false;
}

/* lwIP has let go of it. */
static void flow_remove(struct flow *flow)
{
    struct flow_table *table = flow->table;
    struct flow **link = flow_bucket(table, flow->guest_port, flow->address, flow->port);
    while (*link != flow)
        link = &(*link)->next;
    *link = flow->next;
    flow_list_remove(flow);
    table->held -= flow->charge;
    table->slots[flow->slot] = NULL;
    table->count--;
    table->free[FLOW_MAX - table->count - 1] = flow->slot;
    if (table->count < FLOW_MAX / 2)
        table->full = false;
    flow->state = FLOW_GONE;
    flow->next = table->gone;
    table->gone = flow;
}

static void flow_acks(uv_timer_t *timer)
{
    const struct flow_table *table = timer->data;
    for (size_t i = 0; i < FLOW_MAX; i++)
        if (table->slots[i] != NULL && stack_ack(table->slots[i]))
            flow_unsent(table->slots[i]);
}

static void flow_finish(struct flow *flow, enum flow_end end)
{
    struct flow_table *table = flow->table;
    flow_remove(flow);
    table->events->closed(table->context, flow, end);
}

static uint64_t flow_deadline(const struct flow *flow)
{
    uint32_t seconds = flow->idle;
    if (flow->state == FLOW_OPEN && flow->eof && flow->shut)
        seconds = FLOW_IDLE_CLOSING;
    else if (seconds == 0)
        seconds = flow->state == FLOW_HELD ? FLOW_IDLE_HELD : FLOW_IDLE;
    return flow->active + (uint64_t)seconds * 1000;
}

static void flow_expire(uv_timer_t *timer);

/* A timer that fires too early finds the next deadline; so it is only moved when that is nearer. */
static void flow_watch(struct flow *flow)
{
    uv_timer_t *timer = &flow->table->expiry;
    uint64_t now = uv_now(flow->table->loop), deadline = flow_deadline(flow);
    uint64_t wait = deadline > now ? deadline - now : 0;
    wait = (wait / EXPIRY_STEP + 1) * EXPIRY_STEP;
    if (!uv_is_active((uv_handle_t *)timer) || uv_timer_get_due_in(timer) > wait)
        uv_timer_start(timer, flow_expire, wait, 0);
}

static struct flow *flow_new(struct flow_table *table, const struct ipv4 *packet)
{
    if (table->count == FLOW_MAX) {
        if (!table->full)
            log_warn(LOG_NET, "the guest has %d connections: more are refused", FLOW_MAX);
        table->full = true;
        return NULL;
    }
    struct flow *flow = calloc(1, sizeof *flow);
    if (flow == NULL)
        return NULL;
    flow->table = table;
    flow->address = packet->destination;
    flow->port = net_get16(packet->payload + SEGMENT_DESTINATION_PORT);
    flow->guest_port = net_get16(packet->payload + SEGMENT_SOURCE_PORT);
    flow->slot = table->free[FLOW_MAX - table->count - 1];
    table->slots[flow->slot] = flow;
    table->count++;
    struct flow **bucket = flow_bucket(table, flow->guest_port, flow->address, flow->port);
    flow->next = *bucket;
    *bucket = flow;
    return flow;
}

/* ---- telling the owner ---- */

static bool flow_may_hold(const struct flow *flow)
{
    return flow->table->held < FLOW_MEMORY || flow->charge < FLOW_SHARE;
}

static bool flow_can_write(const struct flow *flow)
{
    return flow->connected && !flow->shut && stack_space(flow) > 0 && flow_may_hold(flow) &&
           !frame_queue_full(flow->table->queue);
}

static void flow_tell_writable(struct flow *flow)
{
    struct flow_table *table = flow->table;
    if (flow->in_waiting)
        TAILQ_REMOVE(&table->waiting, flow, waiting);
    flow->in_waiting = flow->wants_write = false;
    table->events->writable(table->context, flow);
}

/* Each event may end the flow. */
static void flow_deliver(struct flow *flow, bool was_connected)
{
    struct flow_table *table = flow->table;
    const struct flow_events *events = table->events;
    size_t size = table->data_size;
    table->data_size = 0;
    flow_recharge(flow);
    if (flow->connected && !was_connected)
        flow->wants_write = true;
    if (flow->wants_write && flow_can_write(flow))
        flow_tell_writable(flow);
    if (size > 0 && flow->state == FLOW_OPEN)
        events->received(table->context, flow, table->data, size);
    if (flow->eof && !flow->told_eof && flow->state == FLOW_OPEN) {
        flow->told_eof = true;
        events->eof(table->context, flow);
    }
    if (flow->end != 0 && flow->state == FLOW_OPEN)
        flow_finish(flow, flow->end);
    else if (flow->eof && flow->shut && flow->state == FLOW_OPEN)
        flow_watch(flow);
}

/* ---- segments from the guest ---- */

/* RFC 9293 3.10.7.1: what a segment of no connection is answered with. */
static void flow_answer_reset(struct flow_table *table, const struct ipv4 *packet)
{
    const uint8_t *segment = packet->payload;
    uint8_t flags = segment[SEGMENT_FLAGS];
    uint8_t *room = link_packet(table->link, IPV4_HEADER + TCP_HEADER, NULL);
    if (room == NULL)
        return;
    ipv4_write(room, IP_TCP, packet->destination, packet->source, TCP_HEADER);
    uint8_t *reset = room + IPV4_HEADER;
    memset(reset, 0, TCP_HEADER);
    memcpy(reset + SEGMENT_SOURCE_PORT, segment + SEGMENT_DESTINATION_PORT, 2);
    memcpy(reset + SEGMENT_DESTINATION_PORT, segment + SEGMENT_SOURCE_PORT, 2);
    reset[SEGMENT_OFFSET] = TCP_HEADER / 4 << 4;
    reset[SEGMENT_FLAGS] = SEGMENT_RST;
    if ((flags & SEGMENT_ACK) != 0) {
        memcpy(reset + SEGMENT_SEQUENCE, segment + SEGMENT_ACKNOWLEDGE, 4);
    } else {
        size_t length = packet->payload_size - (size_t)(segment[SEGMENT_OFFSET] >> 4) * 4;
        length += (flags & SEGMENT_SYN) != 0;
        length += (flags & SEGMENT_FIN) != 0;
        reset[SEGMENT_FLAGS] |= SEGMENT_ACK;
        net_put32(reset + SEGMENT_ACKNOWLEDGE,
                  net_get32(segment + SEGMENT_SEQUENCE) + (uint32_t)length);
    }
    net_put16(reset + SEGMENT_CHECKSUM, net_transport_checksum(IP_TCP, packet->destination,
                                                               packet->source, reset, TCP_HEADER));
}

static void flow_refuse_held(struct flow *flow)
{
    struct ipv4 packet = {.payload = flow->syn,
                          .payload_size = (size_t)(flow->syn[SEGMENT_OFFSET] >> 4) * 4,
                          .source = LINK_GUEST,
                          .destination = flow->address};
    flow_answer_reset(flow->table, &packet);
}

/*
 * A SYN of a new connection. One with the port of a connection that is still known here means
 * that the guest has forgotten it (it was restored, or its kernel reused the port): the old one is
 * over, and asking the guest about it (RFC 5961's challenge) would only cost it a second.
 */
static void flow_syn(struct flow_table *table, struct flow *flow, const struct ipv4 *packet)
{
    if (flow != NULL && flow->state == FLOW_OPEN) {
        stack_drop(flow, false);
        flow_finish(flow, FLOW_RESET);
        flow = NULL;
    }
    bool new = flow == NULL;
    if (new && (flow = flow_new(table, packet)) == NULL) {
        flow_answer_reset(table, packet);
        return;
    }
    /* Retransmitted, or a second attempt from the same port: the last one is what gets answered. */
    size_t size = (size_t)(packet->payload[SEGMENT_OFFSET] >> 4) * 4;
    memcpy(flow->syn, packet->payload, size);
    flow->guest_sequence = net_get32(packet->payload + SEGMENT_SEQUENCE);
    if (!new)
        return;
    flow->active = uv_now(table->loop);
    flow_watch(flow);
    table->events->open(table->context, flow);
}

/* A segment that lwIP does not see: of no connection, or of one that is not accepted yet. */
static void flow_unknown(struct flow_table *table, struct flow *flow, const struct ipv4 *packet)
{
    const uint8_t *segment = packet->payload;
    if ((segment[SEGMENT_FLAGS] & SEGMENT_RST) == 0)
        flow_answer_reset(table, packet);
    else if (flow != NULL && net_get32(segment + SEGMENT_SEQUENCE) == flow->guest_sequence + 1)
        flow_finish(flow, FLOW_RESET); /* the guest has given up */
}

void flow_table_input(struct flow_table *table, struct ipv4 *packet)
{
    const uint8_t *segment = packet->payload;
    size_t header =
        packet->payload_size >= TCP_HEADER ? (size_t)(segment[SEGMENT_OFFSET] >> 4) * 4 : 0;
    if (header < TCP_HEADER || header > packet->payload_size)
        return;
    uint16_t guest_port = net_get16(segment + SEGMENT_SOURCE_PORT);
    uint16_t port = net_get16(segment + SEGMENT_DESTINATION_PORT);
    uint8_t flags = segment[SEGMENT_FLAGS];
    uint8_t kind = flags & (SEGMENT_SYN | SEGMENT_ACK | SEGMENT_RST | SEGMENT_FIN);
    if (guest_port == 0 || port == 0 ||
        ((kind & SEGMENT_SYN) != 0 && kind != SEGMENT_SYN && kind != (SEGMENT_SYN | SEGMENT_ACK)))
        return;
    struct flow *flow = flow_find(table, guest_port, packet->destination, port);
    bool open = flow != NULL && flow->state == FLOW_OPEN;
    bool syn = kind == SEGMENT_SYN &&
               !(open && net_get32(segment + SEGMENT_SEQUENCE) == flow->guest_sequence);
    if (syn || !open) { /* the others' checksum is lwIP's business */
        if (net_transport_checksum(IP_TCP, packet->source, packet->destination, segment,
                                   packet->payload_size) != 0)
            return;
        if (syn)
            flow_syn(table, flow, packet);
        else
            flow_unknown(table, flow, packet);
        return;
    }
    size_t size = packet->payload_size - header;
    if (size > 0 && table->held + size > FLOW_MEMORY && flow->unconsumed + size > FLOW_SHARE)
        return;
    bool was_connected = flow->connected;
    flow->active = uv_now(table->loop);
    stack_input(flow, packet);
    if (stack_owes_ack(flow) && !uv_is_active((uv_handle_t *)&table->acks))
        uv_timer_start(&table->acks, flow_acks, STACK_ACK_DELAY, 0);
    flow_deliver(flow, was_connected);
}

/* ---- timers and flushing ---- */

static void flow_tick(uv_timer_t *timer)
{
    struct flow_table *table = timer->data;
    stack_tick(table);
    for (size_t i = 0; i < FLOW_MAX; i++)
        if (table->slots[i] != NULL && table->slots[i]->end != 0)
            flow_deliver(table->slots[i], true);
    if (table->pcbs == 0)
        uv_timer_stop(timer);
}

static void flow_expire(uv_timer_t *timer)
{
    struct flow_table *table = timer->data;
    uint64_t now = uv_now(table->loop);
    for (size_t i = 0; i < FLOW_MAX; i++) {
        struct flow *flow = table->slots[i];
        if (flow == NULL)
            continue;
        if (flow_deadline(flow) > now) {
            flow_watch(flow);
            continue;
        }
        if (flow->state == FLOW_HELD)
            flow_refuse_held(flow);
        stack_drop(flow, true);
        flow_finish(flow, FLOW_EXPIRED);
    }
}

void flow_unsent(struct flow *flow)
{
    if (flow->in_unsent)
        return;
    flow->in_unsent = true;
    TAILQ_INSERT_TAIL(&flow->table->unsent, flow, unsent);
}

static void flow_free_gone(struct flow_table *table)
{
    while (table->gone != NULL) {
        struct flow *flow = table->gone;
        table->gone = flow->next;
        free(flow);
    }
}

/*
 * Wakes each waiting writer at most once; it may wait again. One that is limited by its own window
 * is woken by its ACKs instead.
 */
static void flow_wake(struct flow_table *table)
{
    struct flow *last = TAILQ_LAST(&table->waiting, flow_list), *flow = NULL;
    while (flow != last && !frame_queue_full(table->queue) && table->held < FLOW_MEMORY &&
           (flow = TAILQ_FIRST(&table->waiting)) != NULL) {
        TAILQ_REMOVE(&table->waiting, flow, waiting);
        flow->in_waiting = false;
        if (flow_can_write(flow))
            flow_tell_writable(flow);
    }
}

bool flow_table_flush(struct flow_table *table)
{
    struct flow *flow;
    flow_wake(table);
    while (!frame_queue_full(table->queue) && (flow = TAILQ_FIRST(&table->unsent)) != NULL) {
        TAILQ_REMOVE(&table->unsent, flow, unsent);
        flow->in_unsent = false;
        if (!stack_output(flow))
            break;
    }
    flow_free_gone(table);
    return !TAILQ_EMPTY(&table->unsent) ||
           (!TAILQ_EMPTY(&table->waiting) && table->held < FLOW_MEMORY);
}

void flow_table_open(struct flow_table *table)
{
    table->hash = uv_hrtime();
    (void)!getrandom(&table->hash, sizeof table->hash, 0); /* without: the guest may guess it */
    table->hash |= 1;
    for (size_t i = 0; i < FLOW_MAX; i++)
        table->free[i] = (uint16_t)(FLOW_MAX - 1 - i);
    TAILQ_INIT(&table->waiting);
    TAILQ_INIT(&table->unsent);
    uv_timer_init(table->loop, &table->tick);
    uv_timer_init(table->loop, &table->acks);
    uv_timer_init(table->loop, &table->expiry);
    table->tick.data = table->acks.data = table->expiry.data = table;
}

void flow_table_reset(struct flow_table *table)
{
    for (size_t i = 0; i < FLOW_MAX; i++) {
        struct flow *flow = table->slots[i];
        if (flow == NULL)
            continue;
        if (flow->state == FLOW_HELD)
            flow_refuse_held(flow);
        stack_drop(flow, true);
        flow_finish(flow, FLOW_RESET);
    }
}

void flow_table_close(struct flow_table *table, uv_close_cb closed)
{
    flow_table_reset(table);
    flow_free_gone(table);
    uv_close((uv_handle_t *)&table->tick, closed);
    uv_close((uv_handle_t *)&table->acks, closed);
    uv_close((uv_handle_t *)&table->expiry, closed);
}

/* ---- for the owner ---- */

void flow_accept(struct flow *flow)
{
    if (flow->state != FLOW_HELD)
        return;
    flow->state = FLOW_OPEN;
    flow->active = uv_now(flow->table->loop);
    if (!stack_accept(flow)) {
        flow_refuse_held(flow);
        flow->end = FLOW_RESET; /* told by the next tick */
    }
    if (!uv_is_active((uv_handle_t *)&flow->table->tick))
        uv_timer_start(&flow->table->tick, flow_tick, STACK_TICK, STACK_TICK);
}

void flow_refuse(struct flow *flow)
{
    if (flow->state != FLOW_HELD)
        return;
    flow_refuse_held(flow);
    flow_remove(flow);
}

/* What stands in the way decides who wakes the writer: others (`waiting`), or its own ACKs. */
size_t flow_write(struct flow *flow, const void *data, size_t size)
{
    if (flow->state != FLOW_OPEN || !flow->connected || flow->shut || flow->pcb == NULL)
        return 0;
    struct flow_table *table = flow->table;
    bool others = frame_queue_full(table->queue) || !flow_may_hold(flow);
    size_t taken = 0, limit = size;
    if (table->held >= FLOW_MEMORY && limit > FLOW_SHARE)
        limit = FLOW_SHARE;
    if (!others)
        taken = stack_write(flow, data, limit);
    if (taken > 0) {
        flow->active = uv_now(table->loop);
        flow_recharge(flow);
        flow_unsent(flow);
    }
    if (taken == size)
        return taken;
    flow->wants_write = true;
    if (!flow->in_waiting && stack_space(flow) > 0) {
        flow->in_waiting = true;
        TAILQ_INSERT_TAIL(&table->waiting, flow, waiting);
    }
    return taken;
}

void flow_consumed(struct flow *flow, size_t size)
{
    if (flow->state != FLOW_OPEN)
        return;
    if (size > flow->unconsumed)
        size = flow->unconsumed;
    flow->unconsumed -= size;
    flow_recharge(flow);
    if (flow->pcb != NULL && size > 0)
        stack_consumed(flow, size);
}

void flow_shutdown(struct flow *flow)
{
    if (flow->state != FLOW_OPEN || flow->shut)
        return;
    flow->shut = true;
    flow->wants_write = false;
    if (flow->pcb != NULL)
        stack_shutdown(flow);
    flow_watch(flow);
}

void flow_abort(struct flow *flow)
{
    if (flow->state == FLOW_GONE)
        return;
    if (flow->state == FLOW_HELD)
        flow_refuse_held(flow);
    stack_drop(flow, true);
    flow_remove(flow);
}

void flow_set_idle(struct flow *flow, uint32_t seconds)
{
    flow->idle = seconds;
    if (flow->state != FLOW_GONE)
        flow_watch(flow);
}

void flow_set_owner(struct flow *flow, void *owner)
{
    flow->owner = owner;
}

void *flow_owner(const struct flow *flow)
{
    return flow->owner;
}

uint32_t flow_address(const struct flow *flow)
{
    return flow->address;
}

uint16_t flow_port(const struct flow *flow)
{
    return flow->port;
}

uint16_t flow_guest_port(const struct flow *flow)
{
    return flow->guest_port;
}
