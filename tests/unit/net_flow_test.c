/* net/flow: every segment of the guest is written here by hand, every answer is looked at. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "net_peer.h"

#define FAR    0x5db8d822u
#define PORT   443
#define WINDOW 65535

enum decision { ACCEPT, HOLD, REFUSE };

struct world {
    struct peer peer;
    enum decision decision;
    bool keep;         /* the owner consumes nothing */
    char abort_in;     /* 'o'pen, 'w'ritable, 'r'eceived, 'e'of */
    struct flow *flow; /* the last one */
    int opened, writable, eof, closed;
    enum flow_end end;
    struct buf received;
    /* the guest's side of the connection that the helpers drive */
    uint16_t guest_port, mss;
    uint32_t sequence, acknowledge;
};

static bool world_aborts(struct world *world, struct flow *flow, char event)
{
    if (world->abort_in == event)
        flow_abort(flow);
    return world->abort_in == event;
}

static void on_open(void *context, struct flow *flow)
{
    struct world *world = context;
    world->opened++;
    world->flow = flow;
    flow_set_owner(flow, world);
    if (world_aborts(world, flow, 'o'))
        return;
    if (world->decision == ACCEPT)
        flow_accept(flow);
    else if (world->decision == REFUSE)
        flow_refuse(flow);
}

static void on_received(void *context, struct flow *flow, const uint8_t *data, size_t size)
{
    struct world *world = context;
    assert_ptr_equal(flow_owner(flow), world);
    assert_int_equal(buf_append(&world->received, data, size), 0);
    if (!world_aborts(world, flow, 'r') && !world->keep)
        flow_consumed(flow, size);
}

static void on_eof(void *context, struct flow *flow)
{
    struct world *world = context;
    world->eof++;
    world_aborts(world, flow, 'e');
}

static void on_writable(void *context, struct flow *flow)
{
    struct world *world = context;
    world->writable++;
    world_aborts(world, flow, 'w');
}

static void on_closed(void *context, struct flow *flow, enum flow_end end)
{
    struct world *world = context;
    assert_int_equal(flow_write(flow, "x", 1), 0);
    world->closed++;
    world->end = end;
}

static void on_datagram(void *context, const struct link_datagram *ends, const uint8_t *data,
                        size_t size)
{
    (void)context;
    (void)ends;
    (void)data;
    (void)size;
}

static void on_ended(void *context, const struct error *why)
{
    (void)context;
    fail_msg("the link has ended: %s", why->message);
}

static const struct link_events events = {
    .flow = {on_open, on_received, on_eof, on_writable, on_closed},
    .datagram = on_datagram,
    .ended = on_ended,
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    *state = world;
    if (world == NULL || !peer_open(&world->peer, &events, world))
        return -1;
    world->guest_port = 40000;
    world->mss = 1460;
    world->sequence = 0xfffffff0; /* sequence numbers wrap in every test */
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    peer_close(&world->peer);
    buf_free(&world->received);
    free(world);
    return 0;
}

static void guest_send(struct world *world, uint8_t flags, const void *data, size_t size)
{
    const uint8_t mss[] = {2, 4, (uint8_t)(world->mss >> 8), (uint8_t)world->mss};
    struct peer_segment segment = {.destination = FAR,
                                   .source_port = world->guest_port,
                                   .destination_port = PORT,
                                   .sequence = world->sequence,
                                   .acknowledge = world->acknowledge,
                                   .flags = flags,
                                   .window = WINDOW,
                                   .options = mss,
                                   .options_size = flags == SEGMENT_SYN ? sizeof mss : 0,
                                   .data = data,
                                   .size = size};
    assert_true(peer_send(&world->peer, &segment));
    world->sequence += (uint32_t)size + ((flags & (SEGMENT_SYN | SEGMENT_FIN)) != 0);
}

/* The next segment of the flow; its addresses must be the original ones. */
static struct peer_segment guest_receive(struct world *world)
{
    struct peer_segment segment = {0};
    assert_true(peer_receive_segment(&world->peer, &segment));
    assert_int_equal(segment.source, FAR);
    assert_int_equal(segment.destination, LINK_GUEST);
    assert_int_equal(segment.source_port, PORT);
    assert_int_equal(segment.destination_port, world->guest_port);
    return segment;
}

static void guest_silence(struct world *world)
{
    size_t size;
    assert_null(peer_receive(&world->peer, &size));
}

static void guest_syn_answered(struct world *world)
{
    struct peer_segment segment = guest_receive(world);
    assert_int_equal(segment.flags, SEGMENT_SYN | SEGMENT_ACK);
    assert_int_equal(segment.acknowledge, world->sequence);
    world->acknowledge = segment.sequence + 1;
    guest_send(world, SEGMENT_ACK, NULL, 0);
    guest_silence(world);
}

static void guest_connect(struct world *world)
{
    guest_send(world, SEGMENT_SYN, NULL, 0);
    guest_syn_answered(world);
    assert_int_equal(world->writable, 1);
}

/* The answer to a lone segment must be this RST. */
static void guest_reset(struct world *world, uint32_t sequence)
{
    struct peer_segment segment = guest_receive(world);
    assert_true((segment.flags & SEGMENT_RST) != 0);
    assert_int_equal(segment.sequence, sequence);
    guest_silence(world);
}

static void test_exchange(void **state)
{
    struct world *world = *state;
    guest_connect(world);
    assert_int_equal(flow_address(world->flow), FAR);
    assert_int_equal(flow_port(world->flow), PORT);
    assert_int_equal(flow_guest_port(world->flow), 40000);
    uint8_t data[1460];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t size = 1; size <= 1460; size = size * 2 + 1) {
        world->received.start = world->received.end = 0;
        guest_send(world, SEGMENT_ACK, data, size);
        assert_int_equal(buf_len(&world->received), size);
        assert_memory_equal(buf_data(&world->received), data, size);
        assert_int_equal(flow_write(world->flow, data, size), size);
        peer_run(&world->peer);
        struct peer_segment segment = guest_receive(world);
        assert_int_equal(segment.acknowledge, world->sequence);
        assert_int_equal(segment.sequence, world->acknowledge);
        assert_int_equal(segment.size, size);
        assert_memory_equal(segment.data, data, size);
        world->acknowledge += (uint32_t)size;
        guest_send(world, SEGMENT_ACK, NULL, 0);
        guest_silence(world);
    }
    /* small writes leave together */
    for (int i = 0; i < 10; i++)
        assert_int_equal(flow_write(world->flow, data + i, 1), 1);
    peer_run(&world->peer);
    struct peer_segment segment = guest_receive(world);
    assert_int_equal(segment.size, 10);
    assert_memory_equal(segment.data, data, 10);
}

static void on_time(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* A guest whose next small write waits for the ACK of the first gets it without lwIP's clock. */
static void test_ack(void **state)
{
    struct world *world = *state;
    uv_timer_t timer;
    bool over = false;
    guest_connect(world);
    guest_send(world, SEGMENT_ACK, "x", 1);
    guest_silence(world); /* an answer would take it along */
    assert_int_equal(uv_timer_init(&world->peer.loop, &timer), 0);
    timer.data = &over;
    uv_timer_start(&timer, on_time, 100, 0); /* before the clock's next tick, after ours */
    while (!over)
        uv_run(&world->peer.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    peer_run(&world->peer);
    struct peer_segment segment = guest_receive(world);
    assert_int_equal(segment.flags, SEGMENT_ACK);
    assert_int_equal(segment.acknowledge, world->sequence);
    guest_silence(world);
}

static void test_held(void **state)
{
    struct world *world = *state;
    world->decision = HOLD;
    for (int i = 0; i < 3; i++) { /* retransmissions are not more flows */
        guest_send(world, SEGMENT_SYN, NULL, 0);
        guest_silence(world);
        world->sequence--;
    }
    assert_int_equal(world->opened, 1);
    assert_int_equal(flow_write(world->flow, "x", 1), 0);
    world->sequence += 1000; /* the program tried again from the same port */
    guest_send(world, SEGMENT_SYN, NULL, 0);
    assert_int_equal(world->opened, 1);
    flow_accept(world->flow);
    flow_accept(world->flow);
    flow_refuse(world->flow); /* too late */
    peer_run(&world->peer);
    assert_int_equal(world->writable, 0);
    struct peer_segment segment = guest_receive(world);
    assert_int_equal(segment.flags, SEGMENT_SYN | SEGMENT_ACK);
    assert_int_equal(segment.acknowledge, world->sequence);
    world->sequence--;
    guest_send(world, SEGMENT_SYN, NULL, 0); /* lost, the guest thinks */
    guest_syn_answered(world);
    assert_int_equal(world->opened, 1);
    assert_int_equal(world->writable, 1);
}

static void test_refused(void **state)
{
    struct world *world = *state;
    world->decision = HOLD;
    guest_send(world, SEGMENT_SYN, NULL, 0);
    flow_refuse(world->flow);
    peer_run(&world->peer);
    struct peer_segment segment = guest_receive(world);
    assert_int_equal(segment.flags, SEGMENT_RST | SEGMENT_ACK);
    assert_int_equal(segment.acknowledge, world->sequence);
    assert_int_equal(link_flow_count(world->peer.link), 0);
    world->decision = REFUSE;
    guest_send(world, SEGMENT_SYN, NULL, 0);
    assert_int_equal(guest_receive(world).flags, SEGMENT_RST | SEGMENT_ACK);
    /* the guest gives up while we think; a stray RST is not that */
    world->decision = HOLD;
    guest_send(world, SEGMENT_SYN, NULL, 0);
    world->sequence += 99;
    guest_send(world, SEGMENT_RST, NULL, 0);
    assert_int_equal(world->closed, 0);
    world->sequence -= 99;
    guest_send(world, SEGMENT_RST, NULL, 0);
    assert_int_equal(world->closed, 1);
    assert_int_equal(world->end, FLOW_RESET);
    guest_silence(world);
}

/* An owner that consumes nothing closes the window; what is beyond it is not taken. */
static void test_window(void **state)
{
    struct world *world = *state;
    static uint8_t data[1460];
    world->keep = true;
    guest_connect(world);
    struct peer_segment segment = {0};
    size_t sent = 0;
    while (sent < (size_t)2 * WINDOW) {
        guest_send(world, SEGMENT_ACK, data, sizeof data);
        sent += sizeof data;
        struct peer_segment next;
        while (peer_receive_segment(&world->peer, &next))
            segment = next;
    }
    size_t got = buf_len(&world->received);
    assert_in_range(got, WINDOW - 1460, WINDOW);
    assert_int_equal(segment.window, 0);
    flow_consumed(world->flow, got + 5000); /* more than there is changes nothing */
    peer_run(&world->peer);
    segment = guest_receive(world);
    assert_true(segment.window > 30000); /* scaled by 1 if the guest had offered it */
    world->sequence = segment.acknowledge;
    guest_send(world, SEGMENT_ACK, data, sizeof data);
    assert_int_equal(buf_len(&world->received), got + sizeof data);
}

static void write_and_read(struct world *world)
{
    static uint8_t data[1000000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i % 251);
    guest_connect(world);
    size_t taken = flow_write(world->flow, data, sizeof data), got = 0;
    assert_in_range(taken, 1, 192 * 1024);
    peer_run(&world->peer);
    while (got < sizeof data) {
        struct peer_segment segment;
        size_t before = got;
        while (peer_receive_segment(&world->peer, &segment)) {
            assert_int_equal(segment.sequence, world->acknowledge);
            assert_memory_equal(segment.data, data + got, segment.size);
            assert_true(segment.size <= 1460);
            got += segment.size;
            world->acknowledge += (uint32_t)segment.size;
        }
        assert_true(got > before && got <= taken && got - before <= WINDOW);
        int before_ack = world->writable;
        guest_send(world, SEGMENT_ACK, NULL, 0);
        if (got == taken && taken < sizeof data)
            assert_true(world->writable > before_ack);
        taken += flow_write(world->flow, data + taken, sizeof data - taken);
        peer_run(&world->peer);
    }
}

static void test_write_limit(void **state)
{
    struct world *world = *state;
    static const uint16_t sizes[] = {1460, 536, 9000, 100, 1, 0};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        world->mss = sizes[i];
        write_and_read(world);
        assert_int_equal(flow_write(world->flow, "x", 1), 1);
        world->guest_port++;
        world->writable = 0;
        while (peer_run(&world->peer),
               peer_receive_segment(&world->peer, &(struct peer_segment){0}))
            ;
    }
}

static void test_guest_closes_first(void **state)
{
    struct world *world = *state;
    guest_connect(world);
    guest_send(world, SEGMENT_ACK | SEGMENT_FIN, "last", 4);
    assert_int_equal(buf_len(&world->received), 4);
    assert_int_equal(world->eof, 1);
    assert_int_equal(guest_receive(world).acknowledge, world->sequence);
    assert_int_equal(flow_write(world->flow, "answer", 6), 6);
    flow_shutdown(world->flow);
    assert_int_equal(flow_write(world->flow, "more", 4), 0);
    peer_run(&world->peer);
    struct peer_segment segment = guest_receive(world);
    assert_int_equal(segment.size, 6);
    world->acknowledge += 6;
    if ((segment.flags & SEGMENT_FIN) == 0)
        assert_true((guest_receive(world).flags & SEGMENT_FIN) != 0);
    assert_int_equal(world->closed, 0);
    world->acknowledge++;
    guest_send(world, SEGMENT_ACK, NULL, 0);
    assert_int_equal(world->closed, 1);
    assert_int_equal(world->end, FLOW_CLOSED);
    assert_int_equal(link_flow_count(world->peer.link), 0);
    guest_silence(world);
    guest_send(world, SEGMENT_ACK, NULL, 0); /* it is forgotten */
    guest_reset(world, world->acknowledge);
}

static void test_owner_closes_first(void **state)
{
    struct world *world = *state;
    guest_connect(world);
    flow_shutdown(world->flow);
    peer_run(&world->peer);
    assert_true((guest_receive(world).flags & SEGMENT_FIN) != 0);
    world->acknowledge++;
    guest_send(world, SEGMENT_ACK, "still here", 10);
    assert_int_equal(buf_len(&world->received), 10);
    assert_int_equal(world->eof, 0);
    guest_send(world, SEGMENT_ACK | SEGMENT_FIN, NULL, 0);
    struct peer_segment segment = {0};
    while (peer_receive_segment(&world->peer, &segment))
        assert_int_equal(segment.flags, SEGMENT_ACK);
    assert_int_equal(segment.acknowledge, world->sequence);
    assert_int_equal(world->eof, 1);
    assert_int_equal(world->closed, 1);
    assert_int_equal(world->end, FLOW_CLOSED);
    /* the same port again, at once: no TIME_WAIT stands in the way */
    world->sequence += 100000;
    world->writable = 0;
    guest_connect(world);
    assert_int_equal(world->opened, 2);
}

static void test_both_close(void **state)
{
    struct world *world = *state;
    guest_connect(world);
    flow_shutdown(world->flow);
    peer_run(&world->peer);
    assert_true((guest_receive(world).flags & SEGMENT_FIN) != 0);
    guest_send(world, SEGMENT_ACK | SEGMENT_FIN, NULL, 0); /* crossed: ours is not acknowledged */
    assert_int_equal(world->eof, 1);
    assert_int_equal(world->closed, 0);
    assert_int_equal(guest_receive(world).acknowledge, world->sequence);
    world->acknowledge++;
    guest_send(world, SEGMENT_ACK, NULL, 0);
    assert_int_equal(world->closed, 1);
    assert_int_equal(world->end, FLOW_CLOSED);
}

static void test_reset(void **state)
{
    struct world *world = *state;
    guest_connect(world);
    world->sequence -= 100000; /* not in the window */
    guest_send(world, SEGMENT_RST, NULL, 0);
    assert_int_equal(world->closed, 0);
    world->sequence += 100000;
    guest_send(world, SEGMENT_RST, NULL, 0);
    assert_int_equal(world->closed, 1);
    assert_int_equal(world->end, FLOW_RESET);
    while (peer_receive_segment(&world->peer, &(struct peer_segment){0}))
        ;
    world->writable = 0;
    guest_connect(world);
    flow_abort(world->flow);
    flow_abort(world->flow);
    peer_run(&world->peer);
    guest_reset(world, world->acknowledge);
    assert_int_equal(world->closed, 1);
    world->writable = 0;
    guest_connect(world);
    link_reset_flows(world->peer.link);
    peer_run(&world->peer);
    guest_reset(world, world->acknowledge);
    assert_int_equal(world->closed, 2);
    assert_int_equal(link_flow_count(world->peer.link), 0);
}

static void test_unknown(void **state)
{
    static const struct {
        uint8_t flags;
        size_t size;
        uint8_t answer;
        bool in_sequence; /* the RST's number is the segment's acknowledgement */
        uint32_t acknowledges;
    } rows[] = {
        {SEGMENT_ACK, 0, SEGMENT_RST, true, 0},
        {SEGMENT_ACK, 100, SEGMENT_RST, true, 0},
        {SEGMENT_ACK | SEGMENT_FIN, 0, SEGMENT_RST, true, 0},
        {SEGMENT_ACK | SEGMENT_SYN, 0, SEGMENT_RST, true, 0},
        {SEGMENT_FIN, 0, SEGMENT_RST | SEGMENT_ACK, false, 1},
        {0, 7, SEGMENT_RST | SEGMENT_ACK, false, 7},
        {SEGMENT_RST, 0, 0, false, 0},
        {SEGMENT_RST | SEGMENT_ACK, 0, 0, false, 0},
        {SEGMENT_SYN | SEGMENT_FIN, 0, 0, false, 0},
        {SEGMENT_SYN | SEGMENT_RST, 0, 0, false, 0},
        {0xff, 0, 0, false, 0},
    };
    struct world *world = *state;
    static const uint8_t data[100];
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint32_t sequence = world->sequence;
        world->acknowledge = 12345;
        guest_send(world, rows[i].flags, data, rows[i].size);
        if (rows[i].answer == 0) {
            guest_silence(world);
            continue;
        }
        struct peer_segment segment = guest_receive(world);
        assert_int_equal(segment.flags, rows[i].answer);
        assert_int_equal(segment.sequence, rows[i].in_sequence ? 12345 : 0);
        if (!rows[i].in_sequence)
            assert_int_equal(segment.acknowledge, sequence + rows[i].acknowledges);
    }
    assert_int_equal(world->opened, 0);
}

static void test_forged(void **state)
{
    static const struct {
        const char *name;
        uint32_t source, destination;
        uint16_t source_port, port;
        size_t offset; /* in the TCP header, what to spoil */
        uint8_t change;
    } rows[] = {
        {"land", LINK_GUEST, LINK_GUEST, 80, 80, 0, 0},
        {"source", LINK_GUEST + 1, FAR, 1000, 80, 0, 0},
        {"source is lwIP's", 0x0a000001, FAR, 1000, 80, 0, 0},
        {"broadcast", LINK_GUEST, ~0u, 1000, 80, 0, 0},
        {"multicast", LINK_GUEST, 0xe0000001, 1000, 80, 0, 0},
        {"loopback", LINK_GUEST, 0x7f000001, 1000, 80, 0, 0},
        {"this network", LINK_GUEST, 0x00000001, 1000, 80, 0, 0},
        {"port 0", LINK_GUEST, FAR, 1000, 0, 0, 0},
        {"source port 0", LINK_GUEST, FAR, 0, 80, 0, 0},
        {"checksum", LINK_GUEST, FAR, 1000, 80, 16, 1},
        {"header over the end", LINK_GUEST, FAR, 1000, 80, 12, 0xa0},
        {"header too short", LINK_GUEST, FAR, 1000, 80, 12, 0x10},
    };
    struct world *world = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        print_message("%s\n", rows[i].name);
        uint8_t frame[2048];
        struct peer_segment segment = {.source = rows[i].source,
                                       .destination = rows[i].destination,
                                       .source_port = rows[i].source_port,
                                       .destination_port = rows[i].port,
                                       .flags = SEGMENT_SYN};
        size_t size = peer_tcp(frame, &segment);
        frame[34 + rows[i].offset] ^= rows[i].change;
        assert_true(peer_frame(&world->peer, frame, size));
        guest_silence(world);
    }
    assert_int_equal(world->opened, 0);
}

static void test_spoiled(void **state)
{
    struct world *world = *state;
    uint8_t frame[2048];
    size_t size = peer_tcp(frame, &(struct peer_segment){.destination = FAR,
                                                         .source_port = 1,
                                                         .destination_port = 2,
                                                         .flags = SEGMENT_SYN});
    net_put16(frame + 16, IPV4_HEADER + 19); /* cut, with a right IP checksum */
    net_put16(frame + 24, 0);
    net_put16(frame + 24, net_checksum(frame + 14, IPV4_HEADER));
    assert_true(peer_frame(&world->peer, frame, size));
    guest_silence(world);
    assert_int_equal(world->opened, 0);
    /* a wrong checksum inside a connection: translation must not mend it */
    guest_connect(world);
    size = peer_tcp(frame, &(struct peer_segment){.destination = FAR,
                                                  .source_port = world->guest_port,
                                                  .destination_port = PORT,
                                                  .sequence = world->sequence,
                                                  .acknowledge = world->acknowledge,
                                                  .flags = SEGMENT_ACK,
                                                  .window = WINDOW,
                                                  .data = (const uint8_t *)"data",
                                                  .size = 4});
    frame[size - 1] ^= 1;
    assert_true(peer_frame(&world->peer, frame, size));
    assert_int_equal(buf_len(&world->received), 0);
    frame[size - 1] ^= 1;
    assert_true(peer_frame(&world->peer, frame, size));
    assert_int_equal(buf_len(&world->received), 4);
}

static void test_out_of_order(void **state)
{
    struct world *world = *state;
    guest_connect(world);
    uint32_t first = world->sequence;
    world->sequence += 3;
    guest_send(world, SEGMENT_ACK, "def", 3);
    assert_int_equal(guest_receive(world).acknowledge, first);
    assert_int_equal(buf_len(&world->received), 0);
    world->sequence = first;
    guest_send(world, SEGMENT_ACK, "abc", 3);
    guest_send(world, SEGMENT_ACK, "def", 3);
    world->sequence = first + 2; /* an overlap, and an old FIN */
    guest_send(world, SEGMENT_ACK, "cdefg", 5);
    assert_int_equal(buf_len(&world->received), 7);
    assert_memory_equal(buf_data(&world->received), "abcdefg", 7);
    world->sequence = first;
    guest_send(world, SEGMENT_ACK | SEGMENT_FIN, "a", 1);
    assert_int_equal(world->eof, 0);
}

/* A guest that was restored knows nothing of its old connection. */
static void test_port_reused(void **state)
{
    struct world *world = *state;
    guest_connect(world);
    world->writable = 0;
    world->sequence += 5000000;
    guest_send(world, SEGMENT_SYN, NULL, 0);
    assert_int_equal(world->closed, 1);
    assert_int_equal(world->end, FLOW_RESET);
    assert_int_equal(world->opened, 2);
    guest_syn_answered(world);
    guest_send(world, SEGMENT_ACK, "new", 3);
    assert_memory_equal(buf_data(&world->received), "new", 3);
    assert_int_equal(link_flow_count(world->peer.link), 1);
}

static void test_abort_in_events(void **state)
{
    struct world *world = *state;
    static const char where[] = "owre";
    for (size_t i = 0; where[i] != '\0'; i++) {
        world->abort_in = where[i];
        world->sequence += 1000000;
        world->received.start = world->received.end = 0;
        guest_send(world, SEGMENT_SYN, NULL, 0);
        struct peer_segment segment = guest_receive(world);
        if (where[i] != 'o') {
            world->acknowledge = segment.sequence + 1;
            guest_send(world, SEGMENT_ACK, NULL, 0);
            if (where[i] != 'w')
                guest_send(world, SEGMENT_ACK | SEGMENT_FIN, "x", 1);
            segment = guest_receive(world);
            while (peer_receive_segment(&world->peer, &segment))
                ;
        }
        assert_true((segment.flags & SEGMENT_RST) != 0);
        assert_int_equal(link_flow_count(world->peer.link), 0);
    }
    assert_int_equal(world->opened, 4);
    assert_int_equal(world->closed, 0);
    assert_int_equal(world->eof, 1); /* an abort in `received` was the end of that one */
}

static void run_until_closed(struct world *world, int count)
{
    while (world->closed < count)
        uv_run(&world->peer.loop, UV_RUN_ONCE);
    peer_run(&world->peer);
}

static void test_expiry(void **state)
{
    struct world *world = *state;
    guest_connect(world);
    flow_set_idle(world->flow, 1);
    run_until_closed(world, 1);
    assert_int_equal(world->end, FLOW_EXPIRED);
    guest_reset(world, world->acknowledge);
    world->decision = HOLD;
    world->sequence += 100000;
    guest_send(world, SEGMENT_SYN, NULL, 0);
    flow_set_idle(world->flow, 1);
    run_until_closed(world, 2);
    assert_int_equal(world->end, FLOW_EXPIRED);
    assert_int_equal(guest_receive(world).flags, SEGMENT_RST | SEGMENT_ACK);
    assert_int_equal(link_flow_count(world->peer.link), 0);
}

static void test_many(void **state)
{
    struct world *world = *state;
    world->decision = HOLD;
    for (int i = 0; i < FLOW_MAX; i++) {
        world->guest_port = (uint16_t)(1024 + i);
        guest_send(world, SEGMENT_SYN, NULL, 0);
    }
    guest_silence(world);
    assert_int_equal(world->opened, FLOW_MAX);
    world->guest_port++;
    guest_send(world, SEGMENT_SYN, NULL, 0);
    assert_int_equal(guest_receive(world).flags, SEGMENT_RST | SEGMENT_ACK);
    assert_int_equal(world->opened, FLOW_MAX);
    flow_accept(world->flow); /* the last: it works like any other */
    world->guest_port--;
    world->sequence--;
    peer_run(&world->peer);
    guest_syn_answered(world);
    guest_send(world, SEGMENT_ACK, "hello", 5);
    assert_int_equal(buf_len(&world->received), 5);
    flow_abort(world->flow);
    peer_run(&world->peer);
    guest_receive(world);
    world->guest_port += 2;
    guest_send(world, SEGMENT_SYN, NULL, 0); /* its place is free again */
    assert_int_equal(world->opened, FLOW_MAX + 1);
    assert_int_equal(link_flow_count(world->peer.link), FLOW_MAX);
}

/* Guests that never read: all flows together stay below the bound, and one that reads goes on. */
static void test_memory(void **state)
{
    struct world *world = *state;
    enum { FLOWS = 1000 };
    static uint8_t data[100000];
    size_t held = 0;
    for (int i = 0; i < FLOWS; i++) {
        world->guest_port = (uint16_t)(1024 + i);
        world->writable = 0;
        guest_connect(world);
        held += flow_write(world->flow, data, sizeof data);
        while (
            peer_receive_segment(&world->peer, &(struct peer_segment){0}) ||
            (peer_run(&world->peer), peer_receive_segment(&world->peer, &(struct peer_segment){0})))
            ;
    }
    assert_in_range(held, FLOW_MEMORY / 2, FLOW_MEMORY + FLOWS * FLOW_SHARE);
    world->guest_port = 50000;
    world->writable = 0;
    guest_connect(world);
    size_t got = 0, taken = 0;
    while (got < sizeof data) {
        taken += flow_write(world->flow, data + taken, sizeof data - taken);
        peer_run(&world->peer);
        size_t before = got;
        struct peer_segment segment;
        while (peer_receive_segment(&world->peer, &segment)) {
            got += segment.size;
            world->acknowledge += (uint32_t)segment.size;
        }
        assert_true(got > before);
        guest_send(world, SEGMENT_ACK, NULL, 0);
    }
    /* … and receives, as long as its owner takes it */
    world->received.start = world->received.end = 0;
    for (int i = 0; i < 100; i++)
        guest_send(world, SEGMENT_ACK, data, 1460);
    assert_int_equal(buf_len(&world->received), 100 * 1460);
    world->keep = true;
    for (int i = 0; i < 30; i++)
        guest_send(world, SEGMENT_ACK, data, 1460);
    assert_in_range(buf_len(&world->received), 100 * 1460 + 1, 100 * 1460 + FLOW_SHARE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_exchange),
        TEST(test_ack),
        TEST(test_held),
        TEST(test_refused),
        TEST(test_window),
        TEST(test_write_limit),
        TEST(test_guest_closes_first),
        TEST(test_owner_closes_first),
        TEST(test_both_close),
        TEST(test_reset),
        TEST(test_unknown),
        TEST(test_forged),
        TEST(test_spoiled),
        TEST(test_out_of_order),
        TEST(test_port_reused),
        TEST(test_abort_in_events),
        TEST(test_expiry),
        TEST(test_many),
        TEST(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
