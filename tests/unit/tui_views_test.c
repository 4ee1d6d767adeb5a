/*
 * Whole screens without a terminal: a registry in a directory of its own, sessions and snapshots in
 * it, and every view drawn at every kind of size. Hosts are not there, so nothing is connected.
 */
#include "store_fixture.h"

#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session/store/snapshots.h"
#include "tui/complete.h"
#include "tui/dashboard.h"
#include "tui/human.h"
#include "tui/wide.h"

static bool has_option(const char *verb, const char *option)
{
    (void)verb;
    (void)option;
    return true;
}

static int images(struct strv *out)
{
    return strv_add(out, "default:latest") | strv_add(out, "node:22");
}

static const struct tui_verb verbs[] = {{"stop", ""},  {"snapshot", ""}, {"mount", ""},
                                        {"rules", ""}, {"bash", ""},     {NULL, NULL}};
static const struct tui_program program = {
    .verbs = verbs, .has_option = has_option, .images = images};

static void nothing(void *context)
{
    (void)context;
}

static void connected(void *context, struct fleet_row *row, struct client *client, const char *why)
{
    (void)context;
    (void)row;
    (void)client;
    (void)why;
}

static void event(void *context, struct fleet_row *row, const char *name, const cJSON *object)
{
    (void)context;
    (void)row;
    (void)name;
    (void)object;
}

static struct dashboard *open_dashboard(const struct fixture *fixture)
{
    static const struct links_events links_events = {nothing, nothing, connected, event};
    static const struct pane_events pane_events = {NULL, NULL, NULL};
    struct dashboard *d = calloc(1, sizeof *d);
    struct error err = {0};
    assert_non_null(d);
    (void)fixture;
    assert_int_equal(uv_loop_init(&d->loop), 0);
    uv_timer_t *const timers[] = {&d->frame, &d->escape, &d->sample, &d->settle, &d->hide};
    for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
        uv_timer_init(&d->loop, timers[i]);
    d->program = &program;
    must(theme_load("dark", &d->theme, &err), &err);
    bindings_default(&d->bindings);
    form_init(&d->form, &program);
    deck_init(&d->deck, &d->fleet, &pane_events, d);
    must(links_open(&d->links, &d->loop, &d->fleet, &links_events, d, &err), &err);
    return d;
}

static void close_walk(uv_handle_t *handle, void *unused)
{
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void close_dashboard(struct dashboard *d)
{
    deck_free(&d->deck);
    links_close(d->links);
    uv_walk(&d->loop, close_walk, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&d->loop), 0);
    canvas_free(&d->canvas);
    fleet_free(&d->fleet);
    page_free(&d->page);
    form_free(&d->form);
    strv_free(&d->asked_about);
    free(d);
}

/* Everything is on the canvas, no control, no half of a wide character. */
static void check(const struct canvas *canvas)
{
    for (int row = 0; row < canvas->rows; row++)
        for (int col = 0; col < canvas->cols; col++) {
            const struct canvas_cell *cell = canvas_at(canvas, row, col);
            if (cell->width == 0)
                assert_int_equal(canvas_at(canvas, row, col - 1)->width, 2);
            else
                assert_int_equal(wide_width(cell->points[0]), cell->width);
        }
}

static const char *row_text(const struct canvas *canvas, int row)
{
    static char text[4096];
    size_t size = 0, used = 0;
    for (int col = 0; col < canvas->cols; col++) {
        const struct canvas_cell *cell = canvas_at(canvas, row, col);
        for (int i = 0; i < CANVAS_POINTS && cell->width > 0 && cell->points[i] != 0; i++) {
            size += wide_encode(cell->points[i], text + size);
            used = cell->points[0] != ' ' ? size : used;
        }
    }
    text[used] = '\0';
    return text;
}

/* The row that has the text, from `first` on; -1: none. */
static int find(const struct canvas *canvas, const char *text)
{
    for (int row = 0; row < canvas->rows; row++)
        if (strstr(row_text(canvas, row), text) != NULL)
            return row;
    return -1;
}

static void draw(struct dashboard *d, int rows, int cols)
{
    struct error err = {0};
    must(canvas_resize(&d->canvas, rows, cols, &err), &err);
    d->now = human_now();
    lists_again(d);
    dashboard_draw(d);
    check(&d->canvas);
}

static void add_session(struct registry *registry, const char *name, const char *resume, char *id)
{
    struct error err = {0};
    CLEAN_FREE char *config = str_printf("{\"resume\":\"%s\"}", resume);
    struct session_record record = {.name = name,
                                    .image = "default",
                                    .command = "bash",
                                    .state = SESSION_SUSPENDED,
                                    .cpus = 1,
                                    .config = resume != NULL ? config : ""};
    must(session_add(registry, &record, &err), &err);
    snprintf(id, SESSION_ID_SIZE, "%s", record.id);
}

static char *add_snapshot(const struct fixture *fixture, struct registry *registry,
                          const char *name, const char *session, int64_t created)
{
    struct error err = {0};
    char *path = str_printf("%s/%s.qcow2", fixture->directory, name);
    must(path_write(path, 0600, "x", 1, &err), &err);
    struct snapshot_record record = {.name = name,
                                     .path = path,
                                     .image = "default",
                                     .session = session,
                                     .session_name = "of",
                                     .size = 1 << 20,
                                     .created = created};
    must(snapshot_add(registry, &record, &err), &err);
    return path;
}

/* Each stands below what its session had started from, in the order of time. */
static void test_snapshots(void **state)
{
    static const char *const order[] = {"base", "├ fixed", "│ └ deeper", "└ other", "alone"};
    const struct fixture *fixture = *state;
    char a[SESSION_ID_SIZE], b[SESSION_ID_SIZE], c[SESSION_ID_SIZE], d_id[SESSION_ID_SIZE];
    struct registry *registry = must_open(NULL);
    add_session(registry, "a", NULL, a);
    CLEAN_FREE char *base = add_snapshot(fixture, registry, "base", a, 1000);
    add_session(registry, "b", base, b);
    CLEAN_FREE char *fixed = add_snapshot(fixture, registry, "fixed", b, 2000);
    add_session(registry, "c", fixed, c);
    CLEAN_FREE char *deeper = add_snapshot(fixture, registry, "deeper", c, 3000);
    CLEAN_FREE char *other = add_snapshot(fixture, registry, "other", b, 4000);
    CLEAN_FREE char *alone = add_snapshot(fixture, registry, "alone", "00000000", 5000);
    add_session(registry, "loop", alone, d_id);
    struct dashboard *d = open_dashboard(fixture);
    draw(d, 24, 120);
    lists_show(d, ACTION_SNAPSHOTS);
    draw(d, 24, 120);
    assert_int_equal(find(&d->canvas, "Snapshots · 5 · 5.0M"), 0);
    for (int i = 0; i < (int)ARRAY_SIZE(order); i++)
        assert_int_equal(find(&d->canvas, order[i]), i + 2);
    assert_non_null(strstr(row_text(&d->canvas, 2), " b"));
    assert_non_null(strstr(row_text(&d->canvas, 6), " loop"));

    /* the choice stays with its snapshot when another one goes, and goes on when its own does */
    page_move(&d->page, 2);
    CLEAN_FREE char *word = strdup(page_word(&d->page));
    assert_int_equal(unlink(base), 0);
    draw(d, 24, 80);
    assert_string_equal(page_word(&d->page), word);
    assert_int_equal(find(&d->canvas, "└ deeper"), 3);
    assert_int_equal(unlink(deeper), 0);
    draw(d, 24, 80);
    assert_non_null(page_word(&d->page));

    dashboard_act(d, ACTION_REMOVE);
    assert_int_equal(d->prompt, PROMPT_CONFIRM);
    dashboard_draw(d);
    assert_int_equal(find(&d->canvas, "Delete snapshot"), 23);
    d->prompt = PROMPT_NONE;
    dashboard_act(d, ACTION_START_FORM);
    draw(d, 24, 80);
    assert_true(find(&d->canvas, page_word(&d->page)) > 0);
    close_dashboard(d);
    registry_close(registry);
}

/* A session that is not there any more when the answer comes is not another one. */
static void test_question(void **state)
{
    char id[SESSION_ID_SIZE], second[SESSION_ID_SIZE];
    struct registry *registry = must_open(NULL);
    add_session(registry, "first", NULL, id);
    add_session(registry, "second", NULL, second);
    struct dashboard *d = open_dashboard(*state);
    memcpy(d->fleet.selected, id, sizeof id); /* two of the same age are in any order */
    draw(d, 24, 80);
    dashboard_act(d, ACTION_STOP);
    dashboard_say(d, false, "something happens");
    draw(d, 24, 80);
    assert_int_equal(find(&d->canvas, "Stop first?"), 23);
    fleet_remove(&d->fleet, fleet_find(&d->fleet, id));
    fleet_arrange(&d->fleet);
    assert_string_equal(d->fleet.selected, second);
    d->notice[0] = '\0';
    dashboard_confirmed(d, ACTION_STOP);
    assert_null(d->runners.first); /* nothing was run */
    assert_string_equal(d->notice, "");
    close_dashboard(d);
    registry_close(registry);
}

/* Output and bells are noted of what was not in sight, and only of what came since. */
static void test_unseen(void **state)
{
    struct fleet_row row = {.cpu_seconds = -1, .memory_max = 1000};
    (void)state;
    fleet_output(&row, 500, 3);
    assert_false(fleet_unseen(&row) || row.bell);
    fleet_output(&row, 501, 3);
    assert_true(fleet_unseen(&row) && !row.bell);
    fleet_looked(&row);
    assert_false(fleet_unseen(&row));
    fleet_output(&row, 502, 4);
    assert_true(fleet_unseen(&row) && row.bell);
    fleet_looked(&row);
    assert_false(fleet_unseen(&row) || row.bell);
    fleet_output(&row, 10, 0); /* a terminal has gone */
    assert_false(fleet_unseen(&row) || row.bell);

    fleet_sample_rest(&row, 250, 1000, 1000000000);
    fleet_sample(&row, 0, 1000000000);
    assert_true(row.network_rate == 0); /* one reading is no difference */
    fleet_sample_rest(&row, 5000, 3000, 2000000000);
    assert_true(row.network_rate > 1999 && row.network_rate < 2001);
    assert_true(row.memory_samples[FLEET_SAMPLES - 1] == 1);
    assert_true(row.memory_samples[FLEET_SAMPLES - 2] == 0.25);
    fleet_sample(&row, 0, 2000000000);
    fleet_sample_rest(&row, 5000, 10, 3000000000); /* another host */
    assert_true(row.network_rate == 0);
}

/* Marked ones are asked about once, those out of sight are left alone; a session's snapshots stand
 * below it only where there is room for all. */
static void test_fleet_list(void **state)
{
    char first[SESSION_ID_SIZE], id[SESSION_ID_SIZE];
    struct registry *registry = must_open(NULL);
    add_session(registry, "first", NULL, first);
    add_session(registry, "second", NULL, id);
    char *paths[5];
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "shot-%d", i);
        paths[i] = add_snapshot(*state, registry, name, first, 1000 * (i + 1));
    }
    struct dashboard *d = open_dashboard(*state);
    assert_int_equal(fleet_children(&d->fleet, registry, NULL), 0);
    dashboard_view(d, VIEW_HOME);
    fleet_find(&d->fleet, first)->created--; /* the older one */
    fleet_arrange(&d->fleet);
    draw(d, 40, 120);
    int row = find(&d->canvas, "◇ first");
    assert_int_equal(find(&d->canvas, "├ shot-4"), row + 1);
    assert_int_equal(find(&d->canvas, "└ 2 more"), row + 4);
    assert_int_equal(find(&d->canvas, "◇ second"), row + 5);
    assert_int_equal(find(&d->canvas, "shot-1"), -1);
    assert_ptr_equal(fleet_at(d, row + 3), fleet_find(&d->fleet, first));
    assert_ptr_equal(fleet_at(d, row + 5), fleet_find(&d->fleet, id));
    assert_null(fleet_at(d, row + 6));
    draw(d, 10, 40);
    assert_int_equal(find(&d->canvas, "shot-4"), row + 1);
    for (int i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "more-%d", i);
        add_session(registry, name, NULL, id);
    }
    links_refresh(d->links);
    fleet_find(&d->fleet, first)->created--;
    fleet_arrange(&d->fleet);
    draw(d, 10, 40);
    assert_int_equal(find(&d->canvas, "shot-4"), -1);
    assert_int_equal(find(&d->canvas, "◇ first"), row);

    dashboard_act(d, ACTION_MARK_ALL);
    dashboard_act(d, ACTION_STOP);
    draw(d, 24, 80);
    assert_int_equal(find(&d->canvas, "Stop 10 sessions?"), 23);
    assert_int_equal(d->asked_about.count, 10);
    for (int i = 0; i < 5; i++)
        free(paths[i]);
    close_dashboard(d);
    registry_close(registry);
}

static const struct {
    int rows, cols;
} sizes[] = {{10, 40},   {10, 200}, {11, 41},   {16, 60},  {24, 80},  {25, 99},
             {24, 100},  {30, 101}, {200, 40},  {40, 120}, {60, 200}, {10, 500},
             {200, 500}, {33, 133}, {500, 500}, {9, 39},   {1, 1},    {10, 39}};

static void test_sizes(void **state)
{
    char id[SESSION_ID_SIZE], name[SESSION_NAME_MAX + 1];
    struct registry *registry = must_open(NULL);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "session-%d-%.*s", i, i % 50,
                 "a-long-name-that-does-not-fit-into-its-column-at-all-");
        add_session(registry, name, NULL, id);
    }
    CLEAN_FREE char *base = add_snapshot(*state, registry, "base", id, 1000);
    struct dashboard *d = open_dashboard(*state);
    assert_int_equal(fleet_children(&d->fleet, registry, NULL), 0);
    d->host_cpus = 2;
    d->host_memory = 1ull << 40;
    for (size_t i = 0; i < d->fleet.count; i++) {
        struct fleet_row *row = d->fleet.rows[i];
        row->state = (enum fleet_state)(i % FLEET_STATES);
        row->pending = (unsigned)i * 100;
        row->terminals = (unsigned)i;
        row->marked = i % 3 == 0;
        row->bell = i % 4 == 0;
        row->memory = 1ull << (i % 50);
        for (uint64_t k = 0; k < 10; k++)
            fleet_sample(row, (double)(k * i) / 60, k * 1000000000 + 1);
        row->network_rate = (double)(1ull << (i % 60));
        row->written = i % 2;
    }
    for (int i = 0; i < 10; i++)
        fleet_load(&d->fleet, 1 + i);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        bool tiny = sizes[i].rows < DASHBOARD_MIN_ROWS || sizes[i].cols < DASHBOARD_MIN_COLS;
        static const enum action pages[] = {ACTION_HELP, ACTION_LOG, ACTION_SNAPSHOTS,
                                            ACTION_MOUNTS};
        dashboard_view(d, VIEW_HOME);
        draw(d, sizes[i].rows, sizes[i].cols);
        assert_int_equal(find(&d->canvas, "vmdeck needs") == 0, tiny && sizes[i].cols > 12);
        if (!tiny)
            assert_true(find(&d->canvas, "session-") > 0);
        fleet_move(&d->fleet, 7);
        dashboard_form(d);
        draw(d, sizes[i].rows, sizes[i].cols);
        if (!tiny)
            assert_true(find(&d->canvas, "Name") > 0);
        for (size_t k = 0; k < ARRAY_SIZE(pages); k++) {
            dashboard_act(d, pages[k]);
            draw(d, sizes[i].rows, sizes[i].cols);
        }
    }
    close_dashboard(d);
    registry_close(registry);
}

static void test_columns(void **state)
{
    static const struct {
        const char *text, *column;
    } cases[] = {{"", "     "},
                 {"abc", "abc  "},
                 {"abcde", "abcde"},
                 {"abcdef", "abcd…"},
                 {"\xe4\xb8\xad\xe6\x96\x87", "\xe4\xb8\xad\xe6\x96\x87 "},
                 {"\xe4\xb8\xad\xe6\x96\x87\xe4\xb8\xad", "\xe4\xb8\xad\xe6\x96\x87…"},
                 {"a\033[2J", "a\033[2J"}, /* drawn as a? by the canvas */
                 {"e\xcc\x81xxxxx", "e\xcc\x81xxx…"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEAN_BUF struct buf line = {0};
        page_column(&line, cases[i].text, 5);
        size_t length = strlen(cases[i].column);
        assert_int_equal(buf_len(&line), length + 1);
        assert_memory_equal(buf_data(&line), cases[i].column, length);
    }
}

static void test_completion(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const made[] = {"alpha", "alpine", "beta", ".hidden"};
    static const struct {
        const char *typed, *completed;
        size_t found;
    } cases[] = {
        {"al", "alp", 2},     {"alph", "alpha/", 1}, {"b", "beta/", 1},   {"", "", 3},
        {".", ".hidden/", 1}, {"x", "x", 0},         {"file", "file", 0},
    };
    assert_int_equal(chdir(fixture->directory), 0);
    setenv("HOME", fixture->directory, 1);
    for (size_t i = 0; i < ARRAY_SIZE(made); i++)
        assert_int_equal(mkdir(made[i], 0700), 0);
    assert_int_equal(path_write("file", 0600, "x", 1, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (int home = 0; home < 2; home++) {
            CLEAN_STRV struct strv found = {0};
            struct edit edit;
            CLEAN_FREE char *typed = str_printf("%s%s", home ? "~/" : "", cases[i].typed);
            CLEAN_FREE char *completed = str_printf("%s%s", home ? "~/" : "", cases[i].completed);
            edit_set(&edit, typed);
            assert_int_equal(complete_directories(typed, &found), 0);
            assert_int_equal(found.count, cases[i].found);
            complete_word(&edit, 0, &found);
            assert_string_equal(edit.text, completed);
        }
    CLEAN_FREE char *home = complete_home("~/x:/y");
    CLEAN_FREE char *other = complete_home("~user/x");
    assert_int_equal(strncmp(home, fixture->directory, strlen(fixture->directory)), 0);
    assert_string_equal(other, "~user/x");
    assert_int_equal(chdir("/"), 0);
}

static enum form_result press(struct form *form, uint32_t key)
{
    const struct input_event pressed = {.kind = INPUT_KEY, .key = key};
    return form_event(form, &pressed);
}

/* Tab completes what is typed and else moves on; a secret's value is neither shown nor taken. */
static void test_form(void **state)
{
    struct dashboard *d = open_dashboard(*state);
    struct form *form = &d->form;
    CLEAN_STRV struct strv argv = {0};
    setenv("E2E_TOKEN_OF_FORM", "value-of-it", 1);
    dashboard_form(d);
    press(form, KEYCODE_DOWN);
    press(form, 'n');
    press(form, KEYCODE_TAB);
    press(form, KEYCODE_TAB);
    for (int i = 0; i < 7; i++)
        press(form, KEYCODE_DOWN);
    for (const char *at = "E2E_TOKEN_OF"; *at != '\0'; at++)
        press(form, (uint32_t)*at);
    press(form, KEYCODE_TAB);
    for (const char *at = "x.example,y.example=hunter2"; *at != '\0'; at++)
        press(form, (uint32_t)*at);
    draw(d, 24, 80);
    assert_true(find(&d->canvas, "node:22") > 0);
    assert_true(find(&d->canvas, "E2E_TOKEN_OF_FORM@x.example,y.example=*******") > 0);
    assert_int_equal(find(&d->canvas, "hunter2"), -1);
    assert_int_equal(find(&d->canvas, "value-of-it"), -1);
    assert_int_equal(press(form, KEYCODE_ENTER), FORM_CHANGED);
    draw(d, 24, 80);
    assert_true(find(&d->canvas, "no value here") > 0);
    for (int i = 0; i < 8; i++)
        press(form, KEYCODE_BACKSPACE);
    assert_int_equal(press(form, KEYCODE_ESCAPE), FORM_CANCELLED); /* and it stays as it is */
    dashboard_view(d, VIEW_HOME);
    dashboard_form(d);
    assert_int_equal(press(form, KEYCODE_ENTER), FORM_DONE);
    assert_int_equal(form_command(form, &argv), 0);
    assert_int_equal(argv.count, 5);
    assert_string_equal(argv.items[2], "--image=node:22");
    assert_string_equal(argv.items[4], "--host-secret=E2E_TOKEN_OF_FORM@x.example,y.example");
    close_dashboard(d);
}

static int make(void **state)
{
    int rc = fixture_make(state);
    const struct fixture *fixture = *state;
    setenv("XDG_STATE_HOME", fixture->directory, 1);
    setenv("XDG_DATA_HOME", fixture->directory, 1);
    setenv("XDG_RUNTIME_DIR", fixture->directory, 1);
    return rc;
}

#define VIEW_TEST(function) cmocka_unit_test_setup_teardown(function, make, fixture_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VIEW_TEST(test_snapshots),  VIEW_TEST(test_question), VIEW_TEST(test_unseen),
        VIEW_TEST(test_fleet_list), VIEW_TEST(test_sizes),    VIEW_TEST(test_columns),
        VIEW_TEST(test_completion), VIEW_TEST(test_form),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("XDG_CONFIG_HOME", "/proc/none", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
