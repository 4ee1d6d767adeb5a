/* What fills the page: help from the table of actions, the event log, requests that wait. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/protocol/json.h"
#include "tui/dashboard.h"
#include "tui/human.h"

#define KEYS_MAX 96

void pages_help(struct dashboard *d)
{
    struct buf collisions = {0};
    page_clear(&d->page, PAGE_HELP, "Keys");
    for (size_t i = 0; i < action_row_count; i++) {
        char keys[KEYS_MAX];
        const struct action_row *row = &action_rows[i];
        if (!dashboard_can(d, row->action))
            continue;
        bindings_keys(&d->bindings, row->action, keys, sizeof keys);
        page_add(&d->page, ROLE_TEXT, "%-14s %-14s %s%s", keys, row->name, row->help,
                 row->where == WHERE_SCROLL ? " (in the scrollback)" : "");
    }
    page_add(&d->page, ROLE_TEXT, "%-14s %-14s %s", "1 to 9", "", "to the pane of that number");
    if (bindings_collisions(&d->bindings, &collisions) > 0)
        page_add(&d->page, ROLE_ERROR, "collisions: %s", buf_string(&collisions));
    page_add(&d->page, ROLE_DIM, " ");
    page_add(&d->page, ROLE_TITLE, "Commands, after : (as in a shell behind vmdeck)");
    for (const struct tui_verb *verb = d->program->verbs; verb->name != NULL; verb++)
        page_add(&d->page, ROLE_TEXT, "%-14s %s", verb->name, verb->summary);
    page_add(&d->page, ROLE_TEXT, "%-14s %s", "theme NAME", "dark, light, high-contrast, ...");
    page_add(&d->page, ROLE_DIM, " ");
    page_add(&d->page, ROLE_DIM, "All keys can be changed: vmdeck-dashboard(5)");
    buf_free(&collisions);
}

void pages_log(struct dashboard *d, bool net)
{
    bool fresh = d->view != VIEW_PAGE || d->page.kind != (net ? PAGE_NETWORK : PAGE_LOG);
    page_clear(&d->page, net ? PAGE_NETWORK : PAGE_LOG, net ? "Network" : "Event log");
    if (fresh)
        d->page.follow = true;
    for (size_t i = 0; i < d->feed.count; i++) {
        const struct feed_entry *entry = feed_at(&d->feed, i);
        const struct fleet_row *row = fleet_find(&d->fleet, entry->session);
        char clock[HUMAN_SIZE];
        if (net && entry->type != EVENT_NET && entry->type != EVENT_SECRET)
            continue;
        human_clock(entry->time, clock);
        page_add(&d->page, entry->role, "%s %-14.40s %s", clock,
                 row != NULL ? fleet_word(row) : entry->session,
                 entry->text != NULL ? entry->text : "");
    }
    page_move(&d->page, 0);
}

/* --- requests that wait: asked for of every session that has some */

struct asking {
    struct dashboard *d;
    char session[SESSION_ID_SIZE];
    unsigned asked;
};

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = json_string(object, name);
    return text != NULL ? text : "";
}

static void add_question(struct dashboard *d, const char *session, const cJSON *item)
{
    const struct fleet_row *row = fleet_find(&d->fleet, session);
    const cJSON *process = cJSON_GetObjectItemCaseSensitive(item, "process");
    const char *name =
        cJSON_IsObject(process) ? text_of(process, "name") : text_of(item, "process");
    const char *method = text_of(item, "method");
    size_t before = d->page.lines.count;
    if (d->question_count == QUESTIONS_MAX)
        return;
    page_add(&d->page, ROLE_ASK, "? %-14.40s %-10.40s %-5.20s %.255s:%u%.200s",
             row != NULL ? fleet_word(row) : session, name,
             *method != '\0' ? method : text_of(item, "protocol"), text_of(item, "host"),
             (unsigned)json_number(item, "port", 0), text_of(item, "path"));
    if (d->page.lines.count == before) /* filtered out */
        return;
    struct question *question = &d->questions[d->question_count++];
    *question = (struct question){.id = json_number(item, "id", 0)};
    memcpy(question->session, session, sizeof question->session);
    snprintf(question->host, sizeof question->host, "%.255s", text_of(item, "host"));
}

static void on_requests(void *context, const cJSON *reply, const struct error *why)
{
    struct asking *asking = context;
    struct dashboard *d = asking->d;
    bool current = d->page.kind == PAGE_REVIEW && asking->asked == d->asked;
    const cJSON *item;
    if (current && reply == NULL)
        dashboard_say(d, true, "%s: %s", asking->session, why->message);
    if (current)
        cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(reply, "requests"))
        {
            add_question(d, asking->session, item);
        }
    free(asking);
    dashboard_damage(d);
}

void pages_review(struct dashboard *d)
{
    page_clear(&d->page, PAGE_REVIEW,
               "Requests that wait · a once  s session  A always  d deny  D deny session");
    d->question_count = 0;
    d->asked++;
    for (size_t i = 0; i < d->fleet.count; i++) {
        struct fleet_row *row = d->fleet.rows[i];
        struct client *client = links_client(row);
        struct asking *asking =
            client != NULL && row->pending > 0 ? calloc(1, sizeof *asking) : NULL;
        if (asking == NULL)
            continue;
        asking->d = d;
        asking->asked = d->asked;
        memcpy(asking->session, row->id, sizeof asking->session);
        client_request(client, "requests", NULL, on_requests, asking);
    }
}

static void on_answered(void *context, const cJSON *reply, const struct error *why)
{
    struct dashboard *d = context;
    if (reply == NULL)
        dashboard_say(d, true, "%s", why->message);
    else
        pages_again(d);
}

static void answer_once(struct dashboard *d, struct client *client, const struct question *question,
                        bool allow)
{
    cJSON *request = cJSON_CreateObject();
    cJSON_AddNumberToObject(request, "question", (double)question->id);
    cJSON_AddBoolToObject(request, "allow", allow);
    client_request(client, "answer", request, on_answered, d);
    dashboard_say(d, false, "%s once: %s", allow ? "allowed" : "denied", question->host);
}

void pages_answer(struct dashboard *d, const char *verb, const char *scope)
{
    CLEAN_STRV struct strv argv = {0};
    if (d->view != VIEW_PAGE || d->page.kind != PAGE_REVIEW) {
        pages_review(d);
        dashboard_view(d, VIEW_PAGE);
        return;
    }
    if (d->page.chosen >= (long)d->question_count)
        return;
    const struct question *question = &d->questions[d->page.chosen];
    const struct fleet_row *row = fleet_find(&d->fleet, question->session);
    struct client *client = row != NULL ? links_client(row) : NULL;
    if (client == NULL)
        return;
    if (scope == NULL) {
        answer_once(d, client, question, strcmp(verb, "allow") == 0);
        return;
    }
    /* a guest chose the host, which must not become an option */
    if (strv_add(&argv, verb) == 0 && strv_add(&argv, row->id) == 0 &&
        strv_add(&argv, question->host) == 0 && strv_add(&argv, scope) == 0 &&
        question->host[0] != '-')
        dashboard_run(d, &argv, false);
}

void pages_again(struct dashboard *d)
{
    if (d->view != VIEW_PAGE)
        return;
    if (d->page.kind == PAGE_LOG || d->page.kind == PAGE_NETWORK)
        pages_log(d, d->page.kind == PAGE_NETWORK);
    else if (d->page.kind == PAGE_REVIEW)
        pages_review(d);
    else if (d->page.kind == PAGE_HELP)
        pages_help(d);
    dashboard_damage(d);
}
