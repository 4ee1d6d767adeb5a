/*
 * A pattern of n components is a machine of n + 1 states, kept as bits: state i has matched the
 * first i components. "**" is stayed in at no cost or passed. The last state stays, since a rule
 * covers what is below. That makes the question of shadows_may_move() simple: from the states that
 * the old path leads to, everything below is judged; if the new path leads to all of them too, it
 * is judged no less.
 */
#include "vm/vfs/shadow.h"

#include <errno.h>
#include <fnmatch.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

struct rule {
    struct strv parts;
    enum shadow kind;
};

struct shadows {
    size_t count;
    struct rule rules[];
};

static uint64_t pass_stars(const struct rule *rule, uint64_t states)
{
    for (size_t i = 0; i < rule->parts.count; i++)
        if ((states >> i & 1) && strcmp(rule->parts.items[i], "**") == 0)
            states |= 1ull << (i + 1);
    return states;
}

static uint64_t step(const struct rule *rule, uint64_t states, const char *component)
{
    uint64_t last = 1ull << rule->parts.count;
    uint64_t next = states & last;
    for (size_t i = 0; i < rule->parts.count; i++) {
        if (!(states >> i & 1))
            continue;
        if (strcmp(rule->parts.items[i], "**") == 0)
            next |= 1ull << i;
        else if (fnmatch(rule->parts.items[i], component, FNM_NOESCAPE) == 0)
            next |= 1ull << (i + 1);
    }
    return pass_stars(rule, next);
}

static uint64_t walk(const struct rule *rule, const char *path)
{
    uint64_t states = pass_stars(rule, 1);
    char component[256];
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        if (length > 0 && length < sizeof component) {
            memcpy(component, path, length);
            component[length] = '\0';
            states = step(rule, states, component);
        }
        path += length + (path[length] == '/');
    }
    return states;
}

static int parse(struct rule *rule, const char *pattern, struct error *err)
{
    static const char suffix[] = "=tmpfs";
    CLEAN_FREE char *text = strdup(pattern);
    if (text == NULL)
        return error_set(err, ENOMEM, "out of memory");
    size_t length = strlen(text);
    rule->kind = SHADOW_HIDDEN;
    if (length >= sizeof suffix - 1 && strcmp(text + length - (sizeof suffix - 1), suffix) == 0) {
        text[length - (sizeof suffix - 1)] = '\0';
        rule->kind = SHADOW_PRIVATE;
    }
    if (text[0] != '/' && text[0] != '\0' && strv_add(&rule->parts, "**") < 0)
        return error_set(err, ENOMEM, "out of memory");
    char *rest = text;
    for (const char *part; (part = strsep(&rest, "/")) != NULL;) {
        if (*part == '\0')
            continue;
        if (strcmp(part, ".") == 0 || strcmp(part, "..") == 0 || strlen(part) > 255)
            return error_set(err, EINVAL, "shadow %s: \"%s\" cannot be part of a pattern", pattern,
                             part);
        if (strv_add(&rule->parts, part) < 0)
            return error_set(err, ENOMEM, "out of memory");
    }
    if (rule->parts.count == 0 || rule->parts.count > SHADOW_DEPTH_MAX)
        return error_set(err, EINVAL, "shadow %s: a pattern has 1 to %u components", pattern,
                         SHADOW_DEPTH_MAX);
    return 0;
}

int shadows_open(struct shadows **out, const char *const *patterns, size_t count, struct error *err)
{
    *out = NULL;
    if (count == 0)
        return 0;
    if (count > SHADOW_RULES_MAX)
        return error_set(err, E2BIG, "more than %u shadow patterns", SHADOW_RULES_MAX);
    struct shadows *shadows = calloc(1, sizeof *shadows + count * sizeof shadows->rules[0]);
    if (shadows == NULL)
        return error_set(err, ENOMEM, "out of memory");
    shadows->count = count;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = strlen(patterns[i]) <= SHADOW_PATTERN_MAX
                 ? parse(&shadows->rules[i], patterns[i], err)
                 : error_set(err, E2BIG, "a shadow pattern of more than %u bytes",
                             SHADOW_PATTERN_MAX);
    if (rc < 0)
        shadows_close(shadows);
    else
        *out = shadows;
    return rc;
}

void shadows_close(struct shadows *shadows)
{
    for (size_t i = 0; shadows != NULL && i < shadows->count; i++)
        strv_free(&shadows->rules[i].parts);
    free(shadows);
}

enum shadow shadows_match(const struct shadows *shadows, const char *path)
{
    enum shadow result = SHADOW_NONE;
    for (size_t i = 0; i < shadows->count && result != SHADOW_HIDDEN; i++) {
        const struct rule *rule = &shadows->rules[i];
        if (walk(rule, path) >> rule->parts.count & 1)
            result = rule->kind;
    }
    return result;
}

bool shadows_may_move(const struct shadows *shadows, const char *from, const char *to)
{
    for (size_t i = 0; i < shadows->count; i++) {
        const struct rule *rule = &shadows->rules[i];
        if (walk(rule, from) & ~walk(rule, to))
            return false;
    }
    return true;
}

/* What the rules say of one path of an operation. */
static int judge(const struct shadows *shadows, struct hook_op *op, const char *path, uint8_t *fs,
                 bool makes)
{
    enum shadow kind = *fs == FS_MAIN ? shadows_match(shadows, path) : SHADOW_NONE;
    if (kind == SHADOW_HIDDEN) {
        op->hidden = path;
        return makes ? -EACCES : -ENOENT;
    }
    if (kind == SHADOW_PRIVATE)
        *fs = FS_PRIVATE;
    return 0;
}

static int before(void *context, struct hook_op *op)
{
    const struct shadows *shadows = context;
    bool exchange = (op->flags & RENAME_EXCHANGE) != 0;
    int rc = judge(shadows, op, op->path, &op->fs[0], (HOOK_OP(op->code) & HOOK_MAKES) != 0);
    if (rc < 0 || op->to == NULL)
        return rc;
    rc = judge(shadows, op, op->to, &op->fs[1], true);
    if (rc == 0 && op->fs[0] == FS_MAIN && op->fs[1] == FS_MAIN &&
        (!shadows_may_move(shadows, op->path, op->to) ||
         (exchange && !shadows_may_move(shadows, op->to, op->path))))
        rc = -EXDEV;
    return rc;
}

struct hook shadows_hook(struct shadows *shadows)
{
    struct hook hook = {.before_ops = HOOK_NAMES, .before = before, .context = shadows};
    for (size_t i = 0; i < shadows->count; i++)
        hook.redirects |= shadows->rules[i].kind == SHADOW_PRIVATE;
    return hook;
}
