/*
 * Secrets: the guest holds a placeholder, the host puts the value into a request on its way to the
 * hosts it is meant for, and takes it out of the response again.
 *
 * Values live in locked memory (net/secret_memory.h) and never appear in an error, only names do.
 * A buffer that a value was written into is the caller's to wipe: secret_buf_free(). Everything on
 * one thread. No I/O: the caller reads files and the environment.
 *
 * Limits: a value shorter than SECRET_FIND_MIN bytes is substituted, but as itself is too common a
 * text to be looked for: it is neither held back nor redacted.
 */
#ifndef VMDECK_NET_SECRETS_H
#define VMDECK_NET_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "net/secret_memory.h"

#define SECRETS_MAX             64 /* also the deleted ones of a session count */
#define SECRET_NAME_MAX         128
#define SECRET_HOSTS_MAX        64
#define SECRET_VALUE_MAX        8192
#define SECRET_FORMER_MAX       8 /* values before the current one that are still refused */
#define SECRET_FIND_MIN         8
#define SECRET_PLACEHOLDER_SIZE 63           /* VMDECK_SECRET_ + 48 hexadecimal digits + NUL */
#define SECRET_TEXT_MAX         (256u << 10) /* a header value or target after substitution */

enum secret_from {
    SECRET_FROM_ENVIRONMENT, /* of the variable `from_text` */
    SECRET_FROM_TEXT,        /* the value is `from_text` */
    SECRET_FROM_FILE,        /* the file `from_text` */
    SECRET_FROM_FD,          /* the descriptor `from_text`, a number */
};

/* --host-secret NAME@HOST[,HOST…][=VALUE|=@FILE|=fd:N] */
struct secret_option {
    char name[SECRET_NAME_MAX];
    struct strv hosts; /* origins: net/pattern.h */
    enum secret_from from;
    const char *from_text; /* points into the option or `name` */
};

/* -EINVAL without the text in the message: it may hold the value. On failure nothing to free. */
int secret_option_parse(const char *text, struct secret_option *out, struct error *err);
void secret_option_free(struct secret_option *option);
#define CLEAN_SECRET_OPTION __attribute__((cleanup(secret_option_free)))

/* Without the line's end that a file or a pipe has: the value's length. */
size_t secret_value_trim(const uint8_t *value, size_t size);

struct secrets;

struct secrets *secrets_new(struct error *err);
void secrets_free(struct secrets *secrets);

/*
 * Adds a secret. `placeholder` is what a resumed guest already has, NULL makes one. A value has 1
 * to SECRET_VALUE_MAX bytes and no control characters: it must fit into a header.
 */
int secrets_add(struct secrets *secrets, const char *name, const struct strv *hosts,
                const uint8_t *value, size_t size, const char *placeholder, struct error *err);

int secrets_allow_query(struct secrets *secrets, const char *name, struct error *err);

/* NULL leaves the value or the hosts as they are. The former value is refused from now on. */
int secrets_update(struct secrets *secrets, const char *name, const struct strv *hosts,
                   const uint8_t *value, size_t size, struct error *err);

/* The placeholder then stands for nothing, and the value is refused everywhere. */
int secrets_remove(struct secrets *secrets, const char *name, struct error *err);

/* Secrets are numbered from 0 in order of adding, deleted ones too; these numbers are the bits of
 * the masks below. NULL: there are no more. */
const char *secrets_name(const struct secrets *secrets, size_t index);
const char *secrets_placeholder(const struct secrets *secrets, size_t index);

/* The value itself, where it is kept; NULL for one that was deleted. */
const uint8_t *secrets_value(const struct secrets *secrets, size_t index, size_t *size);

/* Where a request goes. */
struct secret_target {
    bool tls;
    const char *host; /* normalised: net/host.h */
    uint16_t port;
};

/* What happened, a bit for each secret: add up over a request. */
struct secret_uses {
    uint64_t injected;
    uint64_t blocked;
};

/*
 * Each appends to *out what is to be sent instead of `text`, or returns -EPERM: a secret (named in
 * *err and in uses->blocked) would go where it may not; the request must be refused. -EMSGSIZE: too
 * long after substitution. On failure *out is as before. What is put in is not looked at again.
 *
 *   header   a header's value; in (Proxy-)Authorization: Basic also inside the credentials
 *   target   path and query: substituted in the query only, where that is allowed; percent-encoded
 */
int secrets_header(const struct secrets *secrets, const struct secret_target *target,
                   const char *name, const uint8_t *text, size_t size, struct buf *out,
                   struct secret_uses *uses, struct error *err);
int secrets_request_target(const struct secrets *secrets, const struct secret_target *target,
                           const char *text, size_t size, struct buf *out, struct secret_uses *uses,
                           struct error *err);

/* Only looks for values that may not go there (header names, trailers, …): 0 or -EPERM. */
int secrets_check(const struct secrets *secrets, const struct secret_target *target,
                  const uint8_t *text, size_t size, struct secret_uses *uses, struct error *err);

/* The secrets that may go to the target, and those whose value must not. */
uint64_t secrets_allowed(const struct secrets *secrets, const struct secret_target *target);
uint64_t secrets_forbidden(const struct secrets *secrets, const struct secret_target *target);

/*
 * A stream of bytes in which the values of some secrets are looked for: a response, whose values
 * become placeholders again, or a request's body on its way to a host they must not reach. Holds
 * back only what may be the beginning of a value, at most 3 × SECRET_VALUE_MAX bytes. Outlives
 * changes of the secrets, goes on with what was true when it was opened.
 */
struct secret_stream;

struct secret_stream *secret_stream_new(const struct secrets *secrets, uint64_t mask);

/* Appends to *out what can go on; with out NULL only looks. `last` ends the stream. */
int secret_stream_feed(struct secret_stream *stream, const uint8_t *data, size_t size, bool last,
                       struct buf *out);

/* The secrets found so far. */
uint64_t secret_stream_found(const struct secret_stream *stream);
void secret_stream_free(struct secret_stream *stream); /* NULL is fine */

/* A whole text at once (a response's header). Returns 0 or -ENOMEM; *found may be NULL. */
int secrets_redact(const struct secrets *secrets, uint64_t mask, const uint8_t *text, size_t size,
                   struct buf *out, uint64_t *found);

#endif
