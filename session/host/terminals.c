/*
 * A terminal is a command in the guest with a pty there and a struct term here. Everything the
 * guest writes goes through the engine at once, and its credit is returned at once: who looks, and
 * how fast, is the viewers' business. What is typed goes to the guest within its credit.
 */
#include "session/host/terminals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/conn.h"
#include "base/log.h"
#include "session/host/viewers.h"
#include "session/protocol/json.h"
#include "session/term/save.h"

#define REDRAW_MS     40
#define INPUT_MAX     ((size_t)4 * 1024 * 1024) /* typed and not taken: beyond it is dropped */
#define LAST_WORDS_MS 2000                      /* for viewers that are slow to hear of the end */

static int terminal_spawn(struct terminal *terminal, struct error *err);

/* Told once: who wants to know more asks. So a flood of output is no flood of events. */
static void terminals_changed(const struct host *host)
{
    for (struct peer *peer = host->peers; peer != NULL; peer = peer->next) {
        if (!peer->subscribed || !peer->listed)
            continue;
        cJSON *event = cJSON_CreateObject();
        cJSON_AddStringToObject(event, "event", "terminals");
        peer->listed = false;
        peer_event(peer, event);
    }
}

/* Sends what waits, as far as the guest takes it. */
static void terminal_pump(struct terminal *terminal)
{
    while (terminal->command != NULL && terminal->room > 0 && buf_len(&terminal->input) > 0) {
        size_t part = buf_len(&terminal->input);
        if (part > terminal->room)
            part = terminal->room;
        if (part > WIRE_DATA_MAX)
            part = WIRE_DATA_MAX;
        if (guest_input(terminal->command, buf_data(&terminal->input), (uint32_t)part, false) < 0)
            return;
        terminal->room -= (uint32_t)part;
        buf_consume(&terminal->input, part);
    }
    if (buf_len(&terminal->input) == 0)
        viewers_return_credit(terminal);
}

void terminal_input(struct terminal *terminal, const void *data, size_t size)
{
    if (terminal->command == NULL)
        return;
    if (buf_len(&terminal->input) + size <= INPUT_MAX)
        buf_append(&terminal->input, data, size);
    terminal_pump(terminal);
}

static void on_term_replies(void *context)
{
    struct terminal *terminal = context;
    struct buf *replies = term_replies(terminal->term);
    terminal_input(terminal, buf_data(replies), buf_len(replies));
    buf_consume(replies, buf_len(replies));
}

static void on_term_bell(void *context)
{
    struct terminal *terminal = context;
    terminal->bells++;
}

static void on_term_output(void *context, const uint8_t *bytes, size_t size)
{
    viewers_output(context, bytes, size);
}

static void on_redraw(uv_timer_t *timer)
{
    viewers_redraw(timer->data);
}

void terminal_redraw_later(struct terminal *terminal)
{
    if (terminal->viewers != NULL && !uv_is_active((uv_handle_t *)&terminal->redraw))
        uv_timer_start(&terminal->redraw, on_redraw, REDRAW_MS, 0);
}

static void on_term_damage(void *context, int first, int last)
{
    (void)first;
    (void)last;
    terminal_redraw_later(context);
}

static void on_spawned(void *context, uint32_t pid)
{
    struct terminal *terminal = context;
    (void)pid;
    terminal->started = true;
    if (terminal->main)
        host_main_started(terminal->host, 0, NULL);
}

/* The viewers hear of it; the session ends if it was its main command. */
static void terminal_over(struct terminal *terminal, cJSON *event)
{
    struct host *host = terminal->host;
    terminal->command = NULL;
    host->terminal_count--;
    if (terminal->main && !host->config.keep)
        host->over = true;
    terminal->end = event;
    terminals_changed(host);
    viewers_end(terminal, event);
    terminal_check_over(host);
}

static void on_failed(void *context, uint32_t code, enum wire_stage stage, const char *text)
{
    struct terminal *terminal = context;
    struct error why = {0};
    bool missing = stage == WIRE_STAGE_EXEC && (code == ENOENT || code == ENOTDIR);
    terminal->command = NULL;
    if (missing && terminal->shell && strcmp(terminal->argv.items[0], "bash") == 0) {
        strv_free(&terminal->argv);
        strv_add(&terminal->argv, "/bin/sh");
        strv_add(&terminal->argv, "-i");
        if (terminal_spawn(terminal, &why) == 0)
            return;
    }
    int status = missing ? 127 : 126;
    if (missing)
        error_set(&why, ENOENT, "%s: command not found in the guest", terminal->argv.items[0]);
    else if (stage == WIRE_STAGE_CWD && terminal->cwd != NULL)
        error_system(&why, (int)code, "%s: not usable as directory in the guest", terminal->cwd);
    else
        error_system(&why, (int)code, "%s: %s", terminal->argv.items[0], text);
    if (terminal->main)
        host_main_started(terminal->host, status, &why);
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", "failed");
    cJSON_AddNumberToObject(event, "status", status);
    cJSON_AddStringToObject(event, "message", why.message);
    terminal_over(terminal, event);
}

static void on_output(void *context, unsigned channel, const uint8_t *data, uint32_t size,
                      bool last)
{
    struct terminal *terminal = context;
    (void)last;
    terminal->written += size;
    term_write(terminal->term, data, size);
    viewers_flush(terminal);
    terminals_changed(terminal->host);
    guest_consumed(terminal->command, channel, size);
}

static void on_accepted(void *context, uint32_t bytes)
{
    struct terminal *terminal = context;
    terminal->room += bytes;
    terminal_pump(terminal);
}

static void on_exited(void *context, uint32_t code, uint32_t signal)
{
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", "exit");
    cJSON_AddNumberToObject(event, "code", code);
    cJSON_AddNumberToObject(event, "signal", signal);
    terminal_over(context, event);
}

static void on_last_words(uv_timer_t *timer)
{
    host_stop(timer->data, NULL);
}

void terminal_check_over(struct host *host)
{
    if (!host->over || host->state != HOST_RUNNING)
        return;
    for (struct terminal *t = host->terminals; t != NULL; t = t->next)
        for (struct viewer *viewer = t->viewers; viewer != NULL; viewer = viewer->next)
            if (viewer->last != NULL) {
                if (!uv_is_active((uv_handle_t *)&host->last_words))
                    uv_timer_start(&host->last_words, on_last_words, LAST_WORDS_MS, 0);
                return;
            }
    host_stop(host, NULL);
}

static const struct guest_command_events terminal_events = {on_spawned, on_failed, on_output,
                                                            on_accepted, on_exited};

static int terminal_spawn(struct terminal *terminal, struct error *err)
{
    int rows, cols;
    term_size(terminal->term, &rows, &cols);
    const struct guest_spawn spawn = {
        .argv = &terminal->argv,
        .env = &terminal->env,
        .cwd = terminal->cwd,
        .tty = true,
        .rows = (uint16_t)rows,
        .columns = (uint16_t)cols,
    };
    terminal->room = WIRE_WINDOW;
    return guest_spawn(terminal->host->guest, &spawn, &terminal_events, terminal,
                       &terminal->command, err);
}

static int strv_copy(struct strv *to, const struct strv *from)
{
    int rc = 0;
    for (size_t i = 0; from != NULL && i < from->count && rc == 0; i++)
        rc = strv_add(to, from->items[i]);
    return rc;
}

static struct term_options terminal_screen(struct terminal *terminal, int rows, int cols)
{
    static const struct term_events events = {.damage = on_term_damage,
                                              .bell = on_term_bell,
                                              .replies = on_term_replies,
                                              .output = on_term_output};
    return (struct term_options){.rows = rows,
                                 .cols = cols,
                                 .history = (size_t)terminal->host->config.scrollback,
                                 .events = &events,
                                 .context = terminal};
}

static int terminal_fill(struct terminal *terminal, const struct terminal_options *options,
                         struct error *err)
{
    const struct term_options size = terminal_screen(terminal, options->rows, options->columns);
    int rc = strv_copy(&terminal->argv, options->argv);
    if (rc == 0 && terminal->argv.count == 0) {
        terminal->shell = true;
        rc = strv_add(&terminal->argv, "bash") | strv_add(&terminal->argv, "-i");
    }
    if (rc == 0)
        rc = strv_copy(&terminal->env, options->env);
    if (rc == 0 && options->cwd != NULL && (terminal->cwd = strdup(options->cwd)) == NULL)
        rc = -ENOMEM;
    if (rc < 0)
        return error_set(err, ENOMEM, "out of memory");
    rc = term_new(&terminal->term, &size, err);
    return rc == 0 ? terminal_spawn(terminal, err) : rc;
}

static void terminal_freed(uv_handle_t *handle)
{
    struct terminal *terminal = handle->data;
    term_free(terminal->term);
    strv_free(&terminal->argv);
    strv_free(&terminal->env);
    cJSON_Delete(terminal->end);
    free(terminal->cwd);
    buf_free(&terminal->input);
    free(terminal);
}

static void terminal_close(struct terminal *terminal)
{
    uv_timer_stop(&terminal->redraw);
    uv_close((uv_handle_t *)&terminal->redraw, terminal_freed);
}

/* Ended terminals that nobody looks at any more make room for new ones. */
static size_t terminals_sweep(struct host *host)
{
    size_t count = 0;
    for (struct terminal **at = &host->terminals; *at != NULL;) {
        struct terminal *terminal = *at;
        if (terminal->command == NULL && terminal->viewers == NULL) {
            *at = terminal->next;
            terminal_close(terminal);
        } else {
            count++;
            at = &terminal->next;
        }
    }
    return count;
}

static struct terminal *terminal_new(struct host *host, bool main, struct error *err)
{
    struct terminal *terminal = calloc(1, sizeof *terminal);
    if (terminal == NULL) {
        error_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    terminal->host = host;
    terminal->main = main;
    uv_timer_init(&host->loop, &terminal->redraw);
    terminal->redraw.data = terminal;
    return terminal;
}

static void terminal_link(struct host *host, struct terminal *terminal)
{
    host->terminal_count++;
    terminal->next = host->terminals;
    host->terminals = terminal;
}

static int resume_fill(struct terminal *terminal, const struct terminal_saved *saved,
                       struct error *err)
{
    const struct term_options screen = terminal_screen(terminal, 1, 1);
    terminal->id = saved->id;
    terminal->used = saved->used;
    terminal->shell = saved->shell;
    terminal->started = true;
    terminal->room = saved->stream->input_credit;
    if (strv_copy(&terminal->argv, saved->argv) < 0 || strv_copy(&terminal->env, saved->env) < 0 ||
        (saved->cwd != NULL && (terminal->cwd = strdup(saved->cwd)) == NULL))
        return error_set(err, ENOMEM, "out of memory");
    int rc = term_load(&terminal->term, &screen, saved->screen, saved->screen_size, err);
    if (rc == 0)
        rc = guest_adopt(terminal->host->guest, saved->stream, &terminal_events, terminal,
                         &terminal->command, err);
    if (rc == 0)
        on_term_replies(terminal);
    return rc;
}

int terminal_resume(struct host *host, const struct terminal_saved *saved, struct error *err)
{
    struct terminal *terminal = terminal_new(host, saved->main, err);
    if (terminal == NULL)
        return -ENOMEM;
    int rc = resume_fill(terminal, saved, err);
    if (rc < 0) {
        terminal_close(terminal);
        return rc;
    }
    if (saved->id > host->terminal_ids)
        host->terminal_ids = saved->id;
    if (saved->used > host->terminal_uses)
        host->terminal_uses = saved->used;
    terminal_link(host, terminal);
    return 0;
}

struct terminal *terminal_take_main(struct host *host)
{
    struct terminal *main = NULL;
    for (struct terminal *t = host->terminals; t != NULL; t = t->next)
        if (t->main)
            main = t;
    if (main == NULL)
        main = terminal_find(host, 0);
    for (struct terminal *t = host->terminals; t != NULL; t = t->next)
        t->main = t == main;
    return main;
}

int terminal_open(struct host *host, const struct terminal_options *options, struct terminal **out,
                  struct error *err)
{
    if (terminals_sweep(host) >= TERMINALS_MAX)
        return error_set(err, EAGAIN, "the session has %d terminals already", TERMINALS_MAX);
    struct terminal *terminal = terminal_new(host, options->main, err);
    if (terminal == NULL)
        return -ENOMEM;
    int rc = terminal_fill(terminal, options, err);
    if (rc < 0) {
        terminal_close(terminal);
        return rc;
    }
    terminal->id = ++host->terminal_ids;
    terminal->used = ++host->terminal_uses;
    terminal_link(host, terminal);
    terminals_changed(host);
    *out = terminal;
    return 0;
}

struct terminal *terminal_find(struct host *host, unsigned id)
{
    struct terminal *found = NULL;
    for (struct terminal *t = host->terminals; t != NULL; t = t->next)
        if (id != 0 ? t->id == id : t->command != NULL && (found == NULL || t->used > found->used))
            found = t;
    return found;
}

void terminal_fit(struct terminal *terminal)
{
    int rows = 0, cols = 0, have_rows, have_cols;
    struct error err = {0};
    for (const struct viewer *viewer = terminal->viewers; viewer != NULL; viewer = viewer->next) {
        if (viewer->preview)
            continue;
        rows = rows == 0 || viewer->rows < rows ? viewer->rows : rows;
        cols = cols == 0 || viewer->columns < cols ? viewer->columns : cols;
    }
    term_size(terminal->term, &have_rows, &have_cols);
    if (rows == 0 || (rows == have_rows && cols == have_cols))
        return; /* the last viewer's size stays */
    if (term_resize(terminal->term, rows, cols, &err) < 0) {
        log_warn(LOG_HOST, "%s", err.message);
        return;
    }
    if (terminal->command != NULL)
        guest_resize(terminal->command, (uint16_t)rows, (uint16_t)cols);
    viewers_repaint(terminal);
}

void terminals_close(struct host *host)
{
    while (host->terminals != NULL) {
        struct terminal *terminal = host->terminals;
        while (terminal->viewers != NULL)
            viewer_remove(terminal->viewers);
        host->terminal_count -= terminal->command != NULL;
        host->terminals = terminal->next;
        terminal_close(terminal);
    }
}

int terminal_request_open(struct peer *peer, const cJSON *request, struct error *err)
{
    CLEAN_STRV struct strv argv = {0}, env = {0};
    uint64_t rows = json_number(request, "rows", 24), cols = json_number(request, "columns", 80);
    struct terminal *terminal = NULL;
    if (json_strings(request, "argv", &argv) < 0 || json_strings(request, "env", &env) < 0 ||
        rows == 0 || rows > UINT16_MAX || cols == 0 || cols > UINT16_MAX)
        return error_set(err, EINVAL,
                         "open: argv and env must be lists of strings, rows and "
                         "columns from 1 to 65535");
    const struct terminal_options options = {
        .argv = &argv,
        .env = &env,
        .cwd = json_string(request, "cwd"),
        .rows = (uint16_t)rows,
        .columns = (uint16_t)cols,
    };
    int rc = terminal_open(peer->host, &options, &terminal, err);
    if (rc < 0 || terminal == NULL)
        return rc;
    cJSON *reply = cJSON_CreateObject();
    cJSON_AddNumberToObject(reply, "terminal", terminal->id);
    peer_reply(peer, (uint32_t)json_number(request, "id", 0), reply, NULL);
    return 1;
}

int terminal_request_list(struct peer *peer, const cJSON *request, struct error *err)
{
    (void)err;
    cJSON *reply = cJSON_CreateObject();
    cJSON *array = cJSON_AddArrayToObject(reply, "terminals");
    for (const struct terminal *t = peer->host->terminals; t != NULL; t = t->next) {
        int rows, cols, viewers = 0;
        if (t->command == NULL)
            continue;
        for (const struct viewer *viewer = t->viewers; viewer != NULL; viewer = viewer->next)
            viewers++;
        term_size(t->term, &rows, &cols);
        cJSON *object = cJSON_CreateObject();
        cJSON_AddNumberToObject(object, "terminal", t->id);
        cJSON_AddStringToObject(object, "command", t->argv.items[0]);
        cJSON_AddStringToObject(object, "title", term_title(t->term));
        cJSON_AddNumberToObject(object, "rows", rows);
        cJSON_AddNumberToObject(object, "columns", cols);
        cJSON_AddNumberToObject(object, "viewers", viewers);
        cJSON_AddNumberToObject(object, "used", (double)t->used);
        cJSON_AddNumberToObject(object, "written", (double)t->written);
        cJSON_AddNumberToObject(object, "bells", (double)t->bells);
        cJSON_AddBoolToObject(object, "main", t->main);
        cJSON_AddItemToArray(array, object);
    }
    peer->listed = true;
    peer_reply(peer, (uint32_t)json_number(request, "id", 0), reply, NULL);
    return 1;
}
