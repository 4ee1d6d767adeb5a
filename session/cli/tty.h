/* The user's terminal: raw mode that is always undone, and its size. */
#ifndef VMDECK_SESSION_CLI_TTY_H
#define VMDECK_SESSION_CLI_TTY_H

#include <stdint.h>

#include "base/error.h"

/* Raw mode on standard input's terminal (cfmakeraw). Undone by tty_restore(), exit() or a fatal
 * signal. -ENOTTY where standard input is no terminal. */
int tty_raw(struct error *err);
void tty_restore(void); /* async-signal-safe; nothing happens unless raw */

/* Stops this process as SIGTSTP would, the terminal put right meanwhile; raw again afterwards. */
void tty_suspend(void);

/* Size of the terminal on standard input, output or error; 24×80 where there is none. */
void tty_size(uint16_t *rows, uint16_t *columns);

#endif
