/*
 * `cat` in a terminal of ours against `cat` in a pane of tmux, for the same bytes in the same run:
 * 64 MB of 68-byte lines and 32 MB of 256-colour cells, 24x80 and 50x200.
 *
 * Ours is everything but the VM, whose emulation would hide the difference: the agent's engine in
 * a process (its pty is this machine's), the session host's terminals, viewers and peers in a
 * second one, and here a client of the control protocol that drops what it gets. Tmux runs on a
 * pty that is drained here as fast. The pane's program (this one again) times `cat` from within;
 * "all" is the time until the last screen is here.
 *
 *     view_bench [ROUNDS [PERF-COMMAND]]    medians; the command is run with the host's pid
 */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bench_host.h"
#include "payload.h"
#include "session/protocol/client.h"
#include "session/protocol/json.h"

#define ROUNDS     3
#define ROUNDS_MAX 99
#define READY      "pane-is-ready"
#define DONE       "pane-is-done"

struct job {
    const char *name;
    size_t size;
    size_t (*fill)(char *out, size_t size);
    unsigned short rows, columns;
};

static const struct job jobs[] = {
    {"ascii", (size_t)64 * MB, payload_ascii, 24, 80},
    {"colour", (size_t)32 * MB, payload_colour, 24, 80},
    {"ascii", (size_t)64 * MB, payload_ascii, 50, 200},
    {"colour", (size_t)32 * MB, payload_colour, 50, 200},
};

static char directory[] = "/tmp/view-bench-XXXXXX";
static char self[4096], file[64], result[64];
static const char *perf;

/* --- in the pane */

static void pane_say(const char *text)
{
    printf("\033[m\033[H\033[2J%s\r\n", text);
    fflush(stdout);
}

static int pane(const char *data, const char *report)
{
    char line[16];
    pane_say(READY);
    check(fgets(line, sizeof line, stdin) != NULL, "pane");
    double began = seconds();
    pid_t cat = fork();
    if (cat == 0) {
        execlp("cat", "cat", data, (char *)NULL);
        _exit(127);
    }
    waitpid(cat, NULL, 0);
    FILE *out = fopen(report, "w");
    check(out != NULL, report);
    fprintf(out, "%.6f\n", seconds() - began);
    fclose(out);
    pane_say(DONE);
    return fgets(line, sizeof line, stdin) == NULL;
}

/* --- what both drivers see of the viewer's bytes */

struct sight {
    char tail[32]; /* of what came before: a mark may be split */
    size_t held;
    double sent;
    bool ready, done;
};

static void sight_add(struct sight *sight, const uint8_t *data, size_t size)
{
    char joint[2 * sizeof sight->tail];
    size_t keep = sizeof sight->tail, head = size < keep ? size : keep;
    memcpy(joint, sight->tail, sight->held);
    memcpy(joint + sight->held, data, head);
    size_t length = sight->held + head;
    const char *mark = sight->ready ? DONE : READY;
    bool seen = memmem(joint, length, mark, strlen(mark)) != NULL ||
                memmem(data, size, mark, strlen(mark)) != NULL;
    if (size >= keep) {
        memcpy(sight->tail, data + size - keep, keep);
        sight->held = keep;
    } else {
        sight->held = length < keep ? length : keep;
        memcpy(sight->tail, joint + length - sight->held, sight->held);
    }
    if (seen && sight->ready)
        sight->done = true;
    else if (seen)
        sight->ready = true;
    sight->sent += (double)size / MB;
}

static double pane_time(void)
{
    double time = 0;
    FILE *in = fopen(result, "r");
    check(in != NULL && fscanf(in, "%lf", &time) == 1, result);
    fclose(in);
    unlink(result);
    return time;
}

/* --- ours: agent, host, client */

static _Noreturn void run_host(int fd)
{
    static struct host host;
    struct error err = {0};
    if (bench_host(&host, fd, &err) == 0 && peer_add(&host, fd, false, &err) == 0)
        uv_run(&host.loop, UV_RUN_DEFAULT);
    fprintf(stderr, "%s\n", err.message);
    _exit(err.code != 0);
}

struct viewing {
    uv_loop_t loop;
    struct client *client;
    struct client_command *command;
    struct sight sight;
};

static void on_failed(void *context, const struct error *why, int status)
{
    (void)context;
    (void)status;
    fprintf(stderr, "attach: %s\n", why->message);
    exit(1);
}

static void on_ended(void *context, const struct error *why)
{
    on_failed(context, why, 0);
}

static void on_started(void *context, uint32_t pid)
{
    (void)context;
    (void)pid;
}

static void on_accepted(void *context, uint32_t bytes)
{
    (void)context;
    (void)bytes;
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    (void)context;
    fprintf(stderr, "the pane's program ended: %u, %u\n", code, signal);
    exit(1);
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    struct viewing *viewing = context;
    (void)last;
    sight_add(&viewing->sight, data, size);
    client_consumed(viewing->command, channel, size);
}

static void on_open(void *context, const cJSON *reply, const struct error *why)
{
    if (reply == NULL)
        on_failed(context, why, 0);
}

static void ours(const struct job *job, struct figures *figures)
{
    static const struct client_events events = {NULL, on_ended};
    static const struct client_command_events viewer = {on_started, on_failed, on_output,
                                                        on_accepted, .exited = on_exited};
    struct viewing *viewing = calloc(1, sizeof *viewing);
    struct error err = {0};
    CLEAN_STRV struct strv argv = {0};
    int ends[2];
    check(viewing != NULL && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "host");
    pid_t host = fork();
    if (host == 0) {
        close(ends[0]);
        run_host(ends[1]);
    }
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    uv_loop_init(&viewing->loop);
    client_open(&viewing->client, &viewing->loop, ends[0], &events, viewing, &err);
    const char *words[] = {self, "pane", file, result};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        strv_add(&argv, words[i]);
    cJSON *request = cJSON_CreateObject();
    json_add_strings(request, "argv", &argv);
    cJSON_AddNumberToObject(request, "rows", job->rows);
    cJSON_AddNumberToObject(request, "columns", job->columns);
    client_request(viewing->client, "open", request, on_open, viewing);
    const struct client_attach attach = {
        .rows = job->rows, .columns = job->columns, .colors = 2, .strings = true};
    client_attach(viewing->client, &attach, &viewer, viewing, &viewing->command, &err);
    while (!viewing->sight.ready)
        uv_run(&viewing->loop, UV_RUN_ONCE);
    measure_process(host, figures);
    if (perf != NULL) {
        char command[1024];
        snprintf(command, sizeof command, "%s %d", perf, host);
        check(system(command) == 0, command);
    }
    double began = seconds();
    client_input(viewing->command, "\r", 1, false);
    while (!viewing->sight.done)
        uv_run(&viewing->loop, UV_RUN_ONCE);
    figures->all = seconds() - began;
    measure_process(host, figures);
    figures->sent = viewing->sight.sent;
    figures->cat = pane_time();
    client_close(viewing->client);
    uv_run(&viewing->loop, UV_RUN_DEFAULT);
    uv_loop_close(&viewing->loop);
    kill(host, SIGKILL);
    waitpid(host, NULL, 0);
    free(viewing);
}

/* --- theirs: tmux on a pty */

static void tmux_read(int fd, struct sight *sight, const bool *until)
{
    static uint8_t data[65536];
    while (!*until) {
        ssize_t got = read(fd, data, sizeof data);
        check(got > 0, "tmux (is it installed?)");
        sight_add(sight, data, (size_t)got);
    }
}

static pid_t tmux_server(void)
{
    char command[128];
    int pid = 0;
    snprintf(command, sizeof command, "tmux -S %s/socket display-message -p '#{pid}'", directory);
    FILE *pipe = popen(command, "r");
    check(pipe != NULL && fscanf(pipe, "%d", &pid) == 1, command);
    pclose(pipe);
    return pid;
}

static void theirs(const struct job *job, struct figures *figures)
{
    const struct winsize size = {.ws_row = (unsigned short)(job->rows + 1), /* its status line */
                                 .ws_col = job->columns};
    struct sight sight = {0};
    char socket[64], command[sizeof self + 256];
    int fd;
    snprintf(socket, sizeof socket, "%s/socket", directory);
    snprintf(command, sizeof command, "exec '%s' pane %s %s", self, file, result);
    pid_t client = forkpty(&fd, NULL, NULL, &size);
    check(client >= 0, "forkpty");
    if (client == 0) {
        setenv("TERM", "xterm-256color", 1);
        unsetenv("TMUX");
        execlp("tmux", "tmux", "-u", "-f", "/dev/null", "-S", socket, "new-session", command,
               (char *)NULL);
        _exit(127);
    }
    tmux_read(fd, &sight, &sight.ready);
    pid_t server = tmux_server();
    measure_process(server, figures);
    double began = seconds();
    check(write(fd, "\r", 1) == 1, "tmux");
    tmux_read(fd, &sight, &sight.done);
    figures->all = seconds() - began;
    measure_process(server, figures);
    figures->sent = sight.sent;
    figures->cat = pane_time();
    kill(server, SIGTERM);
    static uint8_t rest[65536];
    while (read(fd, rest, sizeof rest) > 0)
        continue;
    close(fd);
    waitpid(client, NULL, 0);
}

/* --- */

static int compare(const void *a, const void *b)
{
    const double x = ((const struct figures *)a)->cat, y = ((const struct figures *)b)->cat;
    return (x > y) - (x < y);
}

static double report(const char *who, const struct job *job, struct figures *runs, size_t count)
{
    qsort(runs, count, sizeof *runs, compare);
    const struct figures *median = &runs[count / 2];
    double mb = (double)job->size / MB;
    printf("%-6s %2ux%-3u  %-6s %6.1f MB/s (%.1f-%.1f)  all %6.1f MB/s  cpu %5.2f s  rss %5.1f MB"
           "  to the viewer %6.2f MB\n",
           job->name, job->rows, job->columns, who, mb / median->cat, mb / runs[count - 1].cat,
           mb / runs[0].cat, mb / median->all, median->cpu, median->rss, median->sent);
    return mb / median->cat;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "pane") == 0)
        return pane(argv[2], argv[3]);
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : ROUNDS;
    check(rounds > 0 && rounds <= ROUNDS_MAX, "rounds");
    perf = argc > 2 ? argv[2] : NULL;
    check(readlink("/proc/self/exe", self, sizeof self - 1) > 0 && mkdtemp(directory) != NULL,
          directory);
    snprintf(file, sizeof file, "%s/data", directory);
    snprintf(result, sizeof result, "%s/result", directory);
    char *data = malloc((size_t)64 * MB);
    check(data != NULL, "memory");
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        static struct figures our[ROUNDS_MAX], their[ROUNDS_MAX];
        const struct job *job = &jobs[i];
        memset(our, 0, sizeof our);
        memset(their, 0, sizeof their);
        FILE *out = fopen(file, "w");
        size_t size = job->fill(data, job->size);
        check(out != NULL && fwrite(data, 1, size, out) == size && fclose(out) == 0, file);
        for (long round = 0; round < rounds; round++) {
            ours(job, &our[round]);
            if (perf == NULL)
                theirs(job, &their[round]);
        }
        double rate = report("vmdeck", job, our, (size_t)rounds);
        if (perf == NULL)
            printf("%-13s ratio  %.2f\n", "", rate / report("tmux", job, their, (size_t)rounds));
        fflush(stdout);
    }
    unlink(file);
    snprintf(file, sizeof file, "%s/socket", directory);
    unlink(file);
    rmdir(directory);
    free(data);
    return 0;
}
