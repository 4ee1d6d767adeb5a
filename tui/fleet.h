/*
 * The sessions as the dashboard shows them: what the registry and the hosts said, in what order,
 * filtered by what, which one is selected. No drawing and no connections here. Texts are copies;
 * they may come from a guest and are drawn by canvas_text() only. Not thread-safe.
 */
#ifndef VMDECK_TUI_FLEET_H
#define VMDECK_TUI_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session/store/registry.h"

#define FLEET_TEXT     160 /* bytes of a text that is kept */
#define FLEET_SAMPLES  8
#define FLEET_ENDED_MS 300000 /* so long a session that died stays in sight */

enum fleet_state {
    FLEET_WAITING, /* for the user */
    FLEET_FAILED,
    FLEET_STARTING,
    FLEET_RUNNING,
    FLEET_STOPPING,
    FLEET_PAUSED,
    FLEET_SUSPENDED,
    FLEET_ENDED,
    FLEET_STATES
};

struct fleet_row {
    char id[SESSION_ID_SIZE];
    char name[SESSION_NAME_MAX + 1];
    char image[FLEET_TEXT + 1], command[FLEET_TEXT + 1], reason[FLEET_TEXT + 1];
    char title[FLEET_TEXT + 1]; /* of the terminal used last */
    enum fleet_state state;
    int64_t created, ended; /* ms since 1970; ended 0: live */
    uint64_t memory, cpus;
    unsigned terminals, pending;
    double cpu_seconds;                   /* as last said; <0: not yet */
    uint64_t sampled_at;                  /* ns */
    double samples[FLEET_SAMPLES];        /* 0 to 1, the newest last */
    double memory_samples[FLEET_SAMPLES]; /* of what the VM has */
    unsigned sample_count;
    uint64_t memory_max; /* of the VM; 0: not said yet */
    uint64_t network;    /* bytes so far */
    double network_rate; /* bytes per second */
    bool marked, bell;
    bool known;              /* its terminals have said how much they wrote */
    uint64_t written, bells; /* by all its terminals */
    uint64_t seen_written;   /* when its screen was last in sight */
    bool seen;               /* by the refresh that is under way */
    void *link;              /* the connection, link.c's */
};

enum fleet_sort { SORT_AGE, SORT_NAME, SORT_STATE, SORT_CPU, SORT_MEMORY, FLEET_SORTS };

/* A snapshot, for the list below the session that it was taken of. */
struct fleet_child {
    char session[SESSION_ID_SIZE];
    char name[SESSION_NAME_MAX + 1];
    const char *kind;
    int64_t created;
    uint64_t size;
};

struct fleet {
    struct fleet_row **rows; /* all, by time of creation */
    size_t count;
    struct fleet_row **shown; /* in the order of the screen */
    size_t shown_count;
    struct fleet_child *children; /* by time of creation */
    size_t child_count;
    double load[FLEET_SAMPLES]; /* of the host, by all sessions: 0 to 1, the newest last */
    unsigned load_count;
    char filter[FLEET_TEXT + 1];
    enum fleet_sort sort;
    char selected[SESSION_ID_SIZE]; /* "": none */
};

extern const char *const fleet_sort_names[FLEET_SORTS];
const char *fleet_state_name(enum fleet_state state);

/* Takes a record over; makes the row where it is new. NULL without memory. */
struct fleet_row *fleet_put(struct fleet *fleet, const struct session_record *record);
void fleet_remove(struct fleet *fleet, struct fleet_row *row); /* row->link is the caller's */
void fleet_free(struct fleet *fleet);
struct fleet_row *fleet_find(const struct fleet *fleet, const char *id);

/* Takes the snapshots over, as they are in the registry. 0, or a negative errno. */
int fleet_children(struct fleet *fleet, struct registry *registry, struct error *err);

/* One more value of fleet->load, from the rows' last samples. */
void fleet_load(struct fleet *fleet, long host_cpus);

/* Order and filter anew; the selection stays with its session, or goes to a neighbour. */
void fleet_arrange(struct fleet *fleet);

/* The selected row, NULL if nothing is shown; and its place on the list. */
struct fleet_row *fleet_selected(const struct fleet *fleet);
size_t fleet_position(const struct fleet *fleet);
void fleet_move(struct fleet *fleet, long by);

/* What a command is about: the marked rows, or the selected one. Returns how many; `out` may be
 * NULL, else it has room for fleet->count. */
size_t fleet_targets(const struct fleet *fleet, struct fleet_row **out);

/* A reading of the processor time so far; the graph gets the share of `cpus` used since the last.
 */
void fleet_sample(struct fleet_row *row, double cpu_seconds, uint64_t now);

/* The same of memory in use and bytes of network so far; before fleet_sample(). */
void fleet_sample_rest(struct fleet_row *row, uint64_t memory, uint64_t network, uint64_t now);

/* Nothing was used lately by those that were sampled since; their graphs are flat. */
bool fleet_quiet(const struct fleet *fleet, uint64_t since);

/*
 * What its terminals have written in all, and how often they rang. A bell is noted in row->bell; of
 * what was there when it was first heard of nothing is.
 */
void fleet_output(struct fleet_row *row, uint64_t written, uint64_t bells);
void fleet_looked(struct fleet_row *row);       /* its screen is in sight */
bool fleet_unseen(const struct fleet_row *row); /* there is output since */

/* How many are in the state. */
size_t fleet_count(const struct fleet *fleet, enum fleet_state state);

/* The user's word for the session: its name or its id. */
const char *fleet_word(const struct fleet_row *row);

#endif
