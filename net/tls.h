/*
 * TLS in memory: ciphertext is fed in and taken out, plaintext is read and written. No sockets,
 * nothing blocks, all buffers are bounded. Toward the guest a certificate is made for the name
 * (ca.h); toward the upstream its certificate is verified against the machine's roots, further
 * ones, and its name. Both offer ALPN http/1.1 only, and TLS 1.2 or later.
 *
 * A connection and its context belong to one thread. Each connection holds about 40 KB, most of it
 * mbedTLS's record buffers: bound their number.
 */
#ifndef VMDECK_NET_TLS_H
#define VMDECK_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "net/ca.h"

#define TLS_IN_MAX  32768 /* ciphertext that waits to be read */
#define TLS_OUT_MAX 65536 /* ciphertext that waits to be sent: beyond, tls_write takes nothing */

struct tls_context; /* what connections share: roots, settings, the keys of session tickets */
struct tls;

/*
 * `ca` may be NULL without tls_accept; it must outlive the context. `root_files`: PEM files of
 * further roots, NULL-terminated, or NULL; read now, so a mistake shows early. The machine's roots
 * ($SSL_CERT_FILE, or where the system keeps them) are read by the first tls_connect.
 */
int tls_context_new(struct ca *ca, const char *const *root_files, struct tls_context **out,
                    struct error *err);
void tls_context_free(struct tls_context *context); /* behind its connections; NULL is allowed */

/*
 * The server's side, with a certificate for `host`: SNI's name as sniff() found it, or where there
 * is none what the caller decides on. An SNI that is not `host` fails the handshake.
 */
int tls_accept(struct tls_context *context, const char *host, struct tls **out, struct error *err);

/* The client's side. `host` is a name or an address, canonical (http_host_parse); it is sent as
 * SNI if it is a name, and the certificate must be for it in both cases. */
int tls_connect(struct tls_context *context, const char *host, struct tls **out, struct error *err);
void tls_free(struct tls *tls); /* NULL is allowed */

/* Ciphertext that came: how much of it was taken. Less than `size`: read or handshake first. */
size_t tls_feed(struct tls *tls, const void *data, size_t size);

/* No more ciphertext will come: the transport has ended. */
void tls_feed_end(struct tls *tls);

/* Ciphertext to send. After failures too: there may be an alert that tells the other side. */
const void *tls_output(const struct tls *tls, size_t *size);
void tls_output_sent(struct tls *tls, size_t size);

/*
 * Goes on with the handshake: 0 when it is over, -EAGAIN when it waits for the other side. On
 * failure the error says why in one line; -ECONNRESET where the other side went away, -EACCES where
 * it could not be trusted, else -EPROTO.
 */
int tls_handshake(struct tls *tls, struct error *err);

/*
 * Plaintext: bytes read (at most a record's), 0 when the other side has said that it is done,
 * -EAGAIN when more must be fed (or output be sent), -ECONNRESET when the transport ended before
 * the other side said so: what came until then may be cut short. Goes through the handshake itself.
 */
ssize_t tls_read(struct tls *tls, void *data, size_t size, struct error *err);

/* Bytes taken (at most a record's), or -EAGAIN while the handshake lasts or TLS_OUT_MAX waits. */
ssize_t tls_write(struct tls *tls, const void *data, size_t size, struct error *err);

/* Says that we are done (close_notify). Reading goes on. */
void tls_close(struct tls *tls);

#endif
