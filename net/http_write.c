/*
 * Heads are composed, never copied: what the reader did not understand has no way through. The
 * tables say which fields the writer makes itself or must not pass on.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/http_parse.h"

/* Fields of one hop (RFC 9110 7.6.1), those written anew, and those that would mislead a guest. */
static const char *const dropped[] = {
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "te",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "host",
    "expect",
    "http2-settings",
    "alt-svc",          /* no QUIC and no other host's port */
    "x-vmdeck-verdict", /* only we say that */
};

/* What must not stand behind a body (RFC 9110 6.5.1): framing, routing, credentials, conditions. */
static const char *const not_trailers[] = {
    "trailer",
    "authorization",
    "cookie",
    "set-cookie",
    "content-encoding",
    "content-type",
    "content-range",
    "content-location",
    "cache-control",
    "max-forwards",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "pragma",
    "age",
    "expires",
    "date",
    "location",
    "retry-after",
    "vary",
    "warning",
    "www-authenticate",
    "origin",
    "x-forwarded-host",
    "x-forwarded-for",
    "forwarded",
};

static bool listed(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(names[i], name) == 0)
            return true;
    return false;
}

#define LISTED(names, name) listed(names, sizeof(names) / sizeof *(names), name)

static bool passes(const struct http_head *head, const char *name)
{
    if (LISTED(dropped, name) || http_field_lists(&head->fields, "connection", name))
        return head->websocket && strncasecmp(name, "sec-websocket-", 14) == 0;
    return strcasecmp(name, "trailer") != 0 || head->framing == HTTP_BODY_CHUNKED;
}

static bool is_standard_port(const struct http_head *head)
{
    return head->port == 0 || head->port == (head->tls ? 443 : 80);
}

/* Host's value, and the authority of an absolute target. */
static int write_authority(const struct http_head *head, struct buf *out)
{
    bool ipv6 = strchr(head->host, ':') != NULL;
    int rc = buf_printf(out, "%s%s%s", ipv6 ? "[" : "", head->host, ipv6 ? "]" : "");
    if (rc == 0 && !is_standard_port(head))
        rc = buf_printf(out, ":%u", head->port);
    return rc;
}

static int write_request_line(const struct http_head *head,
                              const struct http_write_options *options, struct buf *out)
{
    int rc = buf_printf(out, "%s ", head->method);
    if (rc == 0 && options != NULL && options->absolute) {
        rc = buf_printf(out, "http%s://", head->tls ? "s" : "");
        if (rc == 0)
            rc = write_authority(head, out);
    }
    if (rc == 0)
        rc = buf_printf(out, "%s HTTP/1.1\r\nHost: ", head->target);
    if (rc == 0)
        rc = write_authority(head, out);
    if (rc == 0)
        rc = buf_append(out, "\r\n", 2);
    if (rc == 0 && options != NULL && options->proxy_authorization != NULL)
        rc = buf_printf(out, "Proxy-Authorization: %s\r\n", options->proxy_authorization);
    return rc;
}

static int write_framing(const struct http_head *head, struct buf *out)
{
    bool announced = head->framing == HTTP_BODY_NONE && head->has_length;
    if (head->framing == HTTP_BODY_LENGTH || announced)
        return buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)head->length);
    if (head->framing == HTTP_BODY_CHUNKED)
        return buf_printf(out, "Transfer-Encoding: chunked\r\n");
    return 0;
}

static int write_connection(const struct http_head *head, struct buf *out)
{
    if (head->websocket || head->status == 101)
        return buf_printf(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    if (head->status >= 100 && head->status < 200)
        return 0;
    const char *what = NULL;
    if (!head->keep_alive)
        what = head->trailers ? "close, TE" : "close";
    else if (head->trailers)
        what = "TE";
    else if (head->minor == 0 && head->status != 0)
        what = "keep-alive"; /* who speaks 1.0 goes on only when told so */
    int rc = what != NULL ? buf_printf(out, "Connection: %s\r\n", what) : 0;
    return rc == 0 && head->trailers ? buf_printf(out, "TE: trailers\r\n") : rc;
}

int http_head_write(const struct http_head *head, const struct http_write_options *options,
                    struct buf *out)
{
    int rc = head->status == 0 ? write_request_line(head, options, out)
                               : buf_printf(out, "HTTP/1.%d %03d %s\r\n", head->minor, head->status,
                                            head->reason);
    for (size_t i = 0; i < head->fields.count && rc == 0; i++) {
        const struct http_field *field = &head->fields.items[i];
        if (passes(head, field->name))
            rc = buf_printf(out, "%s: %s\r\n", field->name, field->value);
    }
    if (rc == 0)
        rc = write_framing(head, out);
    if (rc == 0)
        rc = write_connection(head, out);
    return rc == 0 ? buf_append(out, "\r\n", 2) : rc;
}

void http_response_adapt(struct http_head *response, const struct http_head *request)
{
    if (response->framing == HTTP_BODY_UNTIL_CLOSE && request->minor > 0)
        response->framing = HTTP_BODY_CHUNKED;
    if (response->framing == HTTP_BODY_CHUNKED && request->minor == 0)
        response->framing = HTTP_BODY_UNTIL_CLOSE;
    response->minor = request->minor;
    response->keep_alive = request->keep_alive && response->framing != HTTP_BODY_UNTIL_CLOSE;
}

int http_body_write(enum http_framing framing, const void *data, size_t size, struct buf *out)
{
    if (framing != HTTP_BODY_CHUNKED)
        return buf_append(out, data, size);
    if (size == 0)
        return 0; /* an empty chunk would be the end */
    int rc = buf_printf(out, "%zx\r\n", size);
    if (rc == 0)
        rc = buf_append(out, data, size);
    return rc == 0 ? buf_append(out, "\r\n", 2) : rc;
}

int http_body_end(enum http_framing framing, const struct http_fields *trailers, struct buf *out)
{
    if (framing != HTTP_BODY_CHUNKED)
        return 0;
    int rc = buf_append(out, "0\r\n", 3);
    for (size_t i = 0; trailers != NULL && i < trailers->count && rc == 0; i++) {
        const struct http_field *field = &trailers->items[i];
        if (!LISTED(dropped, field->name) && !LISTED(not_trailers, field->name))
            rc = buf_printf(out, "%s: %s\r\n", field->name, field->value);
    }
    return rc == 0 ? buf_append(out, "\r\n", 2) : rc;
}

static const char *reason_phrase(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "";
}

int http_answer_write(const struct http_answer *answer, struct buf *out)
{
    int minor = answer->head != NULL ? answer->head->minor : 1;
    bool bodiless = answer->head != NULL && strcmp(answer->head->method, "HEAD") == 0;
    const char *connection = minor == 0 ? "Connection: keep-alive\r\n" : "";
    int rc = buf_printf(out,
                        "HTTP/1.%d %03d %s\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n"
                        "Content-Length: %zu\r\n%s%s\r\n",
                        minor, answer->status, reason_phrase(answer->status),
                        strlen(answer->text) + 1, answer->deny ? "x-vmdeck-verdict: deny\r\n" : "",
                        answer->keep_alive ? connection : "Connection: close\r\n");
    if (rc == 0 && !bodiless)
        rc = buf_printf(out, "%s\n", answer->text);
    return rc;
}
