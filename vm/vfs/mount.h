/*
 * One mount: its node table, its open files, its providers, its FUSE connection. The workers run
 * its requests side by side: FUSE's own rules order what has to be ordered (the kernel holds an
 * inode's lock over what must not overlap, and releases a file after its last request), and
 * everything here is counted, so that a guest that breaks those rules only hurts itself.
 */
#ifndef VMDECK_VM_VFS_MOUNT_H
#define VMDECK_VM_VFS_MOUNT_H

#include <stdatomic.h>

#include "vm/vfs/fdcache.h"
#include "vm/vfs/hook.h"
#include "vm/vfs/port.h"
#include "vm/vfs/provider.h"

#define HANDLES_MAX 16384u /* open files of one mount; ENFILE beyond */

/* How long the guest's kernel may believe what it was told, in seconds. */
#define VALID_WATCHED  60u        /* changes are reported; this is for what no report can tell */
#define VALID_NEGATIVE 10u        /* a name that is not there, in a watched directory */
#define VALID_SHORT_NS 100000000u /* where changes cannot be watched: 0.1 s */

struct notifier;
struct mount;

/* Called on workers. */
struct mount_events {
    void (*ended)(void *context, struct mount *mount); /* by mount_end() */
};

struct mount {
    atomic_uint uses;
    uint32_t id;
    struct mount *next; /* vfs.c's list */
    char *guest;        /* path in the guest, without a slash at its end ("" for the root) */
    char *host;         /* NULL: memory */
    bool read_only;
    bool mounted;     /* the agent has said so */
    bool leaving;     /* it was asked to unmount it; under vfs.c's lock */
    atomic_bool dead; /* ended: nothing is sent for it any more */
    struct nodes nodes;
    struct provider *fs[FS_COUNT]; /* FS_PRIVATE: NULL without hooks that need it */
    const struct hooks *hooks;
    pthread_mutex_t lock; /* of the handles */
    struct slots handles;
    struct inbound *queued; /* requests that no worker has begun; under `lock` too */
    atomic_uint greeted;    /* protocol minor version; 0: no INIT yet */
    atomic_ulong changes;   /* counts what the host changed */
    struct fdcache *cache;
    struct notifier *notifier;
    struct port *port;
    const struct mount_events *events;
    void *context;
};

struct mount_config {
    uint32_t id;
    const char *guest, *host;
    bool read_only;
    uint64_t memory; /* bytes */
    uint32_t uid, gid;
    const struct hooks *hooks;
    struct fdcache *cache;
    struct notifier *notifier;
    struct port *port;
    bool missing; /* a host directory that cannot be opened is served as EIO */
    const struct mount_events *events;
    void *context;
};

int mount_open(struct mount **out, const struct mount_config *config, struct error *err);
bool mount_use(struct mount *mount); /* false: it is being freed */
void mount_put(struct mount *mount); /* the last one frees it */

/* A REQUEST frame. Runs on a worker; takes the frame and one use of the mount over. */
void fuse_request(struct job *job);

/* Whether it takes about as long as handing it to a worker does. */
bool fuse_quick(struct mount *mount, const struct inbound *frame);

/* Loop's thread: INTERRUPT must not wait behind what it interrupts. True: it was one. */
bool fuse_interrupt(struct mount *mount, const struct inbound *frame);
void fuse_queued(struct mount *mount, struct inbound *frame);

/* All that the guest's kernel knew is forgotten, as another connection is to come. Nothing is being
 * worked on. */
void mount_reset(struct mount *mount);

/* The connection ends: the agent is told, and no more requests are answered. */
void mount_end(struct mount *mount);

/*
 * Handles. handle_new() and a get are uses, ended by handle_put(); handle_add() is one more, the
 * guest's, which may end it at any moment: it can guess the id.
 */
struct handle *handle_new(struct node *node, uint32_t flags, bool directory); /* takes the use */
int handle_add(struct mount *mount, struct handle *handle);
struct handle *handle_get(struct mount *mount, uint64_t id);
void handle_put(struct mount *mount, struct handle *handle);
void handle_release(struct mount *mount, uint64_t id);

/* Saved state. */
int mount_save(struct mount *mount, FILE *out);
int mount_load(struct mount *mount, FILE *in, struct error *err);

#endif
