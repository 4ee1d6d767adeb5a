/*
 * Lists with something to do on each line: the snapshots, and the mounts and rules of one session.
 * They are read anew when the event log has grown, a command has ended, or the screen has another
 * size; the chosen line stays with what it is about. Snapshots come from the registry, the rest
 * from the session's host. What is done is a command of vmdeck, as everywhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/protocol/json.h"
#include "session/store/rules.h"
#include "session/store/snapshots.h"
#include "tui/complete.h"
#include "tui/dashboard.h"
#include "tui/human.h"

#define ID_COLS    100 /* of the screen; fewer: ids of snapshots without a name only */
#define PREFIX_MAX 64  /* bytes of the lines that show what comes from what */

static const enum action snapshot_hints[] = {ACTION_START,   ACTION_START_FORM, ACTION_RENAME,
                                             ACTION_INSPECT, ACTION_REMOVE,     ACTION_FILTER,
                                             ACTION_BACK,    ACTION_HELP,       ACTION_NONE};
static const enum action mount_hints[] = {ACTION_MOUNT, ACTION_REMOVE, ACTION_FILTER,
                                          ACTION_BACK,  ACTION_HELP,   ACTION_NONE};
static const enum action rule_hints[] = {ACTION_RULE_ALLOW, ACTION_RULE_DENY, ACTION_REMOVE,
                                         ACTION_FILTER,     ACTION_BACK,      ACTION_HELP,
                                         ACTION_NONE};

static const struct list {
    enum page_kind kind;
    enum action action; /* that shows it */
    unsigned where;
    const enum action *hints;
} lists[] = {
    {PAGE_SNAPSHOTS, ACTION_SNAPSHOTS, WHERE_SNAPSHOTS, snapshot_hints},
    {PAGE_MOUNTS, ACTION_MOUNTS, WHERE_MOUNTS, mount_hints},
    {PAGE_RULES, ACTION_RULES, WHERE_RULES, rule_hints},
};

static const struct list *list_of(enum page_kind kind)
{
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (lists[i].kind == kind)
            return &lists[i];
    return NULL;
}

unsigned lists_where(const struct dashboard *d)
{
    const struct list *list = list_of(d->page.kind);
    return d->view == VIEW_PAGE && list != NULL ? list->where : 0;
}

const enum action *lists_hints(const struct dashboard *d)
{
    const struct list *list = list_of(d->page.kind);
    return list != NULL ? list->hints : NULL;
}

enum action lists_shown(const struct dashboard *d)
{
    const struct list *list = list_of(d->page.kind);
    return d->view == VIEW_PAGE && list != NULL ? list->action : ACTION_NONE;
}

/* Columns that a wider screen than the smallest usual one has to give away. */
static int spare(const struct dashboard *d, int share)
{
    int wider = d->canvas.cols > 80 ? d->canvas.cols - 80 : 0;
    return wider * share / 100 < 30 ? wider * share / 100 : 30;
}

static void number_column(struct buf *line, const char *text, int cols)
{
    buf_printf(line, "%*s ", cols, text);
}

/* --- snapshots: each below the one that its session had started from */

struct shelf {
    struct dashboard *d;
    struct snapshot_list snapshots;
    struct session_list sessions;
    char **paths;   /* of the snapshots, as a session's configuration has them */
    char **resumed; /* what the sessions started from; NULL: nothing */
    uint64_t bytes;
};

static void shelf_free(struct shelf *shelf)
{
    for (size_t i = 0; shelf->paths != NULL && i < shelf->snapshots.count; i++)
        free(shelf->paths[i]);
    for (size_t i = 0; shelf->resumed != NULL && i < shelf->sessions.count; i++)
        free(shelf->resumed[i]);
    free(shelf->paths);
    free(shelf->resumed);
    snapshot_list_free(&shelf->snapshots);
    session_list_free(&shelf->sessions);
}

static int shelf_read(struct shelf *shelf, struct registry *registry, struct error *err)
{
    int rc = snapshot_list(registry, &shelf->snapshots, err);
    if (rc == 0)
        rc = session_list(registry, SESSIONS_ALL, &shelf->sessions, err);
    if (rc < 0)
        return rc;
    shelf->paths = calloc(shelf->snapshots.count + 1, sizeof(char *));
    shelf->resumed = calloc(shelf->sessions.count + 1, sizeof(char *));
    for (size_t i = 0; shelf->paths != NULL && i < shelf->snapshots.count; i++) {
        shelf->paths[i] = realpath(shelf->snapshots.items[i].path, NULL);
        shelf->bytes += (uint64_t)shelf->snapshots.items[i].size;
    }
    for (size_t i = 0; shelf->resumed != NULL && i < shelf->sessions.count; i++) {
        cJSON *config = cJSON_Parse(shelf->sessions.items[i].config);
        const char *resume = json_string(config, "resume");
        shelf->resumed[i] = resume != NULL ? strdup(resume) : NULL;
        cJSON_Delete(config);
    }
    return shelf->paths != NULL && shelf->resumed != NULL ? 0
                                                          : error_set(err, ENOMEM, "out of memory");
}

static bool from(const struct shelf *shelf, size_t session, size_t snapshot)
{
    const char *resumed = shelf->resumed[session], *path = shelf->paths[snapshot];
    return resumed != NULL && path != NULL && strcmp(resumed, path) == 0;
}

/* Only an older one can be what it comes from: so no chain ever closes. */
static long parent_of(const struct shelf *shelf, size_t child)
{
    const struct snapshot_record *record = &shelf->snapshots.items[child];
    for (size_t s = 0; s < shelf->sessions.count; s++)
        for (size_t i = 0; strcmp(shelf->sessions.items[s].id, record->session) == 0 && i < child;
             i++)
            if (from(shelf, s, i) && shelf->snapshots.items[i].created < record->created)
                return (long)i;
    return -1;
}

/* The live sessions that started from it. */
static void users_of(const struct shelf *shelf, size_t snapshot, struct buf *out)
{
    for (size_t s = 0; s < shelf->sessions.count; s++) {
        const struct session_record *session = &shelf->sessions.items[s];
        if (session->ended == 0 && from(shelf, s, snapshot))
            buf_printf(out, "%s%s", buf_len(out) > 0 ? ", " : "",
                       session->name[0] != '\0' ? session->name : session->id);
    }
}

static void snapshot_columns(const struct dashboard *d, struct buf *line, const char *const texts[])
{
    const int name = 22 + spare(d, 30), image = 12 + spare(d, 15), session = 12 + spare(d, 20);
    page_column(line, texts[0], name);
    if (d->canvas.cols < 64) { /* what matters most */
        number_column(line, texts[4], 5);
        number_column(line, texts[5], 4);
        buf_printf(line, " %s", texts[7]);
        return;
    }
    if (d->canvas.cols >= ID_COLS)
        page_column(line, texts[1], 8);
    page_column(line, texts[2], 4);
    page_column(line, texts[3], image);
    number_column(line, texts[4], 5);
    number_column(line, texts[5], 4);
    buf_printf(line, " ");
    page_column(line, texts[6], session);
    buf_printf(line, "%s", texts[7]);
}

static void snapshot_line(struct shelf *shelf, size_t index, const char *prefix)
{
    CLEAN_BUF struct buf line = {0}, users = {0};
    const struct snapshot_record *record = &shelf->snapshots.items[index];
    const char *slash = strrchr(record->image, '/');
    char name[PREFIX_MAX + SESSION_NAME_MAX + 1], size[HUMAN_SIZE], age[HUMAN_SIZE];
    snprintf(name, sizeof name, "%s%s", prefix,
             record->name[0] != '\0'           ? record->name
             : shelf->d->canvas.cols < ID_COLS ? record->id
                                               : "-");
    human_bytes((uint64_t)record->size, size);
    human_age(shelf->d->now - record->created, age);
    users_of(shelf, index, &users);
    const char *const texts[] = {name,
                                 record->id,
                                 snapshot_kind_name(record->kind),
                                 slash != NULL ? slash + 1 : record->image,
                                 size,
                                 age,
                                 record->session_name[0] != '\0' ? record->session_name
                                                                 : record->session,
                                 buf_len(&users) > 0 ? buf_string(&users) : ""};
    snapshot_columns(shelf->d, &line, texts);
    if (buf_string(&line) != NULL)
        page_item(&shelf->d->page, record->id, ROLE_TEXT, buf_string(&line));
}

/* Those that come from `parent` (-1: from none), each with what comes from it. */
static void snapshot_branch(struct shelf *shelf, long parent, const char *prefix)
{
    long last = -1;
    for (size_t i = 0; i < shelf->snapshots.count; i++)
        if (parent_of(shelf, i) == parent)
            last = (long)i;
    for (size_t i = 0; (long)i <= last; i++) {
        char line[PREFIX_MAX], below[PREFIX_MAX];
        if (parent_of(shelf, i) != parent)
            continue;
        bool deep = strlen(prefix) + sizeof "│ " > PREFIX_MAX; /* then no deeper on the screen */
        bool root = parent < 0 || deep;
        snprintf(line, sizeof line, "%s%s", prefix, root ? "" : (long)i == last ? "└ " : "├ ");
        snprintf(below, sizeof below, "%s%s", prefix, root ? "" : (long)i == last ? "  " : "│ ");
        snapshot_line(shelf, i, line);
        snapshot_branch(shelf, (long)i, below);
    }
}

static void list_snapshots(struct dashboard *d)
{
    static const char *const names[] = {"NAME", "ID",  "KIND",    "IMAGE",
                                        "SIZE", "AGE", "SESSION", "RUNNING"};
    CLEAN_BUF struct buf heading = {0};
    struct shelf shelf = {.d = d};
    struct error err = {0};
    char title[64], bytes[HUMAN_SIZE];
    int rc = shelf_read(&shelf, links_registry(d->links), &err);
    if (rc < 0)
        dashboard_say(d, true, "%s", err.message);
    human_bytes(shelf.bytes, bytes);
    snprintf(title, sizeof title, "Snapshots · %zu · %s", shelf.snapshots.count, bytes);
    page_clear(&d->page, PAGE_SNAPSHOTS, title);
    snapshot_columns(d, &heading, names);
    snprintf(d->page.heading, sizeof d->page.heading, "%s", buf_string(&heading));
    snprintf(d->page.hint, sizeof d->page.hint, "no snapshots yet: s on the dashboard makes one");
    if (rc == 0)
        snapshot_branch(&shelf, -1, "");
    page_move(&d->page, 0);
    shelf_free(&shelf);
}

/* --- of one session, whose host is asked */

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = json_string(object, name);
    return text != NULL ? text : "-";
}

static void add_line(struct dashboard *d, const char *word, enum theme_role role, struct buf *line)
{
    const char *text = buf_string(line);
    if (text != NULL)
        page_item(&d->page, word, role, text);
    buf_consume(line, buf_len(line));
}

static void fill_mounts(struct dashboard *d, const cJSON *reply)
{
    CLEAN_BUF struct buf line = {0};
    const int guest = 28 + spare(d, 40);
    const cJSON *mount;
    page_column(&line, "IN THE SESSION", guest);
    buf_printf(&line, "%-5s %s", "", "ON THE HOST");
    snprintf(d->page.heading, sizeof d->page.heading, "%s", buf_string(&line));
    buf_consume(&line, buf_len(&line));
    cJSON_ArrayForEach(mount, cJSON_GetObjectItemCaseSensitive(reply, "mounts"))
    {
        const char *host = json_string(mount, "host");
        page_column(&line, text_of(mount, "guest"), guest);
        buf_printf(&line, "%-5s %s", json_bool(mount, "read_only") ? "ro" : "rw",
                   host != NULL ? host : "in memory");
        add_line(d, text_of(mount, "guest"), ROLE_TEXT, &line);
    }
    snprintf(d->page.hint, sizeof d->page.hint, "nothing is mounted: a mounts a directory");
}

static void fill_rules(struct dashboard *d, const cJSON *reply)
{
    CLEAN_BUF struct buf line = {0};
    const cJSON *rule;
    snprintf(d->page.heading, sizeof d->page.heading, "%5s  %-14s %-8s %s", "RULE", "ACTION",
             "FROM", "PATTERN");
    cJSON_ArrayForEach(rule, cJSON_GetObjectItemCaseSensitive(reply, "rules"))
    {
        char number[24];
        const char *action = text_of(rule, "action");
        snprintf(number, sizeof number, "%llu", (unsigned long long)json_number(rule, "id", 0));
        buf_printf(&line, "%5s  %-14.40s %-8.40s %.*s", number, action, text_of(rule, "source"),
                   SAVED_PATTERN_MAX, text_of(rule, "pattern"));
        add_line(d, number, strcmp(action, "deny") == 0 ? ROLE_DENY : ROLE_ALLOW, &line);
    }
    buf_printf(&line, "%5s  %-14.40s %-8s %s", "-", text_of(reply, "default"), "default",
               "everything else");
    add_line(d, "", ROLE_DIM, &line);
}

void lists_fill(struct dashboard *d, enum page_kind kind, const cJSON *reply)
{
    const struct fleet_row *row = fleet_find(&d->fleet, d->listed);
    char title[FLEET_TEXT];
    snprintf(title, sizeof title, "%s of %s", kind == PAGE_MOUNTS ? "Mounts" : "Rules",
             row != NULL ? fleet_word(row) : d->listed);
    page_clear(&d->page, kind, title);
    if (kind == PAGE_MOUNTS)
        fill_mounts(d, reply);
    else
        fill_rules(d, reply);
    page_move(&d->page, 0);
}

static void on_answer(void *context, const cJSON *reply, const struct error *why)
{
    struct asking *asking = context;
    struct dashboard *d = asking->d;
    enum page_kind kind = asking->kind;
    bool stale =
        d->view != VIEW_PAGE || d->page.kind != kind || strcmp(d->listed, asking->session) != 0;
    asking_free(asking);
    if (stale)
        return;
    if (reply != NULL) {
        lists_fill(d, kind, reply);
    } else {
        page_clear(&d->page, kind, kind == PAGE_MOUNTS ? "Mounts" : "Rules");
        snprintf(d->page.hint, sizeof d->page.hint, "%.120s", why->message);
    }
    dashboard_damage(d);
}

static void list_ask(struct dashboard *d, enum page_kind kind)
{
    const struct fleet_row *row = fleet_find(&d->fleet, d->listed);
    struct client *client = row != NULL ? links_client(row) : NULL;
    struct asking *asking = client != NULL ? asking_new(d, d->listed) : NULL;
    if (asking == NULL) {
        page_clear(&d->page, kind, kind == PAGE_MOUNTS ? "Mounts" : "Rules");
        snprintf(d->page.hint, sizeof d->page.hint, "the session does not run");
        return;
    }
    asking->kind = kind;
    client_request(client, kind == PAGE_MOUNTS ? "info" : "rules", NULL, on_answer, asking);
}

void lists_again(struct dashboard *d)
{
    if (d->view != VIEW_PAGE || list_of(d->page.kind) == NULL)
        return;
    if (d->page.kind == PAGE_SNAPSHOTS)
        list_snapshots(d);
    else
        list_ask(d, d->page.kind);
    dashboard_damage(d);
}

void lists_show(struct dashboard *d, enum action action)
{
    const struct fleet_row *row = fleet_selected(&d->fleet);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (lists[i].action != action)
            continue;
        if (action != ACTION_SNAPSHOTS && row == NULL) {
            dashboard_say(d, true, "there is no session");
            return;
        }
        if (row != NULL)
            memcpy(d->listed, row->id, sizeof d->listed);
        page_clear(&d->page, lists[i].kind, "");
        dashboard_view(d, VIEW_PAGE);
        lists_again(d);
    }
}

/* --- what is done to a line */

static void run(struct dashboard *d, bool show, const char *const words[])
{
    CLEAN_STRV struct strv argv = {0};
    for (; *words != NULL; words++)
        if (strv_add(&argv, *words) < 0)
            return;
    dashboard_run(d, &argv, show);
}

/* The user's word for the session of the list. */
static const char *listed(const struct dashboard *d)
{
    const struct fleet_row *row = fleet_find(&d->fleet, d->listed);
    return row != NULL ? fleet_word(row) : d->listed;
}

#define RUN(d, show, ...) run(d, show, (const char *const[]){__VA_ARGS__, NULL})

static void lists_remove(struct dashboard *d, const char *word)
{
    if (d->page.kind == PAGE_MOUNTS)
        RUN(d, false, "umount", listed(d), word);
    else if (*word == '\0')
        dashboard_say(d, true, "that is no rule: it is what holds where none does");
    else if (d->page.kind == PAGE_RULES)
        RUN(d, false, "rules", listed(d), "rm", word);
    else
        dashboard_ask(d, ACTION_REMOVE, "Delete snapshot %s?", word);
}

static const struct typed {
    enum action action;
    const char *label;
} typed[] = {
    {ACTION_RENAME, "new name: "},
    {ACTION_MOUNT, "mount HOST:GUEST[:ro] "},
    {ACTION_RULE_ALLOW, "allow [METHOD ]HOST[/PATH] "},
    {ACTION_RULE_DENY, "deny [METHOD ]HOST[/PATH] "},
};

void lists_act(struct dashboard *d, enum action action)
{
    const char *word = page_word(&d->page);
    if (lists_where(d) == 0)
        return;
    for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++)
        if (typed[i].action == action && (word != NULL || action != ACTION_RENAME)) {
            d->prompt = PROMPT_WORD;
            d->confirm = action;
            d->label = typed[i].label;
            edit_set(&d->edit, "");
        }
    if (word == NULL)
        return;
    snprintf(d->subject, sizeof d->subject, "%s", word);
    if (action == ACTION_REMOVE)
        lists_remove(d, word);
    else if (action == ACTION_START)
        RUN(d, false, "bash", "--detached", "--resume", word);
    else if (action == ACTION_INSPECT)
        RUN(d, true, "snapshot", "inspect", word);
    else if (action == ACTION_START_FORM) {
        form_resume(&d->form, word);
        dashboard_form(d);
    }
}

void lists_typed(struct dashboard *d, enum action action, const char *text)
{
    CLEAN_FREE char *home = complete_home(text);
    if (*text == '\0' || home == NULL)
        return;
    if (action == ACTION_RENAME)
        RUN(d, false, "snapshot", "rename", d->subject, text);
    else if (action == ACTION_MOUNT)
        RUN(d, false, "mount", listed(d), home);
    else
        RUN(d, false, action == ACTION_RULE_ALLOW ? "allow" : "deny", listed(d), text);
}

void lists_confirmed(struct dashboard *d, enum action action)
{
    if (action == ACTION_REMOVE)
        RUN(d, false, "snapshot", "rm", d->subject);
}
