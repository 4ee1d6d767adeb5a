/* A server of file systems and a guest, as the tests of mounts use them. One thread. */
#ifndef VMDECK_TESTS_VFS_SESSION_H
#define VMDECK_TESTS_VFS_SESSION_H

#include "vfs_guest.h"
#include "vm/vfs/vfs.h"

struct session {
    uv_loop_t loop;
    struct vfs *vfs;
    struct guest *guest;
    char directory[64]; /* temporary; the guest's root is in it as "g" */
    int ready, mounted, unmounted, paused, failed, denied;
    struct error error; /* of the last mounted, unmounted or failed */
    char path[256];     /* of the last denied */
};

/* With these shadow patterns (relative to the guest's root, NULL at the end; or NULL). */
void session_start(struct session *session, const char *const *shadows);
void session_stop(struct session *session);

/* The server ends and another takes the guest over, with or without a state. */
void session_restart(struct session *session, const char *const *shadows, FILE *state);

/* Runs the loop until the counter has reached the value. Fails the test after a minute. */
void session_wait(struct session *session, const int *counter, int value);

/* A path below the guest's root, or below the temporary directory. Both are overwritten after
 * eight more calls. */
const char *session_guest(const struct session *session, const char *name);
const char *session_host(const struct session *session, const char *name);

/* Makes the host directory (NULL: memory) and mounts it; 0 or the guest's errno. */
int session_mount(struct session *session, const char *host, const char *guest, bool read_only);

/* Runs a program, in its own process; its exit status. */
int session_run(const char *const *argv);

#endif
