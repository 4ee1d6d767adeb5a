/*
 * Mount points of file systems that the host serves: mount, unmount, and who is in the way. May
 * block on the very file systems that are served, so never on a thread that serves them.
 */
#ifndef VMDECK_AGENT_MOUNTPOINT_H
#define VMDECK_AGENT_MOUNTPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An open /dev/fuse, not blocking; waits for its module to be loaded. Or -errno. */
int mountpoint_device(void);

/* Makes what is missing of the directory and mounts the device's file system. 0 or -errno. */
int mountpoint_mount(const char *path, int fuse, bool read_only);

/* How many KiB the kernel reads ahead there; and written pages may wait as on a disk. Asks the file
 * system nothing. */
void mountpoint_tune(const char *path, uint32_t readahead);

/* Unmounts what is in use as well. */
void mountpoint_detach(const char *path);

/*
 * All of ours: their connections are ended, so that nobody waits for an answer any more; they are
 * unmounted, what is in use as well. Neither asks the file systems anything.
 */
void mountpoint_abort_all(void);
void mountpoint_detach_all(void);

/* 0 or -errno; -EBUSY with those who hold it, as a text for the user (may be ""). */
int mountpoint_unmount(const char *path, char *holders, size_t size);

#endif
