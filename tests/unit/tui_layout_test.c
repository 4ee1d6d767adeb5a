/* Areas of panes: nothing overlaps, nothing is lost, at any size and after any change. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "tui/layout.h"

/* Every place belongs to one pane at most, and all panes lie in the area. */
static void check(const struct layout *layout, struct rect whole)
{
    static uint8_t taken[200][300];
    int panes[LAYOUT_PANES], count = layout_panes(layout, panes);
    memset(taken, 0, sizeof taken);
    assert_int_equal(count, layout->count);
    for (int i = 0; i < count; i++) {
        struct rect area = layout_area(layout, panes[i]);
        assert_true(area.rows >= 0 && area.cols >= 0);
        if (area.rows == 0 || area.cols == 0)
            continue;
        assert_true(area.row >= whole.row && area.row + area.rows <= whole.row + whole.rows);
        assert_true(area.col >= whole.col && area.col + area.cols <= whole.col + whole.cols);
        for (int row = area.row; row < area.row + area.rows; row++)
            for (int col = area.col; col < area.col + area.cols; col++)
                assert_int_equal(taken[row][col]++, 0);
    }
}

static void test_split(void **state)
{
    struct layout layout = {0};
    const struct rect whole = {0, 0, 24, 81};
    (void)state;
    assert_true(layout_add(&layout, -1, true, 0));
    layout_arrange(&layout, whole);
    assert_true(layout_add(&layout, 0, true, 1));
    layout_arrange(&layout, whole);
    assert_int_equal(layout_area(&layout, 0).cols, 40);
    assert_int_equal(layout_area(&layout, 1).col, 41);
    assert_int_equal(layout_area(&layout, 1).cols, 40);
    assert_true(layout_add(&layout, 1, false, 2));
    layout_arrange(&layout, whole);
    assert_int_equal(layout_area(&layout, 1).rows, 12);
    assert_int_equal(layout_area(&layout, 2).row, 12);
    check(&layout, whole);

    assert_int_equal(layout_neighbour(&layout, 0, LAYOUT_RIGHT), 1);
    assert_int_equal(layout_neighbour(&layout, 1, LAYOUT_DOWN), 2);
    assert_int_equal(layout_neighbour(&layout, 2, LAYOUT_LEFT), 0);
    assert_int_equal(layout_neighbour(&layout, 0, LAYOUT_LEFT), -1);
    assert_int_equal(layout_pane_at(&layout, 3, 3), 0);
    assert_int_equal(layout_pane_at(&layout, 3, 40), -1); /* the border */

    layout_swap(&layout, 0, 2);
    layout_arrange(&layout, whole);
    assert_int_equal(layout_pane_at(&layout, 3, 3), 2);
    assert_int_equal(layout_area(&layout, 0).row, 12);
    check(&layout, whole);
    layout_swap(&layout, 0, 2);
    layout_swap(&layout, 0, 5); /* there is none */
    layout_arrange(&layout, whole);
    assert_int_equal(layout_area(&layout, 0).cols, 40);

    layout_grow(&layout, 0, LAYOUT_RIGHT, 10);
    layout_arrange(&layout, whole);
    assert_in_range(layout_area(&layout, 0).cols, 49, 51);
    int border = layout_border_at(&layout, 3, layout_area(&layout, 0).cols);
    assert_true(border >= 0);
    layout_border_move(&layout, border, 3, 20);
    layout_arrange(&layout, whole);
    assert_in_range(layout_area(&layout, 0).cols, 19, 21);

    layout_remove(&layout, 0);
    layout_arrange(&layout, whole);
    assert_int_equal(layout.count, 2);
    assert_int_equal(layout_area(&layout, 1).cols, 81);
    check(&layout, whole);
}

static void test_no_room(void **state)
{
    struct layout layout = {0};
    (void)state;
    assert_true(layout_add(&layout, -1, true, 0));
    layout_arrange(&layout, (struct rect){0, 0, 4, 2 * LAYOUT_MIN_COLS});
    assert_false(layout_add(&layout, 0, true, 1));
    assert_false(layout_add(&layout, 0, false, 1));
    assert_int_equal(layout.count, 1);
}

static void test_presets(void **state)
{
    int panes[LAYOUT_PANES];
    const struct rect whole = {1, 0, 60, 200};
    (void)state;
    for (int i = 0; i < LAYOUT_PANES; i++)
        panes[i] = i;
    for (int count = 1; count <= LAYOUT_PANES; count++) {
        struct layout layout = {0};
        layout_tiled(&layout, panes, count);
        layout_arrange(&layout, whole);
        check(&layout, whole);
        layout_main(&layout, panes, count);
        layout_arrange(&layout, whole);
        check(&layout, whole);
        assert_true(count == 1 || layout_area(&layout, 0).cols > 100);
    }
}

/* Anything in any order, at sizes down to nothing. */
static void test_random(void **state)
{
    unsigned seed = 7;
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct layout layout = {0};
        bool used[LAYOUT_PANES] = {false};
        for (int step = 0; step < 40; step++) {
            int pane = rand_r(&seed) % LAYOUT_PANES, panes[LAYOUT_PANES];
            const struct rect whole = {0, 0, rand_r(&seed) % 100, rand_r(&seed) % 250};
            int count = layout_panes(&layout, panes);
            int at = count > 0 ? panes[rand_r(&seed) % count] : -1;
            if (used[pane] && rand_r(&seed) % 3 == 0) {
                layout_remove(&layout, pane);
                used[pane] = false;
            } else if (!used[pane] && layout_add(&layout, at, rand_r(&seed) % 2 == 0, pane)) {
                used[pane] = true;
            }
            if (at >= 0)
                layout_grow(&layout, at, (enum layout_direction)(rand_r(&seed) % 4), 5);
            layout_arrange(&layout, whole);
            check(&layout, whole);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
