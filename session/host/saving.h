/* A snapshot that is being taken: between snapshot.c, which does it, and saving.c, which says what
 * the session is made of. */
#ifndef VMDECK_SESSION_HOST_SAVING_H
#define VMDECK_SESSION_HOST_SAVING_H

#include "session/host/peer.h"
#include "session/store/snapshots.h"
#include "vm/memory.h"
#include "vm/snapfile.h"

enum save_purpose { SAVE_SNAPSHOT, SAVE_SUSPEND, SAVE_FORK };

struct saving {
    struct host *host;
    struct peer *peer; /* who asked; NULL: gone */
    uint32_t request;
    enum save_purpose purpose;
    char *path, *name;
    bool disk_only, keep_running;
    uv_timer_t timeout;
    uv_work_t work;
    bool working; /* a worker thread has it */
    volatile int cancel;
    struct error error, capture_error;

    bool still, stopped;            /* the agent; the VM */
    bool agent_quiet;               /* it has said so */
    bool devices_left, memory_left; /* still to be saved while it is stopped */
    uint64_t stopped_at, stood_ns;  /* uv_hrtime() */
    struct snapfile_writer *writer;
    struct forking *forking; /* the new session of SAVE_FORK is being started */
    bool over;               /* answers of QEMU that still come are nobody's */
    struct memory_copy *memory;
    struct buf terminals;
    cJSON *manifest;

    /* For the worker threads, which do not look at the host. */
    pid_t qemu;
    int ram;
    uint64_t memory_size, disk_size;
    const char *directory;
    char *rootfs, *state;
    char *files;        /* where the mounts' state goes */
    struct strv layers; /* of the disk, from the bottom to the top */
    struct snapshot_record row;
    char id[SNAPSHOT_ID_SIZE];
};

/*
 * The manifest of the session as it stands, its terminals appended to saving->terminals; NULL with
 * *err set where that is not possible.
 */
cJSON *saving_manifest(struct saving *saving, struct error *err);

#endif
