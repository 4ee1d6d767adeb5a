/*
 * The host's side of the agent's protocol for tests: the engine runs in a child process on a
 * socket pair; the peer checks what wire.h promises about every frame it gets (rules, sender, ids,
 * credit) and fails the test that is running.
 */
#ifndef VMDECK_TESTS_AGENT_PEER_H
#define VMDECK_TESTS_AGENT_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/wire.h"
#include "base/buf.h"

#define PEER_COMMANDS (WIRE_STREAMS_MAX + 8)

struct command {
    bool used, spawned, failed, exited;
    bool hold; /* return no credit */
    uint32_t pid, error, stage, code, signal;
    struct buf output[WIRE_CHANNELS];
    uint32_t in_flight[WIRE_CHANNELS]; /* received, not returned */
    bool ended[WIRE_CHANNELS];
    const uint8_t *input; /* what is left to be sent */
    size_t input_size;
    bool input_end; /* with WIRE_EOF behind it */
    uint32_t window;
};

struct peer {
    int fd;
    pid_t pid;
    struct buf in, out;
    size_t slice;    /* bytes per write; 0: all */
    uint32_t answer; /* errno of the last CONFIGURED */
    bool configured, greeted;
    unsigned hellos, quiets, owners;
    uint32_t owner_id, owner_pid; /* of the last OWNER */
    char owner_name[WIRE_NAME_MAX + 1];
    uint8_t epoch[WIRE_EPOCH_SIZE];
    struct command commands[PEER_COMMANDS]; /* by id */
};

/* The exit status of the engine's process. */
enum { PEER_SHUTDOWN = 0, PEER_PROTOCOL = 3, PEER_OTHER = 4 };

struct peer *peer_start_with(pid_t (*greeted)(void));
struct peer *peer_start(void);                   /* the engine runs and was greeted */
void peer_stop(struct peer *peer, int expected); /* frees it, as it does what it must have ended */

void peer_frame(struct peer *peer, uint8_t type, uint8_t flags, uint32_t id, const void *payload,
                size_t size);

/* Sends and receives once, waiting for something to happen. */
void peer_step(struct peer *peer);

/* Steps until the condition holds. */
#define PEER_UNTIL(peer, condition) \
    while (!(condition))            \
    peer_step(peer)

/* SPAWN: argv ends with NULL; `more` are further fields. */
struct command *peer_spawn(struct peer *peer, uint32_t id, const char *const *argv,
                           const struct buf *more);
#define PEER_SPAWN(peer, id, more, ...) \
    peer_spawn(peer, id, (const char *const[]){__VA_ARGS__, NULL}, more)
#define PEER_SHELL(peer, id, script) PEER_SPAWN(peer, id, NULL, "/bin/sh", "-c", script)

void peer_input(struct command *command, const void *data, size_t size, bool end);
void peer_text_field(struct buf *fields, uint8_t tag, const char *text);
void peer_pty_field(struct buf *fields, uint16_t rows, uint16_t columns);

/* The output of a channel as a string that the command owns. */
const char *peer_text(struct command *command, int channel);

#endif
