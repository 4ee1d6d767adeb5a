/* What the user sees while something takes long: a bar on a terminal, a line per step elsewhere. */
#ifndef VMDECK_SESSION_CLI_PROGRESS_H
#define VMDECK_SESSION_CLI_PROGRESS_H

#include <stdbool.h>

#include "base/error.h"
#include "vm/image/image.h"

/* On standard error; a step's control characters are not shown. */
struct progress {
    const char *what; /* in the lines */
    bool terminal;
    unsigned shown;
    char step[64];
};

/* `what` NULL: nothing is shown where there is no terminal. */
void progress_begin(struct progress *progress, const char *what);
void progress_show(struct progress *progress, unsigned per_mille, const char *step);
void progress_end(struct progress *progress); /* erases the bar; may be repeated */

/*
 * Builds the default image with progress on stderr and Ctrl-C watched: -ECANCELED then. What is
 * built is said first, because it takes a while.
 */
int progress_build_default(char id[IMAGE_ID_SIZE], struct error *err);

/* Makes sure that the image exists: builds the default one where that is what is missing. */
int progress_ensure_image(const char *selector, struct error *err);

#endif
