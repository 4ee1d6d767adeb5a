/* All wait equally long, so the list in order of coming is in order of expiry: one timer will do.
 */
#include "net/hold.h"

static void expire(uv_timer_t *timer);

static void start_timer(struct holds *holds)
{
    const struct hold *first = TAILQ_FIRST(&holds->waiting);
    uint64_t now = uv_now(holds->timer.loop);
    if (first == NULL)
        uv_timer_stop(&holds->timer);
    else
        uv_timer_start(&holds->timer, expire, first->until > now ? first->until - now : 0, 0);
}

static void expire(uv_timer_t *timer)
{
    struct holds *holds = timer->data;
    struct hold *first;
    while ((first = TAILQ_FIRST(&holds->waiting)) != NULL && first->until <= uv_now(timer->loop))
        hold_over(holds, first);
    start_timer(holds);
}

int holds_open(struct holds *holds, uv_loop_t *loop, unsigned ms, struct error *err)
{
    int rc = uv_timer_init(loop, &holds->timer);
    if (rc < 0)
        return error_set(err, -rc, "cannot make a timer: %s", uv_strerror(rc));
    holds->timer.data = holds;
    holds->ms = ms;
    TAILQ_INIT(&holds->waiting);
    return 0;
}

void holds_close(struct holds *holds)
{
    uv_close((uv_handle_t *)&holds->timer, NULL);
}

void hold_add(struct holds *holds, struct hold *hold)
{
    bool first = TAILQ_EMPTY(&holds->waiting);
    hold->waits = true;
    hold->until = uv_now(holds->timer.loop) + holds->ms;
    TAILQ_INSERT_TAIL(&holds->waiting, hold, entry);
    if (first)
        start_timer(holds);
}

void hold_drop(struct holds *holds, struct hold *hold)
{
    if (!hold->waits)
        return;
    hold->waits = false;
    TAILQ_REMOVE(&holds->waiting, hold, entry);
}

void hold_over(struct holds *holds, struct hold *hold)
{
    if (!hold->waits)
        return;
    hold_drop(holds, hold);
    hold->over(hold->owner);
}
