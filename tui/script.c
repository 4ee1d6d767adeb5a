/*
 * A step is taken whenever a frame has been drawn, and goes on until one of them needs the frame
 * after it: what a line does to the screen is there when the next one looks at it, and nothing
 * polls. Keys go the way of those from the keyboard, as the bytes that a terminal would send.
 */
#include "tui/script.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "tui/dashboard.h"

struct word {
    const char *name;
    bool drawn; /* it looks at the screen, which must show what was done before */
    int (*check)(char *argument, struct error *err);
    /* 1: done; 0: not yet; or a negative errno. */
    int (*run)(struct dashboard *d, char *argument, struct error *err);
};

static int compile(regex_t *regex, const char *text, struct error *err)
{
    char why[128];
    int rc = regcomp(regex, text, REG_EXTENDED | REG_NOSUB);
    if (rc == 0)
        return 0;
    regerror(rc, regex, why, sizeof why);
    return error_set(err, EINVAL, "'%.80s': %s", text, why);
}

static int check_regex(char *argument, struct error *err)
{
    regex_t regex;
    int rc = compile(&regex, argument, err);
    if (rc == 0)
        regfree(&regex);
    return rc;
}

/* 1 if a line of the screen matches. */
static int shows(const struct dashboard *d, const char *text, struct error *err)
{
    regex_t regex;
    int rc = compile(&regex, text, err), found = 0;
    if (rc < 0)
        return rc;
    for (int row = 0; rc == 0 && row < d->canvas.rows && found == 0; row++) {
        CLEAN_BUF struct buf line = {0};
        rc = canvas_row(&d->canvas, row, &line);
        const char *shown = buf_string(&line);
        found = rc == 0 && regexec(&regex, shown != NULL ? shown : "", 0, NULL, 0) == 0;
    }
    regfree(&regex);
    return rc < 0 ? error_set(err, ENOMEM, "out of memory") : found;
}

static int run_wait(struct dashboard *d, char *argument, struct error *err)
{
    return shows(d, argument, err);
}

static int run_gone(struct dashboard *d, char *argument, struct error *err)
{
    int rc = shows(d, argument, err);
    return rc < 0 ? rc : !rc;
}

static int run_save(struct dashboard *d, char *argument, struct error *err)
{
    int rc = dashboard_save(d, argument, err);
    return rc < 0 ? rc : 1;
}

/* Hands each of the keys to `use`, if there is one. */
static int each_key(char *argument, struct input *input, struct error *err)
{
    CLEAN_FREE char *copy = strdup(argument);
    char *save = NULL;
    if (copy == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (char *name = strtok_r(copy, " \t", &save); name != NULL;
         name = strtok_r(NULL, " \t", &save)) {
        char bytes[KEY_BYTES_MAX];
        uint32_t key;
        unsigned modifiers;
        int rc = key_parse(name, &key, &modifiers, err);
        if (rc < 0)
            return rc;
        if (input == NULL)
            continue;
        input_feed(input, bytes, key_bytes(key, modifiers, bytes));
        input_flush(input); /* Escape is Escape: nothing belongs to it */
    }
    return 0;
}

static int check_keys(char *argument, struct error *err)
{
    return each_key(argument, NULL, err);
}

static int run_keys(struct dashboard *d, char *argument, struct error *err)
{
    int rc = each_key(argument, &d->input, err);
    return rc < 0 ? rc : 1;
}

static int run_type(struct dashboard *d, char *argument, struct error *err)
{
    (void)err;
    input_feed(&d->input, argument, strlen(argument));
    return 1;
}

static int check_timeout(char *argument, struct error *err)
{
    uint64_t seconds;
    return str_number(argument, "timeout", 1, SCRIPT_WAIT_MAX, &seconds, err);
}

static int run_timeout(struct dashboard *d, char *argument, struct error *err)
{
    uint64_t seconds = 0;
    int rc = str_number(argument, "timeout", 1, SCRIPT_WAIT_MAX, &seconds, err);
    d->script.wait_s = (unsigned)seconds;
    return rc < 0 ? rc : 1;
}

static const struct word words[] = {
    {"key", false, check_keys, run_keys},  {"type", false, NULL, run_type},
    {"wait", true, check_regex, run_wait}, {"gone", true, check_regex, run_gone},
    {"save", true, NULL, run_save},        {"timeout", false, check_timeout, run_timeout},
};

/* NULL: the line has none. */
static const struct word *word_of(char *line, char **argument, bool *wrong)
{
    char *word = line + strspn(line, " \t");
    size_t length = strcspn(word, " \t");
    *argument = word + length + (word[length] != '\0');
    *wrong = *word != '\0' && *word != '#';
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i].name) == length && strncmp(words[i].name, word, length) == 0) {
            *wrong = **argument == '\0';
            return &words[i];
        }
    return NULL;
}

static int script_check(const struct script *script, struct error *err)
{
    for (size_t i = 0; i < script->lines.count; i++) {
        char *argument;
        bool wrong;
        const struct word *word = word_of(script->lines.items[i], &argument, &wrong);
        int rc = 0;
        if (wrong)
            rc =
                error_set(err, EINVAL,
                          word != NULL ? "'%.40s' says not what"
                                       : "'%.40s': not one of key, type, wait, gone, save, timeout",
                          script->lines.items[i]);
        else if (word != NULL && word->check != NULL)
            rc = word->check(argument, err);
        if (rc < 0)
            return error_wrap(err, "%s, line %zu", script->path, i + 1);
    }
    return 0;
}

int script_read(struct script *script, const char *path, struct error *err)
{
    CLEAN_BUF struct buf text = {0};
    *script = (struct script){.path = path, .wait_s = SCRIPT_WAIT_S};
    int rc = path_read(path, SCRIPT_FILE_MAX, &text, err);
    if (rc < 0)
        return error_wrap(err, "--script");
    for (const char *at = buf_string(&text); at != NULL && *at != '\0' && rc == 0;) {
        size_t length = strcspn(at, "\n");
        rc = strv_addf(&script->lines, "%.*s", (int)length, at);
        at += length + (at[length] == '\n');
    }
    return rc < 0 ? error_set(err, ENOMEM, "out of memory") : script_check(script, err);
}

void script_free(struct script *script)
{
    strv_free(&script->lines);
}

static void script_fail(struct dashboard *d)
{
    error_wrap(&d->error, "%s, line %zu", d->script.path, d->script.at + 1);
    dashboard_quit(d);
}

static void on_late(uv_timer_t *timer)
{
    struct dashboard *d = timer->data;
    error_set(&d->error, ETIMEDOUT, "'%.200s' did not come true within %u s",
              d->script.lines.items[d->script.at], d->script.wait_s);
    script_fail(d);
}

void script_step(struct dashboard *d)
{
    struct script *script = &d->script;
    while (d->ready && script->at < script->lines.count) {
        char *argument;
        bool wrong;
        const struct word *word = word_of(script->lines.items[script->at], &argument, &wrong);
        if (word != NULL && word->drawn && d->dirty)
            return; /* goes on behind that frame */
        int rc = word != NULL ? word->run(d, argument, &d->error) : 1;
        if (rc < 0) {
            script_fail(d);
            return;
        }
        if (rc == 0 && !script->waiting)
            uv_timer_start(&d->late, on_late, script->wait_s * 1000ull, 0);
        script->waiting = rc == 0;
        if (rc == 0)
            return;
        uv_timer_stop(&d->late);
        script->at++;
    }
}
