/*
 * The dashboard on a pty that is drained here: first frame; `cat` in a pane of it against `cat` in
 * a pane of tmux; a key's echo beside eight panes that flood; and a line of 9600 baud, on which
 * keys must reach the guest as if it were none. The session is one without a VM (bench_host.h),
 * the dashboard is the program itself.
 *
 *     tui_bench VMDECK [ROUNDS [PART]]      in XDG directories of its own (tests/bench/tui.sh)
 */
#include <poll.h>
#include <pty.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "bench_host.h"
#include "payload.h"
#include "session/store/registry.h"

#define FLOODS     8
#define KEYS       100
#define ROUND_KEYS 40 /* of a round beside floods */
#define ROUNDS_MAX 3
#define FRAMES     20
#define SLOW_BYTES 960 /* a second: 9600 baud */

static const char *vmdeck;
static char directory[] = "/tmp/tui-bench-XXXXXX", data_file[64], self[4096];

/* A terminal that is read here. */
struct screen_end {
    pid_t pid;
    int fd;
    double sent;      /* MB */
    char tail[65536]; /* the newest of what came */
    size_t held;
};

static void end_open(struct screen_end *end, unsigned short rows, unsigned short cols,
                     char *const *argv)
{
    const struct winsize size = {.ws_row = rows, .ws_col = cols};
    *end = (struct screen_end){0};
    end->pid = forkpty(&end->fd, NULL, NULL, &size);
    check(end->pid >= 0, "forkpty");
    if (end->pid == 0) {
        setenv("TERM", "xterm-256color", 1);
        unsetenv("TMUX");
        execvp(argv[0], argv);
        _exit(127);
    }
}

/* What comes within `ms`, at most `max` bytes; false: nothing did. */
static bool end_read(struct screen_end *end, int ms, size_t max)
{
    struct pollfd ready = {.fd = end->fd, .events = POLLIN};
    static char data[16384];
    if (poll(&ready, 1, ms) != 1)
        return false;
    ssize_t got = read(end->fd, data, max < sizeof data ? max : sizeof data);
    if (got <= 0)
        return false;
    end->sent += (double)got / MB;
    if (end->held + (size_t)got >= sizeof end->tail) {
        size_t keep = sizeof end->tail / 2 < end->held ? sizeof end->tail / 2 : end->held;
        memmove(end->tail, end->tail + end->held - keep, keep);
        end->held = keep;
    }
    memcpy(end->tail + end->held, data, (size_t)got);
    end->held += (size_t)got;
    return true;
}

static void end_type(const struct screen_end *end, const char *text)
{
    check(write(end->fd, text, strlen(text)) == (ssize_t)strlen(text), "the terminal");
}

static _Noreturn void end_missing(const struct screen_end *end, const char *text)
{
    int held = end->held < 512 ? (int)end->held : 512;
    fprintf(stderr, "no '%s' in: …%.*s\n", text, held, end->tail + end->held - held);
    exit(1);
}

/* Until the text came, and what is drawn with it. */
static void end_expect(struct screen_end *end, const char *text)
{
    double until = seconds() + 20;
    while (memmem(end->tail, end->held, text, strlen(text)) == NULL) {
        end_read(end, 100, SIZE_MAX);
        if (seconds() > until)
            end_missing(end, text);
    }
    for (until = seconds() + 0.3; seconds() < until;) /* beside a flood it is never quiet */
        end_read(end, 50, SIZE_MAX);
    end->held = 0;
}

static void end_close(struct screen_end *end)
{
    kill(end->pid, SIGTERM);
    while (end_read(end, 1000, SIZE_MAX))
        continue;
    close(end->fd);
    waitpid(end->pid, NULL, 0);
}

/* --- the session */

static _Noreturn void run_session(int ready)
{
    static struct host host;
    struct error err = {0};
    struct registry *registry = NULL;
    char bench[] = "bench", none[] = "", name[64];
    CLEAN_FREE char *place = NULL, *lock = NULL;
    struct session_record record = {.state = SESSION_RUNNING,
                                    .name = none,
                                    .image = bench,
                                    .command = bench,
                                    .ended_reason = none,
                                    .cpus = 1};
    session_new_id(host.id, &err);
    memcpy(record.id, host.id, sizeof record.id);
    snprintf(name, sizeof name, "sessions/%s", host.id);
    check(path_xdg(PATH_STATE, name, &place, &err) == 0 && path_mkdirs(place, 0700, &err) == 0,
          err.message);
    record.directory = host.directory = place;
    lock = str_printf("%s/lock", place);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    check(fd >= 0 && flock(fd, LOCK_EX) == 0, lock);
    check(bench_host(&host, ready, &err) == 0, err.message);
    snprintf(name, sizeof name, "%s.sock", host.id);
    check(peer_listen(&host, name, &err) == 0, err.message);
    check(registry_open(&registry, NULL, &err) == 0 &&
              session_add_known(registry, &record, &err) == 0,
          err.message);
    registry_close(registry);
    check(write(ready, "r", 1) == 1, "ready");
    uv_run(&host.loop, UV_RUN_DEFAULT);
    _exit(1);
}

static pid_t session_start(void)
{
    CLEAN_FREE char *before = NULL;
    int ready[2];
    char byte;
    if (path_xdg(PATH_STATE, NULL, &before, NULL) == 0) /* the dashboard shows this one alone */
        path_remove(before, NULL);
    check(pipe(ready) == 0, "pipe");
    pid_t pid = fork();
    if (pid == 0)
        run_session(ready[1]);
    close(ready[1]);
    check(read(ready[0], &byte, 1) == 1, "the session");
    close(ready[0]);
    return pid;
}

/* The dashboard, in a pane of the session's. */
static void deck_open_pane(struct screen_end *end, unsigned short rows, unsigned short cols)
{
    char program[4096];
    char *const argv[] = {program, NULL};
    snprintf(program, sizeof program, "%s", vmdeck);
    end_open(end, rows, cols, argv);
    end_expect(end, "Fleet");
    end_type(end, "\r");
    end_expect(end, "goes to the guest");
    end_type(end, "exec bash --norc --noprofile\rPS1='dec''k> '; clear\r");
    end_expect(end, "deck>");
}

/* --- figures */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void first_frame(int rounds)
{
    (void)rounds;
    double times[FRAMES];
    char program[4096];
    char *const argv[] = {program, NULL};
    snprintf(program, sizeof program, "%s", vmdeck);
    for (int i = 0; i < FRAMES; i++) {
        struct screen_end end;
        double began = seconds();
        end_open(&end, 40, 120, argv);
        while (memmem(end.tail, end.held, "Fleet", 5) == NULL)
            check(end_read(&end, 10000, SIZE_MAX), "the first frame");
        times[i] = (seconds() - began) * 1000;
        end_close(&end);
    }
    qsort(times, FRAMES, sizeof *times, compare);
    printf("first frame  median %.1f ms, worst of %d %.1f ms\n", times[FRAMES / 2], FRAMES,
           times[FRAMES - 1]);
}

/* `cat` of the file, timed from within the pane. */
static void time_cat(struct screen_end *end, pid_t pid, struct figures *figures)
{
    char command[512], report[80];
    FILE *in;
    snprintf(report, sizeof report, "%s/report", directory);
    unlink(report);
    snprintf(command, sizeof command,
             "clear; b=$(date +%%s%%N); cat %s; e=$(date +%%s%%N); printf '\\033[m'; echo $((e-b)) "
             ">%s.part; mv %s.part %s\r",
             data_file, report, report, report);
    double before = end->sent;
    *figures = (struct figures){0};
    measure_process(pid, figures);
    end_type(end, command);
    while (access(report, R_OK) != 0)
        end_read(end, 20, SIZE_MAX);
    while (end_read(end, 200, SIZE_MAX)) /* what is still to be drawn; nothing floods here */
        continue;
    measure_process(pid, figures);
    figures->sent = end->sent - before;
    in = fopen(report, "r");
    check(in != NULL && fscanf(in, "%lf", &figures->cat) == 1, report);
    fclose(in);
    figures->cat /= 1e9;
    end->held = 0;
}

static pid_t tmux_open(struct screen_end *end, unsigned short rows, unsigned short cols)
{
    char socket[80], command[160];
    char *const argv[] = {"tmux", "-u",   "-f",          "/dev/null",
                          "-S",   socket, "new-session", "exec bash --norc --noprofile",
                          NULL};
    int pid = 0;
    snprintf(socket, sizeof socket, "%s/tmux", directory);
    end_open(end, rows, cols, argv);
    end_type(end, "PS1='dec''k> '; clear\r");
    end_expect(end, "deck>");
    snprintf(command, sizeof command, "tmux -S %s display-message -p '#{pid}'", socket);
    FILE *pipe = popen(command, "r");
    check(pipe != NULL && fscanf(pipe, "%d", &pid) == 1, command);
    pclose(pipe);
    return pid;
}

static void throughput(int rounds)
{
    static const struct {
        const char *name;
        size_t size;
        size_t (*fill)(char *out, size_t size);
        unsigned short rows, cols;
    } jobs[] = {{"plain", (size_t)32 * MB, payload_ascii, 24, 80},
                {"coloured", (size_t)16 * MB, payload_colour, 24, 80},
                {"plain", (size_t)32 * MB, payload_ascii, 50, 200},
                {"coloured", (size_t)16 * MB, payload_colour, 50, 200}};
    char *data = malloc((size_t)32 * MB);
    check(data != NULL, "memory");
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        FILE *out = fopen(data_file, "w");
        size_t size = jobs[i].fill(data, jobs[i].size);
        check(out != NULL && fwrite(data, 1, size, out) == size && fclose(out) == 0, data_file);
        double rate[2] = {0};
        for (int who = 0; who < 2; who++) {
            struct figures best = {0}, figures;
            struct screen_end end;
            pid_t pid;
            if (who == 0) /* a title above the pane, the status line below */
                deck_open_pane(&end, (unsigned short)(jobs[i].rows + 2), jobs[i].cols);
            pid = who == 0 ? end.pid
                           : tmux_open(&end, (unsigned short)(jobs[i].rows + 1), jobs[i].cols);
            for (int round = 0; round < rounds; round++) {
                time_cat(&end, pid, &figures);
                if (best.cat == 0 || figures.cat < best.cat)
                    best = figures;
            }
            if (who == 1)
                kill(pid, SIGTERM);
            end_close(&end);
            rate[who] = (double)size / MB / best.cat;
            printf("%-8s %2ux%-3u  %-6s  %6.1f MB/s  cpu %5.2f s  resident %5.1f MB  to the "
                   "terminal %6.2f MB\n",
                   jobs[i].name, jobs[i].rows, jobs[i].cols, who == 0 ? "vmdeck" : "tmux",
                   rate[who], best.cpu, best.rss, best.sent);
        }
        printf("%-17sratio   %.2f\n", "", rate[0] / rate[1]);
        fflush(stdout);
    }
    free(data);
}

/* Times of keys' echoes, in ms. */
struct echoes {
    double times[ROUNDS_MAX * KEYS];
    size_t count;
};

/* One key after the other, each when the one before was seen. */
static void echo(struct screen_end *end, size_t keys, struct echoes *echoes)
{
    static const char letters[] = "vwxyz"; /* in no escape sequence of ncurses's */
    for (size_t i = 0; i < keys; i++) {
        const char key[] = {letters[i % 5], '\0'};
        end->held = 0;
        double began = seconds();
        end_type(end, key);
        while (memchr(end->tail, key[0], end->held) == NULL)
            if (!end_read(end, 20000, SIZE_MAX) || seconds() - began > 20)
                end_missing(end, key);
        echoes->times[echoes->count++] = (seconds() - began) * 1000;
        for (double until = seconds() + 0.02; seconds() < until;) /* a fast typist */
            end_read(end, 10, SIZE_MAX);
        if (i % 50 != 49 && i + 1 < keys)
            continue;
        end_type(end, "\x15"); /* the line is emptied, and drawn so */
        for (double until = seconds() + 0.5; seconds() < until;)
            end_read(end, 50, SIZE_MAX);
    }
}

/* Returns the 99th percentile. */
static double echo_report(struct echoes *echoes, const char *what)
{
    size_t count = echoes->count;
    qsort(echoes->times, count, sizeof *echoes->times, compare);
    double p99 = echoes->times[count * 99 / 100];
    printf("%s  median %.1f ms, p99 %.1f ms, worst %.1f ms\n", what, echoes->times[count / 2], p99,
           echoes->times[count - 1]);
    fflush(stdout);
    return p99;
}

/* `vmdeck attach`: the session's own echo, which the dashboard's is compared with. */
static void attach_open(struct screen_end *end)
{
    char program[4096], id[SESSION_ID_SIZE];
    CLEAN_SESSIONS struct session_list list = {0};
    struct registry *registry = NULL;
    struct error err = {0};
    check(registry_open(&registry, NULL, &err) == 0 &&
              session_list(registry, SESSIONS_ALL, &list, &err) == 0 && list.count == 1,
          "the session");
    memcpy(id, list.items[0].id, sizeof id);
    registry_close(registry);
    snprintf(program, sizeof program, "%s", vmdeck);
    char verb[] = "attach", option[] = "--new";
    char *const argv[] = {program, verb, id, option, NULL};
    end_open(end, 50, 200, argv);
    end_type(end, "exec bash --norc --noprofile\rPS1='dec''k> '; clear\r");
    end_expect(end, "deck>");
}

/* Both screens are read; what comes is of no interest. */
static void settle(struct screen_end *one, struct screen_end *other, double time)
{
    for (double until = seconds() + time; seconds() < until;) {
        end_read(one, 10, SIZE_MAX);
        end_read(other, 10, SIZE_MAX);
    }
}

/* In turns: the session's own echo while nobody shows what floods, and the dashboard's. */
static void beside_floods(struct screen_end *end, struct screen_end *attached, int rounds)
{
    static struct echoes own, shown, zoomed;
    struct figures figures = {0};
    double share = 0, sent = 0, all = 0;
    for (int round = 0; round < rounds && round < ROUNDS_MAX; round++) {
        end_type(end, "\x1d");
        end_expect(end, "Fleet");
        end_type(end, "l"); /* panes out of sight are let go after two seconds */
        settle(end, attached, 4);
        echo(attached, ROUND_KEYS, &own);
        end_type(end, "1"); /* the first pane has the keyboard */
        settle(end, attached, 2);
        figures = (struct figures){0};
        measure_process(end->pid, &figures);
        double began = seconds(), before = end->sent;
        echo(end, ROUND_KEYS, &shown);
        measure_process(end->pid, &figures);
        share += figures.cpu;
        all += seconds() - began;
        sent += end->sent - before;
        end_type(end, "\x1d");
        end_expect(end, "Fleet");
        end_type(end, "z");
        end_expect(end, "[zoom]");
        echo(end, ROUND_KEYS, &zoomed);
        end_type(end, "\x1dz\x1d");
        end_expect(end, "Fleet");
        end_type(end, "1");
        end_expect(end, "goes to the guest");
    }
    double base = echo_report(&own, "echo, the session's own     ");
    double ours = echo_report(&shown, "echo, beside 8 that flood   ");
    echo_report(&zoomed, "echo, those out of sight    ");
    printf("the dashboard's part of the p99: %.1f ms; its share of a processor: %.0f %%; %.2f MB/s "
           "to the terminal\n",
           ours - base, share * 100 / all, sent / all);
}

static void floods(int rounds)
{
    static struct echoes alone, own;
    struct screen_end end, attached;
    deck_open_pane(&end, 50, 200);
    attach_open(&attached);
    echo(&attached, KEYS, &own);
    echo(&end, KEYS, &alone);
    echo_report(&own, "echo, the session's, alone  ");
    echo_report(&alone, "echo, alone                 ");
    for (int i = 0; i < FLOODS; i++) {
        end_type(&end, "\x1d");
        end_expect(&end, "Fleet");
        end_type(&end, i % 2 == 0 ? "|" : "-");
        end_expect(&end, "goes to the guest");
        end_type(&end, "while :; do seq 100000 999999; done\r\x1d="); /* tiled: room for the next */
    }
    beside_floods(&end, &attached, rounds);
    end_close(&attached);
    end_close(&end);
}

/* The terminal takes 960 bytes a second; the guest must have what is typed at once. */
static void slow_line(int rounds)
{
    (void)rounds;
    struct screen_end end;
    char command[256], typed[80];
    struct stat status = {0};
    deck_open_pane(&end, 50, 200);
    snprintf(typed, sizeof typed, "%s/typed", directory);
    snprintf(command, sizeof command,
             "(while :; do seq 100000 999999; done) & stty -icanon; cat >%s\r", typed);
    end_type(&end, command);
    double worst = 0;
    for (int i = 0; i < 50; i++) {
        off_t before = stat(typed, &status) == 0 ? status.st_size : 0;
        double began = seconds();
        end_type(&end, "k");
        while (stat(typed, &status) != 0 || status.st_size <= before) {
            end_read(&end, 0, SLOW_BYTES / 50);
            const struct timespec pause = {.tv_nsec = 2000000};
            nanosleep(&pause, NULL);
            check(seconds() - began < 20, "a key on a slow line");
        }
        double took = (seconds() - began) * 1000;
        worst = i > 0 && took > worst ? took : worst; /* the first one waits for the program */
        end_read(&end, 20, SLOW_BYTES / 50);
    }
    printf("a key to the guest, on a line of 9600 baud under a flood: worst of 50 %.1f ms\n",
           worst);
    end_close(&end);
}

int main(int argc, char **argv)
{
    check(argc > 1 && mkdtemp(directory) != NULL, "tui_bench VMDECK [ROUNDS [PART]]");
    vmdeck = argv[1];
    setvbuf(stdout, NULL, _IOLBF, 0); /* children must not have it twice */
    snprintf(data_file, sizeof data_file, "%s/data", directory);
    static const struct {
        const char *name;
        void (*run)(int rounds);
    } parts[] = {{"first-frame", first_frame},
                 {"floods", floods},
                 {"slow-line", slow_line},
                 {"throughput", throughput}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (argc > 3 && strcmp(argv[3], parts[i].name) != 0)
            continue;
        pid_t session = session_start();
        parts[i].run(argc > 2 ? atoi(argv[2]) : ROUNDS_MAX);
        kill(session, SIGKILL); /* its floods go with it */
        waitpid(session, NULL, 0);
    }
    snprintf(self, sizeof self, "rm -rf %s", directory);
    return system(self) != 0;
}
