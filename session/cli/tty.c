/*
 * The saved settings are global because a signal handler must reach them. SIGTSTP and SIGCONT do
 * not come from the keyboard in raw mode; sent from elsewhere they stop us with the terminal put
 * right, and the raw mode is entered again on SIGCONT.
 */
#include "session/cli/tty.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved, raw;
static volatile sig_atomic_t is_raw;

void tty_restore(void)
{
    if (is_raw) {
        is_raw = 0;
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
    }
}

static void tty_fatal(int signum)
{
    tty_restore();
    signal(signum, SIG_DFL);
    raise(signum);
}

void tty_suspend(void)
{
    bool was_raw = is_raw != 0;
    tty_restore();
    raise(SIGSTOP);
    if (was_raw) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
        is_raw = 1;
    }
}

static void tty_stop(int signum)
{
    int code = errno;
    (void)signum;
    tty_suspend();
    errno = code;
}

int tty_raw(struct error *err)
{
    static const int fatal[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return error_system(err, errno, "standard input");
    raw = saved;
    cfmakeraw(&raw);
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        signal(fatal[i], tty_fatal);
    signal(SIGTSTP, tty_stop);
    atexit(tty_restore);
    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
        return error_system(err, errno, "cannot set the terminal to raw mode");
    return 0;
}

void tty_size(uint16_t *rows, uint16_t *columns)
{
    *rows = 24;
    *columns = 80;
    for (int fd = 0; fd <= 2; fd++) {
        struct winsize size;
        if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
            *rows = size.ws_row;
            *columns = size.ws_col;
            return;
        }
    }
}
