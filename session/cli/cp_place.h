/* Where a copy goes on this host, and how it gets there in one step: see cp_place.c. */
#ifndef VMDECK_SESSION_CLI_CP_PLACE_H
#define VMDECK_SESSION_CLI_CP_PLACE_H

#include <stdbool.h>

#include "base/error.h"

struct cp_place {
    char *base;  /* directory that gets the temporary directory and then the item */
    char *leaf;  /* the item's name in it; "." where `base` is the directory to merge into */
    bool exists; /* a directory is there already */
    char no_directory[300], no_file[300]; /* why the item may not be one; "": it may */
    char *temporary;                      /* path; NULL: there is none */
    int directory;                        /* the temporary directory, or -1 */
};

/*
 * Decides as cp(1) does: into an existing directory under `name` ("." merges into it), otherwise
 * as `path`. Nothing is made yet. cp_place_free() in any case.
 */
int cp_place_find(struct cp_place *place, const char *path, const char *name, struct error *err);

/* Makes the temporary directory, mode 0700. */
int cp_place_begin(struct cp_place *place, struct error *err);

/*
 * Moves CP_ITEM out of the temporary directory: one rename where there is no directory yet;
 * otherwise each of its files by a rename of its own.
 */
int cp_place_commit(const struct cp_place *place, struct error *err);

/* Removes the temporary directory with what is left in it. */
void cp_place_free(struct cp_place *place);

#endif
