/*
 * Descriptors (O_PATH) of nodes, kept for as long as they are used and there is room: a host
 * directory with 100,000 looked-up files must not need 100,000 descriptors. One cache for all
 * mounts of a session. Any thread.
 */
#ifndef VMDECK_VM_VFS_FDCACHE_H
#define VMDECK_VM_VFS_FDCACHE_H

#include <stdbool.h>

#include "base/error.h"
#include "vm/vfs/node.h"

struct fdcache;

/* A descriptor in use. fdcache_release() ends it. */
struct pin {
    int fd;
    int slot; /* -1: ours alone, closed when released; -2: somebody else's */
};

/* Raises RLIMIT_NOFILE to its hard limit and takes at most a quarter of it. */
int fdcache_open(struct fdcache **out, struct error *err);
void fdcache_close(struct fdcache *cache);

/* /proc/self/fd: "N" in it opens descriptor N's file anew. */
int fdcache_proc(const struct fdcache *cache);

bool fdcache_get(struct fdcache *cache, struct node *node, struct pin *pin);

/* Takes fd over. */
void fdcache_put(struct fdcache *cache, struct node *node, int fd, struct pin *pin);

void fdcache_release(struct fdcache *cache, struct pin *pin);

/* The node is about to lose its name: its descriptor stays until the node goes (if it can). */
void fdcache_keep(struct fdcache *cache, const struct pin *pin);

/* The node goes. */
void fdcache_drop(struct fdcache *cache, struct node *node);

#endif
