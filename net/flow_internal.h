/*
 * What flow.c (the table, and what the owner is told), stack.c (lwIP) and link.c (the cable)
 * know of each other. Included by these three only.
 */
#ifndef VMDECK_NET_FLOW_INTERNAL_H
#define VMDECK_NET_FLOW_INTERNAL_H

#include <stdbool.h>
#include <sys/queue.h>
#include <uv.h>

#include "net/flow.h"
#include "net/frames.h"
#include "net/link.h"
#include "net/packet.h"

struct tcp_pcb;

enum flow_state {
    FLOW_HELD, /* the SYN waits for the owner */
    FLOW_OPEN, /* lwIP has it */
    FLOW_GONE, /* out of the table; the memory goes with the next flush */
};

struct flow {
    struct flow_table *table;
    void *owner;
    struct tcp_pcb *pcb; /* lwIP's half, while FLOW_OPEN and `end` is 0 */
    uint32_t address;
    uint16_t port, guest_port;
    uint16_t slot; /* its index in the table, and its address toward lwIP */
    uint8_t state;
    bool connected;     /* the handshake is complete */
    bool eof, shut;     /* the guest's direction has ended; ours */
    bool told_eof;      /* … and the owner knows */
    bool wants_write;   /* a flow_write() was cut: the writable event is due */
    bool in_waiting;    /* for memory or the queue */
    bool in_unsent;     /* lwIP has something to send */
    uint8_t end;        /* enum flow_end: over, the owner does not know yet */
    uint16_t ip_change; /* what translation adds to checksums on the way to the guest */
    uint16_t tcp_change;
    uint32_t guest_sequence; /* of its SYN */
    uint32_t idle;           /* seconds; 0: the default */
    uint64_t active;         /* loop time of the last segment */
    size_t unconsumed;       /* bytes the owner holds */
    size_t charge;           /* its part of the table's `held` */
    uint64_t ack_position;   /* of its last pure ACK in the frame queue */
    TAILQ_ENTRY(flow) waiting, unsent;
    struct flow *next;           /* in its bucket, later among the gone */
    uint8_t syn[TCP_HEADER_MAX]; /* header of the SYN, while it is held */
};

TAILQ_HEAD(flow_list, flow);

#define FLOW_BUCKETS_LOG2 14

struct flow_table {
    struct net_link *link;
    uv_loop_t *loop;
    struct frame_queue *queue;
    const struct flow_events *events;
    void *context;
    struct flow *slots[FLOW_MAX];
    uint16_t free[FLOW_MAX]; /* free slots, a stack; count of them: FLOW_MAX - count */
    size_t count;
    struct flow *buckets[1 << FLOW_BUCKETS_LOG2];
    uint64_t hash; /* random and odd */
    size_t held;   /* bytes in memory for all flows */
    size_t pcbs;
    struct flow_list waiting, unsent;
    struct flow *gone;
    uv_timer_t tick;   /* lwIP's clock, while it has connections */
    uv_timer_t acks;   /* that were put off */
    uv_timer_t expiry; /* of the flow that expires first, or earlier */
    bool full;         /* said so in the log */
    /* What lwIP handed out for the segment that is being processed. */
    const uint8_t *data;
    size_t data_size;
};

/* flow.c, for link.c */
void flow_table_open(struct flow_table *table);
void flow_table_input(struct flow_table *table, struct ipv4 *packet); /* a TCP segment */
/* Before the loop sleeps: wakes writers, lets lwIP send. True: there is more to do. */
bool flow_table_flush(struct flow_table *table);
void flow_table_reset(struct flow_table *table);
void flow_table_close(struct flow_table *table, uv_close_cb closed); /* three handles */

/* flow.c, for stack.c */
void flow_unsent(struct flow *flow);

/* link.c: queues a frame for an IP packet of `size` bytes; returns where the packet goes. */
uint8_t *link_packet(struct net_link *link, size_t size, uint64_t *position);

/* stack.c: lwIP, and nobody else knows it. A flow is passed in state FLOW_OPEN. */
int stack_open(struct flow_table *table, struct error *err);
void stack_close(void);
bool stack_accept(struct flow *flow); /* the held SYN; false without memory */
void stack_input(struct flow *flow, struct ipv4 *packet);
void stack_tick(struct flow_table *table); /* every STACK_TICK milliseconds */
#define STACK_TICK 250
/*
 * lwIP puts an ACK off until its clock ticks, for up to 250 ms: a guest with small writes, the
 * second of which waits for the ACK of the first (RFC 896), would stand still as long.
 */
bool stack_owes_ack(const struct flow *flow);
bool stack_ack(struct flow *flow); /* it goes with the next output; false: there is none */
#define STACK_ACK_DELAY 10         /* ms */
size_t stack_space(const struct flow *flow);  /* what stack_write() would take; 0 below a quarter */
size_t stack_queued(const struct flow *flow); /* memory of what was not acknowledged */
size_t stack_write(struct flow *flow, const void *data, size_t size);
void stack_consumed(struct flow *flow, size_t size);
void stack_shutdown(struct flow *flow);
bool stack_output(struct flow *flow); /* false: the queue did not take it */
void stack_drop(struct flow *flow, bool reset);

#endif
