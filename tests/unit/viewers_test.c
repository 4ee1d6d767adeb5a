/*
 * A viewer that does not keep up: a session host's terminal and viewers without a VM, the client
 * library and a pane of the dashboard, all on one loop.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "session/host/peer.h"
#include "session/host/terminals.h"
#include "session/host/viewers.h"
#include "tui/pane.h"

#define ROWS   5
#define COLS   20
#define WINDOW (32u * 1024) /* what is on the way to a viewer */
#define PART   (8u * 1024)  /* less is not sent while more waits */

struct world {
    struct host host;
    struct terminal *terminal;
    struct client *client;
    struct client_command *command;
    size_t bytes, frames; /* of output */
    unsigned painted, skipped;
    bool hold;         /* credit is not returned */
    struct term *term; /* what the client shows */
};

static void turn(struct world *w)
{
    for (int i = 0; i < 200; i++)
        uv_run(&w->host.loop, UV_RUN_NOWAIT);
}

static void on_started(void *context, uint32_t pid)
{
    (void)context;
    (void)pid;
}

static void on_failed(void *context, const struct error *why, int status)
{
    (void)context;
    (void)status;
    fail_msg("%s", why->message);
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    struct world *w = context;
    (void)last;
    w->bytes += size;
    w->frames++;
    term_write(w->term, data, size);
    if (!w->hold)
        client_consumed(w->command, channel, size);
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
}

static void on_painted(void *context)
{
    ((struct world *)context)->painted++;
}

static void on_skipped(void *context)
{
    ((struct world *)context)->skipped++;
}

static void on_term_output(void *context, const uint8_t *bytes, size_t size)
{
    viewers_output(context, bytes, size);
}

static void on_ended(void *context, const struct error *why)
{
    (void)context;
    fail_msg("%s", why->message);
}

/* The program in the guest. */
static void guest_writes(struct world *w, const char *text, size_t size)
{
    term_write(w->terminal->term, text, size);
    viewers_flush(w->terminal);
    turn(w);
}

/* Lines of 8 bytes with these numbers. */
static void guest_counts(struct world *w, int from, int to)
{
    char line[16];
    for (int i = from; i <= to; i++) {
        snprintf(line, sizeof line, "%06d\r\n", i);
        term_write(w->terminal->term, line, 8);
        if (i % 500 == 0 || i == to)
            viewers_flush(w->terminal);
    }
    turn(w);
}

static int set_up(void **state)
{
    static const struct term_events host_events = {.output = on_term_output};
    static const struct client_events events = {.ended = on_ended};
    struct world *w = calloc(1, sizeof *w);
    struct error err = {0};
    int pair[2];
    assert_int_equal(uv_loop_init(&w->host.loop), 0);
    w->host.state = HOST_RUNNING;
    w->terminal = w->host.terminals = calloc(1, sizeof *w->terminal);
    w->terminal->id = 1;
    w->terminal->host = &w->host;
    uv_timer_init(&w->host.loop, &w->terminal->redraw);
    w->terminal->redraw.data = w->terminal;
    uv_timer_init(&w->host.loop, &w->host.last_words);
    w->host.last_words.data = &w->host;
    const struct term_options options = {.rows = ROWS,
                                         .cols = COLS,
                                         .history = 10000,
                                         .events = &host_events,
                                         .context = w->terminal};
    assert_int_equal(term_new(&w->terminal->term, &options, &err), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(peer_add(&w->host, pair[0], false, &err), 0);
    assert_int_equal(client_open(&w->client, &w->host.loop, pair[1], &events, w, &err), 0);
    const struct term_options shown = {.rows = ROWS, .cols = COLS};
    assert_int_equal(term_new(&w->term, &shown, &err), 0);
    *state = w;
    return 0;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    client_close(w->client);
    peer_close_all(&w->host);
    turn(w);
    uv_walk(&w->host.loop, close_handle, NULL);
    uv_run(&w->host.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->host.loop), 0);
    term_free(w->terminal->term);
    free(w->terminal);
    term_free(w->term);
    free(w);
    return 0;
}

static void attach(struct world *w)
{
    static const struct client_command_events events = {.started = on_started,
                                                        .failed = on_failed,
                                                        .output = on_output,
                                                        .accepted = on_accepted,
                                                        .exited = on_exited,
                                                        .painted = on_painted,
                                                        .skipped = on_skipped};
    const struct client_attach request = {.terminal = 1, .rows = ROWS, .columns = COLS};
    struct error err = {0};
    assert_int_equal(client_attach(w->client, &request, &events, w, &w->command, &err), 0);
    turn(w);
    assert_int_equal(w->painted, 1);
    w->bytes = w->frames = 0;
}

static void row_is(const struct term *term, int index, const char *expected)
{
    int length;
    bool wrapped;
    char text[COLS + 1] = "";
    const struct cell *cells = term_line(term, index, &length, &wrapped);
    for (int i = 0; i < length && i < COLS; i++) {
        uint32_t points[CELL_POINTS + 1];
        text[i] = term_glyph(term, &cells[i], points) > 0 ? (char)points[0] : ' ';
    }
    length = length < COLS ? length : COLS;
    while (length > 0 && text[length - 1] == ' ')
        length--;
    text[length] = '\0';
    assert_string_equal(text, expected);
}

/* Whatever the engine makes of one write comes as one frame. */
static void test_one_frame(void **state)
{
    struct world *w = *state;
    attach(w);
    guest_writes(w, "one\r\ntwo\033[1mthree\033[m\r\n", 23);
    assert_int_equal(w->frames, 1);
    row_is(w->term, 1, "twothree");
}

/* Credit that comes back byte by byte is not used byte by byte. */
static void test_small_credit(void **state)
{
    struct world *w = *state;
    attach(w);
    w->hold = true;
    guest_counts(w, 0, 9999);
    assert_in_range(w->bytes, WINDOW - PART, WINDOW);
    size_t frames = w->frames, left = WINDOW - w->bytes;
    for (size_t i = left + 1; i < PART; i++)
        client_consumed(w->command, CONTROL_STDOUT, 1);
    turn(w);
    assert_int_equal(w->frames, frames);
    client_consumed(w->command, CONTROL_STDOUT, 1);
    turn(w);
    assert_int_equal(w->frames, frames + 1);
    assert_int_equal(w->bytes, WINDOW - left + PART);
    assert_int_equal(w->skipped, 0);
    w->hold = false; /* nothing is lost */
    client_consumed(w->command, CONTROL_STDOUT, WINDOW);
    turn(w);
    assert_int_equal(w->bytes, 80000);
    row_is(w->term, ROWS - 2, "009999");
}

/* What is too much is dropped, and costs a screen for each that the client takes. */
static void test_flood(void **state)
{
    struct world *w = *state;
    attach(w);
    w->hold = true;
    guest_counts(w, 0, 99999);
    assert_in_range(w->bytes, WINDOW - PART, WINDOW);
    assert_int_equal(w->skipped, 1);
    size_t before = w->bytes, taken = 0;
    for (int round = 0; round < 10; round++) {
        client_consumed(w->command, CONTROL_STDOUT, (uint32_t)(w->bytes - taken));
        taken = w->bytes;
        turn(w);
        guest_counts(w, 50000 * round + 100000, 50000 * round + 149999);
    }
    assert_true(w->bytes - before < 10 * 1024);
    assert_true(w->bytes - before > 10 * ROWS * 6);
    assert_int_equal(w->skipped, 1);
    w->hold = false;
    client_consumed(w->command, CONTROL_STDOUT, (uint32_t)(w->bytes - taken));
    turn(w);
    row_is(w->term, ROWS - 2, "599999");
    before = w->bytes; /* it is live again */
    guest_writes(w, "live", 4);
    assert_int_equal(w->bytes - before, 4);
    row_is(w->term, ROWS - 1, "live");
}

static void on_pane(void *context, struct pane *pane)
{
    (void)context;
    (void)pane;
}

/* A pane returns credit when it is drawn; what it missed is there when one looks back. */
static void test_pane_completes(void **state)
{
    static const struct pane_events events = {on_pane, on_pane, on_pane};
    struct world *w = *state;
    struct streams streams = {0};
    struct pane pane = {.terminal = 1, .events = &events, .streams = &streams};
    guest_counts(w, 0, 999);
    pane_attach(&pane, w->client, ROWS, COLS);
    turn(w);
    row_is(pane.term, ROWS - 2, "000999");
    assert_int_equal(term_history(pane.term), 1001 - ROWS);
    guest_counts(w, 1000, 99999);
    assert_true(pane.skipped);
    streams_settle(&streams);
    turn(w);
    row_is(pane.term, ROWS - 2, "099999");
    assert_true(term_history(pane.term) < 10000);
    pane_scroll(&pane, true);
    row_is(pane.term, ROWS - 2, "099999"); /* nothing blinks */
    turn(w);
    assert_false(pane.skipped);
    assert_true(pane.scrolling);
    assert_int_equal(pane.offset, 0);
    assert_int_equal(term_history(pane.term), 10000);
    for (int i = 0; i < 10000; i++) {
        char expected[16];
        snprintf(expected, sizeof expected, "%06d", 99995 - i);
        row_is(pane.term, -1 - i, expected);
    }
    pane_free(&pane);
    turn(w);
    assert_null(streams.first);
    assert_null(w->terminal->viewers);
}

static void count(void *context, struct pane *pane)
{
    (void)pane;
    ++*(unsigned *)context;
}

/* A frame that the guest holds together is drawn when it is complete, however long it is. */
static void test_pane_frame(void **state)
{
    static const struct pane_events events = {count, on_pane, on_pane};
    struct world *w = *state;
    struct streams streams = {0};
    unsigned damage = 0;
    struct pane pane = {.terminal = 1, .events = &events, .streams = &streams, .context = &damage};
    pane_attach(&pane, w->client, ROWS, COLS);
    turn(w);
    damage = 0;
    guest_writes(w, "\033[?2026h", 8);
    guest_counts(w, 0, 9999);
    assert_int_equal(damage, 0);
    assert_false(pane.skipped);
    row_is(pane.term, ROWS - 2, "009999");
    guest_writes(w, "\033[?2026l", 8);
    assert_true(damage > 0);
    damage = 0;
    guest_writes(w, "\033]0;title only\a", 16);
    assert_true(damage > 0);
    pane_free(&pane);
    turn(w);
}

/* Let go, or gone, while what is missing is on its way. */
static void test_pane_leaves(void **state)
{
    static const struct pane_events events = {on_pane, on_pane, on_pane};
    struct world *w = *state;
    struct streams streams = {0};
    struct pane pane = {.terminal = 1, .events = &events, .streams = &streams};
    pane_attach(&pane, w->client, ROWS, COLS);
    turn(w);
    guest_counts(w, 0, 99999);
    assert_true(pane.skipped);
    pane_complete(&pane);
    pane_resize(&pane, ROWS - 1, COLS);
    pane_free(&pane);
    turn(w);
    assert_null(streams.first);
    pane_attach(&pane, w->client, ROWS, COLS);
    turn(w);
    guest_counts(w, 0, 99999);
    pane_complete(&pane);
    client_close(w->client);
    w->client = NULL;
    streams_free(&streams);
    pane.stream = NULL;
    pane_free(&pane);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_small_credit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pane_completes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pane_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pane_leaves, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
