/*
 * The builder calls back with per mille and step. The bar is redrawn in place when either
 * changed enough to be seen, and erased at the end, so that what follows starts on a clean line.
 */
#include "session/cli/progress.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 30

static volatile int cancelled; /* by a signal: image_build.cancel */

struct progress {
    bool terminal;
    unsigned shown;
    char step[64];
};

static void progress_cancel(int signum)
{
    cancelled = signum;
}

static void progress_show(void *context, unsigned per_mille, const char *step)
{
    struct progress *p = context;
    bool same_step = strncmp(p->step, step, sizeof p->step - 1) == 0;
    if (same_step && (!p->terminal || per_mille / 5 == p->shown / 5))
        return;
    p->shown = per_mille;
    snprintf(p->step, sizeof p->step, "%s", step);
    if (!p->terminal) {
        fprintf(stderr, "vmdeck: default image: %s\n", step);
        return;
    }
    char bar[BAR_WIDTH + 1];
    unsigned full = per_mille * BAR_WIDTH / 1000;
    for (unsigned i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r[%s] %3u%%  %.40s\033[K", bar, per_mille / 10, step);
}

int progress_build_default(char id[IMAGE_ID_SIZE], struct error *err)
{
    struct progress progress = {.terminal = isatty(STDERR_FILENO), .shown = 1001};
    const struct image_build build = {progress_show, &progress, &cancelled};
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = progress_cancel}, old[3];
    for (size_t i = 0; i < 3; i++)
        sigaction(signals[i], &action, &old[i]);
    fprintf(stderr, "vmdeck: building the default image from Debian's packages (once; about a "
                    "minute)\n");
    int rc = image_build_default(&build, id, err);
    if (progress.terminal)
        fprintf(stderr, "\r\033[K");
    for (size_t i = 0; i < 3; i++)
        sigaction(signals[i], &old[i], NULL);
    return rc;
}

int progress_ensure_image(const char *selector, struct error *err)
{
    struct image image = {0};
    char id[IMAGE_ID_SIZE];
    if (selector != NULL && strcmp(selector, IMAGE_DEFAULT) != 0 &&
        strcmp(selector, "default") != 0)
        return 0; /* the host says what is wrong with it */
    int rc = image_open(IMAGE_DEFAULT, &image, err);
    if (rc == 0)
        image_close(&image);
    return rc == -ENOENT ? progress_build_default(id, err) : 0;
}
