/*
 * A proxy is a machine that is cranked: whatever happens on either side, proxy_run() moves what can
 * be moved until nothing moves any more. Nothing waits for a particular event, so none can be
 * missed, and an event for nothing costs only a look. Only at the end of a run is a proxy freed.
 */
#include "net/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/proxy_internal.h"
#include "net/sniff.h"

#define SNIFF_IDLE  30   /* seconds for a client to say its first bytes */
#define OPEN_IDLE   7200 /* … while a request is on its way, or a tunnel open */
#define LINGER_IDLE 20
#define LINGER_MAX  (8u << 20) /* bytes that are thrown away so that an answer arrives */
#define HELD_FAIR   1024       /* bytes of a head that are always welcome */

/* Where the server speaks first, sniffing would wait for ever: refused at once. */
static const uint16_t server_first[] = {21, 25, 110, 143, 587, 3306, 5900};

static void account(struct proxy *proxy)
{
    size_t held = buf_len(&proxy->requests.lines);
    proxy->core->held += held - proxy->held;
    proxy->held = held;
}

static void proxy_free(struct proxy *proxy)
{
    struct core *core = proxy->core;
    TAILQ_REMOVE(&core->proxies, proxy, entry);
    if (proxy->exchange != NULL)
        exchange_free(proxy);
    http_reader_free(&proxy->requests);
    account(proxy);
    if (proxy->tls)
        core->tls_flows--;
    stream_free(&proxy->stream);
    free(proxy);
}

void proxy_abort(struct proxy *proxy)
{
    proxy->over = true;
}

void proxy_linger(struct proxy *proxy)
{
    proxy->state = PROXY_LINGER;
    http_reader_free(&proxy->requests); /* nothing will be read as a request any more */
    account(proxy);
    stream_shutdown(&proxy->stream);
    proxy->ops->set_idle(proxy->guest, LINGER_IDLE);
}

static void proxy_accept(struct proxy *proxy)
{
    if (!proxy->accepted)
        proxy->ops->accept(proxy->guest);
    proxy->accepted = true;
}

/* The name behind the address that the guest connects to, or that address. */
static void destination(const struct proxy *proxy, char host[HOST_SIZE])
{
    const char *name = dns_names_lookup(proxy->core->names, &proxy->ends.address);
    if (name != NULL)
        strncpy(host, name, HOST_SIZE - 1);
    else
        address_print(&proxy->ends.address, host);
}

static void refuse(struct proxy *proxy, enum policy_protocol protocol, const char *host,
                   const char *reason)
{
    char name[HOST_SIZE] = "";
    if (host == NULL)
        destination(proxy, name);
    report_refused(proxy, protocol, host != NULL ? host : name, reason);
    proxy_abort(proxy);
}

/* A connection that is only kept alive, whose TLS another one could use. */
static bool evict_idle(const struct core *core)
{
    struct proxy *proxy;
    TAILQ_FOREACH(proxy, &core->proxies, entry)
    if (proxy->tls && proxy->state == PROXY_HEAD && buf_len(&proxy->requests.lines) == 0 &&
        buf_len(&proxy->stream.in) == 0 && stream_drained(&proxy->stream)) {
        proxy->ops->abort(proxy->guest);
        proxy_free(proxy);
        return true;
    }
    return false;
}

static void start_tls(struct proxy *proxy, const struct sniff *sniffed)
{
    struct core *core = proxy->core;
    struct error err = {0};
    struct tls *tls;
    memcpy(proxy->host, sniffed->server_name, sizeof proxy->host);
    if (proxy->host[0] == '\0') {
        destination(proxy, proxy->host);
        struct address address;
        struct network synthetic = {.base = {.bytes = {198, 18}}, .bits = 15};
        if (address_parse(proxy->host, &address) < 0 || network_contains(&synthetic, &address)) {
            refuse(proxy, POLICY_HTTPS, NULL, "TLS without a server name (SNI)");
            return;
        }
    }
    if (core->tls_flows >= PROXY_TLS_MAX && !evict_idle(core)) {
        refuse(proxy, POLICY_HTTPS, proxy->host, "too many TLS connections");
        return;
    }
    if (tls_accept(core->tls, proxy->host, &tls, &err) < 0) {
        refuse(proxy, POLICY_HTTPS, proxy->host, err.message);
        return;
    }
    proxy->tls = true;
    core->tls_flows++;
    stream_start_tls(&proxy->stream, tls);
    http_reader_requests(&proxy->requests, true);
    proxy->state = PROXY_HEAD;
}

static bool sniff_step(struct proxy *proxy)
{
    struct sniff sniffed;
    switch (sniff(buf_data(&proxy->stream.in), buf_len(&proxy->stream.in), &sniffed)) {
    case SNIFF_MORE:
        if (proxy->stream.ended)
            proxy_linger(proxy);
        return proxy->stream.ended;
    case SNIFF_TLS:
        start_tls(proxy, &sniffed);
        break;
    case SNIFF_HTTP:
        http_reader_requests(&proxy->requests, false);
        proxy->state = PROXY_HEAD;
        break;
    case SNIFF_HTTP2:
        refuse(proxy, POLICY_HTTP, NULL, "HTTP/2 without TLS is not spoken");
        break;
    case SNIFF_SSH:
        refuse(proxy, POLICY_SSH, NULL, "SSH is not allowed");
        break;
    case SNIFF_UNKNOWN:
        refuse(proxy, POLICY_TCP, NULL, sniffed.why);
        break;
    }
    if (!proxy->over)
        proxy->ops->set_idle(proxy->guest, PROXY_HEAD_IDLE);
    return true;
}

static void head_ended(struct proxy *proxy)
{
    if (buf_len(&proxy->requests.lines) > 0)
        proxy_abort(proxy);
    else
        proxy_linger(proxy);
}

static bool head_step(struct proxy *proxy)
{
    struct stream *stream = &proxy->stream;
    if (stream_full(stream)) /* a client that asks and does not read */
        return false;
    size_t size = stream_fill(stream), used;
    struct http_event event;
    struct error err = {0};
    int rc = http_read(&proxy->requests, buf_data(&stream->in), size, &used, &event, &err);
    stream_consume(stream, used);
    account(proxy);
    if (rc < 0) {
        proxy_answer(proxy, proxy->requests.refusal, err.message);
        return true;
    }
    if (proxy->core->held > PROXY_HELD_MAX && proxy->held > HELD_FAIR) {
        proxy_answer(proxy, 503, "too many requests are incomplete or wait for an answer");
        return true;
    }
    if (event.kind == HTTP_EVENT_HEAD) {
        proxy->ops->set_idle(proxy->guest, OPEN_IDLE);
        request_take(proxy, event.head);
        return true;
    }
    if (event.kind == HTTP_EVENT_MORE && stream->ended) {
        head_ended(proxy);
        return true;
    }
    if (event.kind == HTTP_EVENT_MORE && used == 0)
        stream_trim(stream);
    return event.kind != HTTP_EVENT_MORE || used > 0; /* END: of a request that was answered */
}

/*
 * A client that gives up while its request waits says so in TLS; without, the end of its direction
 * may mean no more than that it has sent all.
 */
static bool ask_step(struct proxy *proxy)
{
    if (!proxy->tls || stream_fill(&proxy->stream) > 0 || !proxy->stream.ended)
        return false;
    proxy_abort(proxy);
    return true;
}

static bool linger_step(struct proxy *proxy)
{
    size_t size = stream_fill(&proxy->stream);
    proxy->discarded += size;
    stream_consume(&proxy->stream, size);
    if (proxy->discarded > LINGER_MAX)
        proxy_abort(proxy);
    return size > 0;
}

static bool (*const steps[PROXY_STATES])(struct proxy *) = {
    [PROXY_REFUSE] = ask_step,    [PROXY_SNIFF] = sniff_step,       [PROXY_HEAD] = head_step,
    [PROXY_ASK] = ask_step,       [PROXY_EXCHANGE] = exchange_step, [PROXY_TUNNEL] = tunnel_step,
    [PROXY_LINGER] = linger_step,
};

/* TLS with the guest has failed: it may still take the alert that says why. */
static void guest_failed(struct proxy *proxy)
{
    if (proxy->tls && !proxy->stream.open && proxy->exchange == NULL &&
        proxy->stream.failed != ECONNRESET)
        report_refused(proxy, POLICY_HTTPS, proxy->host, proxy->stream.why);
    if (proxy->exchange != NULL)
        report_exchange(proxy);
    (void)stream_flush(&proxy->stream);
    proxy_abort(proxy);
}

bool proxy_run(struct proxy *proxy)
{
    bool moved = true;
    while (moved && !proxy->over) {
        moved = steps[proxy->state](proxy);
        if (proxy->over)
            break;
        moved |= stream_flush(&proxy->stream);
        if (proxy->exchange != NULL && proxy->exchange->upstream != NULL &&
            proxy->exchange->upstream->state == UPSTREAM_READY)
            moved |= stream_flush(&proxy->exchange->upstream->stream);
        if (proxy->stream.failed != 0)
            guest_failed(proxy);
    }
    if (!proxy->over)
        return true;
    if (proxy->accepted)
        proxy->ops->abort(proxy->guest);
    else
        proxy->ops->refuse(proxy->guest);
    proxy_free(proxy);
    return false;
}

void proxy_upstream_changed(void *proxy)
{
    proxy_run(proxy);
}

/* A destination of --tcp-map: what is on the other side decides whether the guest is connected. */
static void open_mapped(struct proxy *proxy, const struct tcp_mapping *mapping)
{
    struct core *core = proxy->core;
    struct exchange *exchange = calloc(1, sizeof *exchange);
    proxy->exchange = exchange;
    if (exchange == NULL) {
        proxy_abort(proxy);
        return;
    }
    destination(proxy, exchange->host);
    exchange->started = uv_now(core->loop);
    exchange->request = (struct policy_request){
        .protocol = POLICY_TCP, .host = exchange->host, .port = proxy->ends.port};
    policy_judge(core->policy, &exchange->request, &exchange->verdict);
    if (exchange->verdict.action != POLICY_ALLOW) {
        exchange->verdict.action = POLICY_DENY;
        report_exchange(proxy);
        proxy_abort(proxy);
        return;
    }
    struct upstream_target target = {
        .host = mapping->upstream, .port = mapping->upstream_port, .mapped = true};
    exchange->upstream = upstream_open(core->upstreams, &target, proxy_upstream_changed, proxy);
    if (exchange->upstream == NULL)
        proxy_abort(proxy);
    proxy->state = PROXY_TUNNEL;
}

static void decide(struct proxy *proxy)
{
    char host[HOST_SIZE] = "";
    destination(proxy, host);
    const struct tcp_mapping *mapping = tcp_map_find(&proxy->core->tcp_map, host, proxy->ends.port);
    if (mapping != NULL) {
        open_mapped(proxy, mapping);
        return;
    }
    for (size_t i = 0; i < sizeof server_first / sizeof *server_first; i++)
        if (proxy->ends.port == server_first[i]) {
            refuse(proxy, POLICY_TCP, host,
                   "neither HTTP nor TLS is spoken there, and no "
                   "--tcp-map names it");
            return;
        }
    proxy->ops->set_idle(proxy->guest, SNIFF_IDLE);
    proxy_accept(proxy);
}

struct proxy *proxy_open(struct core *core, const struct proxy_guest *ops, void *guest,
                         const struct proxy_ends *ends)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    if (proxy == NULL) {
        ops->refuse(guest);
        return NULL;
    }
    proxy->core = core;
    proxy->ops = ops;
    proxy->guest = guest;
    proxy->ends = *ends;
    proxy->id = ++core->flows;
    proxy->stream.ops = &ops->stream;
    proxy->stream.transport = guest;
    TAILQ_INSERT_TAIL(&core->proxies, proxy, entry);
    proxy->unknown = core->opened != NULL && core->opened(core->context, proxy->id, ends);
    decide(proxy);
    return proxy_run(proxy) ? proxy : NULL;
}

void proxy_received(struct proxy *proxy, const void *data, size_t size)
{
    struct core *core = proxy->core;
    TAILQ_REMOVE(&core->proxies, proxy, entry);
    TAILQ_INSERT_TAIL(&core->proxies, proxy, entry);
    stream_received(&proxy->stream, data, size);
    proxy_run(proxy);
}

void proxy_eof(struct proxy *proxy)
{
    stream_transport_ended(&proxy->stream);
    proxy_run(proxy);
}

void proxy_writable(struct proxy *proxy)
{
    proxy_run(proxy);
}

void proxy_closed(struct proxy *proxy)
{
    if (proxy->exchange != NULL && proxy->exchange->verdict.action == POLICY_ALLOW)
        report_exchange(proxy);
    proxy_free(proxy);
}

void proxy_owner_known(struct core *core, uint32_t flow)
{
    struct proxy *proxy;
    TAILQ_FOREACH_REVERSE(proxy, &core->proxies, proxy_list, entry)
    if (proxy->id == flow) {
        proxy->unknown = false;
        if (proxy->exchange != NULL)
            hold_over(&core->refusals, &proxy->exchange->hold);
        return;
    }
}

void proxy_rules_changed(struct core *core)
{
    questions_judge(&core->questions, core->policy);
    struct proxy *proxy, *next;
    for (proxy = TAILQ_FIRST(&core->proxies); proxy != NULL; proxy = next) {
        next = TAILQ_NEXT(proxy, entry);
        if (proxy->state != PROXY_TUNNEL || request_judge_tunnel(proxy))
            continue;
        report_exchange(proxy);
        proxy_abort(proxy);
        proxy_run(proxy);
    }
}
