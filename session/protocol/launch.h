/*
 * Starting a session host: the program itself, run again as `vmdeck session-host`, detached, with
 * one end of a socket pair as its first connection.
 */
#ifndef VMDECK_SESSION_PROTOCOL_LAUNCH_H
#define VMDECK_SESSION_PROTOCOL_LAUNCH_H

#include "base/error.h"

#define LAUNCH_VERB "session-host"
#define LAUNCH_FD   3 /* the host's end */

/*
 * Our end of the connection, for client_open(), or a negative errno. `program` is the vmdeck to
 * run; NULL: the one that is running.
 */
int launch_host(const char *program, struct error *err);

#endif
