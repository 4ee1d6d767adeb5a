/*
 * Whoever works calls back with per mille and step. The bar is redrawn in place when either
 * changed enough to be seen, and erased at the end, so that what follows starts on a clean line.
 */
#include "session/cli/progress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "session/cli/show.h"

#define BAR_WIDTH 30
#define PER_MILLE 1000u

static volatile int cancelled; /* by a signal: image_build.cancel */

static void progress_cancel(int signum)
{
    cancelled = signum;
}

void progress_begin(struct progress *progress, const char *what)
{
    *progress =
        (struct progress){.what = what, .terminal = isatty(STDERR_FILENO), .shown = PER_MILLE + 1};
}

void progress_show(struct progress *progress, unsigned per_mille, const char *step)
{
    char plain[sizeof progress->step];
    per_mille = per_mille < PER_MILLE ? per_mille : PER_MILLE;
    show_plain(step, sizeof plain - 1, plain);
    bool same_step = strcmp(progress->step, plain) == 0;
    if (same_step && (!progress->terminal || per_mille / 5 == progress->shown / 5))
        return;
    progress->shown = per_mille;
    memcpy(progress->step, plain, sizeof plain);
    if (!progress->terminal) {
        if (progress->what != NULL)
            fprintf(stderr, "vmdeck: %s: %s\n", progress->what, plain);
        return;
    }
    char bar[BAR_WIDTH + 1];
    unsigned full = per_mille * BAR_WIDTH / PER_MILLE;
    for (unsigned i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r[%s] %3u%%  %.40s\033[K", bar, per_mille / 10, plain);
}

void progress_end(struct progress *progress)
{
    if (progress->terminal && progress->shown <= PER_MILLE)
        fprintf(stderr, "\r\033[K");
    progress->shown = PER_MILLE + 1;
}

/* image_build calls with a pointer to what it does not know. */
static void progress_of_build(void *context, unsigned per_mille, const char *step)
{
    progress_show(context, per_mille, step);
}

int progress_build_default(char id[IMAGE_ID_SIZE], struct error *err)
{
    struct progress progress;
    const struct image_build build = {progress_of_build, &progress, &cancelled};
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = progress_cancel}, old[3];
    for (size_t i = 0; i < 3; i++)
        sigaction(signals[i], &action, &old[i]);
    fprintf(stderr, "vmdeck: building the default image from Debian's packages (once; about a "
                    "minute)\n");
    progress_begin(&progress, "default image");
    int rc = image_build_default(&build, id, err);
    progress_end(&progress);
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
