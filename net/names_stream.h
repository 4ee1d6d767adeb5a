/*
 * One query to a resolver over TCP (RFC 7766), on a connection of its own. One thread; the callback
 * comes from the loop only.
 */
#ifndef VMDECK_NET_NAMES_STREAM_H
#define VMDECK_NET_NAMES_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct names_stream;

/*
 * Asks; the query is copied. `came` gets the response (at most 65535 bytes, its to change), or NULL
 * if there is none, once; then only names_stream_close() is left, also from within it. 0 or a
 * negative errno.
 */
int names_stream_ask(struct names_stream **out, uv_loop_t *loop, const struct sockaddr *resolver,
                     const uint8_t *query, size_t size,
                     void (*came)(void *owner, uint8_t *response, size_t size), void *owner);

/* No callback comes any more. NULL is fine. Memory goes when the loop has run. */
void names_stream_close(struct names_stream *stream);

#endif
