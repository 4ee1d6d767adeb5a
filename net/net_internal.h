/* What net.c (the owner's side, and the thread) and net_setup.c (from options to objects) share. */
#ifndef VMDECK_NET_NET_INTERNAL_H
#define VMDECK_NET_NET_INTERNAL_H

#include "net/core.h"
#include "net/guest.h"
#include "net/names.h"
#include "net/net.h"

/* What the thread has. Made by the owner before it starts, freed by the owner when it has ended. */
struct net_thread {
    uv_loop_t loop;
    struct core core;
    struct guest guest;
    struct names *names;
    struct ca *ca;
};

/* Everything but the link. On failure, what was made is setup_free()'s to free. */
int setup_make(struct net_thread *thread, const struct net_options *options, struct error *err);
/* On the thread: closes handles. */
void setup_close(struct net_thread *thread);
/* When the loop is closed. */
void setup_free(struct net_thread *thread);

/* net_calls.c: on the thread. The result, or NULL and the error. */
cJSON *call_run(struct net_thread *thread, const char *name, const cJSON *arguments,
                struct error *err);

#endif
