/*
 * The loop. Nothing polls: input, the hosts' sockets, the event log and signals wake it. A change
 * marks the screen as dirty; it is drawn at most every FRAME_MS, and only when the terminal has
 * taken the frame before, so a slow line sees fewer frames and keys are never kept waiting. What a
 * guest answers to a key is drawn at once; panes without the keyboard, which nobody types into,
 * less often: drawing what floods there must not keep the echo from the processor. Figures that
 * only a look can tell (processor, memory) are asked for while the fleet is in sight and the
 * terminal has the focus: every SAMPLE_MS, and less often the longer nothing has happened. What
 * happens in a session is heard of at once.
 */
#include "tui/dashboard.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "tui/human.h"

#define FRAME_MS   16
#define OTHERS_MS  50
#define SAMPLE_MS  2000
#define QUIET_MS   16000
#define SETTLE_MS  60   /* a selection that moves on has no preview */
#define SILENT_MS  1000 /* a session that does not answer holds keys up no longer */
#define HIDE_MS    2000 /* panes out of sight stay attached so long, for a quick way back */
#define READ_BYTES 16384

static const int signals[DASHBOARD_SIGNALS] = {SIGWINCH, SIGCONT, SIGTSTP, SIGTERM, SIGHUP, SIGINT};

static void on_connect(uv_timer_t *timer);

static void on_frame(uv_timer_t *timer)
{
    struct dashboard *d = timer->data;
    CLEAN_BUF struct buf out = {0};
    d->dirty = false;
    d->drawn_at = uv_now(&d->loop);
    d->now = human_now();
    dashboard_draw(d);
    if (screen_show(d->screen, &d->canvas, &out, &d->error) < 0)
        uv_stop(&d->loop);
    outer_write(&d->outer, buf_data(&out), buf_len(&out));
    streams_settle(&d->deck.streams);
    if (!d->connected && !uv_is_active((uv_handle_t *)&d->connect))
        uv_timer_start(&d->connect, on_connect, 1, 0); /* when the first frame is out */
    script_step(d);
}

static void schedule(struct dashboard *d)
{
    if (!d->dirty || !outer_idle(&d->outer))
        return;
    uint64_t since = uv_now(&d->loop) - d->drawn_at;
    uint64_t wait = since < d->interval ? d->interval - since : 0;
    if (!uv_is_active((uv_handle_t *)&d->frame) || uv_timer_get_due_in(&d->frame) > wait)
        uv_timer_start(&d->frame, on_frame, wait, 0);
}

/* To be drawn so many ms after the last frame, or before. */
static void damage_within(struct dashboard *d, uint64_t interval)
{
    if (!d->dirty || interval < d->interval)
        d->interval = interval;
    d->dirty = true;
    if (d->screen != NULL)
        schedule(d);
}

void dashboard_damage(struct dashboard *d)
{
    damage_within(d, FRAME_MS);
}

static void on_drained(void *context)
{
    schedule(context);
}

void dashboard_say(struct dashboard *d, bool error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    human_format(d->notice, sizeof d->notice, format, arguments);
    va_end(arguments);
    d->notice_error = error;
    dashboard_damage(d);
}

void dashboard_ask(struct dashboard *d, enum action action, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    human_format(d->ask, sizeof d->ask, format, arguments);
    va_end(arguments);
    d->confirm = action;
    d->prompt = PROMPT_CONFIRM;
    dashboard_damage(d);
}

void dashboard_quit(struct dashboard *d)
{
    uv_stop(&d->loop);
}

static void on_sample(uv_timer_t *timer)
{
    struct dashboard *d = timer->data;
    bool old = false, quiet = fleet_quiet(&d->fleet, d->sampled_at);
    d->sampled_at = uv_hrtime();
    d->sample_ms = !quiet ? SAMPLE_MS : d->sample_ms < QUIET_MS ? d->sample_ms * 2 : QUIET_MS;
    uv_timer_start(&d->sample, on_sample, d->sample_ms, 0);
    fleet_load(&d->fleet, d->host_cpus);
    for (size_t i = 0; i < d->fleet.shown_count; i++) {
        struct fleet_row *row = d->fleet.shown[i];
        long place = (long)i - d->first;
        if (place >= 0 && place < d->canvas.rows) /* what is out of sight is not asked */
            links_ask(row, true);
        old = old || (row->ended != 0 && human_now() - row->ended > FLEET_ENDED_MS);
    }
    if (old)
        links_refresh(d->links);
    dashboard_damage(d); /* ages, the clock */
}

/* What was typed meanwhile is about sessions that are known by now, not about an empty list. */
static void take_input(struct dashboard *d)
{
    d->ready = true;
    uv_timer_stop(&d->connect);
    watch_start(d->keyboard);
    dashboard_damage(d); /* a script goes on behind a frame */
}

static void on_silent(uv_timer_t *timer)
{
    take_input(timer->data);
}

static void on_connect(uv_timer_t *timer)
{
    struct dashboard *d = timer->data;
    uv_timer_start(&d->connect, on_silent, SILENT_MS, 0);
    d->connected = true;
    links_refresh(d->links);
    if (uv_is_active((uv_handle_t *)&d->sample))
        uv_timer_start(&d->sample, on_sample, 0, 0);
}

/* Something happens. */
static void sample_soon(struct dashboard *d)
{
    d->sample_ms = SAMPLE_MS;
    if (uv_is_active((uv_handle_t *)&d->sample) && uv_timer_get_due_in(&d->sample) > SAMPLE_MS)
        uv_timer_start(&d->sample, on_sample, SAMPLE_MS, 0);
}

static void sample_control(struct dashboard *d)
{
    bool wanted = d->focused && (d->view == VIEW_HOME || d->view == VIEW_FORM);
    bool active = uv_is_active((uv_handle_t *)&d->sample);
    if (wanted)
        sample_soon(d);
    if (wanted && !active)
        uv_timer_start(&d->sample, on_sample, 0, 0);
    else if (!wanted && active)
        uv_timer_stop(&d->sample);
}

/* Sessions whose screen the user sees have nothing that was not seen. */
static void look(struct dashboard *d)
{
    struct fleet_row *row = fleet_selected(&d->fleet);
    if (!d->focused)
        return;
    if (d->view == VIEW_HOME && d->preview_area.rows > 0 && row != NULL)
        fleet_looked(row);
    for (size_t i = 0; d->view == VIEW_PANES && i < LAYOUT_PANES; i++)
        if (d->deck.used[i] && deck_visible(&d->deck, &d->deck.panes[i]) &&
            (row = fleet_find(&d->fleet, d->deck.panes[i].session)) != NULL)
            fleet_looked(row);
}

static void on_settle(uv_timer_t *timer)
{
    struct dashboard *d = timer->data;
    look(d);
    const struct fleet_row *row = fleet_selected(&d->fleet);
    struct link_terminal terminal = row != NULL ? links_terminal(row) : (struct link_terminal){0};
    struct pane *pane = &d->preview;
    bool wanted = d->view == VIEW_HOME && d->preview_area.rows > 0 && terminal.id != 0;
    bool same = row != NULL && strcmp(pane->session, row->id) == 0 && pane->terminal == terminal.id;
    if (!wanted || !same) {
        pane_free(pane);
        *pane = (struct pane){
            .preview = true, .events = &d->deck.events, .context = d, .streams = &d->deck.streams};
    }
    if (wanted && pane->stream == NULL && !pane->ended) {
        memcpy(pane->session, row->id, sizeof pane->session);
        pane->terminal = terminal.id;
        pane_attach(pane, links_client(row), terminal.rows, terminal.columns);
    } else if (wanted) {
        pane_resize(pane, terminal.rows, terminal.columns);
    }
    dashboard_damage(d);
}

void dashboard_settle(struct dashboard *d)
{
    if (!uv_is_active((uv_handle_t *)&d->settle))
        uv_timer_start(&d->settle, on_settle, SETTLE_MS, 0);
}

static void on_hide(uv_timer_t *timer)
{
    struct dashboard *d = timer->data;
    if (d->view != VIEW_PANES)
        deck_hide(&d->deck);
}

void dashboard_view(struct dashboard *d, enum view view)
{
    if (d->view != view)
        d->before = d->view;
    d->view = view;
    if (view != VIEW_PANES)
        uv_timer_start(&d->hide, on_hide, HIDE_MS, 0);
    sample_control(d);
    dashboard_settle(d);
    dashboard_damage(d);
}

/* --- what the fleet and the panes report */

static void on_changed(void *context)
{
    struct dashboard *d = context;
    unsigned pending = 0;
    look(d);
    if (!fleet_quiet(&d->fleet, d->sampled_at))
        sample_soon(d);
    fleet_arrange(&d->fleet);
    for (size_t i = 0; i < d->fleet.count; i++)
        pending += d->fleet.rows[i]->pending;
    bool other = pending != d->pending;
    d->pending = pending;
    if (d->connected && !d->ready && links_answered(d->links))
        take_input(d);
    if (other)
        answers_refresh(d);
    dashboard_settle(d);
    dashboard_damage(d);
}

static void on_log(void *context)
{
    struct dashboard *d = context;
    int added = feed_read(&d->feed, links_registry(d->links), NULL);
    bool sessions = false; /* it may be about a snapshot */
    for (int i = 1; i <= added && (size_t)i <= d->feed.count; i++)
        sessions = sessions || feed_at(&d->feed, d->feed.count - (size_t)i)->type == EVENT_SESSION;
    sample_soon(d);
    if (sessions)
        fleet_children(&d->fleet, links_registry(d->links), NULL);
    if (added > 0) {
        answers_changed(d);
        pages_again(d);
    }
    dashboard_damage(d);
}

static void on_connected(void *context, struct fleet_row *row, struct client *client,
                         const char *why)
{
    struct dashboard *d = context;
    if (client == NULL && why != NULL)
        dashboard_say(d, true, "%s: %s", fleet_word(row), why);
    dashboard_damage(d);
}

static void on_event(void *context, struct fleet_row *row, const char *name, const cJSON *event)
{
    struct dashboard *d = context;
    const cJSON *done = cJSON_GetObjectItemCaseSensitive(event, "per_mille");
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(event, "step");
    sample_soon(d);
    if (strcmp(name, "pending") == 0)
        answers_refresh(d);
    if (strcmp(name, "progress") == 0 && cJSON_IsNumber(done))
        dashboard_say(d, false, "%s: %d%% %s", fleet_word(row), (int)(done->valuedouble / 10),
                      cJSON_IsString(step) ? step->valuestring : "");
}

static void on_pane_damage(void *context, struct pane *pane)
{
    struct dashboard *d = context;
    if (pane == &d->preview ? d->view != VIEW_HOME : d->view != VIEW_PANES)
        return;
    bool focused = pane == deck_focused(&d->deck);
    damage_within(d, !focused ? OTHERS_MS : d->typed ? 0 : FRAME_MS);
    if (focused)
        d->typed = false;
}

static void on_pane_bell(void *context, struct pane *pane)
{
    struct dashboard *d = context;
    struct fleet_row *row = fleet_find(&d->fleet, pane->session);
    if (row != NULL && (d->view != VIEW_PANES || pane != deck_focused(&d->deck)))
        row->bell = true;
    outer_write(&d->outer, "\a", 1);
    dashboard_damage(d);
}

static void on_pane_ended(void *context, struct pane *pane)
{
    struct dashboard *d = context;
    dashboard_damage(d);
    if (pane->preview)
        return;
    const struct fleet_row *row = fleet_find(&d->fleet, pane->session);
    dashboard_say(d, false, "%s: %s", row != NULL ? fleet_word(row) : pane->session, pane->why);
    deck_close(&d->deck, pane);
    if (d->deck.layout.count == 0 && d->view == VIEW_PANES)
        dashboard_view(d, VIEW_HOME);
}

static void on_progress(void *context, struct runner *runner, const char *line)
{
    (void)runner;
    dashboard_say(context, false, "%s", line);
}

/* What made a session printed its id last. */
static void select_made(struct dashboard *d, const char *text)
{
    char id[SESSION_ID_SIZE];
    size_t length = strlen(text);
    if (length < sizeof id || text[length - 1] != '\n')
        return;
    snprintf(id, sizeof id, "%s", text + length - sizeof id);
    if (fleet_find(&d->fleet, id) == NULL)
        return;
    memcpy(d->fleet.selected, id, sizeof id);
    fleet_arrange(&d->fleet);
    dashboard_settle(d);
}

static void on_ran(void *context, struct runner *runner)
{
    struct dashboard *d = context;
    const char *text = buf_string(&runner->output);
    bool failed = runner->status != 0 || runner->signal != 0;
    if (text == NULL)
        text = "";
    if (runner->show && (failed ? strchr(text, '\n') != strrchr(text, '\n') : *text != '\0')) {
        d->over = lists_shown(d);
        page_clear(&d->page, PAGE_OUTPUT, runner->line);
        for (const char *at = text; *at != '\0';) {
            size_t length = strcspn(at, "\n");
            page_add(&d->page, ROLE_TEXT, "%.*s", (int)length, at);
            at += length + (at[length] == '\n');
        }
        dashboard_view(d, VIEW_PAGE);
    }
    if (runner == d->making) {
        d->making = NULL;
        if (!failed && !d->form.touched)
            form_clear(&d->form); /* else it is as it was typed, for the next attempt */
    }
    if (!failed)
        dashboard_say(d, false, "done: %s", runner->line);
    else if (d->notice[0] == '\0' || *text == '\0')
        dashboard_say(d, true, "%s: status %d", runner->line, (int)runner->status);
    else
        d->notice_error = true;
    links_refresh(d->links);
    fleet_children(&d->fleet, links_registry(d->links), NULL);
    lists_again(d);
    select_made(d, text);
}

/* --- the terminal */

static void on_escape(uv_timer_t *timer)
{
    struct dashboard *d = timer->data;
    input_flush(&d->input);
}

static void on_keyboard(void *context)
{
    struct dashboard *d = context;
    uint8_t data[READ_BYTES];
    ssize_t got = read(STDIN_FILENO, data, sizeof data);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        d->signal = SIGHUP; /* the terminal is gone */
        dashboard_quit(d);
        return;
    }
    uv_timer_stop(&d->escape);
    input_feed(&d->input, data, (size_t)got);
    if (input_pending(&d->input))
        uv_timer_start(&d->escape, on_escape, INPUT_WAIT_MS, 0);
}

static void on_input(void *context, const struct input_event *event)
{
    struct dashboard *d = context;
    if (event->kind == INPUT_FOCUS) {
        d->focused = event->focused;
        sample_control(d);
    }
    if (event->kind == INPUT_KEY)
        sample_soon(d);
    dashboard_event(d, event);
}

static void fit(struct dashboard *d)
{
    int rows, cols;
    outer_size(&rows, &cols);
    rows = rows < DASHBOARD_MAX_ROWS ? rows : DASHBOARD_MAX_ROWS;
    cols = cols < DASHBOARD_MAX_COLS ? cols : DASHBOARD_MAX_COLS;
    if ((rows != d->canvas.rows || cols != d->canvas.cols) &&
        canvas_resize(&d->canvas, rows, cols, &d->error) < 0)
        uv_stop(&d->loop);
    lists_again(d); /* its columns */
    dashboard_damage(d);
}

static void leave(struct dashboard *d)
{
    CLEAN_BUF struct buf out = {0};
    outer_reports(&d->outer, d->mouse, false);
    screen_leave(d->screen, &out);
    outer_write(&d->outer, buf_data(&out), buf_len(&out));
    if (write(STDOUT_FILENO, buf_data(&d->outer.waiting), buf_len(&d->outer.waiting)) < 0)
        d->outer.gone = true;
    buf_consume(&d->outer.waiting, buf_len(&d->outer.waiting));
    outer_restore();
}

static void enter(struct dashboard *d)
{
    outer_raw(NULL);
    outer_reports(&d->outer, d->mouse, true);
    screen_forget(d->screen);
    fit(d);
}

void dashboard_suspend(struct dashboard *d)
{
    static const struct sigaction stop = {.sa_handler = SIG_DFL};
    struct sigaction ours;
    leave(d);
    /* with whoever waits for us; where nobody could let us go on the kernel does nothing */
    sigaction(SIGTSTP, &stop, &ours);
    kill(0, SIGTSTP);
    sigaction(SIGTSTP, &ours, NULL);
    enter(d);
}

int dashboard_save(struct dashboard *d, const char *path, struct error *err)
{
    CLEAN_BUF struct buf text = {0};
    CLEAN_FREE char *own = NULL;
    int rc = 0;
    for (int row = 0; row < d->canvas.rows && rc == 0; row++) {
        rc = canvas_row(&d->canvas, row, &text);
        if (rc == 0)
            rc = buf_printf(&text, "\n");
    }
    if (rc < 0)
        return error_set(err, ENOMEM, "out of memory");
    if (path == NULL) {
        char name[64];
        snprintf(name, sizeof name, "screen-%lld.txt", (long long)human_now());
        rc = path_xdg(PATH_STATE, name, &own, err);
    }
    if (rc == 0)
        rc = path_write(own != NULL ? own : path, 0600, buf_data(&text), buf_len(&text), err);
    if (rc == 0 && own != NULL)
        dashboard_say(d, false, "saved to %s", own);
    return rc;
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct dashboard *d = handle->data;
    if (signum == SIGWINCH) {
        screen_forget(d->screen); /* also of the same size: it may have been smaller meanwhile */
        fit(d);
    } else if (signum == SIGTSTP) {
        dashboard_suspend(d);
    } else if (signum == SIGCONT) {
        outer_raw(NULL);
        screen_forget(d->screen);
        fit(d);
    } else {
        d->signal = signum;
        dashboard_quit(d);
    }
}

void dashboard_theme(struct dashboard *d, const char *name)
{
    CLEAN_STRV struct strv names = {0};
    struct error err = {0};
    if (name == NULL && theme_names(&names) == 0 && names.count > 0) {
        size_t at = 0;
        while (at < names.count && strcmp(names.items[at], d->theme.name) != 0)
            at++;
        name = names.items[(at + 1) % names.count];
    }
    if (name == NULL || theme_load(name, &d->theme, &err) < 0)
        dashboard_say(d, true, "%s", err.message);
    else
        dashboard_say(d, false, "theme %s", d->theme.name);
}

/* --- beginning and end */

static int open_terminal(struct dashboard *d, struct error *err)
{
    const char *no_color = getenv("NO_COLOR");
    bool colors = no_color == NULL || *no_color == '\0';
    int rows, cols;
    outer_size(&rows, &cols);
    int rc = outer_open(&d->outer, &d->loop, on_drained, d, err);
    if (rc == 0)
        rc = watch_open(&d->keyboard, &d->loop, STDIN_FILENO, UV_READABLE, on_keyboard, d, err);
    if (rc == 0)
        rc = screen_open(&d->screen, rows, cols, colors, err);
    if (rc < 0)
        return rc;
    int count = screen_colors(d->screen);
    rc = theme_load(count < 8 ? "mono" : count < 256 ? "16-colour" : "dark", &d->theme, err);
    settings_read(d);
    d->input.emit = on_input;
    d->input.context = d;
    for (int i = 0; i < DASHBOARD_SIGNALS; i++) {
        uv_signal_init(&d->loop, &d->signals[i]);
        d->signals[i].data = d;
        uv_signal_start(&d->signals[i], on_signal, signals[i]);
    }
    return rc;
}

static int open_all(struct dashboard *d, struct error *err)
{
    static const struct links_events links_events = {on_changed, on_log, on_connected, on_event};
    static const struct pane_events pane_events = {on_pane_damage, on_pane_bell, on_pane_ended};
    uv_timer_t *const timers[] = {&d->frame, &d->escape, &d->sample, &d->settle,
                                  &d->hide,  &d->late,   &d->connect};
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        uv_timer_init(&d->loop, timers[i]);
        timers[i]->data = d;
    }
    d->runners =
        (struct runners){.loop = &d->loop, .progress = on_progress, .ended = on_ran, .context = d};
    bindings_default(&d->bindings);
    form_init(&d->form, d->program);
    deck_init(&d->deck, &d->fleet, &pane_events, d);
    d->preview = (struct pane){
        .preview = true, .events = &d->deck.events, .context = d, .streams = &d->deck.streams};
    d->focused = d->mouse = true;
    int rc = d->program->script != NULL ? script_read(&d->script, d->program->script, err) : 0;
    if (rc == 0)
        rc = links_open(&d->links, &d->loop, &d->fleet, &links_events, d, err);
    if (rc == 0)
        rc = open_terminal(d, err);
    if (rc < 0)
        return rc;
    feed_read(&d->feed, links_registry(d->links), NULL);
    answers_changed(d);
    fleet_children(&d->fleet, links_registry(d->links), NULL);
    d->host_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    d->host_memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    enter(d);
    dashboard_view(d, VIEW_HOME);
    return 0;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_all(struct dashboard *d)
{
    if (d->screen != NULL)
        leave(d);
    pane_free(&d->preview);
    deck_free(&d->deck);
    links_close(d->links);
    streams_free(&d->deck.streams);
    runners_close(&d->runners);
    watch_close(d->keyboard);
    if (d->outer.writable != NULL)
        outer_close(&d->outer);
    uv_walk(&d->loop, close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    screen_close(d->screen);
    canvas_free(&d->canvas);
    fleet_free(&d->fleet);
    feed_free(&d->feed);
    page_free(&d->page);
    while (d->askings != NULL)
        asking_free(d->askings);
    review_free(&d->review);
    script_free(&d->script);
    form_free(&d->form);
    strv_free(&d->asked_about);
}

int tui_main(const struct tui_program *program, struct error *err)
{
    setenv("VMDECK_SPARES", "1", 0); /* what is started from here begins at once */
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return error_set(err, ENOTTY, "standard input and output must be a terminal");
    struct dashboard *d = calloc(1, sizeof *d);
    if (d == NULL)
        return error_set(err, ENOMEM, "out of memory");
    d->program = program;
    int rc = uv_loop_init(&d->loop);
    if (rc < 0) {
        free(d);
        return error_system(err, -rc, "cannot make an event loop");
    }
    rc = open_all(d, err);
    if (rc == 0) {
        uv_run(&d->loop, UV_RUN_DEFAULT);
        *err = d->error;
        rc = d->error.code != 0 ? -d->error.code : d->signal;
    }
    close_all(d);
    free(d);
    return rc;
}
