/*
 * Reading and writing the JSON of the control protocol. Readers are total: a member that is
 * missing or of another type gives the fallback. Strings may hold any bytes but NUL: arguments
 * and paths need not be UTF-8, and cJSON passes bytes above 127 through as they are.
 */
#ifndef VMDECK_SESSION_PROTOCOL_JSON_H
#define VMDECK_SESSION_PROTOCOL_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/conn.h"
#include "base/str.h"

const char *json_string(const cJSON *object, const char *name); /* NULL: none */
uint64_t json_number(const cJSON *object, const char *name, uint64_t fallback);
bool json_bool(const cJSON *object, const char *name);

/* The array of strings; -EINVAL if it is something else, 0 and an empty list if it is missing. */
int json_strings(const cJSON *object, const char *name, struct strv *out);

/* Adds the list as an array, where it is not empty. */
void json_add_strings(cJSON *object, const char *name, const struct strv *list);

/* Sends the object as a MESSAGE frame and frees it. */
void json_send(struct conn *conn, cJSON *message);

#endif
