/*
 * A read-only root has nothing to be written out. Only the guest's PID 1 may do this: anywhere
 * else "/" would be the file system of somebody who did not ask for it.
 */
#include "agent/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int freeze_do(int request)
{
    int fd = getpid() == 1 ? open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return getpid() == 1 ? -errno : -EPERM;
    int rc = ioctl(fd, (unsigned long)request, 0) != 0 ? -errno : 0;
    close(fd);
    return rc == -EROFS || rc == -EBUSY ? 0 : rc; /* nothing to write; frozen already */
}

int freeze_root(void)
{
    return freeze_do((int)FIFREEZE);
}

void freeze_end(void)
{
    freeze_do((int)FITHAW);
}
