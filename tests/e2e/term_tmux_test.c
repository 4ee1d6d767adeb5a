/*
 * Differential test: what a pane of tmux shows after a stream is what our terminal shows, cell by
 * cell: text, colours, attributes. Streams are the recorded ones (tests/data/term) up to several
 * moments, and sequences on which terminals are known to disagree. Where tmux and xterm differ
 * and we follow xterm, the row says so.
 *
 * The server is private (its socket is in a directory of its own) and ends with the test. The
 * program in the pane is this one: it writes the stream, asks for the status behind it, and says
 * by `tmux wait-for` that the answer came, so that nothing waits for time to pass.
 */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "term_dump.h"

#define ROWS 24
#define COLS 80

static char directory[] = "/tmp/vmdeck-tmux-XXXXXX";

/* In the pane: writes the file, waits until tmux has read it, signals, waits for its end. */
static int pane(const char *path, const char *event)
{
    struct termios raw;
    CLEAN_BUF struct buf data = {0};
    if (path_read(path, 1 << 20, &data, NULL) != 0 || tcgetattr(0, &raw) != 0)
        return 1;
    cfmakeraw(&raw);
    tcsetattr(0, TCSANOW, &raw);
    int wanted = 1;
    const char *text = buf_string(&data);
    for (size_t i = 0; i + 4 <= buf_len(&data); i++)
        wanted += memcmp(text + i, "\033[5n", 4) == 0;
    buf_append(&data, "\030\033[5n", 5);
    /* tmux answers while we write: both ways at once */
    fcntl(1, F_SETFL, O_NONBLOCK);
    CLEAN_BUF struct buf answers = {0};
    while (wanted > 0) {
        struct pollfd fds[2] = {{.fd = 0, .events = POLLIN},
                                {.fd = 1, .events = buf_len(&data) > 0 ? POLLOUT : 0}};
        if (poll(fds, 2, -1) < 0)
            return 1;
        if (fds[1].revents != 0) {
            ssize_t wrote = write(1, buf_data(&data), buf_len(&data));
            if (wrote > 0)
                buf_consume(&data, (size_t)wrote);
        }
        if (fds[0].revents != 0) {
            char bytes[4096];
            ssize_t got = read(0, bytes, sizeof bytes);
            if (got <= 0 || buf_append(&answers, bytes, (size_t)got) != 0)
                return 1;
            const char *at;
            while ((at = strstr(buf_string(&answers), "\033[0n")) != NULL) {
                wanted--;
                buf_consume(&answers, (size_t)(at - buf_string(&answers)) + 4);
            }
        }
    }
    char command[256];
    snprintf(command, sizeof command, "tmux wait-for -S %s", event);
    if (system(command) != 0)
        return 1;
    for (;;)
        pause();
}

/* Runs a tmux command, which it frees, on our server; its output. */
static void tmux(struct buf *out, char *arguments)
{
    CLEAN_FREE char *command = str_printf("tmux -u -f /dev/null -S %s/socket %s", directory,
                                          arguments != NULL ? arguments : "");
    free(arguments);
    assert_non_null(command);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char bytes[4096];
    size_t got;
    while ((got = fread(bytes, 1, sizeof bytes, pipe)) > 0)
        if (out != NULL)
            buf_append(out, bytes, got);
    int status = pclose(pipe);
    if (status != 0)
        fail_msg("%s: status %d (is tmux installed?)", command, status);
}

static struct term *make(void)
{
    struct term_options options = {.rows = ROWS, .cols = COLS, .history = 100};
    struct term *term = NULL;
    assert_int_equal(term_new(&term, &options, NULL), 0);
    return term;
}

/* What tmux shows after the stream, as a terminal of ours that was fed its capture. */
static struct term *capture(const uint8_t *data, size_t size)
{
    static int number;
    char path[4096], self[4096];
    struct error err;
    snprintf(path, sizeof path, "%s/stream%d", directory, ++number);
    if (path_write(path, 0600, data, size, &err) != 0)
        fail_msg("%s", err.message);
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_in_range(length, 1, sizeof self - 1);
    self[length] = '\0';
    tmux(NULL, str_printf("new-window -d -t :%d '%s pane %s done%d'", number, self, path, number));
    tmux(NULL, str_printf("wait-for done%d", number));
    CLEAN_BUF struct buf text = {0};
    tmux(&text, str_printf("capture-pane -epN -t :%d", number));
    tmux(NULL, str_printf("kill-window -t :%d", number));
    struct term *term = make();
    term_write(term, "\033)0", 3); /* line drawing is captured as such */
    const char *line = buf_string(&text);
    for (int row = 1; row <= ROWS && *line != '\0'; row++) {
        char jump[32];
        int count = snprintf(jump, sizeof jump, "\033[%d;1H", row);
        size_t width = strcspn(line, "\n");
        term_write(term, jump, (size_t)count);
        term_write(term, line, width);
        line += width + (line[width] == '\n');
    }
    return term;
}

static bool blank(const struct cell *cell)
{
    return cell->glyph == 0 || cell->glyph == ' ';
}

/* The first row in which they differ, -1 for none. */
static int difference(const struct term *ours, const struct term *theirs)
{
    for (int row = 0; row < ROWS; row++) {
        int length[2];
        bool wrapped;
        const struct cell *a = term_line(ours, row, &length[0], &wrapped);
        const struct cell *b = term_line(theirs, row, &length[1], &wrapped);
        for (int col = 0; col < COLS; col++) {
            bool captured = b[col].glyph != 0 || (b[col].attrs & CELL_TAIL) != 0;
            if (blank(&a[col]) && blank(&b[col]) && (a[col].attrs & CELL_TAIL) == 0 &&
                (!captured || a[col].bg == b[col].bg)) /* tmux leaves erased cells at the end out */
                continue;
            struct cell unlinked[2] = {a[col], b[col]};
            unlinked[0].link = unlinked[1].link = 0; /* tmux 3.3 has none */
            if (!dump_same_cell(ours, &unlinked[0], theirs, &unlinked[1]))
                return row;
        }
    }
    return -1;
}

static void compare(const char *name, size_t at, const uint8_t *data, size_t size, bool same)
{
    struct term *ours = make();
    term_write(ours, data, size);
    term_write(ours, "\030", 1);
    struct term *theirs = capture(data, size);
    int row = difference(ours, theirs);
    if (same && row >= 0) {
        struct buf lines = {0};
        dump_line(ours, row, true, &lines);
        dump_line(theirs, row, true, &lines);
        print_message("%s", buf_string(&lines));
        fail_msg("%s at %zu: row %d", name, at, row);
    }
    if (!same && row < 0)
        fail_msg("%s: listed as a difference, and is none", name);
    term_free(ours);
    term_free(theirs);
}

static void recorded(void **state)
{
    static const char *const streams[] = {"apps", "bash", "dialog", "htop",     "less", "ls",
                                          "tmux", "top",  "vim",    "vim_tiny", "wide"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        CLEAN_BUF struct buf data = {0};
        char path[4096];
        struct error err;
        snprintf(path, sizeof path, "%s/%s", TERM_DATA, streams[i]);
        if (path_read(path, 1 << 20, &data, &err) != 0)
            fail_msg("%s", err.message);
        size_t size = buf_len(&data);
        for (size_t part = 1; part <= 4; part++) { /* up to an escape, so that nothing is cut */
            size_t at = size * part / 4;
            while (at < size && buf_data(&data)[at] != '\033')
                at++;
            compare(streams[i], at, buf_data(&data), at, true);
        }
    }
}

static const struct {
    const char *name, *input;
    const char *reason; /* why we differ, NULL if we must not */
} cases[] = {
    {"wrap", "\033[1;79Habcd", NULL},
    {"pending wrap and return", "\033[1;80Ha\rb", NULL},
    {"pending wrap and a pen", "\033[1;80Ha\033[1mb", NULL},
    {"no autowrap", "\033[?7l\033[1;78Habcdef", NULL},
    {"combining", "e\314\201a\314\212\314\243 \346\227\245\314\201x", NULL},
    {"wide at the margin", "\033[1;80H\346\227\245x", NULL},
    {"wide cut", "a\346\227\245\346\234\254\033[1;3Hx\033[2;1H\346\227\245\346\234\254\033[2;3Hy",
     NULL},
    {"wide cut in the first column", "\346\227\245\346\234\254\033[1;2Hx",
     "tmux 3.3 leaves the first half"},
    {"line drawing", "\033(0lqqk\033(B\033)0\016x\017x", NULL},
    {"erase with a background", "\033[44mabc\033[1;2H\033[K\033[2;1Habc\r\033[X\033[0m", NULL},
    {"insert, delete characters", "abcdef\033[1;3H\033[2@\033[2;1Habcdef\033[2;2H\033[3P", NULL},
    {"insert, delete lines", "a\r\nb\r\nc\r\nd\033[2;1H\033[2L\033[1;1H\033[M", NULL},
    {"margins", "\033[3;6r\033[6;1Ha\r\nb\r\nc\033[3;1H\033Md\033[r", NULL},
    {"cursor at margins",
     "\033[3;6r\033[4;1H\033[9Aa\033[4;1H\033[9Bb\033[1;1H\033[9Bc\033[24;1H\033[99Ad", NULL},
    {"origin", "\033[3;6r\033[?6h\033[1;1Ha\033[9;9Hb\033[?6l\033[1;1Hc", NULL},
    {"tabs", "\033[3g\033[5G\033H\033[33G\033H\r\ta\tb\033[2Zc", NULL},
    {"repeat", "ab\033[5b", NULL},
    {"insert mode", "abc\r\033[4hx\033[4ly", NULL},
    {"save, restore", "\033[1;31m\033[3;3H\0337\033[0m\033[9;9H\0338x", NULL},
    {"alternate", "abc\033[?1049h\033[Hxyz\033[?1049ld", NULL},
    {"colours", "\033[38;5;200ma\033[48;2;1;2;3mb\033[38:2::9:8:7mc\033[91;102md\033[39;49me",
     NULL},
    {"attributes", "\033[1ma\033[2mb\033[3mc\033[4md\033[7me\033[8mf\033[9mg\033[0mh\033[4:3mi",
     NULL},
    {"strings", "a\033_apc\033\\b\033Pdcs\033\\c\033]0;t\007d\033^pm\033\\e", NULL},
    {"alignment", "\033#8", NULL},
    {"bad utf-8", "\377a\300b", "tmux 3.3 drops what is no UTF-8, xterm shows a replacement"},
    {"forward tabs", "\033[2Ix", "tmux 3.3 has no CHT"},
    {"pending wrap and backspace", "\033[1;80Ha\bb",
     "tmux's cursor stands behind the last column, xterm's in it"},
    {"pending wrap and line feed", "\033[1;80Ha\nb",
     "tmux keeps a pending wrap over a line feed, xterm does not"},
    {"pending wrap and erase", "\033[1;80Ha\033[K",
     "tmux erases nothing behind the last column, xterm the last column"},
    {"zero-width joiner", "\360\237\221\251\342\200\215\360\237\224\254\033[1;9Hx",
     "tmux joins the glyph behind it, wcwidth (and so the guest) counts it by itself"},
    {"wide at the margin, over text", "\033[1;80Hx\033[1;80H\346\227\245",
     "we blank the column in which a wide glyph finds no room, so that lines can be joined again"},
};

static void sequences(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        compare(cases[i].name, 0, (const uint8_t *)cases[i].input, strlen(cases[i].input),
                cases[i].reason == NULL);
}

static int start(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return 1;
    unsetenv("TMUX");
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("TERM", "xterm-256color", 1);
    tmux(NULL,
         str_printf("new-session -d -x %d -y %d 'exec cat' \\; set -g status off", COLS, ROWS));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    tmux(NULL, str_printf("kill-server"));
    return path_remove(directory, NULL);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "pane") == 0)
        return pane(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded),
        cmocka_unit_test(sequences),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
