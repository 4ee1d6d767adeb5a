/* One struct per flow; what a service could not write waits in its buffer and is not consumed. */
#include "net_service.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/packet.h"

struct service {
    uint16_t port;
    uint64_t left, sent; /* of a source */
    uint64_t received;
    struct buf in; /* an echo's data, a source's order */
    bool eof;
};

struct service_run {
    struct net_link *link;
    struct service_count *count;
    uint8_t pattern[SERVICE_PATTERN * 1024];
    int code;
};

static void service_push(struct service_run *run, struct flow *flow)
{
    struct service *service = flow_owner(flow);
    size_t taken = 1;
    while (service->port == SERVICE_ECHO && buf_len(&service->in) > 0 && taken > 0) {
        taken = flow_write(flow, buf_data(&service->in), buf_len(&service->in));
        buf_consume(&service->in, taken);
        flow_consumed(flow, taken);
    }
    while (service->left > 0 && taken > 0) {
        size_t at = service->sent % SERVICE_PATTERN, size = sizeof run->pattern - at;
        if (size > service->left)
            size = (size_t)service->left;
        taken = flow_write(flow, run->pattern + at, size);
        service->sent += taken;
        service->left -= taken;
    }
    bool ordered = service->port == SERVICE_SOURCE && service->sent > 0;
    if ((service->eof || ordered) && buf_len(&service->in) == 0 && service->left == 0)
        flow_shutdown(flow);
}

static void service_open(void *context, struct flow *flow)
{
    struct service_run *run = context;
    uint16_t port = flow_port(flow);
    bool known = port == SERVICE_ECHO || port == SERVICE_SINK || port == SERVICE_SOURCE;
    struct service *service = known ? calloc(1, sizeof *service) : NULL;
    if (service == NULL) {
        run->count->refused++;
        flow_refuse(flow);
        return;
    }
    run->count->opened++;
    service->port = port;
    flow_set_owner(flow, service);
    flow_accept(flow);
}

static void service_received(void *context, struct flow *flow, const uint8_t *data, size_t size)
{
    struct service *service = flow_owner(flow);
    service->received += size;
    if (service->port == SERVICE_SINK) {
        flow_consumed(flow, size);
        return;
    }
    if (buf_append(&service->in, data, size) < 0)
        abort();
    if (service->port == SERVICE_SOURCE && buf_len(&service->in) >= 8) {
        const uint8_t *order = buf_data(&service->in);
        service->left = (uint64_t)net_get32(order) << 32 | net_get32(order + 4);
        flow_consumed(flow, buf_len(&service->in));
        buf_free(&service->in);
    }
    service_push(context, flow);
}

static void service_eof(void *context, struct flow *flow)
{
    struct service *service = flow_owner(flow);
    service->eof = true;
    if (service->port == SERVICE_SINK) {
        uint8_t said[8];
        net_put32(said, (uint32_t)(service->received >> 32));
        net_put32(said + 4, (uint32_t)service->received);
        flow_write(flow, said, sizeof said);
    }
    service_push(context, flow);
}

static void service_writable(void *context, struct flow *flow)
{
    service_push(context, flow);
}

static void service_closed(void *context, struct flow *flow, enum flow_end end)
{
    struct service_run *run = context;
    struct service *service = flow_owner(flow);
    if (end == FLOW_CLOSED)
        run->count->closed++;
    else
        run->count->reset++;
    buf_free(&service->in);
    free(service);
}

static void service_datagram(void *context, const struct link_datagram *ends, const uint8_t *data,
                             size_t size)
{
    struct service_run *run = context;
    link_reply(run->link, ends, data, size);
}

static void service_ended(void *context, const struct error *why)
{
    struct service_run *run = context;
    run->code = -why->code;
    link_close(run->link);
}

int service_run(int fd, struct service_count *count)
{
    static const struct link_events events = {
        .flow = {service_open, service_received, service_eof, service_writable, service_closed},
        .datagram = service_datagram,
        .ended = service_ended,
    };
    struct service_run *run = calloc(1, sizeof *run);
    uv_loop_t loop;
    if (run == NULL || uv_loop_init(&loop) != 0)
        abort();
    run->count = count;
    for (size_t i = 0; i < sizeof run->pattern; i++)
        run->pattern[i] = (uint8_t)(i % SERVICE_PATTERN);
    int rc = link_open(&run->link, &loop, fd, NULL, &events, run, NULL);
    if (rc == 0)
        uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    rc = rc < 0 ? rc : run->code;
    free(run);
    return rc;
}
