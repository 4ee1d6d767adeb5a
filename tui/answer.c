/*
 * Requests that wait are asked for when a host says that they have changed, by one round at a time:
 * a guest that asks for a thousand hosts a second costs a round each, not a thousand. An answer is
 * a request to the host, the same that `vmdeck allow` sends, because its reply says which rule was
 * made, which undo needs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "session/protocol/json.h"
#include "session/store/rules.h"
#include "tui/dashboard.h"
#include "tui/human.h"

struct asking *asking_new(struct dashboard *d, const char *session)
{
    struct asking *asking = calloc(1, sizeof *asking);
    if (asking != NULL) {
        asking->d = d;
        asking->turn = d->answers.turn;
        snprintf(asking->session, sizeof asking->session, "%s", session);
        asking->next = d->askings;
        d->askings = asking;
    }
    return asking;
}

void asking_free(struct asking *asking)
{
    struct asking **at = &asking->d->askings;
    while (*at != asking)
        at = &(*at)->next;
    *at = asking->next;
    free(asking);
}

void answers_changed(struct dashboard *d)
{
    review_build(&d->review, &d->feed);
    if (d->view == VIEW_PAGE && d->page.kind == PAGE_REVIEW)
        pages_review(d);
    dashboard_damage(d);
}

static void on_requests(void *context, const cJSON *reply, const struct error *why)
{
    struct asking *asking = context;
    struct dashboard *d = asking->d;
    const cJSON *item;
    int64_t now = human_now();
    (void)why; /* a session that ended meanwhile: nothing of it waits */
    review_forget(&d->review, asking->session);
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(reply, "requests"))
    {
        review_add(&d->review, asking->session, cJSON_Duplicate(item, true), now);
    }
    asking_free(asking);
    d->answers.open--;
    answers_changed(d);
    if (d->answers.open == 0 && d->answers.again)
        answers_refresh(d);
}

void answers_refresh(struct dashboard *d)
{
    struct answers *answers = &d->answers;
    answers->again = answers->open > 0;
    if (answers->open > 0)
        return;
    for (size_t i = d->review.question_count; i > 0; i--) {
        /* a copy: what is forgotten goes with its text */
        struct review_question question = d->review.questions[i - 1];
        const struct fleet_row *row = fleet_find(&d->fleet, question.session);
        if (row == NULL || row->pending == 0 || links_client(row) == NULL) {
            review_forget(&d->review, question.session);
            i = d->review.question_count + 1;
        }
    }
    for (size_t i = 0; i < d->fleet.count; i++) {
        const struct fleet_row *row = d->fleet.rows[i];
        struct client *client = row->pending > 0 ? links_client(row) : NULL;
        struct asking *asking = client != NULL ? asking_new(d, row->id) : NULL;
        if (asking == NULL)
            continue;
        answers->open++;
        client_request(client, "requests", NULL, on_requests, asking);
    }
    answers_changed(d);
}

/* --- answering */

static const struct review_group *chosen(struct dashboard *d)
{
    const struct review_group *group = review_find(&d->review, page_ref(&d->page));
    if (group == NULL)
        dashboard_say(d, true, "nothing is chosen: j and k choose");
    return group;
}

void answers_moved(struct dashboard *d)
{
    int64_t ref = page_ref(&d->page);
    if (d->page.kind != PAGE_REVIEW || ref == d->answers.of)
        return;
    d->answers.of = ref;
    d->review.wide = 0;
    d->review.precise = d->review.everywhere = false;
}

static void on_rule(void *context, const cJSON *reply, const struct error *why)
{
    struct asking *asking = context;
    struct given *given = &asking->d->answers.given[asking->turn % ANSWERS_KEPT];
    const cJSON *id;
    if (reply == NULL)
        dashboard_say(asking->d, true, "%s", why->message);
    cJSON_ArrayForEach(id, cJSON_GetObjectItemCaseSensitive(reply, "rules"))
    {
        if (asking->turn != given->turn || given->made_count == ANSWERS_MADE || !cJSON_IsNumber(id))
            continue;
        struct made_rule *made = &given->made[given->made_count++];
        memcpy(made->session, asking->session, sizeof made->session);
        made->id = (uint32_t)id->valuedouble;
    }
    asking_free(asking);
}

static void send_rule(struct dashboard *d, const struct fleet_row *row, const struct answer *answer,
                      const char *pattern)
{
    struct client *client = links_client(row);
    struct asking *asking = client != NULL ? asking_new(d, row->id) : NULL;
    if (asking == NULL)
        return;
    cJSON *request = cJSON_CreateObject();
    cJSON_AddItemToObject(request, "patterns", cJSON_CreateStringArray(&pattern, 1));
    cJSON_AddStringToObject(request, "scope", answer->scope);
    cJSON_AddBoolToObject(request, "internal", false);
    client_request(client, answer->verb, request, on_rule, asking);
}

static void on_answered(void *context, const cJSON *reply, const struct error *why)
{
    if (reply == NULL && why->code != ENOENT) /* answered or late meanwhile: it is gone anyway */
        dashboard_say(context, true, "%s", why->message);
}

/* All requests of the group that wait: they go on, and no rule is made. */
static void send_once(struct dashboard *d, const struct review_group *group, bool allow)
{
    const struct fleet_row *row = fleet_find(&d->fleet, group->session);
    struct client *client = row != NULL ? links_client(row) : NULL;
    for (size_t i = 0; i < d->review.question_count && client != NULL; i++) {
        const struct review_question *question = &d->review.questions[i];
        if (strcmp(question->session, group->session) != 0 ||
            strcmp(feed_text(question->object, "host"), group->host) != 0)
            continue;
        cJSON *request = cJSON_CreateObject();
        cJSON_AddNumberToObject(request, "question", (double)question->id);
        cJSON_AddBoolToObject(request, "allow", allow);
        client_request(client, "answer", request, on_answered, d);
    }
}

static void remember(struct dashboard *d, const struct answer *answer, const char *pattern)
{
    struct given *given = &d->answers.given[++d->answers.turn % ANSWERS_KEPT];
    given->made_count = 0;
    given->saved = strcmp(answer->scope, "saved") == 0;
    given->allowed = strcmp(answer->verb, "allow") == 0;
    given->turn = d->answers.turn;
    given->time = d->answers.given_at = human_now();
    snprintf(given->pattern, sizeof given->pattern, "%s", pattern);
}

void answers_command(const struct dashboard *d, const struct review_group *group,
                     const struct answer *answer, const char *pattern, struct buf *out)
{
    static const char *const options[][2] = {
        {"once", "--once"}, {"session", "--session"}, {"saved", "--always"}};
    const struct fleet_row *row = fleet_find(&d->fleet, group->session);
    const char *who = row != NULL ? fleet_word(row) : group->session, *option = "";
    const char *quote = strpbrk(pattern, " *?$&;()<>|'\"\\") != NULL ? "'" : "";
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (strcmp(options[i][0], answer->scope) == 0)
            option = options[i][1];
    buf_printf(out, "vmdeck %s %s %s%s%s %s", answer->verb, d->review.everywhere ? "--all" : who,
               quote, pattern, quote, option);
}

void answers_give(struct dashboard *d, const struct answer *answer)
{
    CLEAN_BUF struct buf pattern = {0}, command = {0};
    struct error err = {0};
    const struct review_group *group = chosen(d);
    if (group == NULL)
        return;
    if (review_pattern(&d->review, group, &pattern, &err) < 0) {
        dashboard_say(d, true, "%s", err.message);
        return;
    }
    const char *text = buf_string(&pattern);
    bool once = strcmp(answer->scope, "once") == 0;
    remember(d, answer, text);
    answers_command(d, group, answer, text, &command);
    if (once && group->waits && d->review.wide == 0 && !d->review.precise && !d->review.everywhere)
        send_once(d, group, strcmp(answer->verb, "allow") == 0);
    else
        for (size_t i = 0; i < d->fleet.count; i++)
            if (d->review.everywhere || strcmp(d->fleet.rows[i]->id, group->session) == 0)
                send_rule(d, d->fleet.rows[i], answer, text);
    review_settle(&d->review, group, d->answers.given_at);
    bool last = d->page.chosen + 1 >= (long)d->page.lines.count;
    page_move(&d->page, last ? -1 : 1); /* the next one, before this one goes */
    answers_moved(d);
    dashboard_say(d, false, "%s", buf_string(&command));
    answers_changed(d);
}

/* --- and taking it back */

static void undo_saved(struct dashboard *d, const struct given *given)
{
    CLEAN_SAVED_RULES struct saved_rules rules = {0};
    struct error err = {0};
    struct registry *registry = links_registry(d->links);
    enum saved_verdict verdict = given->allowed ? SAVED_ALLOW : SAVED_DENY;
    int rc = saved_rules_list(registry, &rules, &err);
    for (size_t i = rules.count; i > 0 && rc == 0; i--) {
        const struct saved_rule *rule = &rules.items[i - 1];
        if (rule->verdict != verdict || rule->internal ||
            strcmp(rule->pattern, given->pattern) != 0)
            continue;
        rc = saved_rule_remove(registry, rule->id, &err);
        break;
    }
    if (rc < 0)
        dashboard_say(d, true, "%s", err.message);
}

/* The newest that was not taken back yet. */
static struct given *undo_next(struct answers *answers)
{
    for (unsigned i = 0; i < ANSWERS_KEPT && i < answers->turn; i++) {
        struct given *given = &answers->given[(answers->turn - i) % ANSWERS_KEPT];
        if (given->turn != 0)
            return given;
    }
    return NULL;
}

void answers_undo(struct dashboard *d)
{
    struct given *given = undo_next(&d->answers);
    if (given == NULL) {
        dashboard_say(d, true, "no answer to take back");
        return;
    }
    given->turn = 0;
    if (given->made_count == 0) {
        dashboard_say(d, true, "the answer for %s made no rule: its request has gone on",
                      given->pattern);
        return;
    }
    for (size_t i = 0; i < given->made_count; i++) {
        const struct fleet_row *row = fleet_find(&d->fleet, given->made[i].session);
        struct client *client = row != NULL ? links_client(row) : NULL;
        if (client == NULL)
            continue;
        cJSON *request = cJSON_CreateObject();
        cJSON_AddNumberToObject(request, "rule", given->made[i].id);
        client_request(client, "rules_rm", request, on_answered, d);
    }
    const struct fleet_row *row = fleet_find(&d->fleet, given->made[0].session);
    dashboard_say(d, false, "taken back: vmdeck rules %s rm %u%s",
                  row != NULL ? fleet_word(row) : given->made[0].session, given->made[0].id,
                  given->made_count > 1 ? ", and in the other sessions" : "");
    if (given->saved)
        undo_saved(d, given);
    for (size_t i = 0; i < REVIEW_ANSWERED; i++)
        if (d->review.answered[i].time == given->time)
            d->review.answered[i] = (struct review_answered){0};
    answers_changed(d);
}
