/*
 * Completion of what is typed: the word before the cursor by a list of candidates. Not thread-safe.
 */
#ifndef VMDECK_TUI_COMPLETE_H
#define VMDECK_TUI_COMPLETE_H

#include "base/str.h"
#include "tui/edit.h"

#define COMPLETE_MAX 500 /* candidates; further ones are not found */

/* Where the word before the cursor begins: behind the last of the separators. */
size_t complete_from(const struct edit *edit, const char *separators);

/*
 * Directories that the path may become, each with a '/' at its end, in order; hidden ones where
 * the path asks for them. A "~/" at its beginning stays. 0 or -ENOMEM.
 */
int complete_directories(const char *path, struct strv *out);

/* Inserts what all candidates that begin with the word have in common. True: the text changed. */
bool complete_word(struct edit *edit, size_t from, const struct strv *candidates);

/* "~" and "~/…" with the home instead; the caller frees it, NULL without memory. */
char *complete_home(const char *path);

#endif
