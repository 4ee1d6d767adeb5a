/* The list of hooks, and one after the other. */
#include "vm/vfs/hook.h"

#include <errno.h>

int hooks_add(struct hooks *hooks, const struct hook *hook)
{
    if (hooks->count == HOOKS_MAX)
        return -ENOSPC;
    hooks->items[hooks->count++] = *hook;
    hooks->before_ops |= hook->before_ops;
    hooks->after_ops |= hook->after_ops;
    hooks->redirects |= hook->redirects;
    return 0;
}

int hooks_before(const struct hooks *hooks, struct hook_op *op)
{
    int rc = 0;
    for (size_t i = 0; i < hooks->count && rc == 0; i++)
        if (hooks->items[i].before_ops & HOOK_OP(op->code))
            rc = hooks->items[i].before(hooks->items[i].context, op);
    return rc;
}

void hooks_after(const struct hooks *hooks, struct hook_op *op, int result, bool refused)
{
    op->result = result;
    for (size_t i = 0; i < hooks->count; i++) {
        const struct hook *hook = &hooks->items[i];
        if (hook->after != NULL && (refused || (hook->after_ops & HOOK_OP(op->code))))
            hook->after(hook->context, op);
    }
}
