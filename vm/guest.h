/*
 * The host's end of agent/wire.h: the handshake with the agent, and commands in the guest.
 * Everything on the loop's thread. What the agent sends is hostile: a frame that breaks the
 * protocol (or the credit) ends the conversation through `ended` with EPROTO.
 */
#ifndef VMDECK_VM_GUEST_H
#define VMDECK_VM_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "agent/wire.h"
#include "base/error.h"
#include "base/str.h"

struct guest;
struct guest_command;

struct guest_events {
    void (*ready)(void *context); /* hello and configure are done: commands may start */
    void (*ended)(void *context, const struct error *why); /* then only guest_close() is left */
    /* The guest's relay of file systems has ended, and all mounts with it. 0: another one waits for
     * a HELLO; else an errno. May be NULL. */
    void (*relay)(void *context, uint32_t code);
};

struct guest_settings {
    const char *hostname;
    const struct strv *env; /* NAME=VALUE, for every command */
    const char *trust;      /* PEM of a certificate authority for its trust store; NULL: none */
    bool offline;           /* it has no network */
    bool restored;          /* from a snapshot: its TCP connections are to be reset */
    /*
     * The agent is known to be there (a fork): it is configured without waiting for its hello. A
     * guest that boots would get a clock that is late by as much as it takes.
     */
    bool eager;
    /*
     * Nothing of a session is told to it beyond these settings, not even the time: `ready` comes
     * when it has nothing left to do. What a template is made of.
     */
    bool bare;
};

/* Takes fd (the port's host end) over. The settings are copied. */
int guest_open(struct guest **out, uv_loop_t *loop, int fd, const struct guest_settings *settings,
               const struct guest_events *events, void *context, struct error *err);

/*
 * A guest that was opened bare, and stands still, becomes that of a session: `ready` comes again.
 */
int guest_configure_again(struct guest *guest, const struct guest_settings *settings,
                          struct error *err);

struct guest_spawn {
    const struct strv *argv, *env; /* env may be NULL */
    const char *cwd, *user;        /* NULL: the agent's default */
    bool tty;
    uint16_t rows, columns;
    bool no_stdin;
};

/* Those that are of no interest are NULL; output that nobody takes is dropped. */
struct guest_command_events {
    void (*spawned)(void *context, uint32_t pid);
    /* Could not be started: errno of the guest, the stage, the agent's words. The end. */
    void (*failed)(void *context, uint32_t code, enum wire_stage stage, const char *text);
    /* Output, within the credit that was given. `last`: this channel has ended. */
    void (*output)(void *context, unsigned channel, const uint8_t *data, uint32_t size, bool last);
    /* The guest took `bytes` of input: that much more may be sent. */
    void (*accepted)(void *context, uint32_t bytes);
    void (*exited)(void *context, uint32_t code, uint32_t signal); /* the end */
};

/*
 * Starts a command. Input may be sent at once, up to WIRE_WINDOW bytes. -EMSGSIZE if it is larger
 * than a frame may be, -EAGAIN beyond WIRE_STREAMS_MAX. After failed or exited (or the guest's
 * `ended`) the command is gone and must not be used.
 */
int guest_spawn(struct guest *guest, const struct guest_spawn *spawn,
                const struct guest_command_events *events, void *context,
                struct guest_command **out, struct error *err);

/* -ENOBUFS (nothing sent) beyond the credit, -EPIPE after `last`. size at most WIRE_DATA_MAX. */
int guest_input(struct guest_command *command, const void *data, uint32_t size, bool last);

/* The owner got rid of `bytes` of output of this channel. */
void guest_consumed(struct guest_command *command, unsigned channel, uint32_t bytes);

void guest_resize(struct guest_command *command, uint16_t rows, uint16_t columns);
void guest_signal(struct guest_command *command, uint32_t signal);

/* Nobody wants it any more: it is ended in the guest; no callback comes. */
void guest_abandon(struct guest_command *command);

/*
 * Stands still: `quiet` comes when no byte is on its way between the guest and us (code 0, or the
 * guest's errno of freezing its root file system). Until guest_resume() the guest sends nothing,
 * and what is sent to it here waits. Once at a time.
 */
void guest_quiesce(struct guest *guest, bool freeze, void (*quiet)(void *context, uint32_t code),
                   void *context);
void guest_resume(struct guest *guest);

/* The VM stood still: its clock is set to ours again, forwards only. */
void guest_clock(struct guest *guest);

/*
 * A command as the guest knows it while it stands still, for guest_adopt() on the restored VM: what
 * waits to be sent is not in it.
 */
struct guest_command_state {
    uint32_t stream;
    uint32_t input_credit, output_credit[WIRE_CHANNELS];
    bool ended[WIRE_CHANNELS];
};
void guest_each_command(const struct guest *guest,
                        void (*each)(void *context, const struct guest_command *command),
                        void *context);
void guest_command_state(const struct guest_command *command, struct guest_command_state *out);

/*
 * Takes up a command of the VM that was saved: before the loop runs again after guest_open(). The
 * guest is given what its outputs lack of a full window. All of them must be taken up (and those
 * that nobody wants abandoned), or their ids would be given twice. -EINVAL for a state that cannot
 * be.
 */
int guest_adopt(struct guest *guest, const struct guest_command_state *state,
                const struct guest_command_events *events, void *context,
                struct guest_command **out, struct error *err);

/* One of the guest's TCP connections. */
struct guest_socket {
    uint16_t local_port, remote_port;
    uint8_t remote_address[4];
};

/*
 * Asks which process has the connection: `pid` 0 and an empty name if the agent does not find it.
 * The name is printable ASCII, and the guest's word. -EAGAIN (nothing comes) while the guest is not
 * ready or stands still, and beyond GUEST_LOOKUPS_MAX at once. No answer comes after guest_close().
 */
#define GUEST_LOOKUPS_MAX 64
typedef void guest_owner_found(void *context, uint32_t tag, uint32_t pid, const char *name);
int guest_find_owner(struct guest *guest, const struct guest_socket *socket,
                     guest_owner_found *found, void *context, uint32_t tag);

/* Asks the guest to end its processes, sync and power off. QEMU's end is the answer. */
void guest_shutdown(struct guest *guest);

/* Forgets the commands. Not from within a callback. NULL is fine. */
void guest_close(struct guest *guest);

#endif
