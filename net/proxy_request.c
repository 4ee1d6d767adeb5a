/*
 * From a request's head to a verdict: who is meant must be said the same way everywhere (the name
 * in TLS, Host, the port), no secret may be where it must not, and policy decides. A request that
 * nobody decided on yet waits as a question.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "net/proxy_internal.h"

static enum policy_protocol protocol_of(const struct http_head *head, bool tls)
{
    if (head->websocket)
        return tls ? POLICY_WSS : POLICY_WS;
    return tls ? POLICY_HTTPS : POLICY_HTTP;
}

/* Does it all name the same server? */
static bool is_consistent(const struct proxy *proxy, const struct http_head *head, char *why,
                          size_t size)
{
    if (proxy->tls && strcmp(proxy->host, head->host) != 0)
        snprintf(why, size, "the Host %.200s is not the server that TLS was asked for (%.200s)",
                 head->host, proxy->host);
    else if (head->port != 0 && head->port != proxy->ends.port)
        snprintf(why, size, "the Host names port %u, but the connection goes to port %u",
                 head->port, proxy->ends.port);
    else
        return true;
    return false;
}

/* A secret where it may not be: the request is refused, and so is what it was part of. */
static void blocked(struct proxy *proxy, const char *where, const struct error *err)
{
    struct exchange *exchange = proxy->exchange;
    report_secrets(proxy, exchange->uses.blocked, where, "blocked");
    exchange->verdict.rule = 0;
    snprintf(exchange->verdict.reason, sizeof exchange->verdict.reason, "%.400s", err->message);
    exchange_answer(proxy, 403, true, exchange->verdict.reason);
}

static int fill_header(struct proxy *proxy, struct http_field *field, struct error *err)
{
    struct exchange *exchange = proxy->exchange;
    struct secret_uses uses = {0};
    bool is_basic = strcasestr(field->name, "authorization") != NULL &&
                    strncasecmp(field->value, "basic ", 6) == 0;
    CLEAN_SECRET_BUF struct buf out = {0};
    int rc = secrets_check(proxy->core->secrets, &exchange->target, (const uint8_t *)field->name,
                           strlen(field->name), &uses, err);
    if (rc == 0)
        rc = secrets_header(proxy->core->secrets, &exchange->target, field->name,
                            (const uint8_t *)field->value, strlen(field->value), &out, &uses, err);
    if (rc == 0 && (uses.injected != 0 || buf_len(&out) != strlen(field->value))) {
        const char *value = buf_string(&out);
        rc = value != NULL ? http_field_replace(field, value, err)
                           : error_set(err, ENOMEM, "out of memory");
    }
    exchange->uses.injected |= uses.injected;
    exchange->uses.blocked |= uses.blocked;
    if (uses.injected != 0)
        report_secrets(proxy, uses.injected, is_basic ? "basic" : field->name, "injected");
    return rc;
}

static int fill_target(struct proxy *proxy, struct error *err)
{
    struct exchange *exchange = proxy->exchange;
    struct http_head *head = exchange->head;
    uint64_t before = exchange->uses.injected;
    CLEAN_SECRET_BUF struct buf out = {0};
    exchange->uses.injected = 0;
    int rc = secrets_request_target(proxy->core->secrets, &exchange->target, head->target,
                                    strlen(head->target), &out, &exchange->uses, err);
    uint64_t injected = exchange->uses.injected;
    exchange->uses.injected |= before;
    if (rc < 0)
        return rc;
    const char *target = buf_string(&out);
    if (target == NULL)
        return error_set(err, ENOMEM, "out of memory");
    if (strcmp(target, head->target) == 0)
        return 0;
    report_secrets(proxy, injected, "query", "injected");
    rc = http_target_replace(head, target, err);
    exchange->request.path = head->target;
    return rc;
}

static void remove_field(struct http_fields *fields, const char *name)
{
    struct http_field *field;
    while ((field = http_field_find(fields, name)) != NULL) {
        size_t index = (size_t)(field - fields->items);
        if (field->replaced != NULL) /* it may have a secret in it */
            explicit_bzero(field->replaced, strlen(field->replaced));
        free(field->replaced);
        memmove(field, field + 1, (fields->count - index - 1) * sizeof *field);
        fields->count--;
    }
}

/* What comes back must be readable, and whole if a value could be pieced together from parts. */
static void prepare_redaction(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct http_fields *fields = &exchange->head->fields;
    exchange->mask =
        exchange->uses.injected | secrets_allowed(proxy->core->secrets, &exchange->target);
    if (exchange->mask == 0)
        return;
    remove_field(fields, "accept-encoding");
    if (fields->count < HTTP_FIELDS_MAX)
        fields->items[fields->count++] =
            (struct http_field){.name = "Accept-Encoding", .value = "identity"};
    if (exchange->uses.injected == 0)
        return;
    remove_field(fields, "range");
    remove_field(fields, "if-range");
}

/* Secrets go in, and what must not go out is held. 0, or the exchange was answered. */
static int apply_secrets(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct secrets *secrets = proxy->core->secrets;
    struct http_head *head = exchange->head;
    struct error err = {0};
    const char *where = "host";
    int rc = secrets_check(secrets, &exchange->target, (const uint8_t *)exchange->host,
                           strlen(exchange->host), &exchange->uses, &err);
    if (rc == 0) {
        where = "method";
        rc = secrets_check(secrets, &exchange->target, (const uint8_t *)head->method,
                           strlen(head->method), &exchange->uses, &err);
    }
    if (rc == 0) {
        where = "path or query";
        rc = fill_target(proxy, &err);
    }
    for (size_t i = 0; i < head->fields.count && rc == 0; i++) {
        where = head->fields.items[i].name;
        rc = fill_header(proxy, &head->fields.items[i], &err);
    }
    if (rc == 0) {
        uint64_t forbidden = secrets_forbidden(secrets, &exchange->target);
        prepare_redaction(proxy);
        if (forbidden != 0 && head->framing != HTTP_BODY_NONE)
            exchange->body_check = secret_stream_new(secrets, forbidden);
        return 0;
    }
    if (rc == -EPERM)
        blocked(proxy, where, &err);
    else
        exchange_answer(proxy, rc == -EMSGSIZE ? 431 : 400, false, err.message);
    return rc;
}

/* A verdict that it may go on. */
static void go_on(struct proxy *proxy)
{
    proxy->state = PROXY_EXCHANGE;
    if (apply_secrets(proxy) == 0)
        exchange_start(proxy);
}

static void refuse(void *owner)
{
    struct proxy *proxy = owner;
    proxy->state = PROXY_EXCHANGE;
    exchange_answer(proxy, 403, true, proxy->exchange->verdict.reason);
    proxy_run(proxy);
}

/*
 * Who is refused often gives up, and with it goes the last trace of who it was: the answer waits
 * for a moment, the decision does not.
 */
static void refuse_soon(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    if (!proxy->unknown) {
        exchange_answer(proxy, 403, true, exchange->verdict.reason);
        return;
    }
    proxy->unknown = false;
    proxy->state = PROXY_REFUSE;
    exchange->hold.over = refuse;
    exchange->hold.owner = proxy;
    hold_add(&proxy->core->refusals, &exchange->hold);
}

static void decided(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct policy *policy = proxy->core->policy;
    proxy->core->held -= exchange->held;
    exchange->held = 0;
    if (exchange->verdict.action != POLICY_ALLOW) {
        refuse_soon(proxy);
        return;
    }
    size_t before = policy_count(policy);
    exchange->internal =
        policy_used(policy, exchange->verdict.rule, exchange->host, proxy->ends.port);
    exchange->once |= policy_count(policy) != before;
    go_on(proxy);
}

static void was_answered(void *owner, const struct policy_verdict *verdict)
{
    struct proxy *proxy = owner;
    proxy->exchange->verdict = *verdict;
    proxy->exchange->once = verdict->rule == 0;
    decided(proxy);
    proxy_run(proxy);
}

/* The memory of a head, about. */
static size_t head_size(const struct http_head *head)
{
    size_t size = sizeof *head + strlen(head->target);
    for (size_t i = 0; i < head->fields.count; i++)
        size += strlen(head->fields.items[i].name) + strlen(head->fields.items[i].value);
    return size;
}

static void ask(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    exchange->question = (struct question){
        .request = &exchange->request, .flow = proxy->id, .answered = was_answered, .owner = proxy};
    exchange->held = head_size(exchange->head);
    proxy->core->held += exchange->held;
    if (proxy->core->held > PROXY_HELD_MAX) {
        exchange_answer(proxy, 503, true, "too many requests wait for an answer");
        return;
    }
    proxy->state = PROXY_ASK;
    question_ask(&proxy->core->questions, &exchange->question);
}

static bool exchange_new(struct proxy *proxy, struct http_head *head)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    proxy->exchange = exchange;
    if (exchange == NULL)
        return false;
    exchange->head = head;
    exchange->started = uv_now(proxy->core->loop);
    memcpy(exchange->host, head->host, sizeof exchange->host);
    exchange->request = (struct policy_request){.protocol = protocol_of(head, proxy->tls),
                                                .method = head->method,
                                                .host = exchange->host,
                                                .port = proxy->ends.port,
                                                .path = head->target};
    exchange->target =
        (struct secret_target){.tls = proxy->tls, .host = exchange->host, .port = proxy->ends.port};
    return true;
}

void request_take(struct proxy *proxy, struct http_head *head)
{
    if (!exchange_new(proxy, head)) {
        http_head_free(head);
        proxy_abort(proxy);
        return;
    }
    struct exchange *exchange = proxy->exchange;
    struct policy_verdict *verdict = &exchange->verdict;
    if (!is_consistent(proxy, head, verdict->reason, sizeof verdict->reason)) {
        verdict->action = POLICY_DENY;
        exchange_answer(proxy, 421, true, verdict->reason);
        return;
    }
    head->port = proxy->ends.port;
    if (head->websocket && proxy->core->no_websockets) {
        verdict->action = POLICY_DENY;
        snprintf(verdict->reason, sizeof verdict->reason, "WebSockets are disabled");
        exchange_answer(proxy, 501, true, verdict->reason);
        return;
    }
    policy_judge(proxy->core->policy, &exchange->request, verdict);
    if (verdict->action == POLICY_ASK)
        ask(proxy);
    else
        decided(proxy);
}

bool request_judge_tunnel(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct policy_verdict verdict;
    policy_judge(proxy->core->policy, &exchange->request, &verdict);
    if (verdict.action == POLICY_ALLOW ||
        (exchange->once && (verdict.action == POLICY_ASK || verdict.rule == 0)))
        return true;
    exchange->verdict = verdict;
    exchange->verdict.action = POLICY_DENY;
    return false;
}
