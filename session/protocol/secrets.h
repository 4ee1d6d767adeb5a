/*
 * Secrets on their way from the client to the session host: a member of the "start" request, never
 * of the configuration that is kept. What is freed here is wiped before.
 */
#ifndef VMDECK_SESSION_PROTOCOL_SECRETS_H
#define VMDECK_SESSION_PROTOCOL_SECRETS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/str.h"

#define SESSION_SECRETS_MAX      64
#define SESSION_SECRET_VALUE_MAX 8192 /* bytes */

struct session_secret {
    char *name;
    struct strv hosts; /* as on the command line */
    char *value;       /* without NUL; NULL: not given (again), only the rest is known */
    char *placeholder; /* what the guest has in its place; NULL: not known yet */
    bool query;
};

/* Zeroed memory is empty. */
struct session_secrets {
    struct session_secret *items;
    size_t count;
};
void session_secret_forget(struct session_secret *secret); /* its value */
void session_secrets_free(struct session_secrets *secrets);

/* The secret of that name, which is added where it is not there; NULL: no memory, or too many. */
struct session_secret *session_secrets_get(struct session_secrets *secrets, const char *name);

/* An array; without `values` also none of them. */
cJSON *session_secrets_json(const struct session_secrets *secrets, bool values);

/* Into an empty list. NULL is an empty array. -EINVAL. */
int session_secrets_parse(const cJSON *array, struct session_secrets *secrets, struct error *err);

/* Overwrites every text in it. */
void session_secrets_wipe(cJSON *array);

#endif
