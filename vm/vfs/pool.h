/*
 * A few threads that do the file operations, which may block. Jobs are taken in the order in which
 * they come, and run side by side.
 */
#ifndef VMDECK_VM_VFS_POOL_H
#define VMDECK_VM_VFS_POOL_H

#include "base/error.h"

struct pool;

struct job {
    struct job *next;
    void (*run)(struct job *job);
};

int pool_open(struct pool **out, unsigned threads, struct error *err);

/* Any thread. The job is whoever's `run` makes it. */
void pool_add(struct pool *pool, struct job *job);

/* Runs what waits, then ends the threads. */
void pool_close(struct pool *pool);

#endif
