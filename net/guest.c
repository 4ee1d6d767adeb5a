/*
 * DNS over TCP (RFC 7766): a message behind its length, one at a time, so that an answer has its
 * place in the order of the queries; what follows waits in the flow.
 */
#include "net/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/packet.h"
#include "net/proxy.h"

#define NAME_PORT        53
#define NAME_FLOWS_MAX   64
#define NAME_QUERIES_MAX 512
#define NAME_IDLE        30 /* seconds */

struct datagram_query {
    struct name_query query; /* first */
    struct guest *guest;
    struct link_datagram ends;
    TAILQ_ENTRY(datagram_query) entry;
};

struct name_flow {
    struct name_query query; /* first */
    struct guest *guest;
    struct flow *flow;
    struct buf in, out;
    bool waits; /* for an answer */
    bool eof, in_step;
};

static size_t write_flow(void *flow, const void *data, size_t size)
{
    return flow_write(flow, data, size);
}

static void consumed_flow(void *flow, size_t size)
{
    flow_consumed(flow, size);
}

static void shutdown_flow(void *flow)
{
    flow_shutdown(flow);
}

static void accept_flow(void *flow)
{
    flow_accept(flow);
}

static void refuse_flow(void *flow)
{
    flow_refuse(flow);
}

static void abort_flow(void *flow)
{
    flow_abort(flow);
}

static void idle_flow(void *flow, uint32_t seconds)
{
    flow_set_idle(flow, seconds);
}

static const struct proxy_guest proxy_ops = {
    .stream = {.write = write_flow, .consumed = consumed_flow, .shutdown = shutdown_flow},
    .accept = accept_flow,
    .refuse = refuse_flow,
    .abort = abort_flow,
    .set_idle = idle_flow,
};

static struct address address_of(uint32_t ip)
{
    struct address address = {0};
    net_put32(address.bytes, ip);
    return address;
}

static bool is_name_flow(const struct flow *flow)
{
    return flow_port(flow) == NAME_PORT;
}

static void name_flow_free(struct name_flow *names)
{
    if (names->waits)
        names_cancel(&names->query);
    names->guest->name_flows--;
    buf_free(&names->in);
    buf_free(&names->out);
    free(names);
}

static void name_flow_write(struct name_flow *names)
{
    size_t taken = flow_write(names->flow, buf_data(&names->out), buf_len(&names->out));
    buf_consume(&names->out, taken);
    if (names->eof && !names->waits && buf_len(&names->out) == 0)
        flow_shutdown(names->flow);
}

static void name_flow_step(struct name_flow *names);

static void name_flow_answered(struct name_query *query, const void *data, size_t size)
{
    struct name_flow *names = (struct name_flow *)query;
    uint8_t length[2];
    names->waits = false;
    net_put16(length, (uint16_t)size);
    if (data != NULL &&
        (buf_append(&names->out, length, 2) < 0 || buf_append(&names->out, data, size) < 0))
        buf_free(&names->out);
    if (!names->in_step)
        name_flow_step(names);
}

static void name_flow_step(struct name_flow *names)
{
    names->in_step = true;
    while (!names->waits && buf_len(&names->out) < DNS_QUERY_MAX && buf_len(&names->in) >= 2) {
        uint8_t message[DNS_QUERY_MAX];
        size_t size = net_get16(buf_data(&names->in));
        if (size > DNS_QUERY_MAX) { /* no query is that long: this is something else */
            flow_abort(names->flow);
            name_flow_free(names);
            return;
        }
        if (buf_len(&names->in) < 2 + size)
            break;
        memcpy(message, buf_data(&names->in) + 2, size);
        buf_consume(&names->in, 2 + size);
        flow_consumed(names->flow, 2 + size);
        names->waits = true;
        names_ask(names->guest->names, &names->query, message, size);
    }
    names->in_step = false;
    name_flow_write(names);
}

static void name_flow_open(struct guest *guest, struct flow *flow)
{
    struct name_flow *names = guest->name_flows < NAME_FLOWS_MAX ? calloc(1, sizeof *names) : NULL;
    if (names == NULL) {
        flow_refuse(flow);
        return;
    }
    guest->name_flows++;
    names->guest = guest;
    names->flow = flow;
    names->query = (struct name_query){.to = address_of(flow_address(flow)),
                                       .guest_port = flow_guest_port(flow),
                                       .stream = true,
                                       .max = UINT16_MAX,
                                       .answered = name_flow_answered};
    flow_set_owner(flow, names);
    flow_set_idle(flow, NAME_IDLE);
    flow_accept(flow);
}

static void flow_opened(void *context, struct flow *flow)
{
    struct guest *guest = context;
    if (is_name_flow(flow)) {
        name_flow_open(guest, flow);
        return;
    }
    struct proxy_ends ends = {.address = address_of(flow_address(flow)),
                              .port = flow_port(flow),
                              .guest_port = flow_guest_port(flow)};
    struct proxy *proxy = proxy_open(guest->core, &proxy_ops, flow, &ends);
    if (proxy != NULL)
        flow_set_owner(flow, proxy);
}

static void flow_was_received(void *context, struct flow *flow, const uint8_t *data, size_t size)
{
    (void)context;
    if (!is_name_flow(flow)) {
        proxy_received(flow_owner(flow), data, size);
        return;
    }
    struct name_flow *names = flow_owner(flow);
    if (buf_append(&names->in, data, size) == 0)
        name_flow_step(names);
}

static void flow_ended(void *context, struct flow *flow)
{
    (void)context;
    if (!is_name_flow(flow)) {
        proxy_eof(flow_owner(flow));
        return;
    }
    struct name_flow *names = flow_owner(flow);
    names->eof = true;
    name_flow_step(names);
}

static void flow_can_write(void *context, struct flow *flow)
{
    (void)context;
    if (is_name_flow(flow))
        name_flow_step(flow_owner(flow));
    else
        proxy_writable(flow_owner(flow));
}

static void flow_was_closed(void *context, struct flow *flow, enum flow_end end)
{
    (void)context;
    (void)end;
    if (is_name_flow(flow))
        name_flow_free(flow_owner(flow));
    else
        proxy_closed(flow_owner(flow));
}

static void datagram_free(struct datagram_query *datagram)
{
    TAILQ_REMOVE(&datagram->guest->queries, datagram, entry);
    datagram->guest->name_queries--;
    free(datagram);
}

static void datagram_answered(struct name_query *query, const void *data, size_t size)
{
    struct datagram_query *datagram = (struct datagram_query *)query;
    if (data != NULL)
        (void)link_reply(datagram->guest->link, &datagram->ends, data, size);
    datagram_free(datagram);
}

static void datagram_came(void *context, const struct link_datagram *ends, const uint8_t *data,
                          size_t size)
{
    struct guest *guest = context;
    struct datagram_query *datagram =
        guest->name_queries < NAME_QUERIES_MAX ? calloc(1, sizeof *datagram) : NULL;
    if (datagram == NULL)
        return;
    guest->name_queries++;
    datagram->guest = guest;
    datagram->ends = *ends;
    datagram->query = (struct name_query){.to = address_of(ends->address),
                                          .guest_port = ends->guest_port,
                                          .max = LINK_DATAGRAM_MAX,
                                          .answered = datagram_answered};
    TAILQ_INSERT_TAIL(&guest->queries, datagram, entry);
    names_ask(guest->names, &datagram->query, data, size);
}

static void link_ended(void *context, const struct error *why)
{
    struct guest *guest = context;
    guest_detach(guest);
    guest->ended(guest->context, why);
}

int guest_attach(struct guest *guest, int fd, struct error *err)
{
    static const struct link_events events = {
        .flow = {.open = flow_opened,
                 .received = flow_was_received,
                 .eof = flow_ended,
                 .writable = flow_can_write,
                 .closed = flow_was_closed},
        .datagram = datagram_came,
        .ended = link_ended,
    };
    TAILQ_INIT(&guest->queries);
    return link_open(&guest->link, guest->core->loop, fd, NULL, &events, guest, err);
}

void guest_detach(struct guest *guest)
{
    struct net_link *link = guest->link;
    if (link == NULL)
        return;
    guest->link = NULL;
    while (!TAILQ_EMPTY(&guest->queries)) {
        struct datagram_query *datagram = TAILQ_FIRST(&guest->queries);
        names_cancel(&datagram->query);
        datagram_free(datagram);
    }
    link_close(link);
}
