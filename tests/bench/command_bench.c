/*
 * Time of a command in a VM that already runs, through the client library: `true`, one after the
 * other. Prints p50, p90, p99 in microseconds. Needs VMDECK and, optionally, VMDECK_IMAGE.
 */
#include <stdio.h>
#include <stdlib.h>

#include "session.h"

#define ROUNDS 500

static struct test_session session;
static bool over;

static void on_started(void *context, uint32_t pid)
{
    (void)context;
    (void)pid;
}

static void on_failed(void *context, const struct error *why, int status)
{
    (void)context;
    fprintf(stderr, "%d: %s\n", status, why->message);
    exit(1);
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    (void)context;
    (void)channel;
    (void)data;
    (void)size;
    (void)last;
}

static void on_accepted(void *context, uint32_t bytes)
{
    (void)context;
    (void)bytes;
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    (void)context;
    (void)code;
    (void)signal;
    over = true;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static const struct client_command_events events = {on_started, on_failed, on_output,
                                                        on_accepted, .exited = on_exited};
    static uint64_t times[ROUNDS];
    struct error err = {0};
    CLEAN_STRV struct strv argv = {0};
    if (!test_session_start(&session)) {
        fprintf(stderr, "%s\n", session.why.message);
        return 1;
    }
    const char *program = getenv("BENCH_PROGRAM"), *setup = getenv("BENCH_SETUP");
    strv_add(&argv, setup != NULL ? "/bin/sh" : program != NULL ? program : "/bin/true");
    if (setup != NULL) {
        strv_add(&argv, "-c");
        strv_add(&argv, setup);
        const struct client_exec exec = {.argv = &argv, .no_stdin = true};
        struct client_command *command;
        over = false;
        client_exec(session.client, &exec, &events, NULL, &command, &err);
        while (!over && !session.ended)
            uv_run(&session.loop, UV_RUN_ONCE);
        strv_free(&argv);
        strv_add(&argv, program != NULL ? program : "/bin/true");
    }
    for (int i = -20; i < ROUNDS; i++) { /* the first warm the guest's caches */
        const struct client_exec exec = {.argv = &argv, .no_stdin = true};
        struct client_command *command;
        uint64_t began = uv_hrtime();
        over = false;
        if (client_exec(session.client, &exec, &events, NULL, &command, &err) < 0)
            return 1;
        while (!over && !session.ended)
            uv_run(&session.loop, UV_RUN_ONCE);
        if (i >= 0)
            times[i] = (uv_hrtime() - began) / 1000;
    }
    qsort(times, ROUNDS, sizeof times[0], compare);
    printf("command in a running VM, us: min %llu  p50 %llu  p90 %llu  p99 %llu\n",
           (unsigned long long)times[0], (unsigned long long)times[ROUNDS / 2],
           (unsigned long long)times[ROUNDS * 9 / 10],
           (unsigned long long)times[ROUNDS * 99 / 100]);
    test_session_stop(&session);
    return 0;
}
