/* The kernel's device events (NETLINK_KOBJECT_UEVENT), to wait for a device at boot. */
#ifndef VMDECK_AGENT_UEVENT_H
#define VMDECK_AGENT_UEVENT_H

#define UEVENT_PATIENCE_MS 30000 /* a device that is not there by then is not coming */

/* The descriptor, close-on-exec, or -errno. Open it before anything can make the device appear. */
int uevent_open(void);

/*
 * Blocks until something happened to a device of that subsystem (or events were lost): look
 * again. 0, -ETIMEDOUT, or -errno.
 */
int uevent_wait(int fd, const char *subsystem);

#endif
