/* One question to many session hosts at once. */
#ifndef VMDECK_SESSION_CLI_ASK_H
#define VMDECK_SESSION_CLI_ASK_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "base/error.h"
#include "session/store/registry.h"

#define ASK_TIMEOUT_MS 2000

struct ask {
    char id[SESSION_ID_SIZE]; /* whom; set by the caller */
    cJSON *reply;             /* NULL: none came */
    struct error why;         /* ETIMEDOUT, ENOENT (no socket), what the host said, … */
};

/* Sends the request to all and waits until all have answered, or ASK_TIMEOUT_MS in all. */
int ask_all(const char *request, struct ask *asks, size_t count, struct error *err);
void ask_free(struct ask *asks, size_t count); /* the array too */

#endif
