/*
 * The session host: one process that owns one VM and everything it can reach. This header is
 * for session/host/ itself; the rest of the program only knows host_main().
 */
#ifndef VMDECK_SESSION_HOST_HOST_H
#define VMDECK_SESSION_HOST_HOST_H

#include <uv.h>

#include "base/error.h"
#include "session/protocol/config.h"
#include "session/protocol/spare.h"
#include "vm/accel.h"
#include "vm/guest.h"
#include "vm/image/image.h"
#include "vm/qemu.h"
#include "vm/template.h"

#define HOST_ID_SIZE 9

enum host_state { HOST_WAITING, HOST_STARTING, HOST_RUNNING, HOST_STOPPING, HOST_ENDED };

struct network;
struct files;
struct peer;
struct record;
struct terminal;

struct host {
    uv_loop_t loop;
    enum host_state state;
    char id[HOST_ID_SIZE];
    struct session_config config;
    struct image image;
    int image_hold;
    struct accel accel;
    char *directory; /* of this session: overlay, lock */
    int lock;        /* held while we live: whoever can take it may clean up */
    char *socket_path;
    uv_poll_t listener;
    int listener_fd;
    struct vm *vm; /* see vm.c */
    struct qemu *qemu;
    struct guest *guest;
    struct network *network; /* see network.c */
    struct strv notes;       /* for the user who started it; one line each */
    struct files *files;     /* NULL: no mounts; see files.c */
    uv_timer_t start_timer, stop_timer, finish;
    uv_signal_t sigterm;
    bool show_console;   /* the guest's last words may say more than the reason */
    struct error reason; /* why the session ended; code 0: it was asked to */
    struct peer *peers;
    struct peer *starter;  /* waits for the answer to "start" */
    struct record *record; /* registry and event log; NULL: not in them yet, or no more */
    uint64_t ready_at;     /* uv_hrtime() when the guest was ready; 0: it is not */
    uint32_t start_id;
    struct terminal *terminals;
    unsigned terminal_ids;   /* the last one given */
    uint64_t terminal_uses;  /* counts attachments: which terminal was used last */
    bool revive;             /* a suspended session is taken up again under its id */
    bool suspended;          /* its files stay when the host ends */
    bool paused;             /* by the user */
    bool spare, spare_waits; /* see spare.h: not a session yet; and may be claimed */
    char spare_shape[SPARE_SHAPE_SIZE];
    uv_timer_t top_up; /* when spares are started */
    bool top_up_due;
    struct saving *saving;   /* the snapshot that is being taken; see snapshot.c */
    uv_timer_t last_words;   /* for viewers of a session that is over */
    bool over;               /* its main command has ended */
    unsigned terminal_count; /* terminals whose command runs */
};

/* Runs a session host on the connection `fd`; returns the process's exit status. */
int host_main(int fd);

/*
 * The main terminal's command runs (status 0) or cannot be run: then status is what a shell would
 * exit with, and *why says it for the user.
 */
void host_main_started(struct host *host, int status, const struct error *why);

/* A line for whoever starts the session, with the answer. */
void host_note(struct host *host, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Begins the session; the answer goes to host->starter, sooner or later. */
void host_start(struct host *host);

/*
 * The orderly end that was asked for: the guest's processes get SIGTERM and a moment, then the VM
 * ends. Where the guest is not there, or does not do it in time, it is host_stop().
 */
void host_shutdown(struct host *host);

/* The end goes on, which waited for something. */
void host_finish_soon(struct host *host);

/* Nobody wants the session any more, and nothing of it is kept: the shortest end. */
void host_discard(struct host *host);

/* Ends the session: VM, files, connections. `why` may be NULL: it was asked for. */
void host_stop(struct host *host, const struct error *why);

#endif
