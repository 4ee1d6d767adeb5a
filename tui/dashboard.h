/*
 * What the dashboard's files share. State is here; drawing reads it, handlers change it and call
 * dashboard_damage(). One thread, one loop.
 */
#ifndef VMDECK_TUI_DASHBOARD_H
#define VMDECK_TUI_DASHBOARD_H

#include <uv.h>

#include "tui/binding.h"
#include "tui/deck.h"
#include "tui/edit.h"
#include "tui/feed.h"
#include "tui/fleet.h"
#include "tui/form.h"
#include "tui/link.h"
#include "tui/outer.h"
#include "tui/page.h"
#include "tui/review.h"
#include "tui/runner.h"
#include "tui/screen.h"
#include "tui/script.h"
#include "tui/theme.h"
#include "tui/tui.h"

#define DASHBOARD_MIN_ROWS 10
#define DASHBOARD_MIN_COLS 40
#define DASHBOARD_MAX_ROWS 500 /* more stay blank */
#define DASHBOARD_MAX_COLS 500
#define DASHBOARD_SIGNALS  6
#define NOTICE_MAX         512
#define ANSWERS_KEPT       16   /* answers that can be taken back */
#define ANSWERS_MADE       256  /* rules of one of them */
#define SUBJECT_MAX        4097 /* a path */

enum view { VIEW_HOME, VIEW_PANES, VIEW_PAGE, VIEW_FORM, VIEWS };

enum prompt {
    PROMPT_NONE,
    PROMPT_FILTER,
    PROMPT_COMMAND,
    PROMPT_SEARCH,
    PROMPT_CONFIRM,
    PROMPT_WORD
};

/* A request to a host whose reply has not come; see answer.c. */
struct asking {
    struct asking *next;
    struct dashboard *d;
    char session[SESSION_ID_SIZE];
    unsigned turn;         /* of an answer */
    enum deck_place place; /* of a terminal that is opened */
    enum page_kind kind;   /* of a list */
};

struct answer {
    const char *verb, *scope; /* allow or deny; once, session or saved */
};

/* What was answered, and who is asked what waits. */
struct answers {
    struct given {
        struct made_rule {
            char session[SESSION_ID_SIZE];
            uint32_t id;
        } made[ANSWERS_MADE];
        size_t made_count;
        bool saved, allowed;
        char pattern[2048];
        unsigned turn; /* 0: none, or it was taken back */
        int64_t time;
    } given[ANSWERS_KEPT]; /* by turn */
    unsigned turn;         /* counts answers; a reply that comes much later is of no use */
    unsigned open;         /* requests to hosts that have no reply yet */
    bool again;            /* something changed meanwhile */
    int64_t of;            /* the group that the choices were made for */
    int64_t given_at;
};

struct dashboard {
    const struct tui_program *program;
    uv_loop_t loop;
    struct outer outer;
    struct screen *screen;
    struct canvas canvas;
    struct watch *keyboard;
    struct input input;
    uv_timer_t frame, escape, sample, settle, hide, late, connect;
    uv_signal_t signals[DASHBOARD_SIGNALS];
    uint64_t drawn_at;              /* ms, uv_now() */
    uint64_t sampled_at, sample_ms; /* ns, uv_hrtime(); until the next time */
    int64_t now;                    /* ms since 1970: the time that the frame shows */
    uint64_t interval;              /* ms between the last frame and the next, if it is dirty */
    bool dirty, focused, mouse;
    bool connected, ready; /* the fleet was asked; it has answered, and keys are taken */
    bool typed;            /* into the focused pane, which has not answered yet */
    struct theme theme;
    struct bindings bindings;
    struct fleet fleet;
    struct links *links;
    struct deck deck;
    struct pane preview;
    struct rect preview_area; /* without rows: it is not shown */
    long first;               /* of the fleet's rows on the screen */
    int fleet_top;            /* the screen row of that one */
    bool fleet_children;      /* snapshots stand below their sessions */
    uint64_t host_memory;     /* bytes; 0: not to be shown */
    long host_cpus;           /* the same */
    enum view view, before;   /* before a page */
    enum prompt prompt;
    struct edit edit;
    enum action confirm;          /* what a yes does, or the word that is typed */
    char ask[NOTICE_MAX];         /* the question */
    struct strv asked_about;      /* ids of the sessions that it was about */
    const char *label;            /* in front of the word */
    char subject[SUBJECT_MAX];    /* what it is for */
    enum action over;             /* the list that a command's output is shown over */
    char listed[SESSION_ID_SIZE]; /* the session whose mounts or rules are the page */
    struct page page;
    struct review review;
    struct answers answers;
    struct asking *askings;
    unsigned pending; /* requests that wait, in all sessions */
    struct feed feed;
    char feed_of[SESSION_ID_SIZE]; /* whose network is shown; "": all */
    struct form form;
    struct runners runners;
    struct script script;
    struct runner *making; /* what the form sent; only to be compared */
    char notice[NOTICE_MAX];
    bool notice_error;
    int signal;         /* that ended the loop; 0: none */
    struct error error; /* why the loop ended */
};

/* Something looks different: draw soon, once. */
void dashboard_damage(struct dashboard *d);

/* One line for the user; `error` says that something failed. */
void dashboard_say(struct dashboard *d, bool error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A question, and what a 'y' does: dashboard_confirmed() gets the action. */
void dashboard_ask(struct dashboard *d, enum action action, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void dashboard_view(struct dashboard *d, enum view view);
void dashboard_quit(struct dashboard *d);
void dashboard_suspend(struct dashboard *d);
void dashboard_theme(struct dashboard *d, const char *name); /* NULL: the next one */

/* The area that views have: all but the status line. */
struct rect dashboard_area(const struct dashboard *d);

/* The selected session's preview follows the selection. */
void dashboard_settle(struct dashboard *d);

/* Writes what the screen shows to the file, as text; NULL: to one of its own, which it names. */
int dashboard_save(struct dashboard *d, const char *path, struct error *err);

/* script.c: what comes next, after every frame */
void script_step(struct dashboard *d);

/* draw.c */
void dashboard_draw(struct dashboard *d);

/* home.c */
void home_draw(struct dashboard *d);
void home_title(struct dashboard *d, struct rect area, const char *title, bool active);
void home_graph(struct canvas *canvas, int row, int col, const double samples[FLEET_SAMPLES],
                unsigned count, struct style style);
bool home_click(struct dashboard *d, const struct input_event *event);

/* fleet_view.c: the list, and the session at a row of the screen (NULL: none) */
void fleet_draw(struct dashboard *d, struct rect area);
struct fleet_row *fleet_at(const struct dashboard *d, int row);

/* keys.c: what is typed */
void dashboard_event(struct dashboard *d, const struct input_event *event);

/* actions.c */
void dashboard_act(struct dashboard *d, enum action action);
bool dashboard_can(const struct dashboard *d,
                   enum action action); /* this vmdeck has what it takes */
void dashboard_confirmed(struct dashboard *d, enum action action);
void dashboard_attach(struct dashboard *d, struct fleet_row *row, unsigned terminal,
                      enum deck_place place);
void dashboard_form(struct dashboard *d); /* of a new session */
void dashboard_command(struct dashboard *d, const char *line);
struct runner *dashboard_run(struct dashboard *d, const struct strv *argv, bool show);

/* pages.c: what fills the page */
void pages_help(struct dashboard *d);
void pages_log(struct dashboard *d, bool net);
void pages_review(struct dashboard *d);
void pages_draw(struct dashboard *d, struct rect area);
void pages_move(struct dashboard *d, long lines);
void pages_again(struct dashboard *d); /* what it shows has changed */

/* Freed by whoever gets the reply, or by dashboard's end: there is none then. NULL: no memory. */
struct asking *asking_new(struct dashboard *d, const char *session);
void asking_free(struct asking *asking);

/* answer.c: what waits, and what is said about it */
void answers_refresh(struct dashboard *d); /* asks the hosts what waits */
void answers_changed(struct dashboard *d); /* the log or the questions have */
void answers_moved(struct dashboard *d);   /* another group is chosen */
void answers_give(struct dashboard *d, const struct answer *answer);
void answers_undo(struct dashboard *d);
void answers_command(const struct dashboard *d, const struct review_group *group,
                     const struct answer *answer, const char *pattern, struct buf *out);

/* review_view.c */
void review_fill(struct dashboard *d);
void review_draw(struct dashboard *d, struct rect area);

/* lists.c: snapshots; mounts and rules of a session */
void lists_show(struct dashboard *d, enum action action);
void lists_fill(struct dashboard *d, enum page_kind kind,
                const cJSON *reply);   /* PAGE_MOUNTS or PAGE_RULES of d->listed, from its host */
void lists_again(struct dashboard *d); /* does nothing where it is not shown */
unsigned lists_where(const struct dashboard *d);           /* where its keys are; 0: not shown */
const enum action *lists_hints(const struct dashboard *d); /* ends with ACTION_NONE */
enum action lists_shown(const struct dashboard *d); /* what shows it; ACTION_NONE: no list is */
void lists_act(struct dashboard *d, enum action action);
void lists_typed(struct dashboard *d, enum action action, const char *text);
void lists_confirmed(struct dashboard *d, enum action action);

/* settings.c: $XDG_CONFIG_HOME/vmdeck/dashboard.conf */
void settings_read(struct dashboard *d);

#endif
