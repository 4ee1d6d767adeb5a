/*
 * HTTP/1.1 as the mediator speaks it (RFC 9110, RFC 9112): bytes in, heads and spans of bodies out,
 * and heads and bodies written again from what was understood. No I/O, no clock. Strict in both
 * directions: what two implementations could read in two ways is refused, never repaired.
 *
 * One http_reader per direction of a connection; heads are the caller's. Nothing is thread-safe.
 * Failures are -EPROTO with a line that says what is wrong with the message, or -ENOMEM.
 */
#ifndef VMDECK_NET_HTTP_H
#define VMDECK_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define HTTP_LINE_MAX       8192  /* request or status line, with its line end */
#define HTTP_HEAD_MAX       65536 /* the whole head, with the empty line */
#define HTTP_FIELDS_MAX     100
#define HTTP_CHUNK_LINE_MAX 256  /* a chunk's size and its extensions, which are dropped */
#define HTTP_TRAILERS_MAX   8192 /* the trailer section, with the empty line */
#define HTTP_HOST_MAX       253
#define HTTP_ACCEPT_SIZE    29 /* Sec-WebSocket-Accept: base64 of a SHA-1, and NUL */

struct http_field {
    const char *name;  /* as it was written; compare without case */
    const char *value; /* no blanks around it, no control characters but tab; may be empty */
    char *replaced;    /* owned: what http_field_replace put there, or NULL */
};

struct http_fields {
    struct http_field items[HTTP_FIELDS_MAX];
    size_t count;
    char *text; /* owned: names and values point into it */
};

/* The first field of that name, or NULL. */
struct http_field *http_field_find(struct http_fields *fields, const char *name);

/* Its value, or NULL. */
const char *http_field_value(const struct http_fields *fields, const char *name);

/*
 * Gives the field another value (copied; wiped when it is released). -EINVAL for a value that
 * could not have been parsed: this is where an injected line end stops.
 */
int http_field_replace(struct http_field *field, const char *value, struct error *err);

/* Is `token` an element of the comma-separated list that all fields of that name make together? */
bool http_field_lists(const struct http_fields *fields, const char *name, const char *token);

void http_fields_free(struct http_fields *fields);

/*
 * The next element of a comma-separated list: false at its end. *at starts at the list; empty
 * elements are skipped and blanks around elements are not part of them.
 */
bool http_list_next(const char **at, const char **item, size_t *length);

/*
 * A host as it stands in Host, in a URL or in SNI: a name of letters, digits, hyphens and
 * underscores becomes lower-case without its trailing dot; an IPv4 address and an IPv6 address (in
 * brackets) become canonical. *port is 0 where none is given. Everything else is -EINVAL: user
 * names, empty labels, percent, bytes beyond ASCII (names are punycode here), numbers that only
 * some programs read as addresses (127.1, 0x7f000001, 010.0.0.1).
 */
int http_host_parse(const char *text, size_t size, char host[HTTP_HOST_MAX + 1], uint16_t *port,
                    struct error *err);

enum http_framing {
    HTTP_BODY_NONE,
    HTTP_BODY_LENGTH,
    HTTP_BODY_CHUNKED,
    HTTP_BODY_UNTIL_CLOSE, /* responses only */
};

struct http_head {
    int minor; /* HTTP/1.<minor>: 0 or 1 */

    /* Requests. */
    const char *method;           /* as written: methods have case */
    const char *target;           /* origin-form: path and query, starts with '/' */
    char host[HTTP_HOST_MAX + 1]; /* see http_host_parse */
    uint16_t port;                /* as the request named it; 0: it did not */
    bool tls;                     /* it came over TLS */
    bool expect_continue;         /* the body waits for 100 Continue (or for a final answer) */
    bool websocket;               /* a complete WebSocket handshake (RFC 6455 4.1) */
    bool trailers;                /* TE: trailers: takes trailers behind the response */

    /* Responses. */
    int status;         /* 100 to 999; 0 in a request */
    const char *reason; /* may be empty */

    struct http_fields fields;
    enum http_framing framing;
    uint64_t length; /* of HTTP_BODY_LENGTH; and what a bodiless answer announces, if has_length */
    bool has_length;
    bool keep_alive;       /* the sender goes on with the connection behind this message */
    char *replaced_target; /* owned, see http_target_replace */
};

/* Like http_field_replace, for the request's target: visible ASCII that starts with '/'. */
int http_target_replace(struct http_head *head, const char *target, struct error *err);

/* Frees the head and wipes what was put into it. NULL is allowed. */
void http_head_free(struct http_head *head);
static inline void http_head_cleanup(struct http_head **head)
{
    http_head_free(*head);
}
#define CLEAN_HTTP_HEAD __attribute__((cleanup(http_head_cleanup)))

enum http_event_kind {
    HTTP_EVENT_MORE,   /* nothing left to say about the bytes so far: all were used */
    HTTP_EVENT_HEAD,   /* .head, the caller's to free */
    HTTP_EVENT_DATA,   /* .data, .size: bytes of the body, inside the bytes just given */
    HTTP_EVENT_END,    /* the message is over; .trailers, valid until the next call, or NULL */
    HTTP_EVENT_TUNNEL, /* 101, or 2xx to CONNECT: all further bytes are not HTTP */
};

struct http_event {
    enum http_event_kind kind;
    struct http_head *head;
    const uint8_t *data;
    size_t size;
    struct http_fields *trailers;
};

struct http_reader {
    int refusal; /* after -EPROTO: the status that tells the client (400, 414, 431, 501, …; 502) */
    bool response, tls;

    /* Private. */
    int state;
    struct buf lines;  /* the head, chunk line or trailer section as far as it came */
    size_t line_start; /* where the unfinished line starts in it */
    uint64_t left;     /* bytes of the body or of the chunk still to come */
    struct http_fields *trailers;
    bool chunked, tunnel;
    bool expected, expect_head, expect_connect;
    char accept[HTTP_ACCEPT_SIZE];
};

/* Reads requests that came over TLS or not (absolute targets must say the same scheme). */
void http_reader_requests(struct http_reader *reader, bool tls);

/* Reads responses; each must be announced by http_reader_expect, or it is refused. */
void http_reader_responses(struct http_reader *reader);
void http_reader_free(struct http_reader *reader);

/*
 * The next final response answers this request (1xx in front of it are reported like responses
 * without body). Its method and its WebSocket handshake decide how the response is read.
 */
int http_reader_expect(struct http_reader *reader, const struct http_head *request);

/* The same for a CONNECT that the caller wrote to a proxy. */
void http_reader_expect_connect(struct http_reader *reader);

/*
 * Reads on: *used of the `size` bytes were taken, one event is reported. Call it again, also with
 * no bytes, until the event is HTTP_EVENT_MORE: so ends of messages are seen at once, and a caller
 * that stops at HTTP_EVENT_END finds a pipelined request untouched in the bytes not used.
 */
int http_read(struct http_reader *reader, const void *data, size_t size, size_t *used,
              struct http_event *event, struct error *err);

/* The connection has ended: HTTP_EVENT_END of a body until close, HTTP_EVENT_MORE between two
 * messages, -EPROTO in the middle of one or where a response is still expected. */
int http_read_end(struct http_reader *reader, struct http_event *event, struct error *err);

/*
 * Makes a response fit the client that gets it: its version, its framing (chunked for a body until
 * close; until close for HTTP/1.0), and keep_alive as the client wishes and the framing allows.
 */
void http_response_adapt(struct http_head *response, const struct http_head *request);

struct http_write_options {
    bool absolute;                   /* absolute-form, as a plain HTTP proxy wants it */
    const char *proxy_authorization; /* for that proxy, or NULL */
};

/*
 * Appends the head, made from its parts: Host, Content-Length, Transfer-Encoding and Connection are
 * written anew from host, framing and keep_alive; what is meant for one hop only, what Connection
 * names, and Expect (the mediator answers it) are left out; Upgrade stays for WebSocket. Requests
 * are always HTTP/1.1. `options` may be NULL. -ENOMEM.
 */
int http_head_write(const struct http_head *head, const struct http_write_options *options,
                    struct buf *out);

/* Appends bytes of the body and its end in that framing. `trailers` may be NULL; those that change
 * the meaning of the message (RFC 9110 6.5.1) are left out. -ENOMEM. */
int http_body_write(enum http_framing framing, const void *data, size_t size, struct buf *out);
int http_body_end(enum http_framing framing, const struct http_fields *trailers, struct buf *out);

struct http_answer {
    int status;
    const char *text;             /* the body: one line, without its line end */
    bool deny;                    /* adds x-vmdeck-verdict: deny */
    bool keep_alive;              /* else Connection: close */
    const struct http_head *head; /* the request (HEAD gets no body, 1.0 is told 1.0); or NULL */
};

/* Appends a response of our own: text/plain. -ENOMEM. */
int http_answer_write(const struct http_answer *answer, struct buf *out);

#define HTTP_CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

#endif
