/*
 * The session's terminals: commands on a pty of the guest whose screen and scrollback live here,
 * whether anybody looks or not. Part of the session host; everything on its loop.
 */
#ifndef VMDECK_SESSION_HOST_TERMINALS_H
#define VMDECK_SESSION_HOST_TERMINALS_H

#include <cjson/cJSON.h>

#include "session/host/peer.h"
#include "session/term/term.h"
#include "vm/guest.h"
#include "vm/snapfile.h"

#define TERMINALS_MAX 64

struct viewer;

struct terminal {
    struct terminal *next;
    struct host *host;
    unsigned id;   /* from 1, never used again */
    uint64_t used; /* order of last use: "attach" without a number takes the newest */
    struct term *term;
    struct guest_command *command; /* NULL: ended */
    cJSON *end;                    /* how it ended, for one who attaches a moment too late */
    struct strv argv;              /* what runs in it */
    struct strv env;
    char *cwd;
    bool shell; /* nobody said what to run: bash, or sh where there is no bash */
    bool main;  /* the session ends with it, unless it is to be kept */
    bool started;
    uint64_t written, bells; /* what its programs have sent so far */
    struct buf input;        /* for the guest, beyond its credit */
    uint32_t room;           /* the guest's credit */
    struct viewer *viewers;
    uv_timer_t redraw; /* for viewers of another size */
};

struct terminal_options {
    const struct strv *argv; /* empty: a shell */
    const struct strv *env;
    const char *cwd; /* NULL: the guest's default */
    uint16_t rows, columns;
    bool main;
};

/* Starts a command on a new terminal. */
int terminal_open(struct host *host, const struct terminal_options *options, struct terminal **out,
                  struct error *err);

/* A terminal as a snapshot keeps it. All belongs to the caller. */
struct terminal_saved {
    unsigned id;
    uint64_t used;
    const struct strv *argv, *env;
    const char *cwd;
    bool shell, main;
    const struct guest_command_state *stream;
    const void *screen; /* of session/term/save.h */
    size_t screen_size;
};

/* Takes it up in the VM that is being restored, before the loop runs again after guest_open(). */
int terminal_resume(struct host *host, const struct terminal_saved *saved, struct error *err);

/* All terminals of a snapshot; the commands of its clients are ended. Times as terminal_resume. */
int terminals_resume(struct host *host, const cJSON *manifest, const struct snapfile *file,
                     struct error *err);

/* The resumed terminal that a session goes on in, as its main one; NULL: it has none. */
struct terminal *terminal_take_main(struct host *host);

struct terminal *terminal_find(struct host *host, unsigned id); /* 0: the one last used */

/* Bytes for the guest, as if typed. */
void terminal_input(struct terminal *terminal, const void *data, size_t size);

/* Viewers of another size are redrawn in a moment. */
void terminal_redraw_later(struct terminal *terminal);

/* Gives the terminal the size of its smallest viewer. */
void terminal_fit(struct terminal *terminal);

/* After a viewer's last words: ends the session where it was waiting only for those. */
void terminal_check_over(struct host *host);

void terminals_close(struct host *host);

/* Requests: see vmdeck-protocol(7). */
int terminal_request_open(struct peer *peer, const cJSON *request, struct error *err);
int terminal_request_list(struct peer *peer, const cJSON *request, struct error *err);

#endif
