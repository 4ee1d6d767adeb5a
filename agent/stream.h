/*
 * Commands and their data, between the port and the command's pipes or terminal, with the credit
 * that wire.h describes. stream.c: the commands' lives; output.c: what they write; input.c: what
 * they are sent. Single-threaded, on the loop.
 */
#ifndef VMDECK_AGENT_STREAM_H
#define VMDECK_AGENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/loop.h"
#include "agent/port.h"
#include "agent/spawn.h"
#include "agent/wire.h"
#include "base/buf.h"

#define STREAM_GRACE_SECONDS 2 /* from SIGHUP to SIGKILL of an abandoned command */
#define STREAM_BUCKETS       256
#define STREAM_OUTPUTS       2

struct stream;

/* One output of a command: a pipe's read end, or the terminal's master. */
struct channel {
    struct watch watch;
    struct stream *stream;
    uint8_t number;  /* WIRE_STDOUT, WIRE_STDERR */
    bool readable;   /* there may be bytes that were not read */
    bool hung_up;    /* nobody holds the other end */
    bool queued;     /* on the list of those that may send */
    bool grown;      /* the pipe was enlarged */
    bool discarding; /* what comes is dropped */
    bool finished;   /* nothing of it will be sent any more */
    uint32_t credit;
    uint32_t left; /* once the command has ended: bytes that may still be its own */
    struct channel *next, *previous;
};

struct input {
    struct watch watch; /* a pipe's write end; unused with a terminal */
    struct buf queue;
    uint32_t window; /* bytes the host may still send */
    uint32_t owed;   /* bytes got rid of, credit not returned yet */
    bool end;        /* the host has sent everything */
    bool closed;     /* what still comes is dropped */
    bool watched;    /* the pipe is in the loop */
};

struct stream {
    struct streams *streams;
    struct stream *next_by_id, *next, *previous;
    uint32_t id;
    pid_t pid;
    bool pty;
    bool ended; /* reaped; `status` is wait(2)'s */
    bool abandoned;
    bool closed; /* EXIT was sent: only what its background processes write is read, and dropped */
    int status;
    int64_t kill_at; /* monotonic milliseconds; while abandoned */
    struct channel outputs[STREAM_OUTPUTS];
    struct input input;
};

struct streams {
    struct loop *loop;
    struct port *port;
    struct watch timer; /* of abandoned commands */
    bool armed;
    size_t count; /* without those that are closed */
    struct stream *first;
    struct stream *by_id[STREAM_BUCKETS];
    struct channel *ready; /* a ring of channels that have bytes and credit: round robin */
};

int streams_open(struct streams *streams, struct loop *loop, struct port *port); /* 0 or -errno */

/* Forgets all commands; their processes are not touched. */
void streams_close(struct streams *streams);

/* The command of that id, or NULL. */
struct stream *stream_find(const struct streams *streams, uint32_t id);

/* Takes over a command that was started. 0 or -errno; then its descriptors are closed. */
int stream_add(struct streams *streams, uint32_t id, bool pty, const struct spawn_result *command);

/* A process has ended; it may be none of ours. */
void streams_reaped(struct streams *streams, pid_t pid, int status);

/* Sends output while the port takes it: one frame per channel in turn. */
void streams_pump(struct streams *streams);

/* The host's frames for one command. 0, or -EPROTO with the reason in *why. */
int stream_data(struct stream *stream, const struct frame *frame, const char **why);
int stream_credit(struct stream *stream, const struct frame *frame, const char **why);
void stream_resize(const struct stream *stream, uint16_t rows, uint16_t columns);
void stream_signal(const struct stream *stream, int number);
void stream_abandon(struct stream *stream);

/* Between the three files. */
int output_open(struct stream *stream, struct channel *channel, uint8_t number, int fd);
void output_ended(struct channel *channel);   /* the command has been reaped */
void output_discard(struct channel *channel); /* from now on its bytes are dropped */
void output_close(struct channel *channel);
void input_open(struct stream *stream, int fd);
void input_advance(struct stream *stream); /* writes what waits, as far as it goes */
void input_close(struct stream *stream);   /* what waits and what comes is dropped */

/* After each change of its channels: sends EXIT when it is due, frees what nobody needs. */
void stream_settle(struct stream *stream);

#endif
