/* Pseudoterminals (pty(7)). 0 or -errno. */
#ifndef VMDECK_AGENT_PTY_H
#define VMDECK_AGENT_PTY_H

#include <stdint.h>
#include <sys/types.h>

/*
 * A new terminal of that size which belongs to `owner`. Both descriptors are close-on-exec, the
 * master is non-blocking.
 */
int pty_open(uint16_t rows, uint16_t columns, uid_t owner, int *master, int *slave);

/* The kernel tells the foreground process group by SIGWINCH. */
int pty_resize(int master, uint16_t rows, uint16_t columns);

/* The terminal's foreground process group, or -errno. */
pid_t pty_foreground(int master);

/* The character that means end of file at the start of a line. */
uint8_t pty_eof_character(int master);

#endif
