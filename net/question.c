/* All wait equally long, so the list in order of asking is in order of expiry: one timer will do.
 */
#include "net/question.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *protocol_name(enum policy_protocol protocol)
{
    static const char *const names[] = {
        [POLICY_ANY] = "tcp", [POLICY_HTTP] = "http", [POLICY_HTTPS] = "https", [POLICY_WS] = "ws",
        [POLICY_WSS] = "wss", [POLICY_SSH] = "ssh",   [POLICY_TCP] = "tcp",
    };
    return names[protocol];
}

static void expire(uv_timer_t *timer);

static void start_timer(struct questions *questions)
{
    const struct question *first = TAILQ_FIRST(&questions->waiting);
    uint64_t now = uv_now(questions->timer.loop);
    if (first == NULL)
        uv_timer_stop(&questions->timer);
    else
        uv_timer_start(&questions->timer, expire, first->until > now ? first->until - now : 0, 0);
}

static void take_out(struct questions *questions, struct question *question)
{
    TAILQ_REMOVE(&questions->waiting, question, entry);
    questions->count--;
    question->id = 0;
}

static void expire(uv_timer_t *timer)
{
    struct questions *questions = timer->data;
    struct policy_verdict verdict = {.action = POLICY_DENY};
    struct question *first;
    snprintf(verdict.reason, sizeof verdict.reason, "nobody answered within %u s",
             questions->seconds);
    while ((first = TAILQ_FIRST(&questions->waiting)) != NULL &&
           first->until <= uv_now(timer->loop)) {
        take_out(questions, first);
        first->answered(first->owner, &verdict);
    }
    start_timer(questions);
    questions->changed(questions->context, questions->count);
}

int questions_open(struct questions *questions, uv_loop_t *loop, struct error *err)
{
    int rc = uv_timer_init(loop, &questions->timer);
    if (rc < 0)
        return error_set(err, -rc, "cannot make a timer: %s", uv_strerror(rc));
    questions->timer.data = questions;
    TAILQ_INIT(&questions->waiting);
    return 0;
}

void questions_close(struct questions *questions)
{
    uv_close((uv_handle_t *)&questions->timer, NULL);
}

void question_ask(struct questions *questions, struct question *question)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    question->id = ++questions->last_id;
    question->asked = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    question->until = uv_now(questions->timer.loop) + questions->seconds * 1000ull;
    TAILQ_INSERT_TAIL(&questions->waiting, question, entry);
    questions->count++;
    if (questions->count == 1)
        start_timer(questions);
    questions->changed(questions->context, questions->count);
}

void question_drop(struct questions *questions, struct question *question)
{
    if (question->id == 0)
        return;
    take_out(questions, question);
    questions->changed(questions->context, questions->count);
}

int questions_answer(struct questions *questions, uint32_t id, bool allow, struct error *err)
{
    struct policy_verdict verdict = {.action = allow ? POLICY_ALLOW : POLICY_DENY};
    struct question *question = TAILQ_FIRST(&questions->waiting);
    while (question != NULL && question->id != id)
        question = TAILQ_NEXT(question, entry);
    if (question == NULL)
        return error_set(err, ENOENT, "request %u does not wait any more (see 'vmdeck requests')",
                         id);
    snprintf(verdict.reason, sizeof verdict.reason, "%s when asked", allow ? "allowed" : "denied");
    take_out(questions, question);
    question->answered(question->owner, &verdict);
    questions->changed(questions->context, questions->count);
    return 0;
}

void questions_judge(struct questions *questions, struct policy *policy)
{
    struct question *question, *next;
    struct policy_verdict verdict;
    unsigned before = questions->count;
    for (question = TAILQ_FIRST(&questions->waiting); question != NULL; question = next) {
        next = TAILQ_NEXT(question, entry);
        policy_judge(policy, question->request, &verdict);
        if (verdict.action == POLICY_ASK)
            continue;
        take_out(questions, question);
        question->answered(question->owner, &verdict);
    }
    if (questions->count != before)
        questions->changed(questions->context, questions->count);
}

static cJSON *question_json(const struct question *question, uint64_t now)
{
    const struct policy_request *request = question->request;
    cJSON *json = cJSON_CreateObject();
    char time_text[32] = "", path[QUESTION_PATH_MAX] = "";
    time_t seconds = (time_t)(question->asked / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) != NULL)
        strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (request->path != NULL)
        snprintf(path, sizeof path, "%.*s", (int)strcspn(request->path, "?"), request->path);
    cJSON_AddNumberToObject(json, "id", question->id);
    cJSON_AddStringToObject(json, "time", time_text);
    cJSON_AddStringToObject(json, "protocol", protocol_name(request->protocol));
    cJSON_AddStringToObject(json, "host", request->host);
    cJSON_AddNumberToObject(json, "port", request->port);
    cJSON_AddStringToObject(json, "method", request->method != NULL ? request->method : "");
    cJSON_AddStringToObject(json, "path", path);
    cJSON_AddNumberToObject(json, "flow", question->flow);
    cJSON_AddNumberToObject(json, "left_ms",
                            question->until > now ? (double)(question->until - now) : 0);
    return json;
}

cJSON *questions_json(const struct questions *questions)
{
    cJSON *list = cJSON_CreateArray();
    const struct question *question = TAILQ_FIRST(&questions->waiting);
    for (int shown = 0; question != NULL && shown < QUESTIONS_SHOWN; shown++) {
        cJSON_AddItemToArray(list, question_json(question, uv_now(questions->timer.loop)));
        question = TAILQ_NEXT(question, entry);
    }
    return list;
}
