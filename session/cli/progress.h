/* What the user sees while an image is built: a bar on a terminal, a line per step elsewhere. */
#ifndef VMDECK_SESSION_CLI_PROGRESS_H
#define VMDECK_SESSION_CLI_PROGRESS_H

#include "base/error.h"
#include "vm/image/image.h"

/*
 * Builds the default image with progress on stderr and Ctrl-C watched: -ECANCELED then. What is
 * built is said first, because it takes a while.
 */
int progress_build_default(char id[IMAGE_ID_SIZE], struct error *err);

/* Makes sure that the image exists: builds the default one where that is what is missing. */
int progress_ensure_image(const char *selector, struct error *err);

#endif
