/* Parsing and help from the same tables. */
#include "session/cli/verb.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 28

struct found {
    const struct option *option;
    void *target;
};

/* The option called `name` (of `len` bytes) or, with len 0, `letter`. */
static struct found option_find(const struct verb *verb, void *const targets[], const char *name,
                                size_t len, char letter)
{
    for (size_t g = 0; g < VERB_GROUPS && verb->groups[g] != NULL; g++)
        for (const struct option *o = verb->groups[g]->options; o->name != NULL; o++)
            if (len > 0 ? strlen(o->name) == len && strncmp(o->name, name, len) == 0
                        : o->letter == letter)
                return (struct found){o, targets[g]};
    return (struct found){NULL, NULL};
}

static int option_unknown(const struct verb *verb, const char *word, struct error *err)
{
    return error_set(err, USAGE_ERROR, "unknown option '%.60s' (see vmdeck %s --help)", word,
                     verb->name);
}

static int option_apply(struct found found, const char *value, struct error *err)
{
    int rc = found.option->set(found.target, value, err);
    if (rc == -EINVAL && err != NULL)
        err->code = USAGE_ERROR;
    return rc;
}

/* One word that begins with '-'; *args is moved on when it takes the next word. */
static int option_word(const struct verb *verb, void *const targets[], char ***args,
                       struct error *err)
{
    const char *word = **args;
    bool name = word[1] == '-';
    const char *equals = name ? strchr(word, '=') : NULL;
    size_t len = name ? (equals != NULL ? (size_t)(equals - word) : strlen(word)) - 2 : 0;
    struct found found = {NULL, NULL};
    if (name && len > 0)
        found = option_find(verb, targets, word + 2, len, 0);
    else if (!name && word[1] != '\0' && word[2] == '\0')
        found = option_find(verb, targets, NULL, 0, word[1]);
    if (found.option == NULL)
        return option_unknown(verb, word, err);
    if (found.option->value == NULL)
        return equals == NULL
                   ? option_apply(found, NULL, err)
                   : error_set(err, USAGE_ERROR, "--%s takes no value", found.option->name);
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (found.option->value[0] == '[')
        return option_apply(found, value, err);
    if (value == NULL && (*args)[1] != NULL)
        value = *++*args;
    if (value == NULL)
        return error_set(err, USAGE_ERROR, "--%s needs a value: %s (see vmdeck %s --help)",
                         found.option->name, found.option->value, verb->name);
    return option_apply(found, value, err);
}

int verb_parse(const struct verb *verb, void *const targets[], char **args, char ***rest,
               struct error *err)
{
    for (; *args != NULL; args++) {
        const char *word = *args;
        if (strcmp(word, "--") == 0) {
            args++;
            break;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            verb_help(verb);
            return 1;
        }
        if (word[0] != '-' || word[1] == '\0')
            break;
        int rc = option_word(verb, targets, &args, err);
        if (rc < 0)
            return rc;
    }
    *rest = args;
    return 0;
}

int verb_words(const struct verb *verb, void *const targets[], char **args, char ***command,
               struct error *err)
{
    char **words = args;
    *command = NULL;
    while (*args != NULL) {
        char **rest;
        int rc = verb_parse(verb, targets, args, &rest, err);
        if (rc != 0)
            return rc;
        if (rest > args && strcmp(rest[-1], "--") == 0) {
            *command = rest;
            break;
        }
        if (*rest == NULL)
            break;
        *words++ = *rest;
        args = rest + 1;
    }
    *words = NULL;
    return 0;
}

static void option_help(const struct option *o)
{
    char left[80];
    const char *value = o->value != NULL ? o->value : "";
    int width = snprintf(left, sizeof left, "  %c%c%s--%s%s%s", o->letter != 0 ? '-' : ' ',
                         o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "  ", o->name,
                         *value != '\0' && *value != '[' ? " " : "", value);
    if (width >= HELP_COLUMN)
        printf("%s\n%*s%s\n", left, HELP_COLUMN, "", o->help);
    else
        printf("%-*s%s\n", HELP_COLUMN, left, o->help);
}

void verb_help(const struct verb *verb)
{
    const char *line = verb->usage;
    for (bool first = true; *line != '\0'; first = false) {
        int len = (int)strcspn(line, "\n");
        printf("%s vmdeck %s%s%.*s\n", first ? "Usage:" : "      ", verb->name, len > 0 ? " " : "",
               len, line);
        line += len + (line[len] == '\n');
    }
    printf("\n%s.\n", verb->summary);
    for (size_t g = 0; g < VERB_GROUPS && verb->groups[g] != NULL; g++) {
        printf("\n%s:\n", verb->groups[g]->title);
        for (const struct option *o = verb->groups[g]->options; o->name != NULL; o++)
            option_help(o);
    }
    printf("\nThe manual page has the details: man vmdeck-%s\n", verb->name);
}
