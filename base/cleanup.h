/*
 * Release by scope: CLEAN_FD int fd = -1; CLEAN_FREE char *s = NULL; … A variable that leaves its
 * scope is released; take_fd()/take_ptr() hand it on instead.
 */
#ifndef VMDECK_BASE_CLEANUP_H
#define VMDECK_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd(const int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

static inline void cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_file(FILE **file)
{
    if (*file != NULL)
        fclose(*file);
}

static inline void cleanup_dir(DIR **dir)
{
    if (*dir != NULL)
        closedir(*dir);
}

#define CLEAN_FD   __attribute__((cleanup(cleanup_fd)))
#define CLEAN_FREE __attribute__((cleanup(cleanup_free)))
#define CLEAN_FILE __attribute__((cleanup(cleanup_file)))
#define CLEAN_DIR  __attribute__((cleanup(cleanup_dir)))

/* Hands the descriptor on: the variable no longer owns it. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static inline void *take_ptr_(void **pointer)
{
    void *taken = *pointer;
    *pointer = NULL;
    return taken;
}

/* Hands the memory on: the variable no longer owns it. */
#define take_ptr(variable) ((__typeof__(variable))take_ptr_((void **)&(variable)))

#endif
