/*
 * The slave is opened by TIOCGPTPEER, not by name: it works wherever devpts is mounted. The line
 * discipline is left at the kernel's defaults (which are stty's "sane") but for IUTF8, without
 * which erase takes a byte of a character.
 */
#include "agent/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

int pty_resize(int master, uint16_t rows, uint16_t columns)
{
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return ioctl(master, TIOCSWINSZ, &size) != 0 ? -errno : 0;
}

static int set_up(int master, uint16_t rows, uint16_t columns, uid_t owner, int *slave)
{
    int unlocked = 0;
    struct termios line;
    if (ioctl(master, TIOCSPTLCK, &unlocked) != 0)
        return -errno;
    *slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*slave < 0)
        return -errno;
    if (owner != geteuid() && fchown(*slave, owner, (gid_t)-1) != 0)
        return -errno;
    if (tcgetattr(*slave, &line) != 0)
        return -errno;
    line.c_iflag |= IUTF8;
    if (tcsetattr(*slave, TCSANOW, &line) != 0)
        return -errno;
    return pty_resize(master, rows, columns);
}

int pty_open(uint16_t rows, uint16_t columns, uid_t owner, int *master, int *slave)
{
    *slave = -1;
    *master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (*master < 0)
        return -errno;
    int rc = set_up(*master, rows, columns, owner, slave);
    if (rc < 0) {
        if (*slave >= 0)
            close(*slave);
        close(*master);
        *master = *slave = -1;
    }
    return rc;
}

pid_t pty_foreground(int master)
{
    pid_t group = 0;
    return ioctl(master, TIOCGPGRP, &group) != 0 ? -errno : group;
}

uint8_t pty_eof_character(int master)
{
    struct termios line;
    return tcgetattr(master, &line) == 0 ? line.c_cc[VEOF] : 4;
}
