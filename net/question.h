/*
 * Requests that wait for somebody to say whether they may go on (--ask). A question belongs to who
 * asks it, usually inside a larger structure; it gets one answer: of a person, of a rule made
 * meanwhile, or of the clock, which denies. One thread; answers come from the loop or from
 * questions_answer() and questions_judge(), never from within question_ask().
 */
#ifndef VMDECK_NET_QUESTION_H
#define VMDECK_NET_QUESTION_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "base/error.h"
#include "net/policy.h"

#define QUESTIONS_SHOWN   2000 /* in questions_json(): the oldest */
#define QUESTION_PATH_MAX 1024 /* bytes of a path there */

struct question {
    /* By who asks; valid while it waits. */
    const struct policy_request *request;
    uint32_t flow;
    void (*answered)(void *owner, const struct policy_verdict *verdict); /* it waits no longer */
    void *owner;

    /* Private. */
    uint32_t id;
    uint64_t asked; /* ms since the epoch */
    uint64_t until; /* loop time */
    TAILQ_ENTRY(question) entry;
};

struct questions {
    unsigned seconds; /* until the clock denies; before questions_open() */
    void (*changed)(void *context, unsigned count);
    void *context;

    /* Private. */
    uv_timer_t timer;
    TAILQ_HEAD(question_list, question)
    waiting; /* the oldest first, which is the first to expire */
    unsigned count;
    uint32_t last_id;
};

int questions_open(struct questions *questions, uv_loop_t *loop, struct error *err);
void questions_close(struct questions *questions); /* nothing waits; the timer closes */

void question_ask(struct questions *questions, struct question *question);
void question_drop(struct questions *questions, struct question *question);

/* One that waits. -ENOENT. */
int questions_answer(struct questions *questions, uint32_t id, bool allow, struct error *err);

/* Rules have changed: whom they answer now. */
void questions_judge(struct questions *questions, struct policy *policy);

/* [{id, time, protocol, host, port, method, path, flow, left_ms}], or NULL without memory. */
cJSON *questions_json(const struct questions *questions);

const char *protocol_name(enum policy_protocol protocol);

#endif
