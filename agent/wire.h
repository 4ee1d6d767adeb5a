/*
 * The protocol between the session host and the agent, the guest's PID 1, on the virtio-serial
 * port `vmdeck.ctl`. Frames are those of base/frame.h.
 *
 * Order. The host sends HELLO; the agent answers with a HELLO that repeats the version and the
 * epoch once the root file system is mounted. Until it has seen a HELLO with its own epoch the
 * host drops every byte, because a port that is reconnected (a restored VM) can still carry bytes
 * of an earlier connection. Then CONFIGURE/CONFIGURED, then commands. An empty CONFIGURE is
 * answered once the modules that no first command needs are loaded as well: what a template waits
 * for. An environment in a CONFIGURE replaces the one before. A later HELLO with another epoch
 * starts over: commands and their credit stay as they are, and a frame of which an earlier
 * connection got only a part comes whole. A later HELLO with the same epoch is only answered.
 *
 * Standing still. QUIESCE is answered with QUIET, behind which the agent sends nothing until the
 * next HELLO; the host sends nothing between the two. Then no byte is on its way, both sides'
 * credit agrees, and the VM may be stopped, saved and copied. WIRE_FREEZE also writes the root file
 * system out and lets nobody change it until that HELLO, for a copy of the disk alone.
 *
 * Commands. SPAWN names a new stream id (the host's choice, not 0, not in use). The agent answers
 * SPAWNED or FAILED; after FAILED the id is free. Data flows in DATA frames, whose flags name one
 * of three channels. EXIT comes once, after all output that the command itself had written; with
 * it the id is free on both sides, and frames that still arrive for a free id are dropped.
 * Processes that the command left behind keep running; what they write into the command's pipes
 * is read and dropped, so that they are neither killed by SIGPIPE nor stuck.
 *
 * Flow control. Each channel starts with WIRE_WINDOW bytes of credit. A sender never has more
 * than its credit in flight; a receiver returns credit (CREDIT) as it gets rid of bytes. Data
 * beyond the credit is a protocol error. A DATA frame with WIRE_EOF ends its channel; it may be
 * empty.
 *
 * Owners of sockets. SOCKET names one of the guest's TCP connections, under an id of the host's
 * choice (the stream); OWNER, with the same id, says which process has it, as far as that can be
 * found out. It is what the guest says: for people to read, never to decide by.
 *
 * A protocol error ends the conversation: the host ends the VM, the agent powers off.
 * Everything here that comes from the guest is hostile.
 */
#ifndef VMDECK_AGENT_WIRE_H
#define VMDECK_AGENT_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/frame.h"

#define WIRE_VERSION     2
#define WIRE_PORT        "vmdeck.ctl"
#define WIRE_EPOCH_SIZE  16
#define WIRE_WINDOW      (512u * 1024)
#define WIRE_DATA_MAX    (64u * 1024)
#define WIRE_SPAWN_MAX   (2u * 1024 * 1024)
#define WIRE_TEXT_MAX    1024u
#define WIRE_TRUST_MAX   (16u * 1024)
#define WIRE_NAME_MAX    15u   /* bytes of a process's name, as proc(5)'s comm has them */
#define WIRE_STREAMS_MAX 1024u /* commands at once; a SPAWN beyond is FAILED with EAGAIN */

enum wire_type {
    WIRE_HELLO = 1,  /* both: u32 version, epoch */
    WIRE_CONFIGURE,  /* host: fields (wire_setting) */
    WIRE_CONFIGURED, /* agent: u32 errno (0: done), text */
    WIRE_SPAWN,      /* host: fields (wire_spawn_field) */
    WIRE_SPAWNED,    /* agent: u32 pid in the guest */
    WIRE_FAILED,     /* agent: u32 errno, u32 stage (wire_stage), text */
    WIRE_DATA,       /* both: bytes; flags: channel, WIRE_EOF */
    WIRE_CREDIT,     /* both: u32 bytes; flags: channel */
    WIRE_RESIZE,     /* host: u16 rows, u16 columns */
    WIRE_SIGNAL,     /* host: u32 signal number, to the command's process group(s) */
    WIRE_EXIT,       /* agent: u32 exit code, u32 signal (0: it exited) */
    WIRE_ABANDON,  /* host: nobody wants this command any more: SIGHUP, then SIGKILL; EXIT comes */
    WIRE_SHUTDOWN, /* host: SIGTERM to all, short grace, sync, power off */
    WIRE_LOG,      /* agent: text for the host's log */
    WIRE_QUIESCE,  /* host; flags: WIRE_FREEZE */
    WIRE_QUIET,    /* agent: u32 errno of the freeze */
    WIRE_SOCKET,   /* host: u16 local port, u16 remote port, 4 bytes of remote IPv4 address */
    WIRE_OWNER,    /* agent: u32 pid (0: not found), name */
    WIRE_RELAY,    /* agent: u32 errno; the relay of file systems has ended, and all mounts with it.
                      0: another one waits for a HELLO (vm/vfs/relay.h) */
    WIRE_TYPES
};

/* Flags of DATA and CREDIT. */
enum { WIRE_STDIN = 0, WIRE_STDOUT = 1, WIRE_STDERR = 2, WIRE_CHANNEL = 3, WIRE_EOF = 4 };
#define WIRE_CHANNELS 3

/* Flag of QUIESCE. */
#define WIRE_FREEZE 1

/* Fields: u8 tag, u32 length, bytes; the order of repeated tags is kept, unknown tags are errors.
 */
enum wire_setting {
    WIRE_SET_TIME = 1,    /* u64 nanoseconds since 1970: the wall clock */
    WIRE_SET_ENTROPY,     /* 32 to 256 bytes: credited to the RNG, which is reseeded */
    WIRE_SET_HOSTNAME,    /* 1 to 63 bytes */
    WIRE_SET_ENV,         /* NAME=VALUE for every command; repeated */
    WIRE_SET_TRUST,       /* PEM: a certificate authority to trust, 1 to WIRE_TRUST_MAX bytes */
    WIRE_SET_OFFLINE,     /* empty: there is no network; the interface is taken down */
    WIRE_SET_RESTORED,    /* empty: the VM was restored; what it is connected to is gone */
    WIRE_SET_TIME_PASSED, /* u64 as TIME: the clock is set to it if it says less */
    WIRE_SETTINGS
};

enum wire_spawn_field {
    WIRE_SPAWN_ARG = 1,  /* repeated, at least one; the first is searched for in PATH */
    WIRE_SPAWN_ENV,      /* NAME=VALUE, repeated; over the configured environment */
    WIRE_SPAWN_CWD,      /* default: the user's home, or / */
    WIRE_SPAWN_USER,     /* name, uid or uid:gid; default root */
    WIRE_SPAWN_PTY,      /* u16 rows, u16 columns: a terminal instead of three pipes */
    WIRE_SPAWN_NO_STDIN, /* empty: stdin is /dev/null */
    WIRE_SPAWN_FIELDS
};

enum wire_stage {
    WIRE_STAGE_REQUEST = 1,
    WIRE_STAGE_SETUP,
    WIRE_STAGE_USER,
    WIRE_STAGE_CWD,
    WIRE_STAGE_EXEC,
    WIRE_STAGES
};

/* One table for both directions; wire_from_host/agent say who may send a type. */
extern const struct frame_rules wire_rules;
bool wire_from_host(uint8_t type);
bool wire_from_agent(uint8_t type);

struct wire_field {
    uint8_t tag;
    uint32_t length;
    const uint8_t *data;
};

/*
 * Takes the next field from *data (advanced; *size reduced). 1 if there was one, 0 at the end,
 * -EPROTO if it is cut short or its tag is 0 or not below `tags`.
 */
int wire_field_next(const uint8_t **data, uint32_t *size, uint8_t tags, struct wire_field *field);

/* Appends a field. 0 or -ENOMEM. */
int wire_field_append(struct buf *out, uint8_t tag, const void *data, uint32_t length);

#endif
