/* Panes are numbered by where they are in the array; the number in a title is their place. */
#include "tui/deck.h"

#include <stdio.h>
#include <string.h>

#define WHEEL_LINES 3

void deck_init(struct deck *deck, struct fleet *fleet, const struct pane_events *events,
               void *context)
{
    *deck = (struct deck){.fleet = fleet, .border = -1, .events = *events, .context = context};
}

void deck_free(struct deck *deck)
{
    for (int i = 0; i < LAYOUT_PANES; i++)
        if (deck->used[i])
            pane_free(&deck->panes[i]);
}

struct pane *deck_focused(struct deck *deck)
{
    return deck->layout.count > 0 ? &deck->panes[deck->focus] : NULL;
}

static int deck_find(const struct deck *deck, const char *session, unsigned terminal)
{
    for (int i = 0; i < LAYOUT_PANES; i++)
        if (deck->used[i] && strcmp(deck->panes[i].session, session) == 0 &&
            (terminal == 0 || deck->panes[i].terminal == terminal))
            return i;
    return -1;
}

bool deck_shows(const struct deck *deck, const char *session)
{
    return deck_find(deck, session, 0) >= 0;
}

static void pane_become(struct deck *deck, int index, const char *session, unsigned terminal)
{
    struct pane *pane = &deck->panes[index];
    *pane = (struct pane){.terminal = terminal,
                          .events = &deck->events,
                          .context = deck->context,
                          .streams = &deck->streams};
    snprintf(pane->session, sizeof pane->session, "%s", session);
    deck->used[index] = true;
    deck->focus = index;
}

bool deck_open(struct deck *deck, const char *session, unsigned terminal, enum deck_place place)
{
    int index = place == DECK_REPLACE ? deck_find(deck, session, terminal) : -1;
    if (index >= 0) {
        deck->focus = index;
        return true;
    }
    if (place == DECK_REPLACE && deck->layout.count > 0) {
        pane_free(&deck->panes[deck->focus]);
        pane_become(deck, deck->focus, session, terminal);
        return true;
    }
    for (index = 0; index < LAYOUT_PANES && deck->used[index]; index++)
        ;
    if (index == LAYOUT_PANES ||
        !layout_add(&deck->layout, deck->focus, place == DECK_BESIDE, index))
        return false;
    deck->zoom = false;
    pane_become(deck, index, session, terminal);
    return true;
}

void deck_close(struct deck *deck, const struct pane *pane)
{
    int index = (int)(pane - deck->panes), panes[LAYOUT_PANES];
    pane_free(&deck->panes[index]);
    deck->used[index] = false;
    layout_remove(&deck->layout, index);
    if (deck->focus == index && layout_panes(&deck->layout, panes) > 0)
        deck->focus = panes[0];
    if (deck->layout.count < 2)
        deck->zoom = false;
}

bool deck_visible(const struct deck *deck, const struct pane *pane)
{
    int index = (int)(pane - deck->panes);
    struct rect area = layout_area(&deck->layout, index);
    return area.rows > 1 && area.cols > 0 && (!deck->zoom || index == deck->focus);
}

static struct rect pane_area(const struct deck *deck, int index)
{
    return deck->zoom ? deck->layout.nodes[deck->layout.root].area
                      : layout_area(&deck->layout, index);
}

void deck_show(struct deck *deck, struct rect area)
{
    layout_arrange(&deck->layout, area);
    for (int i = 0; i < LAYOUT_PANES; i++) {
        struct pane *pane = &deck->panes[i];
        if (!deck->used[i])
            continue;
        if (!deck_visible(deck, pane)) {
            pane_detach(pane);
            continue;
        }
        struct rect place = pane_area(deck, i);
        const struct fleet_row *row = fleet_find(deck->fleet, pane->session);
        struct client *client = row != NULL ? links_client(row) : NULL;
        if (pane->stream == NULL && !pane->ended && client != NULL)
            pane_attach(pane, client, place.rows - 1, place.cols);
        else
            pane_resize(pane, place.rows - 1, place.cols);
    }
}

void deck_hide(struct deck *deck)
{
    for (int i = 0; i < LAYOUT_PANES; i++)
        if (deck->used[i])
            pane_detach(&deck->panes[i]);
}

void deck_go(struct deck *deck, int number)
{
    int panes[LAYOUT_PANES], count = layout_panes(&deck->layout, panes);
    if (number >= 1 && number <= count)
        deck->focus = panes[number - 1];
}

void deck_next(struct deck *deck)
{
    int panes[LAYOUT_PANES], count = layout_panes(&deck->layout, panes);
    for (int i = 0; i < count; i++)
        if (panes[i] == deck->focus) {
            deck->focus = panes[(i + 1) % count];
            return;
        }
}

void deck_focus(struct deck *deck, enum layout_direction direction)
{
    int next = layout_neighbour(&deck->layout, deck->focus, direction);
    if (deck->layout.count > 0 && next >= 0)
        deck->focus = next;
}

void deck_move(struct deck *deck, enum layout_direction direction)
{
    int next = layout_neighbour(&deck->layout, deck->focus, direction);
    if (deck->layout.count > 0 && !deck->zoom && next >= 0)
        layout_swap(&deck->layout, deck->focus, next);
}

void deck_tiled(struct deck *deck)
{
    int panes[LAYOUT_PANES], count = layout_panes(&deck->layout, panes);
    deck->zoom = false;
    layout_tiled(&deck->layout, panes, count);
}

void deck_main(struct deck *deck)
{
    int panes[LAYOUT_PANES], count = layout_panes(&deck->layout, panes);
    deck->zoom = false;
    for (int i = 0; i < count; i++)
        if (panes[i] == deck->focus) {
            panes[i] = panes[0];
            panes[0] = deck->focus;
        }
    layout_main(&deck->layout, panes, count);
}

static void deck_wheel(struct pane *pane, bool up)
{
    struct term_modes modes = term_modes(pane->term);
    if ((modes.bits & TERM_ALTERNATE) != 0) {
        const struct input_event key = {.kind = INPUT_KEY, .key = up ? KEYCODE_UP : KEYCODE_DOWN};
        for (int i = 0; i < WHEEL_LINES; i++) /* whatever mode 1007 says, as most terminals do */
            pane_input(pane, &key);
        return;
    }
    if (!pane->scrolling && up && (pane->skipped || term_history(pane->term) > 0))
        pane_scroll(pane, true);
    pane_page(pane, up ? -WHEEL_LINES : WHEEL_LINES);
    if (pane->scrolling && !up && pane->offset == 0 && !pane->selecting)
        pane_scroll(pane, false);
}

bool deck_mouse(struct deck *deck, const struct input_event *event)
{
    bool click = event->button == MOUSE_LEFT && event->press && !event->drag;
    if (deck->border >= 0 && event->drag) {
        layout_border_move(&deck->layout, deck->border, event->row, event->col);
        return true;
    }
    deck->border =
        click && !deck->zoom ? layout_border_at(&deck->layout, event->row, event->col) : -1;
    int index = deck->zoom ? deck->focus : layout_pane_at(&deck->layout, event->row, event->col);
    if (deck->layout.count == 0 || index < 0)
        return false;
    bool changed = click && index != deck->focus;
    if (click)
        deck->focus = index;
    struct pane *pane = &deck->panes[index];
    struct rect area = pane_area(deck, index);
    struct input_event inside = *event;
    inside.row -= area.row + 1;
    inside.col -= area.col;
    if (inside.row < 0 || pane->term == NULL || index != deck->focus)
        return changed;
    if (pane_wants_mouse(pane) && !pane->scrolling) {
        pane_input(pane, &inside);
    } else if (event->button == MOUSE_UP || event->button == MOUSE_DOWN) {
        deck_wheel(pane, event->button == MOUSE_UP);
        return true;
    }
    return changed;
}

static void draw_title(const struct deck *deck, struct canvas *canvas, struct rect area, int index,
                       int number, const struct theme *theme)
{
    const struct pane *pane = &deck->panes[index];
    const struct fleet_row *row = fleet_find(deck->fleet, pane->session);
    bool focused = index == deck->focus;
    struct style border = theme->roles[focused ? ROLE_BORDER_ACTIVE : ROLE_BORDER];
    struct style text = theme->roles[focused ? ROLE_TITLE : ROLE_DIM];
    const char *title = pane->term != NULL ? term_title(pane->term) : "";
    char label[FLEET_TEXT * 3], more[64] = "";
    if (pane->scrolling)
        snprintf(more, sizeof more, " [%s%ld of %zu]", pane->offset > 0 ? "-" : "", pane->offset,
                 term_history(pane->term));
    snprintf(label, sizeof label, " %d %s%s%s%s%s%s ", number,
             row != NULL ? fleet_word(row) : pane->session, *title != '\0' ? " · " : "", title,
             more, deck->zoom ? " [zoom]" : "", row != NULL && row->pending > 0 ? " ?" : "");
    canvas_line(canvas, area.row, area.col, area.cols, border);
    canvas_label(canvas, area.row, area.col + 1, area.cols - 2, text, label);
}

/* What is at the place of a border: titles beside it, and whether it comes from above. */
static void draw_joint(const struct deck *deck, struct canvas *canvas, int row, int col,
                       struct style style)
{
    static const uint32_t joints[] = {0x2502, 0x2502, 0x2510, 0x2524,
                                      0x2502, 0x251c, 0x252c, 0x253c};
    unsigned kind = 0; /* 1: above, 2: to the left, 4: to the right */
    for (int i = 0; i < LAYOUT_PANES; i++) {
        struct rect area = layout_area(&deck->layout, i);
        if (!deck->used[i])
            continue;
        bool before = area.col + area.cols == col;
        if (before && row > area.row && row <= area.row + area.rows)
            kind |= 1;
        if (area.row == row && (before || area.col == col + 1))
            kind |= before ? 2 : 4;
    }
    canvas_glyph(canvas, row, col, &joints[kind], 1, 1, style);
}

static void draw_border(const struct deck *deck, struct canvas *canvas, struct rect area,
                        struct style style)
{
    int col = area.col + area.cols;
    if (deck->zoom || col >= canvas->cols)
        return;
    for (int row = area.row; row < area.row + area.rows; row++)
        draw_joint(deck, canvas, row, col, style);
}

void deck_draw(struct deck *deck, struct canvas *canvas, const struct theme *theme)
{
    int panes[LAYOUT_PANES], count = layout_panes(&deck->layout, panes);
    for (int i = 0; i < count; i++) {
        int index = panes[i];
        struct rect area = pane_area(deck, index);
        if (!deck_visible(deck, &deck->panes[index]))
            continue;
        draw_title(deck, canvas, area, index, i + 1, theme);
        draw_border(deck, canvas, area, theme->roles[ROLE_BORDER]);
        area.row++;
        area.rows--;
        pane_draw(&deck->panes[index], canvas, area, index == deck->focus, theme);
    }
}
