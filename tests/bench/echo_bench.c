/*
 * Time from a key to its echo in a session's terminal, and from Ctrl-C under `yes` to silence,
 * through the client library. echo_bench ID; the session's shell must be at its prompt.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session/protocol/client.h"

#define KEYS     200
#define STOPS    5
#define QUIET_MS 300 /* what counts as silence */

struct bench {
    uv_loop_t loop;
    struct client_command *command;
    uv_timer_t quiet;
    uint64_t last; /* when output came last */
    bool started, silent;
    size_t seen;
};

static void on_failed(void *context, const struct error *why, int status)
{
    (void)context;
    (void)status;
    fprintf(stderr, "%s\n", why->message);
    exit(1);
}

static void on_ended(void *context, const struct error *why)
{
    on_failed(context, why, 0);
}

static void on_started(void *context, uint32_t pid)
{
    (void)pid;
    ((struct bench *)context)->started = true;
}

static void on_quiet(uv_timer_t *timer)
{
    ((struct bench *)timer->data)->silent = true;
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    struct bench *bench = context;
    (void)data;
    (void)last;
    bench->last = uv_hrtime();
    bench->seen += size;
    bench->silent = false;
    uv_timer_start(&bench->quiet, on_quiet, QUIET_MS, 0);
    client_consumed(bench->command, channel, size);
}

static void on_accepted(void *context, uint32_t bytes)
{
    (void)context;
    (void)bytes;
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    (void)context;
    fprintf(stderr, "the shell ended: %u, %u\n", code, signal);
    exit(1);
}

static void until_silent(struct bench *bench)
{
    bench->silent = false;
    uv_timer_start(&bench->quiet, on_quiet, QUIET_MS, 0);
    while (!bench->silent)
        uv_run(&bench->loop, UV_RUN_ONCE);
}

static void until_seen(struct bench *bench, size_t bytes)
{
    while (bench->seen < bytes)
        uv_run(&bench->loop, UV_RUN_ONCE);
}

static void type(struct bench *bench, const char *text)
{
    bench->seen = 0;
    client_input(bench->command, text, (uint32_t)strlen(text), false);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const char *what, double *times, size_t count)
{
    qsort(times, count, sizeof *times, compare);
    printf("%s, ms: p50 %.1f  p99 %.1f  max %.1f\n", what, times[count / 2],
           times[count * 99 / 100], times[count - 1]);
}

int main(int argc, char **argv)
{
    static const struct client_events events = {NULL, on_ended};
    static const struct client_command_events viewer = {on_started, on_failed, on_output,
                                                        on_accepted, .exited = on_exited};
    static const struct client_attach attach = {.rows = 24, .columns = 80, .colors = 1};
    static struct bench bench;
    static double times[KEYS];
    struct client *client;
    struct error err = {0};
    if (argc != 2)
        return 2;
    setlinebuf(stdout);
    uv_loop_init(&bench.loop);
    uv_timer_init(&bench.loop, &bench.quiet);
    bench.quiet.data = &bench;
    if (client_connect(&client, &bench.loop, argv[1], &events, &bench, &err) < 0 ||
        client_attach(client, &attach, &viewer, &bench, &bench.command, &err) < 0)
        on_failed(NULL, &err, 0);
    until_silent(&bench);
    for (int i = 0; i < KEYS; i++) {
        uint64_t began = uv_hrtime();
        type(&bench, i % 2 == 0 ? "x" : "\177");
        until_seen(&bench, 1);
        times[i] = (double)(uv_hrtime() - began) / 1e6;
    }
    print("key to echo", times, KEYS);
    until_silent(&bench);
    for (int i = 0; i < STOPS; i++) {
        type(&bench, "yes\r");
        until_seen(&bench, 20000);
        uint64_t began = uv_hrtime();
        type(&bench, "\003");
        until_silent(&bench);
        times[i] = (double)(bench.last - began) / 1e6;
    }
    print("Ctrl-C to quiet", times, STOPS);
    client_close(client);
    uv_run(&bench.loop, UV_RUN_DEFAULT);
    return 0;
}
