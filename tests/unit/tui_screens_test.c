/*
 * Every view at three sizes, against the files in tests/tui/screens/: a state is built here, drawn,
 * and what is on the canvas compared, first the text, then what each cell looks like. With
 * SCREENS_UPDATE set the files are written instead; look at them before they are committed.
 */
#include "unit.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "session/store/snapshots.h"
#include "tui/dashboard.h"

#define NOW        1767362531000 /* 2026-01-02 14:02:11 UTC */
#define MINUTE     60000ll
#define HOUR       (60 * MINUTE)
#define DAY        (24 * HOUR)
#define FILE_BYTES 262144

static bool has_option(const char *verb, const char *option)
{
    (void)verb;
    (void)option;
    return true;
}

static const struct tui_verb verbs[] = {
    {"allow", "Let a session's requests to a host pass"},
    {"attach", "Return to a session's terminal"},
    {"bash", "Start a session with a shell"},
    {"deny", "Refuse a session's requests to a host"},
    {"exec", "Run commands in a new VM"},
    {"fork", "Clone a running session"},
    {"list", "Show sessions"},
    {"mount", "Mount a directory of the host in a session"},
    {"pause", "Let sessions stand still"},
    {"requests", "List the requests that wait for an answer"},
    {"rules", "Show the rules of a session's network, or those that are saved"},
    {"snapshot", "Save a session, or work with snapshots"},
    {"start", "Go on with suspended sessions"},
    {"stop", "End sessions"},
    {"suspend", "Save sessions to disk and end their VMs"},
    {"umount", "Take a mount out of a session"},
    {"unpause", "Let paused sessions go on"},
    {NULL, NULL},
};
static const struct tui_program program = {.verbs = verbs, .has_option = has_option};

static const struct {
    const char *id, *name, *image, *command, *title, *reason;
    enum session_state state;
    int64_t age;
    unsigned pending, terminals;
    uint64_t memory;
    int graph[FLEET_SAMPLES]; /* percent */
    bool bell;
} sessions[] = {
    {"c1a0de01",
     "claude-1",
     "default",
     "bash",
     "npm install",
     "",
     SESSION_WAITING,
     12 * MINUTE,
     2,
     1,
     62914560,
     {2, 4, 30, 80, 60, 10, 5, 2},
     false},
    {"b0117de2",
     "build-web",
     "node:22",
     "make",
     "make",
     "",
     SESSION_RUNNING,
     3 * HOUR,
     0,
     2,
     50331648,
     {5, 20, 60, 90, 95, 70, 40, 55},
     false},
    {"db7e57a3",
     "db-tests",
     "default",
     "bash",
     "psql",
     "",
     SESSION_RUNNING,
     41 * MINUTE,
     0,
     1,
     32505856,
     {1, 2, 1, 1, 20, 1, 1, 1},
     true},
    {"01d9a4b4",
     "old-parser",
     "alpine",
     "sh",
     "sh",
     "",
     SESSION_SUSPENDED,
     2 * DAY,
     0,
     1,
     0,
     {0},
     false},
    {"4e940118",
     "repro-118",
     "default",
     "bash",
     "bash",
     "",
     SESSION_PAUSED,
     5 * DAY,
     0,
     1,
     20971520,
     {0},
     false},
    {"f0220003",
     "fuzz-3",
     "default",
     "./fuzz",
     "",
     "the command ended with status 137",
     SESSION_DEAD,
     9 * MINUTE,
     0,
     0,
     0,
     {0},
     false},
};

/* Ages are in seconds before NOW. */
static const struct {
    int age;
    const char *session;
    enum event_type type;
    const char *json;
} events[] = {
    {64, "c1a0de01", EVENT_SESSION, "{\"action\":\"ready\",\"detail\":\"forked in 0.14 s\"}"},
    {61, "b0117de2", EVENT_VFS, "{\"action\":\"mounted\",\"mount\":\"/src\"}"},
    {13, "b0117de2", EVENT_NET,
     "{\"flow\":11,\"guest_port\":40112,\"process\":{\"pid\":231,\"name\":\"python3\"},"
     "\"protocol\":"
     "\"http\",\"host\":\"169.254.169.254\",\"port\":80,\"method\":\"GET\",\"path\":\"/latest/meta-"
     "data\",\"verdict\":\"deny\",\"reason\":\"the address 169.254.169.254 is not public\","
     "\"sent\":0,\"received\":0,\"duration_ms\":0,\"status\":403}"},
    {6, "db7e57a3", EVENT_NET,
     "{\"flow\":3,\"guest_port\":52230,\"process\":{\"pid\":98,\"name\":\"psql\"},\"protocol\":"
     "\"tcp\",\"host\":\"db.internal\",\"port\":5432,\"address\":\"10.0.0.7\",\"verdict\":"
     "\"allow\",\"reason\":\"tcp-map db.internal:5432\",\"rule\":2,\"sent\":2048,\"received\":"
     "18432,\"duration_ms\":5120}"},
    {4, "c1a0de01", EVENT_NET,
     "{\"flow\":7,\"guest_port\":41200,\"process\":{\"pid\":77,\"name\":\"node\"},\"protocol\":"
     "\"https\",\"host\":\"metrics.example.com\",\"port\":443,\"method\":\"POST\",\"path\":\"/v1/"
     "ping\",\"verdict\":\"deny\",\"reason\":\"nobody answered within 30 "
     "s\",\"sent\":0,\"received\":0,"
     "\"duration_ms\":4100,\"status\":403}"},
    {3, "b0117de2", EVENT_NET,
     "{\"flow\":12,\"guest_port\":40118,\"process\":{\"pid\":240,\"name\":\"curl\"},\"protocol\":"
     "\"https\",\"host\":\"paste.example.net\",\"port\":443,\"method\":\"POST\",\"path\":\"/\","
     "\"verdict\":\"deny\",\"reason\":\"no rule allows it\",\"sent\":0,\"received\":0,"
     "\"duration_ms\":0,\"status\":403}"},
    {2, "b0117de2", EVENT_SECRET,
     "{\"flow\":13,\"secret\":\"GITHUB_TOKEN\",\"host\":\"api.github.com\",\"where\":"
     "\"authorization\",\"action\":\"injected\"}"},
    {2, "b0117de2", EVENT_NET,
     "{\"flow\":13,\"guest_port\":40120,\"process\":{\"pid\":241,\"name\":\"curl\"},\"protocol\":"
     "\"https\",\"host\":\"api.github.com\",\"port\":443,\"address\":\"140.82.121.6\",\"method\":"
     "\"GET\",\"path\":\"/repos/o/r\",\"verdict\":\"allow\",\"reason\":\"allow-host "
     "*.github.com\",\"rule\":1,\"sent\":812,\"received\":4198,\"duration_ms\":82,\"status\":200,"
     "\"secrets\":[\"GITHUB_TOKEN\"]}"},
    {1, "b0117de2", EVENT_SECRET,
     "{\"flow\":13,\"secret\":\"GITHUB_TOKEN\",\"host\":\"api.github.com\",\"where\":\"body\","
     "\"action\":\"redacted\"}"},
    {1, "c1a0de01", EVENT_SECRET,
     "{\"flow\":8,\"secret\":\"NPM_TOKEN\",\"host\":\"collect.example.com\",\"where\":\"x-token\","
     "\"action\":\"blocked\"}"},
};

static const char *const questions[] = {
    "{\"id\":3,\"time\":\"2026-01-02T14:02:11Z\",\"protocol\":\"https\",\"host\":\"registry."
    "example.org\",\"port\":443,\"method\":"
    "\"GET\",\"path\":\"/left-pad\",\"flow\":9,\"left_ms\":24000,\"process\":{\"pid\":231,"
    "\"name\":\"npm\"}}",
    "{\"id\":4,\"time\":\"2026-01-02T14:02:11Z\",\"protocol\":\"https\",\"host\":\"telemetry."
    "example.com\",\"port\":443,\"method\":"
    "\"POST\",\"path\":\"/v1/ping\",\"flow\":10,\"left_ms\":25000,\"process\":{\"pid\":77,"
    "\"name\":\"node\"}}",
};

static const char *const shell = "$ npm install left-pad\r\n"
                                 "npm http fetch GET https://registry.example.org/left-pad\r\n"
                                 "\033[36m\xe2\xa0\x8b\033[m waiting for registry.example.org "
                                 "\xe2\x80\xa6";
static const char *const build = "$ make -j4\r\n[1/3] compile parser.c\r\n[2/3] compile main.c\r\n"
                                 "\033[32m[3/3] link\033[m\r\n$ ";

static void add_sessions(struct dashboard *d)
{
    for (size_t i = 0; i < ARRAY_SIZE(sessions); i++) {
        struct session_record record = {.state = sessions[i].state,
                                        .name = (char *)(uintptr_t)sessions[i].name,
                                        .image = (char *)(uintptr_t)sessions[i].image,
                                        .command = (char *)(uintptr_t)sessions[i].command,
                                        .ended_reason = (char *)(uintptr_t)sessions[i].reason,
                                        .cpus = 1,
                                        .created = NOW - sessions[i].age};
        snprintf(record.id, sizeof record.id, "%s", sessions[i].id);
        record.ended = sessions[i].state == SESSION_DEAD ? NOW - MINUTE : 0;
        struct fleet_row *row = fleet_put(&d->fleet, &record);
        assert_non_null(row);
        row->pending = sessions[i].pending;
        row->terminals = sessions[i].terminals;
        row->memory = sessions[i].memory;
        row->bell = sessions[i].bell;
        snprintf(row->title, sizeof row->title, "%s", sessions[i].title);
        row->sample_count = sessions[i].state == SESSION_RUNNING ? FLEET_SAMPLES : 0;
        for (size_t k = 0; k < FLEET_SAMPLES; k++)
            row->samples[k] = sessions[i].graph[k] / 100.0;
    }
    snprintf(d->fleet.selected, sizeof d->fleet.selected, "c1a0de01");
    d->fleet.sort = SORT_STATE;
    fleet_arrange(&d->fleet);
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        struct event event = {.row = (int64_t)i + 1,
                              .time = NOW - events[i].age * 1000,
                              .type = events[i].type,
                              .json = events[i].json};
        snprintf(event.session, sizeof event.session, "%s", events[i].session);
        feed_add(&d->feed, &event);
    }
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++)
        review_add(&d->review, "c1a0de01", cJSON_Parse(questions[i]), NOW);
    assert_int_equal(review_build(&d->review, &d->feed), 0);
}

static void fill_pane(struct pane *pane, const char *session, const char *text, int rows, int cols)
{
    const struct term_options options = {.rows = rows, .cols = cols, .history = 100};
    assert_int_equal(term_new(&pane->term, &options, NULL), 0);
    term_write(pane->term, text, strlen(text));
    snprintf(pane->session, sizeof pane->session, "%s", session);
    pane->rows = rows;
    pane->cols = cols;
}

/* --- the states */

static void as_home(struct dashboard *d)
{
    fill_pane(&d->preview, "c1a0de01", shell, 24, 80);
}

static void as_empty(struct dashboard *d)
{
    review_free(&d->review);
    fleet_free(&d->fleet);
    feed_free(&d->feed);
}

static void as_palette(struct dashboard *d)
{
    as_home(d);
    d->prompt = PROMPT_COMMAND;
    edit_set(&d->edit, "allow claude-1 regis");
}

static void as_stop(struct dashboard *d)
{
    as_home(d);
    d->fleet.shown[1]->marked = d->fleet.shown[2]->marked = true;
    dashboard_act(d, ACTION_STOP);
}

static void as_form(struct dashboard *d)
{
    as_home(d);
    edit_set(&d->form.edits[0], "claude-2");
    d->view = VIEW_FORM;
}

static void as_panes(struct dashboard *d)
{
    int half = d->canvas.cols / 2;
    deck_open(&d->deck, "c1a0de01", 1, DECK_BESIDE);
    fill_pane(deck_focused(&d->deck), "c1a0de01", shell, d->canvas.rows - 2, half);
    deck_show(&d->deck, dashboard_area(d)); /* what is split has a size */
    deck_open(&d->deck, "b0117de2", 1, DECK_BESIDE);
    fill_pane(deck_focused(&d->deck), "b0117de2", build, d->canvas.rows - 2, half);
    d->view = VIEW_PANES;
}

static void as_log(struct dashboard *d)
{
    pages_log(d, false);
    d->view = VIEW_PAGE;
}

static void as_network(struct dashboard *d)
{
    pages_log(d, true);
    d->view = VIEW_PAGE;
}

static void as_card(struct dashboard *d)
{
    as_network(d);
    pages_move(d, -2);
    dashboard_act(d, ACTION_DETAILS);
}

static void as_review(struct dashboard *d)
{
    dashboard_act(d, ACTION_REVIEW);
}

/* A host that was refused, its domain allowed for good, in every session. */
static void as_refused(struct dashboard *d)
{
    as_review(d);
    dashboard_act(d, ACTION_DOWN);
    dashboard_act(d, ACTION_DOWN);
    dashboard_act(d, ACTION_WIDER);
    dashboard_act(d, ACTION_EVERYWHERE);
}

/* Many requests, of two sessions, to few hosts. */
static void as_grouped(struct dashboard *d)
{
    static const struct {
        const char *session, *process, *method, *host, *path;
        int count, left;
    } rows[] = {{"b0117de2", "cargo", "GET", "static.crates.io", "/crates/serde/serde-1.0", 14, 21},
                {"b0117de2", "git", "GET", "github.com", "/o/r/info/refs", 2, 22},
                {"db7e57a3", "pip", "GET", "pypi.org", "/simple/psycopg/", 5, 27},
                {"db7e57a3", "curl", "HEAD", "pypi.org", "/", 1, 28}};
    uint64_t id = 10;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (int k = 0; k < rows[i].count; k++) {
            CLEAN_FREE char *json = str_printf(
                "{\"id\":%llu,\"time\":\"2026-01-02T14:02:10Z\",\"protocol\":\"https\",\"host\":"
                "\"%s\",\"port\":443,\"method\":\"%s\",\"path\":\"%s\",\"flow\":%llu,"
                "\"left_ms\":%d,\"process\":{\"pid\":%d,\"name\":\"%s\"}}",
                (unsigned long long)id, rows[i].host, rows[i].method, rows[i].path,
                (unsigned long long)id + 20, rows[i].left * 1000, 300 + (int)i, rows[i].process);
            review_add(&d->review, rows[i].session, cJSON_Parse(json), NOW);
            id++;
        }
    assert_int_equal(review_build(&d->review, &d->feed), 0);
    as_review(d);
    dashboard_act(d, ACTION_DOWN);
    dashboard_act(d, ACTION_DOWN);
}

/* What waits, in full. */
static void as_asks(struct dashboard *d)
{
    as_review(d);
    dashboard_act(d, ACTION_DETAILS);
}

static void as_complete(struct dashboard *d)
{
    as_form(d);
    for (const char *image = "default:latest\0default:2025\0node:22\0"; *image != '\0';
         image += strlen(image) + 1)
        assert_int_equal(strv_add(&d->form.images, image), 0);
    static const struct input_event tab = {.kind = INPUT_KEY, .key = KEYCODE_TAB};
    static const struct input_event letter = {
        .kind = INPUT_KEY, .key = 'd', .bytes = (const uint8_t *)"d", .size = 1};
    form_event(&d->form, &tab);
    form_event(&d->form, &letter);
    form_event(&d->form, &tab);
}

static void as_list(struct dashboard *d, enum page_kind kind, const char *json)
{
    cJSON *reply = cJSON_Parse(json);
    assert_non_null(reply);
    snprintf(d->listed, sizeof d->listed, "b0117de2");
    d->view = VIEW_PAGE;
    lists_fill(d, kind, reply);
    cJSON_Delete(reply);
}

static void as_mounts(struct dashboard *d)
{
    as_list(
        d, PAGE_MOUNTS,
        "{\"mounts\":[{\"guest\":\"/src\",\"host\":\"/home/ada/build-web\",\"read_only\":false},"
        "{\"guest\":\"/root/.cache\"},"
        "{\"guest\":\"/reference\",\"host\":\"/usr/share/doc\",\"read_only\":true}]}");
}

static void as_rules(struct dashboard *d)
{
    as_list(d, PAGE_RULES,
            "{\"default\":\"ask\",\"rules\":["
            "{\"id\":1,\"action\":\"allow\",\"source\":\"option\",\"pattern\":\"*.github.com\"},"
            "{\"id\":2,\"action\":\"allow-internal\",\"source\":\"option\",\"pattern\":"
            "\"db.internal:5432\"},"
            "{\"id\":5,\"action\":\"allow\",\"source\":\"session\",\"pattern\":"
            "\"GET registry.example.org\"},"
            "{\"id\":6,\"action\":\"deny\",\"source\":\"saved\",\"pattern\":"
            "\"*.telemetry.example.com\"}]}");
    page_move(&d->page, 2);
}

/* --- snapshots: these come from the registry */

static char state_home[] = "/tmp/screens-XXXXXX";

static void nothing(void *context)
{
    (void)context;
}

static void add_snapshot(struct registry *registry, const char *id, const char *name,
                         const char *session, int64_t age, int64_t size)
{
    struct error err = {0};
    CLEAN_FREE char *path = str_printf("%s/%s.qcow2", state_home, id);
    struct snapshot_record record = {
        .kind = strcmp(name, "base-deps") == 0 ? SNAPSHOT_DISK : SNAPSHOT_RAM,
        .name = name,
        .path = path,
        .image = "default",
        .session = session,
        .session_name = strcmp(session, "b0117de2") == 0 ? "build-web" : "old-parser",
        .size = size,
        .created = NOW - age};
    assert_int_equal(path_write(path, 0600, "x", 1, &err), 0);
    assert_int_equal(snapshot_add(registry, &record, &err), 0);
    assert_string_equal(record.id, id);
}

static void as_snapshots(struct dashboard *d)
{
    static const struct links_events silent = {.changed = nothing, .log = nothing};
    struct registry *registry = NULL;
    struct error err = {0};
    CLEAN_FREE char *config = str_printf("{\"resume\":\"%s/ba5ede95.qcow2\"}", state_home);
    struct session_record record = {.name = "build-web",
                                    .image = "node:22",
                                    .command = "make",
                                    .state = SESSION_SUSPENDED,
                                    .cpus = 1,
                                    .config = config,
                                    .created = NOW - 3 * HOUR};
    path_remove(state_home, NULL);
    assert_int_equal(path_mkdirs(state_home, 0700, &err), 0);
    assert_int_equal(registry_open(&registry, NULL, &err), 0);
    snprintf(record.id, sizeof record.id, "b0117de2");
    assert_int_equal(session_add_known(registry, &record, &err), 0);
    add_snapshot(registry, "ba5ede95", "base-deps", "01d9a4b4", 2 * DAY, 432013312);
    add_snapshot(registry, "0badcafe", "", "01d9a4b4", 5 * DAY, 123731968);
    add_snapshot(registry, "be40e001", "before-upgrade", "b0117de2", 2 * HOUR, 98566144);
    add_snapshot(registry, "9ee4f00d", "green", "b0117de2", 14 * MINUTE, 99614720);
    registry_close(registry);
    fleet_free(&d->fleet);
    d->fleet = (struct fleet){0};
    assert_int_equal(links_open(&d->links, &d->loop, &d->fleet, &silent, d, &err), 0);
    lists_show(d, ACTION_SNAPSHOTS);
    page_move(&d->page, 2);
}

/* Looking back, with lines chosen. */
static void as_scroll(struct dashboard *d)
{
    as_panes(d);
    struct pane *pane = deck_focused(&d->deck);
    for (int i = 1; i <= 200; i++) {
        char line[32];
        snprintf(line, sizeof line, "test %03d ... ok\r\n", i);
        term_write(pane->term, line, strlen(line));
    }
    pane_scroll(pane, true);
    pane_page(pane, -5);
    pane_select(pane);
    pane_move(pane, 2);
}

static void as_help(struct dashboard *d)
{
    pages_help(d);
    d->view = VIEW_PAGE;
}

static const struct {
    const char *name;
    void (*make)(struct dashboard *d);
} states[] = {
    {"home", as_home},       {"empty", as_empty},     {"palette", as_palette},
    {"stop", as_stop},       {"form", as_form},       {"panes", as_panes},
    {"log", as_log},         {"network", as_network}, {"card", as_card},
    {"review", as_review},   {"refused", as_refused}, {"help", as_help},
    {"grouped", as_grouped}, {"asks", as_asks},       {"complete", as_complete},
    {"mounts", as_mounts},   {"rules", as_rules},     {"snapshots", as_snapshots},
    {"scroll", as_scroll},
};

static const struct {
    int cols, rows;
} sizes[] = {{80, 24}, {120, 40}, {200, 60}};

/* --- drawn, as text */

/* A letter for what a cell looks like; '+' for what no role does: a guest's own colours. */
static char look(const struct theme *theme, const struct canvas_cell *cell)
{
    for (int exact = 1; exact >= 0; exact--)
        for (int i = 0; i < THEME_ROLES; i++) {
            const struct style *style = &theme->roles[i];
            if (style->fg == cell->fg && style->attrs == cell->attrs &&
                (!exact || style->bg == cell->bg))
                return (char)(i == ROLE_TEXT ? '.' : 'a' + i - 1);
        }
    return '+';
}

static void print_screen(const struct dashboard *d, struct buf *out)
{
    bool used[THEME_ROLES] = {false};
    for (int row = 0; row < d->canvas.rows; row++) {
        canvas_row(&d->canvas, row, out);
        buf_printf(out, "\n");
    }
    buf_printf(out, "\n--- looks\n");
    for (int row = 0; row < d->canvas.rows; row++) {
        char line[DASHBOARD_MAX_COLS + 1];
        int last = 0;
        for (int col = 0; col < d->canvas.cols; col++) {
            line[col] = look(&d->theme, canvas_at(&d->canvas, row, col));
            last = line[col] != '.' ? col + 1 : last;
            if (line[col] >= 'a')
                used[line[col] - 'a' + 1] = true;
        }
        buf_printf(out, "%.*s\n", last, line);
    }
    buf_printf(out, "---\n. text   + none of the theme's\n");
    for (int i = 1; i < THEME_ROLES; i++)
        if (used[i])
            buf_printf(out, "%c %s\n", 'a' + i - 1, theme_role_name((enum theme_role)i));
    if (d->canvas.cursor_row >= 0)
        buf_printf(out, "cursor %d,%d\n", d->canvas.cursor_row, d->canvas.cursor_col);
}

static void close_handle(uv_handle_t *handle, void *unused)
{
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void draw(size_t state, size_t size, struct buf *out)
{
    struct dashboard *d = calloc(1, sizeof *d);
    assert_non_null(d);
    d->program = &program;
    d->now = NOW;
    uv_loop_init(&d->loop);
    uv_timer_t *const timers[] = {&d->frame,  &d->escape, &d->sample,
                                  &d->settle, &d->hide,   &d->late};
    for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
        uv_timer_init(&d->loop, timers[i]);
    assert_int_equal(theme_load("dark", &d->theme, NULL), 0);
    assert_int_equal(canvas_resize(&d->canvas, sizes[size].rows, sizes[size].cols, NULL), 0);
    bindings_default(&d->bindings);
    form_init(&d->form, &program);
    deck_init(&d->deck, &d->fleet, &(const struct pane_events){0}, d);
    add_sessions(d);
    states[state].make(d);
    dashboard_draw(d);
    print_screen(d, out);
    pane_free(&d->preview);
    deck_free(&d->deck);
    canvas_free(&d->canvas);
    fleet_free(&d->fleet);
    review_free(&d->review);
    feed_free(&d->feed);
    page_free(&d->page);
    form_free(&d->form);
    strv_free(&d->asked_about);
    links_close(d->links);
    uv_walk(&d->loop, close_handle, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&d->loop), 0);
    free(d);
}

static bool same(const char *path, struct buf *screen)
{
    struct buf file = {0};
    struct error err = {0};
    if (getenv("SCREENS_UPDATE") != NULL)
        return path_write(path, 0644, buf_data(screen), buf_len(screen), &err) == 0;
    int rc = path_read(path, FILE_BYTES, &file, &err);
    bool equal = rc == 0 && strcmp(buf_string(&file), buf_string(screen)) == 0;
    if (rc != 0)
        print_error("%s\n", err.message);
    else if (!equal)
        print_error("%s is not what is drawn:\n%s\n", path, buf_string(screen));
    buf_free(&file);
    return equal;
}

static void test_screens(void **state)
{
    size_t wrong = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
            struct buf screen = {0};
            char path[512];
            draw(i, k, &screen);
            snprintf(path, sizeof path, "%s/%s-%dx%d.txt", SCREENS, states[i].name, sizes[k].cols,
                     sizes[k].rows);
            wrong += !same(path, &screen);
            buf_free(&screen);
        }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_screens)};
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("XDG_CONFIG_HOME", "/proc/none", 1);
    setenv("TZ", "UTC", 1);
    tzset();
    if (mkdtemp(state_home) == NULL || setenv("XDG_STATE_HOME", state_home, 1) < 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    path_remove(state_home, NULL);
    return failed;
}
