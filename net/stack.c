/*
 * lwIP as the guest's TCP peer, by its raw interface in our own loop; tcpip_init() is never
 * called, so there is no thread of lwIP's. Debian's build fixes the options: MSS 1460, 64 KiB
 * windows, every pool is malloc.
 *
 * Translation. lwIP accepts only its own address, so every flow comes from an address of its own
 * (10.0.0.1 upwards: slot + 1) to a single listener, and the way back is found in that address.
 * Checksums are changed by a constant per flow, so a wrong one stays wrong.
 *
 * lwIP looks for the connection of a segment, and for the connections to time, in one linked list.
 * With 10,000 flows that is the whole cost of a small segment, so the list is kept empty: it holds
 * the one connection that a segment is for, and all of them only while the clock ticks.
 *
 * A flow's pcb never outlives the flow: TIME_WAIT is given up at once. It guards against old
 * segments and a lost last ACK; a cable without loss and without reordering has neither. For the
 * same reason segments out of order, which only a hostile guest sends, are not kept: lwIP would
 * hold 64 KiB of one-byte segments per connection. And nothing in the stream can be congested but
 * the guest itself: the congestion window starts fully open.
 *
 * A received frame is lent to lwIP without a copy. That is sound because nothing keeps it beyond
 * the call: no out-of-order queue, no refused data, no fragments.
 */
#include <errno.h>
#include <string.h>

#include "lwip/init.h"
#include "lwip/ip4.h"
#include "lwip/priv/tcp_priv.h"

/* Taken here: netinet/tcp.h, which libuv includes, defines another TCP_MSS. */
enum { STACK_PBUFS = TCP_SND_QUEUELEN };

#include "net/flow_internal.h"

#define STACK_NETWORK 0x0a000000u /* 10.0.0.0/8 */
#define STACK_ADDRESS 0x0afffffeu
#define STACK_PORT    7
#define STACK_SEGMENT 1600 /* memory of a full segment that lwIP holds */
/*
 * Bytes on their way to the guest, per connection. Debian's constant is 64 KiB, less than QEMU's
 * turn-around time is worth; lwIP itself only counts pcb->snd_buf down and up again, and 192 KiB
 * are 135 of the at most 180 segments that it queues (STACK_PBUFS).
 */
#define STACK_SEND_BUFFER ((tcpwnd_size_t)192 * 1024)
#define STACK_MSS_MIN     536 /* everybody takes that much (RFC 9293 3.7.1), whatever a SYN says */
#define STACK_QUEUE       64  /* pbufs that must be free before a writer is woken */
#define STACK_NOWHERE     UINT64_MAX

static struct {
    struct flow_table *table; /* NULL: not open */
    bool initialised;
    struct netif netif;
    struct tcp_pcb *listener;
    struct pbuf_custom lent;
} stack;

/* ---- to the guest ---- */

static void stack_to_guest(struct flow *flow, uint8_t *packet)
{
    uint8_t *segment = packet + IPV4_HEADER;
    net_put32(packet + IPV4_SOURCE, flow->address);
    net_put32(packet + IPV4_DESTINATION, LINK_GUEST);
    net_checksum_change(packet + IPV4_CHECKSUM, flow->ip_change);
    net_put16(segment + SEGMENT_SOURCE_PORT, flow->port);
    net_checksum_change(segment + SEGMENT_CHECKSUM, flow->tcp_change);
}

/*
 * A pure ACK takes the place of an earlier one that has not left yet: the guest then handles one
 * per batch instead of one per two segments.
 */
static err_t stack_send(struct netif *netif, struct pbuf *p, const ip4_addr_t *to)
{
    (void)netif;
    size_t slot = (size_t)(lwip_ntohl(to->addr) - STACK_NETWORK) - 1;
    struct flow *flow = slot < FLOW_MAX ? stack.table->slots[slot] : NULL;
    if (flow == NULL || p->tot_len < IPV4_HEADER + TCP_HEADER)
        return ERR_OK;
    size_t size = p->tot_len;
    const uint8_t *header = p->payload;
    bool pure =
        size == IPV4_HEADER + TCP_HEADER && header[IPV4_HEADER + SEGMENT_FLAGS] == SEGMENT_ACK;
    uint8_t *room = NULL;
    if (pure && flow->ack_position != STACK_NOWHERE &&
        (room = frame_queue_at(stack.table->queue, flow->ack_position)) != NULL)
        room += ETHERNET_HEADER;
    uint64_t position = flow->ack_position;
    if (room == NULL)
        room = link_packet(stack.table->link, size, &position);
    if (room == NULL) {
        flow_unsent(flow);
        return ERR_MEM; /* lwIP keeps the segment */
    }
    flow->ack_position = pure ? position : STACK_NOWHERE;
    pbuf_copy_partial(p, room, (u16_t)size, 0);
    stack_to_guest(flow, room);
    return ERR_OK;
}

static err_t stack_netif(struct netif *netif)
{
    netif->name[0] = 'v';
    netif->name[1] = 'm';
    netif->mtu = IPV4_MTU;
    netif->output = stack_send;
    return ERR_OK;
}

/* ---- lwIP's callbacks: they only note what happened, flow.c tells the owner afterwards ---- */

static err_t stack_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
    (void)pcb;
    struct flow *flow = arg;
    if (flow != NULL && err == ERR_OK)
        flow->connected = true;
    return ERR_OK;
}

static err_t stack_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
    (void)pcb;
    (void)err;
    struct flow *flow = arg;
    if (p == NULL) {
        flow->eof = true;
        return ERR_OK;
    }
    flow->table->data = p->payload; /* one piece: a part of the frame that was lent */
    flow->table->data_size = p->len;
    flow->unconsumed += p->len;
    pbuf_free(p);
    return ERR_OK;
}

static void stack_failed(void *arg, err_t err)
{
    struct flow *flow = arg;
    flow->pcb = NULL;
    flow->table->pcbs--;
    flow->end = err == ERR_CLSD ? FLOW_CLOSED : err == ERR_RST ? FLOW_RESET : FLOW_EXPIRED;
}

/* ---- from the guest ---- */

static void stack_returned(struct pbuf *p)
{
    (void)p; /* the frame's memory was only lent */
}

static void stack_feed(uint8_t *packet, size_t size)
{
    stack.lent.custom_free_function = stack_returned;
    struct pbuf *p =
        pbuf_alloced_custom(PBUF_RAW, (u16_t)size, PBUF_REF, &stack.lent, packet, (u16_t)size);
    if (p != NULL)
        ip4_input(p, &stack.netif);
}

static void stack_alone(struct tcp_pcb *pcb)
{
    if (pcb != NULL)
        pcb->next = NULL;
    tcp_active_pcbs = pcb;
}

void stack_input(struct flow *flow, struct ipv4 *packet)
{
    bool was_connected = flow->connected;
    net_put32(packet->header + IPV4_SOURCE, STACK_NETWORK + 1 + flow->slot);
    net_put32(packet->header + IPV4_DESTINATION, STACK_ADDRESS);
    net_checksum_change(packet->header + IPV4_CHECKSUM, (uint16_t)~flow->ip_change);
    net_put16(packet->payload + SEGMENT_DESTINATION_PORT, STACK_PORT);
    net_checksum_change(packet->payload + SEGMENT_CHECKSUM, (uint16_t)~flow->tcp_change);

    stack_alone(flow->pcb);
    stack_feed(packet->header, IPV4_HEADER + packet->payload_size);
    stack_alone(NULL);
    struct tcp_pcb *pcb = flow->pcb;
    if (pcb == NULL)
        return;
    if (pcb->ooseq != NULL)
        tcp_free_ooseq(pcb);
    if (flow->connected && !was_connected)
        pcb->cwnd = STACK_SEND_BUFFER;
    if (pcb->state == TIME_WAIT) {
        flow->end = FLOW_CLOSED;
        stack_drop(flow, false);
    }
}

static void stack_changes(struct flow *flow)
{
    uint32_t own = STACK_NETWORK + 1 + flow->slot;
    const uint32_t added[] = {flow->address, LINK_GUEST}, removed[] = {STACK_ADDRESS, own};
    uint32_t sum = 0;
    for (size_t i = 0; i < 2; i++)
        sum +=
            (added[i] >> 16) + (added[i] & 0xffff) + (~removed[i] >> 16) + (~removed[i] & 0xffff);
    flow->ip_change = net_fold(sum);
    flow->tcp_change = net_fold(sum + flow->port + (uint16_t)~STACK_PORT);
}

/* The listener makes the pcb, which is then the only one in the list. */
bool stack_accept(struct flow *flow)
{
    stack_changes(flow);
    flow->ack_position = STACK_NOWHERE;
    uint8_t packet[IPV4_HEADER + TCP_HEADER_MAX];
    uint8_t *segment = packet + IPV4_HEADER;
    size_t size = (size_t)(flow->syn[SEGMENT_OFFSET] >> 4) * 4;
    uint32_t own = STACK_NETWORK + 1 + flow->slot;
    memcpy(segment, flow->syn, size);
    net_put16(segment + SEGMENT_DESTINATION_PORT, STACK_PORT);
    net_put16(segment + SEGMENT_CHECKSUM, 0);
    net_put16(segment + SEGMENT_CHECKSUM,
              net_transport_checksum(IP_TCP, own, STACK_ADDRESS, segment, size));
    ipv4_write(packet, IP_TCP, own, STACK_ADDRESS, size);
    stack_alone(NULL);
    stack_feed(packet, IPV4_HEADER + size);
    struct tcp_pcb *pcb = tcp_active_pcbs;
    stack_alone(NULL);
    if (pcb == NULL)
        return false;
    flow->pcb = pcb;
    flow->table->pcbs++;
    tcp_arg(pcb, flow);
    tcp_recv(pcb, stack_received);
    tcp_err(pcb, stack_failed);
    if (pcb->mss < STACK_MSS_MIN)
        pcb->mss = STACK_MSS_MIN;
    pcb->snd_buf = STACK_SEND_BUFFER;
    tcp_nagle_disable(pcb); /* writes are gathered by flow_table_flush() instead */
    return true;
}

void stack_tick(struct flow_table *table)
{
    stack_alone(NULL);
    for (size_t i = 0; i < FLOW_MAX; i++) {
        struct tcp_pcb *pcb = table->slots[i] != NULL ? table->slots[i]->pcb : NULL;
        if (pcb == NULL)
            continue;
        pcb->next = tcp_active_pcbs;
        tcp_active_pcbs = pcb;
    }
    tcp_tmr();
    tcp_active_pcbs = NULL;
}

bool stack_owes_ack(const struct flow *flow)
{
    return flow->pcb != NULL && (flow->pcb->flags & TF_ACK_DELAY) != 0;
}

bool stack_ack(struct flow *flow)
{
    bool owes = stack_owes_ack(flow);
    if (owes)
        tcp_ack_now(flow->pcb);
    return owes;
}

/* ---- for the owner ---- */

size_t stack_space(const struct flow *flow)
{
    const struct tcp_pcb *pcb = flow->pcb;
    if (pcb == NULL || tcp_sndqueuelen(pcb) > STACK_PBUFS - STACK_QUEUE ||
        pcb->snd_buf < STACK_SEND_BUFFER / 4)
        return 0;
    return pcb->snd_buf;
}

size_t stack_queued(const struct flow *flow)
{
    return flow->pcb != NULL ? (size_t)tcp_sndqueuelen(flow->pcb) * STACK_SEGMENT : 0;
}

size_t stack_write(struct flow *flow, const void *data, size_t size)
{
    struct tcp_pcb *pcb = flow->pcb;
    size_t taken = 0;
    while (taken < size) {
        /* tcp_write() takes all or nothing; one pbuf may go to filling the last segment up */
        size_t queued = tcp_sndqueuelen(pcb) + 1U;
        size_t part = queued < STACK_PBUFS ? (STACK_PBUFS - queued) * tcp_mss(pcb) : 0;
        part = part < tcp_sndbuf(pcb) ? part : tcp_sndbuf(pcb); /* at most 65535 */
        part = part < size - taken ? part : size - taken;
        const uint8_t *from = (const uint8_t *)data + taken;
        if (part == 0 || tcp_write(pcb, from, (u16_t)part, TCP_WRITE_FLAG_COPY) != ERR_OK)
            break;
        taken += part;
    }
    return taken;
}

void stack_consumed(struct flow *flow, size_t size)
{
    tcp_recved(flow->pcb, (u16_t)size);
}

void stack_shutdown(struct flow *flow)
{
    tcp_shutdown(flow->pcb, 0, 1);
}

bool stack_output(struct flow *flow)
{
    return flow->pcb == NULL || tcp_output(flow->pcb) == ERR_OK;
}

void stack_drop(struct flow *flow, bool reset)
{
    struct tcp_pcb *pcb = flow->pcb;
    if (pcb == NULL)
        return;
    flow->pcb = NULL;
    flow->table->pcbs--;
    tcp_arg(pcb, NULL);
    tcp_err(pcb, NULL);
    tcp_recv(pcb, NULL);
    if (!reset)
        tcp_clear_flags(pcb, TF_ACK_DELAY | TF_ACK_NOW); /* nothing more to the guest */
    tcp_abandon(pcb, reset);
}

static int stack_listen(struct error *err)
{
    ip4_addr_t own = {.addr = lwip_htonl(STACK_ADDRESS)}, mask = {.addr = lwip_htonl(0xff000000u)};
    if (netif_add(&stack.netif, &own, &mask, NULL, NULL, stack_netif, ip4_input) == NULL)
        return error_set(err, ENOMEM, "cannot start the guest's TCP: lwIP takes no interface");
    netif_set_link_up(&stack.netif);
    netif_set_up(&stack.netif);
    struct tcp_pcb *bound = tcp_new_ip_type(IPADDR_TYPE_V4);
    if (bound == NULL || tcp_bind(bound, IP4_ADDR_ANY, STACK_PORT) != ERR_OK ||
        (stack.listener = tcp_listen(bound)) == NULL) {
        if (bound != NULL)
            tcp_abort(bound);
        netif_remove(&stack.netif);
        return error_set(err, ENOMEM, "cannot start the guest's TCP: lwIP does not listen");
    }
    tcp_accept(stack.listener, stack_connected);
    return 0;
}

int stack_open(struct flow_table *table, struct error *err)
{
    if (stack.table != NULL)
        return error_set(err, EBUSY, "cannot open a second network link in one process");
    if (!stack.initialised)
        lwip_init();
    stack.initialised = true;
    int rc = stack_listen(err);
    if (rc == 0)
        stack.table = table;
    return rc;
}

void stack_close(void)
{
    tcp_close(stack.listener);
    netif_remove(&stack.netif);
    stack.table = NULL;
}
