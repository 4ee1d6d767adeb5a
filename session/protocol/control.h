/*
 * The control protocol between a client (CLI, dashboard) and a session host, on a Unix stream
 * socket. Frames are those of base/frame.h.
 *
 * MESSAGE carries one JSON object:
 *     request  {"request": NAME, "id": N, …}            client to host
 *     reply    {"reply": N, …} or {"reply": N, "error": {"code": ERRNO, "message": TEXT}}
 *     event    {"event": NAME, …}                        host to client
 * DATA and CREDIT carry a command's streams, as in agent/wire.h: the client's "exec" request
 * names the stream id; each channel starts with CONTROL_WINDOW bytes of credit; a CREDIT gives
 * more; data beyond the credit ends the connection.
 *
 * The first request is "hello" with the version; another version is answered with an error. The
 * connection that started the host (it inherits the other end) sends "start" next; see
 * vmdeck-protocol(7) for all requests and events.
 */
#ifndef VMDECK_SESSION_PROTOCOL_CONTROL_H
#define VMDECK_SESSION_PROTOCOL_CONTROL_H

#include "base/frame.h"

#define CONTROL_VERSION     1
#define CONTROL_WINDOW      (512u * 1024)
#define CONTROL_DATA_MAX    (64u * 1024)
#define CONTROL_MESSAGE_MAX (8u * 1024 * 1024) /* 2 MiB of arguments, escaped */
#define CONTROL_STREAMS_MAX 1024u              /* commands of one client at once */

enum control_type { CONTROL_MESSAGE = 1, CONTROL_DATA, CONTROL_CREDIT, CONTROL_TYPES };

/* Flags of DATA and CREDIT; the same bits as in agent/wire.h. */
enum { CONTROL_STDIN, CONTROL_STDOUT, CONTROL_STDERR, CONTROL_CHANNEL = 3, CONTROL_EOF = 4 };
#define CONTROL_CHANNELS 3

extern const struct frame_rules control_rules;

#endif
