/*
 * Settings are global because signal handlers must reach them. Killed by SIGKILL nothing can be
 * undone: `reset` helps then. What the fatal path writes is what xterm's heirs share.
 */
#include "tui/outer.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define REPORTS_OFF "\033[?1002l\033[?1006l\033[?2004l\033[?1004l"
#define LEAVE       "\030" REPORTS_OFF "\033[?1049l\033[0 q\033[?25h\033[m"

static struct termios saved;
static volatile sig_atomic_t is_raw;

void outer_restore(void)
{
    if (is_raw) {
        is_raw = 0;
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
    }
}

static void outer_fatal(int signum)
{
    if (is_raw && write(STDOUT_FILENO, LEAVE, sizeof LEAVE - 1) < 0)
        is_raw = 1; /* nothing more can be done about it */
    outer_restore();
    signal(signum, SIG_DFL);
    raise(signum);
}

int outer_raw(struct error *err)
{
    struct termios raw = saved;
    cfmakeraw(&raw);
    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
        return error_system(err, errno, "cannot set the terminal to raw mode");
    return 0;
}

static void outer_locale(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8"); /* what we draw is UTF-8 */
}

static void outer_pump(void *context)
{
    struct outer *outer = context;
    bool had = !outer_idle(outer);
    while (!outer_idle(outer)) {
        ssize_t put =
            watch_write(STDOUT_FILENO, buf_data(&outer->waiting), buf_len(&outer->waiting));
        if (put < 0) {
            outer->gone = true;
            buf_consume(&outer->waiting, buf_len(&outer->waiting));
            break;
        }
        buf_consume(&outer->waiting, (size_t)put);
        if (!outer_idle(outer)) { /* one write for each time that there is room */
            watch_start(outer->writable);
            return;
        }
    }
    watch_stop(outer->writable);
    if (had)
        outer->drained(outer->context);
}

int outer_open(struct outer *outer, uv_loop_t *loop, void (*drained)(void *context), void *context,
               struct error *err)
{
    static const int fatal[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    *outer = (struct outer){.drained = drained, .context = context};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &saved) < 0)
        return error_set(err, ENOTTY, "standard input and output must be a terminal");
    outer_locale();
    int rc = watch_open(&outer->writable, loop, STDOUT_FILENO, UV_WRITABLE, outer_pump, outer, err);
    if (rc == 0)
        rc = outer_raw(err);
    for (size_t i = 0; rc == 0 && i < sizeof fatal / sizeof fatal[0]; i++)
        signal(fatal[i], outer_fatal);
    return rc;
}

void outer_write(struct outer *outer, const void *data, size_t size)
{
    if (outer->gone || size == 0)
        return;
    buf_append(&outer->waiting, data, size);
    watch_start(outer->writable);
}

void outer_size(int *rows, int *cols)
{
    struct winsize size;
    *rows = 24;
    *cols = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        *rows = size.ws_row;
        *cols = size.ws_col;
    }
}

void outer_reports(struct outer *outer, bool mouse, bool on)
{
    static const char all[] = "\033[?1002h\033[?1006h\033[?2004h\033[?1004h";
    static const char no_mouse[] = "\033[?2004h\033[?1004h";
    if (!on)
        outer_write(outer, REPORTS_OFF, sizeof REPORTS_OFF - 1);
    else if (mouse)
        outer_write(outer, all, sizeof all - 1);
    else
        outer_write(outer, no_mouse, sizeof no_mouse - 1);
}

void outer_close(struct outer *outer)
{
    outer_restore();
    watch_close(outer->writable);
    outer->writable = NULL;
    buf_free(&outer->waiting);
}
