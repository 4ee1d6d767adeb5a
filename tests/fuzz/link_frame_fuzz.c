/*
 * A hostile guest on a link. The input is a list of operations, one byte each and its arguments:
 *
 *     'b' n bytes…           n bytes as they are, into the stream
 *     'f' mend n bytes…      a frame; mend: 1 MAC addresses, 2 the IP header, 4 UDP or TCP checksum
 *     's' port flags offset n    a valid segment of a connection, `offset` away from where it
 * should be 'o' port what          the owner writes, consumes, shuts down, aborts, accepts or
 * refuses
 */
#include <stdlib.h>
#include <string.h>

#include "net_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_PORTS 4
#define FUZZ_FAR   0x5db8d822u

struct fuzz_input {
    const uint8_t *p;
    size_t left;
};

struct fuzz_connection {
    struct flow *flow;
    uint32_t sequence, acknowledge;
    size_t held;
};

struct fuzz {
    struct peer peer;
    struct fuzz_connection connections[FUZZ_PORTS];
    bool ended;
};

static uint8_t fuzz_byte(struct fuzz_input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->p++;
}

static size_t fuzz_bytes(struct fuzz_input *in, const uint8_t **bytes)
{
    size_t size = fuzz_byte(in);
    if (size > in->left)
        size = in->left;
    *bytes = in->p;
    in->p += size;
    in->left -= size;
    return size;
}

static void fuzz_open(void *context, struct flow *flow)
{
    struct fuzz *fuzz = context;
    struct fuzz_connection *connection = &fuzz->connections[flow_port(flow) % FUZZ_PORTS];
    if (connection->flow != NULL || flow_guest_port(flow) % 8 == 7) {
        flow_refuse(flow);
        return;
    }
    connection->flow = flow;
    connection->held = 0;
    flow_set_owner(flow, connection);
    if (flow_guest_port(flow) % 2 == 0)
        flow_accept(flow);
}

static void fuzz_received(void *context, struct flow *flow, const uint8_t *data, size_t size)
{
    (void)context;
    struct fuzz_connection *connection = flow_owner(flow);
    connection->held += size;
    if (connection->held > 65535)
        abort(); /* over the window */
    flow_write(flow, data, size);
}

static void fuzz_event(void *context, struct flow *flow)
{
    (void)context;
    flow_write(flow, "event", 5);
}

static void fuzz_closed(void *context, struct flow *flow, enum flow_end end)
{
    (void)context;
    (void)end;
    struct fuzz_connection *connection = flow_owner(flow);
    connection->flow = NULL;
}

static void fuzz_datagram(void *context, const struct link_datagram *ends, const uint8_t *data,
                          size_t size)
{
    struct fuzz *fuzz = context;
    link_reply(fuzz->peer.link, ends, data, size);
}

static void fuzz_ended(void *context, const struct error *why)
{
    (void)why;
    ((struct fuzz *)context)->ended = true;
}

static void fuzz_frame(struct fuzz *fuzz, uint8_t mend, const uint8_t *bytes, size_t size)
{
    uint8_t frame[256];
    memcpy(frame, bytes, size);
    if ((mend & 1) != 0 && size >= ETHERNET_HEADER)
        peer_ethernet(frame, size > 16 ? net_get16(frame + 12) : ETHERNET_ARP);
    if ((mend & 2) != 0 && size >= 34) {
        uint8_t protocol = frame[23];
        peer_ethernet(frame, ETHERNET_IPV4);
        ipv4_write(frame + 14, protocol, LINK_GUEST, net_get32(frame + 30), size - 34);
        if ((mend & 4) != 0 && size >= 54) {
            uint8_t *sum = frame + 34 + (protocol == IP_TCP ? SEGMENT_CHECKSUM : 6);
            net_put16(sum, 0);
            net_put16(sum, net_transport_checksum(protocol, LINK_GUEST, net_get32(frame + 30),
                                                  frame + 34, size - 34));
        }
    }
    peer_frame(&fuzz->peer, frame, size);
}

static void fuzz_segment(struct fuzz *fuzz, struct fuzz_input *in)
{
    static const uint8_t zeros[2048];
    uint16_t port = fuzz_byte(in);
    struct fuzz_connection *connection = &fuzz->connections[port % FUZZ_PORTS];
    uint8_t flags = fuzz_byte(in);
    uint32_t offset = (uint32_t)fuzz_byte(in) - 128;
    size_t size = (size_t)fuzz_byte(in) * 5;
    peer_send(&fuzz->peer,
              &(struct peer_segment){.destination = FUZZ_FAR,
                                     .source_port = (uint16_t)(1000 + port),
                                     .destination_port = (uint16_t)(1 + port % FUZZ_PORTS),
                                     .sequence = connection->sequence + offset,
                                     .acknowledge = connection->acknowledge,
                                     .flags = flags,
                                     .window = (uint16_t)(flags << 8 | 0xff),
                                     .data = zeros,
                                     .size = size});
}

static void fuzz_owner(struct fuzz *fuzz, struct fuzz_input *in)
{
    static const uint8_t zeros[70000];
    struct fuzz_connection *connection = &fuzz->connections[fuzz_byte(in) % FUZZ_PORTS];
    struct flow *flow = connection->flow;
    uint8_t what = fuzz_byte(in);
    if (flow == NULL)
        return;
    if (what == 'a') {
        connection->flow = NULL;
        flow_abort(flow);
    } else if (what == 'r') {
        flow_accept(flow);
    } else if (what == 's') {
        flow_shutdown(flow);
    } else if (what == 'c') {
        connection->held = 0;
        flow_consumed(flow, 65535);
    } else {
        flow_write(flow, zeros, (size_t)what * 250);
    }
}

/* The guest believes what it is told: its next segment continues where the link is. */
static void fuzz_answers(struct fuzz *fuzz)
{
    struct peer_segment segment;
    size_t size;
    peer_run(&fuzz->peer);
    while (peer_receive_segment(&fuzz->peer, &segment)) {
        struct fuzz_connection *connection = &fuzz->connections[segment.source_port % FUZZ_PORTS];
        uint32_t ends = (segment.flags & (SEGMENT_SYN | SEGMENT_FIN)) != 0;
        connection->acknowledge = segment.sequence + (uint32_t)segment.size + ends;
        connection->sequence = segment.acknowledge;
    }
    while (peer_receive(&fuzz->peer, &size) != NULL)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct link_events events = {
        .flow = {fuzz_open, fuzz_received, fuzz_event, fuzz_event, fuzz_closed},
        .datagram = fuzz_datagram,
        .ended = fuzz_ended,
    };
    struct fuzz fuzz = {0};
    struct fuzz_input in = {data, size};
    if (!peer_open(&fuzz.peer, &events, &fuzz))
        abort();
    while (in.left > 0 && !fuzz.ended) {
        const uint8_t *bytes;
        uint8_t op = fuzz_byte(&in);
        uint8_t mend = op == 'f' ? fuzz_byte(&in) : 0;
        if (op == 'b' || op == 'f') {
            size_t length = fuzz_bytes(&in, &bytes);
            if (op == 'b')
                peer_bytes(&fuzz.peer, bytes, length);
            else
                fuzz_frame(&fuzz, mend, bytes, length);
        } else if (op == 's') {
            fuzz_segment(&fuzz, &in);
        } else if (op == 'o') {
            fuzz_owner(&fuzz, &in);
        }
        fuzz_answers(&fuzz);
    }
    peer_close(&fuzz.peer);
    return 0;
}
