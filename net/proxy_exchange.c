/*
 * A request goes to its upstream and the response comes back, both as they come, each written anew
 * from what was understood. A side whose buffer is full stops the other side's reader, nothing
 * else. The response may come before the request is complete; when it is over before that, the
 * connection to the guest ends behind it.
 *
 * A connection from the pool may turn out to be closed: a request that may be repeated is then sent
 * again, once, on a new one. What is inside of a tunnel (frames of WebSockets, mapped TCP) is
 * passed on as it is: no secrets are put in, looked for or taken out there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/proxy_internal.h"

void exchange_free(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct core *core = proxy->core;
    question_drop(&core->questions, &exchange->question);
    hold_drop(&core->refusals, &exchange->hold);
    core->held -= exchange->held;
    upstream_close(exchange->upstream);
    http_reader_free(&exchange->responses);
    http_head_free(exchange->head);
    secret_stream_free(exchange->body_check);
    secret_stream_free(exchange->redactor);
    free(exchange);
    proxy->exchange = NULL;
}

/* The guest's connection goes on with the next request, or ends. */
static void next_request(struct proxy *proxy, bool goes_on)
{
    exchange_free(proxy);
    if (!goes_on) {
        proxy_linger(proxy);
        return;
    }
    proxy->state = PROXY_HEAD;
    proxy->ops->set_idle(proxy->guest, PROXY_HEAD_IDLE);
}

void proxy_answer(struct proxy *proxy, int status, const char *text)
{
    struct http_answer answer = {.status = status, .text = text};
    char host[HOST_SIZE] = "";
    if (proxy->tls)
        memcpy(host, proxy->host, sizeof host);
    else
        address_print(&proxy->ends.address, host);
    report_refused(proxy, proxy->tls ? POLICY_HTTPS : POLICY_HTTP, host, text);
    if (http_answer_write(&answer, &proxy->stream.out) < 0)
        proxy_abort(proxy);
    else
        proxy_linger(proxy);
}

void exchange_answer(struct proxy *proxy, int status, bool deny, const char *text)
{
    struct exchange *exchange = proxy->exchange;
    const struct http_head *head = exchange->head;
    bool whole = exchange->request_done || head->framing == HTTP_BODY_NONE ||
                 (head->framing == HTTP_BODY_LENGTH && head->length == 0);
    struct http_answer answer = {.status = status,
                                 .text = text,
                                 .deny = deny,
                                 .keep_alive = whole && head->keep_alive,
                                 .head = head};
    if (deny)
        exchange->verdict.action = POLICY_DENY;
    exchange->status = status;
    if (http_answer_write(&answer, &proxy->stream.out) < 0)
        proxy_abort(proxy);
    report_exchange(proxy);
    next_request(proxy, answer.keep_alive);
}

/* The upstream is of no use. The guest is told so, or by a reset that its response is cut off. */
static void upstream_broke(struct proxy *proxy, int status, const char *text)
{
    struct exchange *exchange = proxy->exchange;
    if (!exchange->answered) {
        exchange_answer(proxy, status, false, text);
        return;
    }
    report_exchange(proxy);
    exchange_free(proxy);
    proxy_abort(proxy);
}

static bool is_idempotent(const char *method)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(method, methods[i]) == 0)
            return true;
    return false;
}

static void open_upstream(struct proxy *proxy, bool fresh)
{
    struct exchange *exchange = proxy->exchange;
    struct upstream_target target = {.host = exchange->host,
                                     .port = proxy->ends.port,
                                     .tls = proxy->tls,
                                     .tunnel = exchange->head->websocket,
                                     .fresh = fresh,
                                     .internal = exchange->internal,
                                     .body = !is_idempotent(exchange->head->method)};
    exchange->upstream =
        upstream_open(proxy->core->upstreams, &target, proxy_upstream_changed, proxy);
    if (exchange->upstream == NULL)
        upstream_broke(proxy, 503, "out of memory");
}

void exchange_start(struct proxy *proxy)
{
    http_reader_responses(&proxy->exchange->responses);
    open_upstream(proxy, false);
}

/* A refused address is policy's verdict, everything else a failure. */
static void connect_failed(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct upstream *upstream = exchange->upstream;
    if (!upstream->refused) {
        int status = upstream->error.code == ETIMEDOUT ? 504 : 502;
        struct error error = upstream->error; /* it goes with its connection */
        upstream_broke(proxy, status, error.message);
        return;
    }
    exchange->verdict.rule = 0;
    snprintf(exchange->verdict.reason, sizeof exchange->verdict.reason, "%.500s",
             upstream->error.message);
    exchange_answer(proxy, 403, true, exchange->verdict.reason);
}

static void send_head(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct upstream *upstream = exchange->upstream;
    struct http_write_options options = {.absolute = upstream->via,
                                         .proxy_authorization = upstream->via_auth};
    CLEAN_SECRET_BUF struct buf head = {0};
    bool guest_keeps = exchange->head->keep_alive;
    exchange->head->keep_alive = true;
    int rc = http_head_write(exchange->head, &options, &head);
    exchange->head->keep_alive = guest_keeps;
    if (rc == 0)
        rc = buf_append(&upstream->stream.out, buf_data(&head), buf_len(&head));
    if (rc == 0)
        rc = http_reader_expect(&exchange->responses, exchange->head);
    if (rc == 0 && exchange->head->expect_continue && exchange->sent == 0)
        rc = buf_append(&proxy->stream.out, HTTP_CONTINUE, strlen(HTTP_CONTINUE));
    if (rc < 0) {
        upstream_broke(proxy, 502, "out of memory");
        return;
    }
    upstream->stream.sensitive |= exchange->uses.injected != 0;
    exchange->sent += buf_len(&head);
    exchange->head_sent = true;
}

static void request_ended(struct proxy *proxy, const struct http_fields *trailers)
{
    struct exchange *exchange = proxy->exchange;
    const struct secrets *secrets = proxy->core->secrets;
    struct error err;
    exchange->request_done = true;
    for (size_t i = 0; trailers != NULL && i < trailers->count; i++) {
        const struct http_field *field = &trailers->items[i];
        if (secrets_check(secrets, &exchange->target, (const uint8_t *)field->name,
                          strlen(field->name), &exchange->uses, &err) < 0 ||
            secrets_check(secrets, &exchange->target, (const uint8_t *)field->value,
                          strlen(field->value), &exchange->uses, &err) < 0)
            return;
    }
    if (http_body_end(exchange->head->framing, trailers, &exchange->upstream->stream.out) < 0)
        proxy_abort(proxy);
}

/* Bytes of the request's body; -ENOMEM. */
static int send_body(struct proxy *proxy, const void *data, size_t size, bool last)
{
    struct exchange *exchange = proxy->exchange;
    struct buf *out = &exchange->upstream->stream.out;
    if (exchange->body_check == NULL)
        return last ? 0 : http_body_write(exchange->head->framing, data, size, out);
    CLEAN_BUF struct buf clean = {0};
    int rc = secret_stream_feed(exchange->body_check, data, size, last, &clean);
    exchange->uses.blocked |= secret_stream_found(exchange->body_check);
    if (rc < 0 || exchange->uses.blocked != 0)
        return rc;
    return http_body_write(exchange->head->framing, buf_data(&clean), buf_len(&clean), out);
}

/* A secret in the body or the trailers: the upstream has not got the end of the request. */
static void body_blocked(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    const char *text = "the body has a secret in it that must not go there";
    report_secrets(proxy, exchange->uses.blocked, "body", "blocked");
    exchange->verdict.action = POLICY_DENY;
    exchange->verdict.rule = 0;
    snprintf(exchange->verdict.reason, sizeof exchange->verdict.reason, "%s", text);
    if (exchange->answered)
        upstream_broke(proxy, 403, text);
    else
        exchange_answer(proxy, 403, true, text);
}

/* From the guest to the upstream, until one has nothing or the other takes nothing. */
static bool request_step(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct stream *guest = &proxy->stream;
    struct http_event event;
    struct error err = {0};
    size_t used;
    if (exchange->request_done || stream_full(&exchange->upstream->stream))
        return false;
    size_t size = stream_fill(guest);
    int rc = http_read(&proxy->requests, buf_data(&guest->in), size, &used, &event, &err);
    if (rc == 0 && event.kind == HTTP_EVENT_DATA) {
        exchange->sent += event.size;
        rc = send_body(proxy, event.data, event.size, false);
    } else if (rc == 0 && event.kind == HTTP_EVENT_END) {
        rc = send_body(proxy, NULL, 0, true);
        if (rc == 0 && exchange->uses.blocked == 0)
            request_ended(proxy, event.trailers);
    }
    stream_consume(guest, used);
    if (exchange->uses.blocked != 0) {
        body_blocked(proxy);
        return true;
    }
    if (rc == 0 && event.kind == HTTP_EVENT_MORE && guest->ended)
        rc = error_set(&err, EPROTO, "the connection ended in the middle of a request");
    if (rc < 0)
        upstream_broke(proxy, 400, rc == -ENOMEM ? "out of memory" : err.message);
    return rc < 0 || used > 0 || event.kind != HTTP_EVENT_MORE;
}

static int redact_headers(struct proxy *proxy, struct http_head *head)
{
    struct exchange *exchange = proxy->exchange;
    for (size_t i = 0; i < head->fields.count; i++) {
        struct http_field *field = &head->fields.items[i];
        uint64_t found = 0;
        CLEAN_BUF struct buf clean = {0};
        int rc = secrets_redact(proxy->core->secrets, exchange->mask, (const uint8_t *)field->value,
                                strlen(field->value), &clean, &found);
        if (rc < 0)
            return rc;
        if (found == 0)
            continue;
        const char *text = buf_string(&clean);
        rc = text != NULL ? http_field_replace(field, text, NULL) : -ENOMEM;
        if (rc < 0)
            return rc;
        if ((found & ~exchange->redacted) != 0)
            report_secrets(proxy, found & ~exchange->redacted, field->name, "redacted");
        exchange->redacted |= found;
    }
    return 0;
}

/* 0; -EACCES: it cannot be looked into, though it could have the secret in it; -ENOMEM. */
static int prepare_redaction(struct proxy *proxy, struct http_head *head)
{
    struct exchange *exchange = proxy->exchange;
    if (exchange->mask == 0)
        return 0;
    int rc = redact_headers(proxy, head);
    if (rc < 0 || head->framing == HTTP_BODY_NONE)
        return rc;
    const char *encoding = http_field_value(&head->fields, "content-encoding");
    if (encoding != NULL && encoding[0] != '\0' && strcasecmp(encoding, "identity") != 0)
        return exchange->uses.injected != 0 ? -EACCES : 0;
    exchange->redactor = secret_stream_new(proxy->core->secrets, exchange->mask);
    if (exchange->redactor == NULL)
        return -ENOMEM;
    if (head->framing == HTTP_BODY_LENGTH) { /* a placeholder has another length */
        head->framing = HTTP_BODY_CHUNKED;
        head->has_length = false;
    }
    return 0;
}

/* 1xx: the guest's 100 is ours to send; others may help a client. 101 is a final response. */
static void interim(struct proxy *proxy, struct http_head *head)
{
    if (head->status == 100 || proxy->exchange->head->minor == 0)
        return;
    head->minor = 1;
    if (http_head_write(head, NULL, &proxy->stream.out) < 0)
        proxy_abort(proxy);
}

static void response_head(struct proxy *proxy, struct http_head *head)
{
    struct exchange *exchange = proxy->exchange;
    int rc = prepare_redaction(proxy, head);
    if (rc < 0) {
        upstream_broke(proxy, 502,
                       rc == -EACCES ? "the response is compressed though it was asked not to be, "
                                       "so a secret in it could not be removed"
                                     : "out of memory");
        return;
    }
    if (head->status < 200 && head->status != 101) {
        interim(proxy, head);
        return;
    }
    exchange->status = head->status;
    exchange->upstream_keeps = head->keep_alive && head->framing != HTTP_BODY_UNTIL_CLOSE;
    http_response_adapt(head, exchange->head);
    exchange->framing = head->framing;
    exchange->keep_alive = head->keep_alive;
    if (head->status != 101 && !exchange->request_done && exchange->head->framing != HTTP_BODY_NONE)
        exchange->keep_alive = head->keep_alive = false; /* its body would be in the way */
    exchange->answered = true;
    if (http_head_write(head, NULL, &proxy->stream.out) < 0)
        proxy_abort(proxy);
}

static int receive_body(struct proxy *proxy, const void *data, size_t size, bool last)
{
    struct exchange *exchange = proxy->exchange;
    struct buf *out = &proxy->stream.out;
    if (exchange->redactor == NULL)
        return last ? 0 : http_body_write(exchange->framing, data, size, out);
    CLEAN_BUF struct buf clean = {0};
    int rc = secret_stream_feed(exchange->redactor, data, size, last, &clean);
    uint64_t found = secret_stream_found(exchange->redactor) & ~exchange->redacted;
    exchange->redacted |= found;
    if (found != 0)
        report_secrets(proxy, found, "body", "redacted");
    if (rc < 0)
        return rc;
    return http_body_write(exchange->framing, buf_data(&clean), buf_len(&clean), out);
}

static void response_ended(struct proxy *proxy, const struct http_fields *trailers)
{
    struct exchange *exchange = proxy->exchange;
    if (receive_body(proxy, NULL, 0, true) < 0 ||
        http_body_end(exchange->framing,
                      exchange->mask == 0 && exchange->head->trailers ? trailers : NULL,
                      &proxy->stream.out) < 0)
        proxy_abort(proxy);
    report_exchange(proxy);
    bool whole = exchange->request_done;
    if (whole && exchange->upstream_keeps) {
        struct upstream *upstream = exchange->upstream;
        exchange->upstream = NULL;
        upstream_release(upstream);
    }
    next_request(proxy, whole && exchange->keep_alive);
}

/* The upstream's last event, with one or another end of its connection. */
static bool upstream_ended(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct upstream *upstream = exchange->upstream;
    struct http_event event;
    struct error err = {0};
    bool nothing = !exchange->answered && buf_len(&exchange->responses.lines) == 0;
    bool broken = upstream->state == UPSTREAM_FAILED || upstream->stream.failed != 0;
    if (nothing && upstream->reused && is_idempotent(exchange->head->method) &&
        exchange->head->framing == HTTP_BODY_NONE) {
        upstream_close(upstream);
        exchange->upstream = NULL;
        exchange->head_sent = false; /* the reader has seen the request's end already */
        exchange->sent = 0;
        http_reader_free(&exchange->responses);
        http_reader_responses(&exchange->responses);
        open_upstream(proxy, true);
        return true;
    }
    if (!broken && http_read_end(&exchange->responses, &event, &err) == 0 &&
        event.kind == HTTP_EVENT_END) {
        exchange->upstream_keeps = false;
        response_ended(proxy, event.trailers);
        return true;
    }
    upstream_broke(proxy, 502, "the server closed the connection without a complete response");
    return true;
}

/* From the upstream to the guest. */
static bool response_step(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct stream *stream = &exchange->upstream->stream;
    struct http_event event;
    struct error err = {0};
    size_t used;
    if (stream_full(&proxy->stream))
        return false;
    size_t size = stream_fill(stream);
    int rc = http_read(&exchange->responses, buf_data(&stream->in), size, &used, &event, &err);
    exchange->received += used;
    if (rc == 0 && event.kind == HTTP_EVENT_DATA)
        rc = receive_body(proxy, event.data, event.size, false);
    stream_consume(stream, used);
    if (rc < 0) {
        upstream_broke(proxy, 502, rc == -ENOMEM ? "out of memory" : err.message);
        return true;
    }
    switch (event.kind) {
    case HTTP_EVENT_HEAD: {
        CLEAN_HTTP_HEAD struct http_head *head = event.head;
        response_head(proxy, head);
        return true;
    }
    case HTTP_EVENT_END:
        if (exchange->answered)
            response_ended(proxy, event.trailers);
        return true; /* else of a 1xx */
    case HTTP_EVENT_TUNNEL:
        proxy->state = PROXY_TUNNEL;
        return true;
    case HTTP_EVENT_MORE:
        if (used == 0 && (stream->ended || exchange->upstream->state == UPSTREAM_FAILED))
            return upstream_ended(proxy);
        return used > 0;
    default:
        return true;
    }
}

bool exchange_step(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    if (exchange->upstream->state == UPSTREAM_CONNECTING)
        return false;
    if (!exchange->head_sent) {
        if (exchange->upstream->state == UPSTREAM_FAILED && !exchange->upstream->reused)
            connect_failed(proxy);
        else
            send_head(proxy);
        return true;
    }
    bool moved = request_step(proxy);
    if (proxy->state == PROXY_EXCHANGE && proxy->exchange == exchange && !proxy->over)
        moved |= response_step(proxy);
    return moved;
}

/* What one side brought goes out on the other. */
static bool pass(struct stream *from, struct stream *to, uint64_t *count)
{
    size_t size = stream_fill(from), room = 0;
    if (!stream_full(to))
        room = STREAM_OUT_MAX - buf_len(&to->out);
    if (size > room)
        size = room;
    if (size > 0 && buf_append(&to->out, buf_data(&from->in), size) < 0)
        size = 0;
    stream_consume(from, size);
    *count += size;
    if (from->ended && buf_len(&from->in) == 0 && !to->shut) {
        stream_shutdown(to);
        return true;
    }
    return size > 0;
}

bool tunnel_step(struct proxy *proxy)
{
    struct exchange *exchange = proxy->exchange;
    struct upstream *upstream = exchange->upstream;
    if (upstream->state == UPSTREAM_CONNECTING)
        return false;
    if (upstream->state == UPSTREAM_FAILED || upstream->stream.failed != 0) {
        if (!proxy->accepted)
            snprintf(exchange->verdict.reason, sizeof exchange->verdict.reason, "%.500s",
                     upstream->error.message);
        report_exchange(proxy);
        exchange_free(proxy);
        proxy_abort(proxy);
        return true;
    }
    if (!proxy->accepted) {
        proxy->ops->accept(proxy->guest);
        proxy->accepted = true;
    }
    bool moved = pass(&proxy->stream, &upstream->stream, &exchange->sent);
    moved |= pass(&upstream->stream, &proxy->stream, &exchange->received);
    return moved;
}
