/*
 * State in, cells out: the canvas, the fleet's model, a pane drawn from an engine, the feed. Texts
 * that a guest chose must come out without anything a terminal would obey.
 */
#include "unit.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/deck.h"
#include "tui/edit.h"
#include "tui/feed.h"
#include "tui/fleet.h"
#include "tui/page.h"
#include "tui/pane.h"
#include "tui/wide.h"

/* A row of the canvas as text, without the blanks at its end. */
static const char *row_text(const struct canvas *canvas, int row)
{
    static char text[4096];
    size_t size = 0, used = 0;
    for (int col = 0; col < canvas->cols; col++) {
        const struct canvas_cell *cell = canvas_at(canvas, row, col);
        for (int i = 0; i < CANVAS_POINTS && cell->width > 0 && cell->points[i] != 0; i++) {
            char bytes[4];
            size_t length = wide_encode(cell->points[i], bytes);
            memcpy(text + size, bytes, length);
            size += length;
            used = cell->points[0] != ' ' ? size : used;
        }
    }
    text[used] = '\0';
    return text;
}

/* Nothing on the canvas is a control, and wide characters are whole. */
static void check(const struct canvas *canvas)
{
    for (int row = 0; row < canvas->rows; row++)
        for (int col = 0; col < canvas->cols; col++) {
            const struct canvas_cell *cell = canvas_at(canvas, row, col);
            assert_true(cell->width <= 2);
            if (cell->width == 2)
                assert_int_equal(canvas_at(canvas, row, col + 1)->width, 0);
            if (cell->width == 0)
                assert_int_equal(canvas_at(canvas, row, col - 1)->width, 2);
            else
                assert_int_equal(wide_width(cell->points[0]), cell->width);
            for (int i = 1; i < CANVAS_POINTS && cell->points[i] != 0; i++)
                assert_int_equal(wide_width(cell->points[i]), 0);
        }
}

static const struct style plain;

static const struct {
    const char *text;
    int max;
    const char *drawn;
} labels[] = {
    {"plain", 10, "plain"},
    {"too long for it", 8, "too lon…"},
    {"\033]0;x\007\033[2J", 20, "?]0;x??[2J"},
    {"a\tb\nc\rd\x7f", 20, "a?b?c?d?"},
    {"\xc2\x9b"
     "31m",
     20, "?31m"}, /* CSI of C1 */
    {"\xe2\x80\xae"
     "evil",
     20, "?evil"}, /* right-to-left override */
    {"\xff\xfe", 20, "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xe4\xb8\xad\xe6\x96\x87", 3, "\xe4\xb8\xad…"},
    {"\xe4\xb8\xad\xe6\x96\x87", 4, "\xe4\xb8\xad\xe6\x96\x87"},
    {"e\xcc\x81", 2, "e\xcc\x81"},
    {"e\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81x", 9, "e\xcc\x81\xcc\x81x"}, /* bounded */
    {"", 5, ""},
};

static void test_labels(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
        struct canvas canvas = {0};
        assert_int_equal(canvas_resize(&canvas, 1, 20, NULL), 0);
        int used = canvas_label(&canvas, 0, 0, labels[i].max, plain, labels[i].text);
        assert_true(used <= labels[i].max);
        assert_string_equal(row_text(&canvas, 0), labels[i].drawn);
        check(&canvas);
        canvas_free(&canvas);
    }
}

static void test_wide_is_never_cut(void **state)
{
    struct canvas canvas = {0};
    (void)state;
    assert_int_equal(canvas_resize(&canvas, 1, 7, NULL), 0);
    canvas_text(&canvas, 0, 0, 7, plain, "\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad");
    check(&canvas);
    canvas_text(&canvas, 0, 1, 1, plain, "x");
    assert_string_equal(row_text(&canvas, 0), " x\xe4\xb8\xad\xe4\xb8\xad");
    canvas_text(&canvas, 0, 3, 2, plain, "\xe6\x96\x87");
    check(&canvas);
    canvas_text(&canvas, 5, 5, 5, plain, "outside");
    canvas_text(&canvas, -1, -3, 5, plain, "outside");
    check(&canvas);
    canvas_free(&canvas);
}

static struct session_record record_of(const char *id, const char *name, int64_t created)
{
    struct session_record record = {.state = SESSION_RUNNING,
                                    .name = name,
                                    .image = "/images/default",
                                    .command = "bash",
                                    .ended_reason = "",
                                    .cpus = 1,
                                    .created = created};
    snprintf(record.id, sizeof record.id, "%s", id);
    return record;
}

static void test_fleet(void **state)
{
    struct fleet fleet = {0};
    struct session_record a = record_of("aaaaaaaa", "web", 1), b = record_of("bbbbbbbb", "db", 2),
                          c = record_of("cccccccc", "", 3);
    (void)state;
    fleet_arrange(&fleet);
    assert_null(fleet_selected(&fleet));
    assert_int_equal(fleet_targets(&fleet, NULL), 0);
    fleet_move(&fleet, 1);
    fleet_put(&fleet, &b);
    fleet_put(&fleet, &c);
    fleet_put(&fleet, &a);
    fleet_arrange(&fleet);
    assert_string_equal(fleet.shown[0]->name, "web"); /* the oldest first */
    assert_string_equal(fleet_word(fleet.shown[2]), "cccccccc");
    fleet_move(&fleet, -5);
    fleet_move(&fleet, 1);
    assert_string_equal(fleet.selected, "bbbbbbbb");
    fleet.sort = SORT_NAME;
    fleet_arrange(&fleet);
    assert_string_equal(fleet.selected, "bbbbbbbb"); /* stays with its session */
    assert_int_equal(fleet_position(&fleet), 1);

    snprintf(fleet.filter, sizeof fleet.filter, "DEFAULT !web");
    fleet_arrange(&fleet);
    assert_int_equal(fleet.shown_count, 2);
    fleet.shown[0]->marked = fleet.shown[1]->marked = true;
    assert_int_equal(fleet_targets(&fleet, NULL), 2);
    snprintf(fleet.filter, sizeof fleet.filter, "nothing");
    fleet_arrange(&fleet);
    assert_int_equal(fleet_targets(&fleet, NULL), 0); /* what is not shown is not meant */
    fleet.filter[0] = '\0';
    fleet_arrange(&fleet);

    fleet_remove(&fleet, fleet_find(&fleet, "bbbbbbbb"));
    fleet_arrange(&fleet);
    assert_int_equal(fleet.count, 2);
    assert_non_null(fleet_selected(&fleet));
    fleet_free(&fleet);
}

static void test_samples(void **state)
{
    struct fleet_row row = {.cpu_seconds = -1, .cpus = 2};
    (void)state;
    fleet_sample(&row, 10, 1000000000);
    assert_int_equal(row.sample_count, 0); /* one reading is no difference */
    fleet_sample(&row, 11, 2000000000);
    assert_int_equal(row.sample_count, 1);
    assert_true(row.samples[FLEET_SAMPLES - 1] > 0.49 && row.samples[FLEET_SAMPLES - 1] < 0.51);
    fleet_sample(&row, 1, 3000000000); /* another host */
    assert_true(row.samples[FLEET_SAMPLES - 1] == 0);
    for (uint64_t i = 4; i < 40; i++)
        fleet_sample(&row, (double)i * 100, i * 1000000000);
    assert_int_equal(row.sample_count, FLEET_SAMPLES);
    assert_true(row.samples[0] == 1);

    /* quiet is when all that was sampled since has a flat graph */
    struct fleet_row *rows[] = {&row};
    const struct fleet fleet = {.rows = rows, .count = 1};
    assert_false(fleet_quiet(&fleet, row.sampled_at));
    assert_true(fleet_quiet(&fleet, row.sampled_at + 1));
    for (uint64_t i = 40; i < 40 + FLEET_SAMPLES; i++) {
        assert_false(fleet_quiet(&fleet, 0));
        fleet_sample(&row, 3900, i * 1000000000);
    }
    assert_true(fleet_quiet(&fleet, 0));
}

/* What a guest prints, drawn into a part of the canvas. */
static void test_pane(void **state)
{
    static const char output[] = "\033[31mred\033[0m \xe4\xb8\xad"
                                 "e\xcc\x81\r\n\033[7mback\033[0m\r\n$ ";
    struct pane pane = {.rows = 4, .cols = 12};
    const struct term_options options = {.rows = 4, .cols = 12, .history = 100};
    struct canvas canvas = {0};
    struct theme theme;
    (void)state;
    assert_int_equal(theme_load("dark", &theme, NULL), 0);
    assert_int_equal(canvas_resize(&canvas, 8, 20, NULL), 0);
    assert_int_equal(term_new(&pane.term, &options, NULL), 0);
    term_write(pane.term, output, sizeof output - 1);
    pane_draw(&pane, &canvas, (struct rect){2, 3, 4, 12}, true, &theme);
    check(&canvas);
    assert_string_equal(row_text(&canvas, 2), "   red \xe4\xb8\xad"
                                              "e\xcc\x81");
    assert_int_equal(canvas_at(&canvas, 2, 3)->fg, COLOR_INDEXED | 1);
    assert_int_equal(canvas_at(&canvas, 3, 3)->attrs, CELL_REVERSE);
    assert_string_equal(row_text(&canvas, 4), "   $");
    assert_int_equal(canvas.cursor_row, 4);
    assert_int_equal(canvas.cursor_col, 5);

    /* a narrower area cuts; the columns right of it stay */
    canvas_text(&canvas, 2, 10, 5, plain, "|");
    pane_draw(&pane, &canvas, (struct rect){2, 3, 2, 5}, false, &theme);
    check(&canvas);
    assert_int_equal(canvas_at(&canvas, 2, 10)->points[0], '|');
    canvas_free(&canvas);
    pane_free(&pane);
}

static void test_scrollback(void **state)
{
    struct pane pane = {.rows = 4, .cols = 20};
    const struct term_options options = {.rows = 4, .cols = 20, .history = 100};
    struct canvas canvas = {0};
    struct theme theme;
    struct buf copy = {0};
    (void)state;
    assert_int_equal(theme_load("mono", &theme, NULL), 0);
    assert_int_equal(canvas_resize(&canvas, 4, 20, NULL), 0);
    assert_int_equal(term_new(&pane.term, &options, NULL), 0);
    for (int i = 1; i <= 50; i++) {
        char line[24];
        term_write(pane.term, line, (size_t)snprintf(line, sizeof line, "line-%d\r\n", i));
    }
    pane_scroll(&pane, true);
    pane_move(&pane, -1000);
    pane_draw(&pane, &canvas, (struct rect){0, 0, 4, 20}, true, &theme);
    assert_string_equal(row_text(&canvas, 0), "line-1");
    assert_int_equal(canvas.cursor_row, -1); /* no cursor of the guest's up here */
    pane_move(&pane, 1000);
    assert_true(pane_search(&pane, "LINE-2"));
    assert_true(pane_search(&pane, NULL));
    pane_draw(&pane, &canvas, (struct rect){0, 0, 4, 20}, true, &theme);
    assert_string_equal(row_text(&canvas, 0), "line-28");
    pane_select(&pane);
    pane_move(&pane, 2);
    assert_int_equal(pane_copy(&pane, &copy), 0);
    assert_string_equal(buf_string(&copy), "line-28\nline-29\nline-30");
    assert_false(pane_search(&pane, "no such line"));
    pane_page(&pane, -4);
    pane_draw(&pane, &canvas, (struct rect){0, 0, 4, 20}, true, &theme);
    assert_string_equal(row_text(&canvas, 0), "line-24");
    buf_free(&copy);
    canvas_free(&canvas);
    pane_free(&pane);
}

/* The wheel moves what is seen, and leaves where it began. */
static void test_wheel(void **state)
{
    static const struct {
        enum input_button button;
        long offset;
    } steps[] = {{MOUSE_DOWN, 0}, {MOUSE_UP, 3}, {MOUSE_UP, 6}, {MOUSE_DOWN, 3}, {MOUSE_DOWN, 0},
                 {MOUSE_UP, 3},   {MOUSE_UP, 6}, {MOUSE_UP, 7}, {MOUSE_UP, 7},   {MOUSE_DOWN, 4}};
    struct fleet fleet = {0};
    struct deck deck;
    (void)state;
    deck_init(&deck, &fleet, &(const struct pane_events){0}, NULL);
    assert_true(deck_open(&deck, "c1a0de01", 1, DECK_BESIDE));
    struct pane *pane = deck_focused(&deck);
    const struct term_options options = {.rows = 9, .cols = 20, .history = 100};
    assert_int_equal(term_new(&pane->term, &options, NULL), 0);
    layout_arrange(&deck.layout, (struct rect){0, 0, 10, 20});
    struct input_event event = {
        .kind = INPUT_MOUSE, .button = MOUSE_UP, .press = true, .row = 5, .col = 5};
    assert_true(deck_mouse(&deck, &event));
    assert_false(pane->scrolling); /* there is nothing to look back to */
    for (int i = 1; i < 16; i++)
        term_write(pane->term, "line\r\n", 6);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        event.button = steps[i].button;
        assert_true(deck_mouse(&deck, &event));
        assert_int_equal(pane->offset, steps[i].offset);
        assert_int_equal(pane->scrolling, steps[i].offset > 0);
    }
    deck_free(&deck);
}

static void test_feed(void **state)
{
    static struct feed feed;
    static const char *const entries[] = {
        "{\"verdict\":\"allow\",\"host\":\"a.example\",\"port\":8443,\"method\":\"GET\",\"path\":"
        "\"/x\","
        "\"process\":{\"pid\":7,\"name\":\"curl\"},\"status\":200}",
        "{\"verdict\":\"deny\",\"host\":\"\\u001b[2J\",\"process\":\"x\"}",
        "not json",
        "[]",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        const struct event event = {(int64_t)i + 1, 1000, "aaaaaaaa", EVENT_NET, entries[i]};
        feed_add(&feed, &event);
    }
    assert_string_equal(feed_at(&feed, 0)->text, "A curl       GET   a.example:8443/x status=200");
    assert_int_equal(feed_at(&feed, 0)->role, ROLE_ALLOW);
    assert_int_equal(feed_at(&feed, 1)->role, ROLE_DENY);
    struct canvas canvas = {0};
    assert_int_equal(canvas_resize(&canvas, 1, 80, NULL), 0);
    canvas_label(&canvas, 0, 0, 80, plain, feed_at(&feed, 1)->text);
    check(&canvas);
    canvas_free(&canvas);
    for (int i = 0; i < 2 * FEED_MAX; i++) {
        const struct event event = {100 + i, 1000, "bbbbbbbb", EVENT_SESSION,
                                    "{\"action\":\"ready\"}"};
        feed_add(&feed, &event);
    }
    assert_int_equal(feed.count, FEED_MAX);
    assert_string_equal(feed_at(&feed, 0)->text, "session ready");
    assert_int_equal(feed.after, 100 + 2 * FEED_MAX - 1);
    feed_free(&feed);
}

static void test_page(void **state)
{
    struct page page = {0};
    struct canvas canvas = {0};
    struct theme theme;
    (void)state;
    assert_int_equal(theme_load("dark", &theme, NULL), 0);
    assert_int_equal(canvas_resize(&canvas, 5, 30, NULL), 0);
    page_clear(&page, PAGE_LOG, "Log");
    page_move(&page, 5); /* of nothing */
    page_draw(&page, &canvas, (struct rect){0, 0, 5, 30}, &theme);
    assert_string_equal(row_text(&canvas, 1), " nothing yet");
    for (int i = 0; i < PAGE_LINES + 10; i++)
        page_add(&page, ROLE_TEXT, "line %d\033[2J", i);
    assert_int_equal(page.lines.count, PAGE_LINES);
    page_move(&page, 1000000);
    assert_true(page.follow);
    page_draw(&page, &canvas, (struct rect){0, 0, 5, 30}, &theme);
    check(&canvas);
    assert_string_equal(row_text(&canvas, 4), " line 4999?[2J");
    page_free(&page);
    canvas_free(&canvas);
}

static void test_edit(void **state)
{
    struct edit edit;
    struct canvas canvas = {0};
    char many[2 * EDIT_MAX];
    (void)state;
    edit_set(&edit, "h\xc3\xa9llo");
    const struct input_event left = {.kind = INPUT_KEY, .key = KEYCODE_LEFT};
    const struct input_event erase = {.kind = INPUT_KEY, .key = KEYCODE_BACKSPACE};
    for (int i = 0; i < 3; i++)
        edit_event(&edit, &left);
    edit_event(&edit, &erase);
    assert_string_equal(edit.text, "hllo");
    for (int i = 0; i < 3; i++)
        edit_event(&edit, &erase);
    assert_string_equal(edit.text, "llo");
    memset(many, 'x', sizeof many);
    const struct input_event paste = {
        .kind = INPUT_PASTE, .bytes = (const uint8_t *)many, .size = sizeof many};
    edit_event(&edit, &paste);
    assert_int_equal(edit.length, EDIT_MAX);
    const struct input_event hostile = {
        .kind = INPUT_PASTE, .bytes = (const uint8_t *)"a\033\r\x01z", .size = 5};
    edit_set(&edit, "");
    edit_event(&edit, &hostile);
    assert_string_equal(edit.text, "a z");
    assert_int_equal(canvas_resize(&canvas, 1, 10, NULL), 0);
    edit_set(&edit, "0123456789abcdef");
    edit_draw(&edit, &canvas, 0, 0, 10, plain, true);
    assert_string_equal(row_text(&canvas, 0), "789abcdef");
    assert_int_equal(canvas.cursor_col, 9);
    canvas_free(&canvas);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels), cmocka_unit_test(test_wide_is_never_cut),
        cmocka_unit_test(test_fleet),  cmocka_unit_test(test_samples),
        cmocka_unit_test(test_pane),   cmocka_unit_test(test_scrollback),
        cmocka_unit_test(test_wheel),  cmocka_unit_test(test_feed),
        cmocka_unit_test(test_page),   cmocka_unit_test(test_edit),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("XDG_CONFIG_HOME", "/proc/none", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
