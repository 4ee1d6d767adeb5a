/*
 * What is known of a request, in columns and as a card: of the event log, of what waits, and of
 * what was refused. Drawing only; texts may come from a guest. Loop's thread.
 */
#ifndef VMDECK_TUI_NETWORK_H
#define VMDECK_TUI_NETWORK_H

#include "tui/feed.h"

/* One line about an entry of the log; `who` is the session's word, NULL leaves that column out. */
struct network_line {
    const struct theme *theme;
    const struct style *chosen; /* how all of it looks, or NULL */
    const char *who;
    bool processes; /* there is a column for them */
};
void network_draw_line(const struct network_line *line, const struct feed_entry *entry,
                       struct canvas *canvas, struct rect area);

/* Everything that the object has, in a box over the area. `until`: it waits so long; 0: no more. */
void network_draw_card(const struct theme *theme, const char *title, int64_t time, int64_t until,
                       const cJSON *object, struct canvas *canvas, struct rect area);

/* Text in a style, or in the line's own where it is chosen. */
static inline const struct style *network_style(const struct network_line *line,
                                                enum theme_role role)
{
    return line->chosen != NULL ? line->chosen : &line->theme->roles[role];
}

#endif
