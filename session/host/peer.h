/*
 * Connections to a session host: the socket they come in on, the requests they make, the
 * commands they run. Part of the session host; everything on its loop.
 */
#ifndef VMDECK_SESSION_HOST_PEER_H
#define VMDECK_SESSION_HOST_PEER_H

#include <cjson/cJSON.h>

#include "base/conn.h"
#include "session/host/host.h"
#include "session/protocol/control.h"

struct relay;

struct peer {
    struct peer *next;
    struct host *host;
    struct conn *conn;
    bool birth;      /* started this host */
    bool greeted;    /* has said hello */
    bool subscribed; /* gets the session's events as they happen */
    bool listed;     /* knows the terminals as they are */
    bool broken;     /* broke the protocol: nothing of it counts any more */
    struct relay *relays[CONTROL_STREAMS_MAX]; /* by stream id minus one */
};

/* The peer broke the protocol: its connection is ended. */
void peer_violation(struct peer *peer, const char *what);

/* Takes a connected socket in. `birth`: it started this host. */
int peer_add(struct host *host, int fd, bool birth, struct error *err);

/* Listens on host->socket_path (made here: $XDG_RUNTIME_DIR/vmdeck/<name>). */
int peer_listen(struct host *host, const char *name, struct error *err);

/* Answers a request; `reply` may be NULL, and is taken over. */
void peer_reply(struct peer *peer, uint32_t id, cJSON *reply, const struct error *why);

/* Sends the event (taken over) to one peer, or to all. */
void peer_event(struct peer *peer, cJSON *event);
void peer_broadcast(struct host *host, cJSON *event);

void peer_close_all(struct host *host);
void peer_unlisten(struct host *host);

#endif
