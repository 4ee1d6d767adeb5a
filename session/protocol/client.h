/*
 * The client's side of the control protocol: what the CLI's verbs and the dashboard use to talk
 * to a session host. Everything on the loop's thread. Callbacks come from the loop, not from within
 * a call, but for `done` of a request to a host that has gone. client_close() is allowed in them.
 */
#ifndef VMDECK_SESSION_PROTOCOL_CLIENT_H
#define VMDECK_SESSION_PROTOCOL_CLIENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <uv.h>

#include "base/error.h"
#include "base/str.h"

struct client;
struct client_command;

struct client_events {
    void (*event)(void *context, const char *name, const cJSON *event);
    /* The host has gone. Requests and commands that waited have been told first. */
    void (*ended)(void *context, const struct error *why);
};

/* A reply: the object, or NULL with *why set. Called once per request. */
typedef void client_done(void *context, const cJSON *reply, const struct error *why);

/* On a connected socket (taken over, also on failure); says hello. */
int client_open(struct client **out, uv_loop_t *loop, int fd, const struct client_events *events,
                void *context, struct error *err);

/* Connects to the socket of the session with this id (exact). -ENOENT: there is none. */
int client_connect(struct client **out, uv_loop_t *loop, const char *id,
                   const struct client_events *events, void *context, struct error *err);

/* Sends a request; "id" is added. `request` is taken over; `done` may be NULL. */
void client_request(struct client *client, const char *name, cJSON *request, client_done *done,
                    void *context);

struct client_exec {
    const struct strv *argv, *env; /* env may be NULL */
    const char *cwd, *user;        /* NULL: the guest's default */
    bool tty;
    uint16_t rows, columns;
    bool no_stdin;
};

struct client_command_events {
    void (*started)(void *context, uint32_t pid); /* in the guest */
    /*
     * Could not be started. The message is for the user; status is what a shell would exit with:
     * 127 not found, 126 not runnable, 125 vmdeck itself failed. The end.
     */
    void (*failed)(void *context, const struct error *why, int status);
    void (*output)(void *context, unsigned channel, const uint8_t *data, uint32_t size, bool last);
    void (*accepted)(void *context, uint32_t bytes); /* so much more input may be sent */
    void (*exited)(void *context, uint32_t code, uint32_t signal); /* the end */
    /* Only after client_attach(), and NULL where it is of no interest: */
    void (*detached)(void *context); /* the end */
    void (*painted)(void *context);  /* screen and scrollback have come; what follows is live */
    void (*skipped)(void *context);  /* output was dropped, the screen is drawn anew instead */
};

/*
 * Runs a command in the session's VM. Input may be sent at once, up to CONTROL_WINDOW bytes. If
 * the host goes away, failed() is called with status 125.
 */
int client_exec(struct client *client, const struct client_exec *exec,
                const struct client_command_events *events, void *context,
                struct client_command **out, struct error *err);

struct client_attach {
    unsigned terminal; /* 0: the one last used */
    uint16_t rows, columns;
    bool read_only;
    bool preview;    /* no scrollback, and the terminal's size does not depend on it */
    unsigned colors; /* 0 none, 1 the 256 of xterm, 2 true colour */
    bool strings;    /* the terminal understands OSC */
    bool empty;      /* it shows nothing that would have to be scrolled off first */
};

/*
 * Shows a terminal of the session: its screen and scrollback come as output (stdout), then the
 * live stream. `started` is called when it is attached (pid 0), `exited` when its command ends,
 * `detached` after client_detach(); then the command is gone.
 */
int client_attach(struct client *client, const struct client_attach *attach,
                  const struct client_command_events *events, void *context,
                  struct client_command **out, struct error *err);

/* Asks to be let go: what is needed to give the terminal back comes as output, then `detached`. */
void client_detach(struct client_command *command);

/* -ENOBUFS beyond the credit, -EPIPE after `last`. At most CONTROL_DATA_MAX bytes. */
int client_input(struct client_command *command, const void *data, uint32_t size, bool last);
uint32_t client_input_room(const struct client_command *command);

/* The owner got rid of `bytes` of output. */
void client_consumed(struct client_command *command, unsigned channel, uint32_t bytes);
void client_signal(struct client_command *command, int signal);
void client_resize(struct client_command *command, uint16_t rows, uint16_t columns);

/* Who is told from now on, instead of who it was opened for. */
void client_listen(struct client *client, const struct client_events *events, void *context);

void client_close(struct client *client); /* no callbacks any more; NULL is fine */

#endif
