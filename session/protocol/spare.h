/*
 * Spares are found by the name of their sockets:
 *
 *     $XDG_RUNTIME_DIR/vmdeck/spare-<shape>-<id>.sock
 *
 * where the shape stands for everything that a waiting VM cannot change any more.
 */
#ifndef VMDECK_SESSION_PROTOCOL_SPARE_H
#define VMDECK_SESSION_PROTOCOL_SPARE_H

#include <stddef.h>

#include "base/error.h"
#include "session/protocol/config.h"

#define SPARE_SHAPE_SIZE 17 /* 16 hexadecimal digits and NUL */

/* -ENOTSUP: such a session cannot begin with a spare. */
int spare_shape(const struct session_config *config, char shape[SPARE_SHAPE_SIZE],
                struct error *err);

/* The name of the socket below the runtime directory; the caller frees it. */
char *spare_socket_name(const char *shape, const char *id);

/* How many there are. */
size_t spare_count(const char *shape);

/* A connection to one of them, to say "claim" on; -ENOENT: there is none. */
int spare_connect(const char *shape, struct error *err);

#endif
