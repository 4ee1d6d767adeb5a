/*
 * vmdeck: finds the verb, runs it, and is the only place that prints an error. Exit status as in
 * vmdeck(1): the verb's own, 125 when vmdeck itself failed, 2 for a wrong call.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "session/cli/verb.h"
#include "session/host/host.h"
#include "session/protocol/launch.h"
#include "tui/tui.h"
#include "vm/image/image.h"

#define VERBS_SHOWN 63

/* A descriptor we open must never become somebody's standard output. */
static void main_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
            _exit(STATUS_FAILED);
}

static void main_log(void)
{
    CLEAN_FREE char *log = NULL;
    if (path_xdg(PATH_STATE, "log", &log, NULL) == 0)
        log_open(log, "cli");
}

static void main_help(void)
{
    printf("Usage: vmdeck VERB [OPTIONS]\n"
           "       vmdeck [--script FILE]   the dashboard; keys come from the file first\n\n"
           "Runs commands in disposable Linux micro-VMs.\n\n"
           "Verbs:\n");
    for (size_t i = 0; verbs[i] != NULL; i++)
        printf("  %-12s%s\n", verbs[i]->name, verbs[i]->summary);
    printf("\nvmdeck VERB --help lists a verb's options; man vmdeck has the rest.\n");
}

static const struct verb *main_find(const char *name)
{
    for (size_t i = 0; verbs[i] != NULL; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static bool main_has_option(const char *name, const char *option)
{
    const struct verb *verb = main_find(name);
    for (size_t g = 0; verb != NULL && g < VERB_GROUPS && verb->groups[g] != NULL; g++)
        for (const struct option *o = verb->groups[g]->options; o->name != NULL; o++)
            if (strcmp(o->name, option) == 0)
                return true;
    return false;
}

static void add_image(void *context, const struct image_row *row)
{
    if (row->ref != NULL)
        strv_add(context, row->ref);
}

static int main_images(struct strv *out)
{
    return image_list(add_image, out, NULL);
}

/* The dashboard; without a terminal, what to do instead. */
static int main_without_verb(const char *script)
{
    struct tui_verb list[VERBS_SHOWN + 1] = {{NULL, NULL}};
    const struct tui_program program = {list, main_has_option, script, main_images};
    struct error err = {0};
    for (size_t i = 0; i < VERBS_SHOWN && verbs[i] != NULL; i++)
        list[i] = (struct tui_verb){verbs[i]->name, verbs[i]->summary};
    main_log();
    int rc = tui_main(&program, &err);
    if (rc >= 0)
        return rc == 0 ? 0 : 128 + rc;
    if (err.code != ENOTTY) {
        fprintf(stderr, "vmdeck: %s\n", err.message);
        return STATUS_FAILED;
    }
    fprintf(stderr, "vmdeck: the dashboard needs a terminal (try: vmdeck exec -- uname -a; vmdeck "
                    "--help)\n");
    return STATUS_USAGE;
}

int main(int argc, char **argv)
{
    main_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2)
        return main_without_verb(NULL);
    const char *name = argv[1];
    if (strcmp(name, LAUNCH_VERB) == 0)
        return host_main(LAUNCH_FD);
    if (strcmp(name, "--script") == 0 && argc == 3)
        return main_without_verb(argv[2]);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        main_help();
        return fflush(stdout) == 0 ? 0 : STATUS_FAILED;
    }
    if (strcmp(name, "--version") == 0) {
        printf("vmdeck %s\n", VMDECK_VERSION);
        return 0;
    }
    const struct verb *verb = main_find(name);
    if (verb == NULL) {
        fprintf(stderr, "vmdeck: %s: no such verb (see vmdeck --help)\n", name);
        return STATUS_USAGE;
    }
    main_log();
    struct error err = {0};
    int status = verb->run(verb, argv + 2, &err);
    if (status < 0) {
        fprintf(stderr, "vmdeck %s: %s\n", verb->name, err.message);
        status = err.code == USAGE_ERROR ? STATUS_USAGE : STATUS_FAILED;
    }
    if (fflush(stdout) != 0 && status == 0)
        status = STATUS_FAILED;
    return status;
}
