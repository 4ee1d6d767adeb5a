/*
 * What changes on the host reaches the guest: inotify(7) on directories that the guest knows, and
 * FUSE's notifications. Any thread, where nothing else is said.
 */
#ifndef VMDECK_VM_VFS_NOTIFY_H
#define VMDECK_VM_VFS_NOTIFY_H

#include <uv.h>

#include "vm/vfs/mount.h"

struct notifier;

/* Loop's thread. Works without inotify too, then nothing is watched. */
int notifier_open(struct notifier **out, uv_loop_t *loop, struct pool *pool, struct error *err);

/* Loop's thread, the pool is closed; notifier_free() once the loop has run. */
void notifier_close(struct notifier *notifier);
void notifier_free(struct notifier *notifier);

/* While paused, changes gather; nothing is sent. Waits for what is being sent. */
void notifier_pause(struct notifier *notifier, bool paused);

/* Watches the directory. False: it cannot be; what is known of it must be short-lived. */
bool notifier_watch(struct notifier *notifier, struct mount *mount, struct node *dir);

/* The node goes (its table is locked). */
void notifier_forget(struct notifier *notifier, struct node *node);

/* The guest is to forget what it knows: of a file (its content too), of a name. */
void notify_inode(struct mount *mount, const struct node *node);
void notify_entry(struct mount *mount, const struct node *dir, const char *name);

/* Looks at all nodes of the mount and reports what is not as it was. Worker's thread. */
void notify_all(struct mount *mount);

#endif
