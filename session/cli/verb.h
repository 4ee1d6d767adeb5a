/*
 * Verbs and their options: tables from which the command line is parsed and --help is printed.
 * To add a verb: a file with its struct verb, a line in verbs.c, a man page. To add an option: a
 * row in its group.
 */
#ifndef VMDECK_SESSION_CLI_VERB_H
#define VMDECK_SESSION_CLI_VERB_H

#include <stddef.h>

#include "base/error.h"

/* Code of an error in how vmdeck was called: main exits with 2 instead of 125. */
#define USAGE_ERROR EBADR

#define STATUS_FAILED 125 /* vmdeck itself failed */
#define STATUS_USAGE  2

/* Stores a value into the group's target; -errno with the error filled. */
typedef int option_set(void *target, const char *value, struct error *err);

struct option {
    const char *name; /* without the dashes; NULL ends a group */
    char letter;      /* 0: none */
    const char
        *value; /* its name in the help; NULL: it takes none; "[=NAME]": it can be left out */
    option_set *set;
    const char *help;
};

struct option_group {
    const char *title;
    const struct option *options;
};

#define VERB_GROUPS 4

struct verb {
    const char *name;
    const char *usage;   /* behind "vmdeck NAME"; several lines possible */
    const char *summary; /* one line, for the list of verbs */
    const struct option_group *groups[VERB_GROUPS];
    /*
     * Arguments behind the verb, NULL-terminated. Returns the exit status, or a negative errno
     * with the error filled. NULL: the verb is for vmdeck's own use and not shown.
     */
    int (*run)(const struct verb *verb, char **args, struct error *err);
};

extern const struct verb *const verbs[]; /* NULL-terminated */

extern const struct verb verb_bash, verb_attach;
extern const struct verb verb_exec, verb_image;
extern const struct verb verb_cp;
extern const struct verb verb_mount, verb_umount;
extern const struct verb verb_pause, verb_unpause, verb_suspend, verb_start;
extern const struct verb verb_snapshot, verb_fork;
extern const struct verb verb_allow, verb_deny, verb_rules, verb_requests;
extern const struct verb verb_list, verb_stop, verb_events, verb_stats, verb_doctor;

/*
 * Parses options up to "--" or, where `targets` are used up, the first word that is none, which
 * *rest then points to. targets[i] belongs to verb->groups[i]. `--help` prints the help and
 * returns 1; otherwise 0 or -USAGE_ERROR. Both `--opt VALUE` and `--opt=VALUE`; letters as in
 * `-t`.
 */
int verb_parse(const struct verb *verb, void *const targets[], char **args, char ***rest,
               struct error *err);

/*
 * Like verb_parse for verbs whose options may stand behind their words: `args` is compacted to the
 * words, NULL-terminated; *command points behind "--", or is NULL without one.
 */
int verb_words(const struct verb *verb, void *const targets[], char **args, char ***command,
               struct error *err);

/* Usage and options of the verb on stdout. */
void verb_help(const struct verb *verb);

#endif
