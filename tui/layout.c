/*
 * Shares are per mille of the parent, so that a resize keeps proportions; the rounding is the same
 * in both directions because only the first child's size is computed. The tree is at most
 * LAYOUT_PANES deep, so recursion is bounded.
 */
#include "tui/layout.h"

#define FULL      1000
#define SHARE_MIN 50

static int node_new(struct layout *layout, struct layout_node node)
{
    for (int i = 0; i < LAYOUT_NODES; i++)
        if (!layout->nodes[i].used) {
            layout->nodes[i] = node;
            layout->nodes[i].used = true;
            return i;
        }
    return -1; /* cannot be: n panes need 2n-1 nodes */
}

static int node_leaf(struct layout *layout, int pane, int parent)
{
    return node_new(layout, (struct layout_node){.pane = pane, .parent = parent});
}

static int node_of(const struct layout *layout, int pane)
{
    for (int i = 0; i < LAYOUT_NODES; i++)
        if (layout->nodes[i].used && layout->nodes[i].pane == pane)
            return i;
    return -1;
}

void layout_swap(struct layout *layout, int pane, int other)
{
    int a = node_of(layout, pane), b = node_of(layout, other);
    if (a < 0 || b < 0)
        return;
    layout->nodes[a].pane = other;
    layout->nodes[b].pane = pane;
}

static void node_replace(struct layout *layout, int parent, int old, int new)
{
    if (parent < 0) {
        layout->root = new;
    } else {
        struct layout_node *node = &layout->nodes[parent];
        node->child[node->child[1] == old] = new;
    }
    layout->nodes[new].parent = parent;
}

static void node_split(struct layout *layout, int node, bool beside, int share, int added)
{
    int parent = layout->nodes[node].parent;
    int split =
        node_new(layout, (struct layout_node){.pane = -1, .beside = beside, .share = share});
    int leaf = node_leaf(layout, added, split);
    node_replace(layout, parent, node, split);
    layout->nodes[split].child[0] = node;
    layout->nodes[split].child[1] = leaf;
    layout->nodes[node].parent = split;
    layout->count++;
}

bool layout_add(struct layout *layout, int pane, bool beside, int added)
{
    if (layout->count == 0) {
        *layout = (struct layout){.count = 1};
        layout->root = node_leaf(layout, added, -1);
        return true;
    }
    int node = node_of(layout, pane);
    if (node < 0 || layout->count == LAYOUT_PANES)
        return false;
    struct rect area = layout->nodes[node].area;
    if (beside ? area.cols < 2 * LAYOUT_MIN_COLS + 1 : area.rows < 2 * LAYOUT_MIN_ROWS)
        return false;
    node_split(layout, node, beside, FULL / 2, added);
    return true;
}

void layout_remove(struct layout *layout, int pane)
{
    int node = node_of(layout, pane);
    if (node < 0)
        return;
    int parent = layout->nodes[node].parent;
    layout->nodes[node].used = false;
    layout->count--;
    if (parent < 0)
        return;
    const struct layout_node *split = &layout->nodes[parent];
    int other = split->child[split->child[0] == node];
    node_replace(layout, split->parent, parent, other);
    layout->nodes[parent].used = false;
}

/* `count` panes from `panes` on as a row or column with equal shares, at leaf `node`. */
static void spread(struct layout *layout, int node, const int *panes, int count, bool beside)
{
    for (int i = 1; i < count; i++) { /* what is left is split so that the first gets its part */
        node_split(layout, node, beside, FULL / (count - i + 1), panes[i]);
        node = node_of(layout, panes[i]);
    }
}

void layout_tiled(struct layout *layout, const int *panes, int count)
{
    int columns = 1, firsts[LAYOUT_PANES] = {0}, rows;
    while (columns * columns < count)
        columns++;
    if (count == 0)
        return;
    rows = (count + columns - 1) / columns;
    *layout = (struct layout){.count = 1};
    layout->root = node_leaf(layout, panes[0], -1);
    for (int i = 0; i < rows; i++)
        firsts[i] = panes[i * columns];
    spread(layout, layout->root, firsts, rows, false);
    for (int i = 0; i < rows; i++) {
        int from = i * columns, in_row = count - from < columns ? count - from : columns;
        spread(layout, node_of(layout, panes[from]), panes + from, in_row, true);
    }
}

void layout_main(struct layout *layout, const int *panes, int count)
{
    if (count == 0)
        return;
    *layout = (struct layout){.count = 1};
    layout->root = node_leaf(layout, panes[0], -1);
    if (count > 1) {
        node_split(layout, layout->root, true, FULL * 6 / 10, panes[1]);
        spread(layout, node_of(layout, panes[1]), panes + 1, count - 1, false);
    }
}

static int first_size(const struct layout_node *node)
{
    int whole = node->beside ? node->area.cols - 1 : node->area.rows;
    int least = node->beside ? LAYOUT_MIN_COLS : LAYOUT_MIN_ROWS;
    int size = (whole * node->share + FULL / 2) / FULL;
    if (size < least)
        size = least;
    if (size > whole - least)
        size = whole - least;
    return size > 0 ? size : 0;
}

static void arrange(struct layout *layout, int index, struct rect area)
{
    struct layout_node *node = &layout->nodes[index];
    node->area = area;
    if (node->pane >= 0)
        return;
    struct rect first = area, second = area;
    int size = first_size(node);
    if (node->beside) {
        first.cols = size;
        second.col += size + 1;
        second.cols = area.cols - size - 1 > 0 ? area.cols - size - 1 : 0;
    } else {
        first.rows = size;
        second.row += size;
        second.rows = area.rows - size;
    }
    arrange(layout, node->child[0], first);
    arrange(layout, node->child[1], second);
}

void layout_arrange(struct layout *layout, struct rect area)
{
    if (layout->count > 0)
        arrange(layout, layout->root, area);
}

struct rect layout_area(const struct layout *layout, int pane)
{
    int node = node_of(layout, pane);
    return node >= 0 ? layout->nodes[node].area : (struct rect){0};
}

static bool contains(struct rect area, int row, int col)
{
    return row >= area.row && row < area.row + area.rows && col >= area.col &&
           col < area.col + area.cols;
}

int layout_pane_at(const struct layout *layout, int row, int col)
{
    for (int i = 0; i < LAYOUT_NODES; i++) {
        const struct layout_node *node = &layout->nodes[i];
        if (node->used && node->pane >= 0 && contains(node->area, row, col))
            return node->pane;
    }
    return -1;
}

int layout_neighbour(const struct layout *layout, int pane, enum layout_direction direction)
{
    struct rect area = layout_area(layout, pane);
    int row = area.row + (area.rows > 1 ? 1 : 0), col = area.col;
    if (area.rows == 0)
        return -1;
    switch (direction) {
    case LAYOUT_LEFT:
        return layout_pane_at(layout, row, area.col - 2);
    case LAYOUT_RIGHT:
        return layout_pane_at(layout, row, area.col + area.cols + 1);
    case LAYOUT_UP:
        return layout_pane_at(layout, area.row - 1, col);
    default:
        return layout_pane_at(layout, area.row + area.rows, col);
    }
}

static void split_set(struct layout_node *node, int size)
{
    int whole = node->beside ? node->area.cols - 1 : node->area.rows;
    if (whole <= 0)
        return;
    int share = size * FULL / whole;
    node->share = share < SHARE_MIN          ? SHARE_MIN
                  : share > FULL - SHARE_MIN ? FULL - SHARE_MIN
                                             : share;
}

void layout_grow(struct layout *layout, int pane, enum layout_direction direction, int by)
{
    bool beside = direction == LAYOUT_LEFT || direction == LAYOUT_RIGHT;
    int node = node_of(layout, pane);
    while (node >= 0 && (node = layout->nodes[node].parent) >= 0) {
        struct layout_node *split = &layout->nodes[node];
        if (split->beside != beside)
            continue;
        bool back = direction == LAYOUT_LEFT || direction == LAYOUT_UP;
        split_set(split, first_size(split) + (back ? -by : by));
        return;
    }
}

int layout_border_at(const struct layout *layout, int row, int col)
{
    for (int i = 0; i < LAYOUT_NODES; i++) {
        const struct layout_node *node = &layout->nodes[i];
        if (!node->used || node->pane >= 0 || !contains(node->area, row, col))
            continue;
        int size = first_size(node);
        if (node->beside ? col == node->area.col + size : row == node->area.row + size)
            return i;
    }
    return -1;
}

void layout_border_move(struct layout *layout, int index, int row, int col)
{
    struct layout_node *node = &layout->nodes[index];
    split_set(node, node->beside ? col - node->area.col : row - node->area.row);
}

static void collect(const struct layout *layout, int index, int *out, int *count)
{
    const struct layout_node *node = &layout->nodes[index];
    if (node->pane >= 0) {
        out[(*count)++] = node->pane;
        return;
    }
    collect(layout, node->child[0], out, count);
    collect(layout, node->child[1], out, count);
}

int layout_panes(const struct layout *layout, int out[LAYOUT_PANES])
{
    int count = 0;
    if (layout->count > 0)
        collect(layout, layout->root, out, &count);
    return count;
}
