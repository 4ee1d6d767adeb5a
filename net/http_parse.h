/* What the parts of the HTTP reader share. Private to net/http_*.c. */
#ifndef VMDECK_NET_HTTP_PARSE_H
#define VMDECK_NET_HTTP_PARSE_H

#include "net/http.h"

struct http_fault {
    int status;    /* 0: not the message's fault, no memory */
    char why[128]; /* one line, with nothing in it that the peer chose */
};

/* Notes the refusal. Returns -EPROTO. */
int http_fault(struct http_fault *fault, int status, const char *why);

bool http_is_token(const char *text, size_t size); /* RFC 9110 5.6.2; not empty */
bool http_is_value(const char *text, size_t size); /* RFC 9110 5.5, without line folding */

/*
 * Field lines, each with its CRLF, from `at` to `end`, inside fields->text. The text is changed:
 * names and values become strings.
 */
int http_fields_parse(struct http_fields *fields, char *at, const char *end,
                      struct http_fault *fault);
size_t http_fields_count(const struct http_fields *fields, const char *name);

/* A whole head (with the empty line) of `size` bytes and a NUL behind; takes the text over. */
int http_head_parse(char *text, size_t size, const struct http_reader *reader,
                    struct http_head **out, struct http_fault *fault);

/* Whether the request is a WebSocket handshake, into head->websocket; a broken one is a fault. */
int http_websocket_request(struct http_head *head, struct http_fault *fault);

/* The answer that a server must give to this key (RFC 6455 4.2.2). */
int http_websocket_accept(const char *key, char accept[HTTP_ACCEPT_SIZE]);

/* Does a 101 say what RFC 6455 4.1 wants of it? */
bool http_websocket_accepted(const struct http_head *head, const char *accept);

#endif
