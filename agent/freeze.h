/* The root file system written out and held still, for a copy of the disk that is whole. */
#ifndef VMDECK_AGENT_FREEZE_H
#define VMDECK_AGENT_FREEZE_H

/*
 * FIFREEZE of "/" (ioctl_fsfreeze, linux/fs.h): who wants to change it waits until freeze_end().
 * 0 or -errno; -EPERM in every process that is not PID 1.
 */
int freeze_root(void);
void freeze_end(void);

#endif
