/*
 * Where panes are: a binary tree of splits over at most LAYOUT_PANES panes, named by number. Every
 * pane's area begins with its title row; panes side by side have one column between them. Pure.
 */
#ifndef VMDECK_TUI_LAYOUT_H
#define VMDECK_TUI_LAYOUT_H

#include <stdbool.h>

#include "tui/canvas.h"

#define LAYOUT_PANES    16
#define LAYOUT_NODES    (2 * LAYOUT_PANES)
#define LAYOUT_MIN_ROWS 3 /* the title and two lines */
#define LAYOUT_MIN_COLS 8

enum layout_direction { LAYOUT_LEFT, LAYOUT_RIGHT, LAYOUT_UP, LAYOUT_DOWN };

struct layout_node {
    bool used, beside; /* beside: left and right; else top and bottom */
    int pane;          /* of a leaf; -1: a split */
    int parent, child[2];
    int share; /* per mille of the first child */
    struct rect area;
};

/* Zeroed memory is empty. */
struct layout {
    struct layout_node nodes[LAYOUT_NODES];
    int root; /* valid if count > 0 */
    int count;
};

/* The first pane, or one more beside or below `pane`. False: no room for another. */
bool layout_add(struct layout *layout, int pane, bool beside, int added);
void layout_remove(struct layout *layout, int pane);

/* They change places. */
void layout_swap(struct layout *layout, int pane, int other);

/* All panes anew: in a grid, or the first one large and the others stacked at its right. */
void layout_tiled(struct layout *layout, const int *panes, int count);
void layout_main(struct layout *layout, const int *panes, int count);

/* Computes all areas. What has no room has an area without rows or columns. */
void layout_arrange(struct layout *layout, struct rect area);

/* The pane's area (as arranged); without rows if there is none. */
struct rect layout_area(const struct layout *layout, int pane);

/* The pane next to this one in that direction, or at that place; -1: none. */
int layout_neighbour(const struct layout *layout, int pane, enum layout_direction direction);
int layout_pane_at(const struct layout *layout, int row, int col);

/* Moves the pane's border in that direction by `by` rows or columns. */
void layout_grow(struct layout *layout, int pane, enum layout_direction direction, int by);

/* The split whose border is there (-1: none), and the border moved to a place. */
int layout_border_at(const struct layout *layout, int row, int col);
void layout_border_move(struct layout *layout, int node, int row, int col);

/* The panes in order, from left to right and top to bottom; returns how many. */
int layout_panes(const struct layout *layout, int out[LAYOUT_PANES]);

#endif
