/*
 * A fixed array of places and a clock hand (second chance). A descriptor that is in use is never
 * taken away; one that must be kept because its node has no name any more counts as in use, up to
 * half of the places, so that a guest that keeps deleted files in mind cannot take all of them:
 * beyond, such a node is ESTALE once its descriptor is needed for another.
 */
#include "vm/vfs/fdcache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define PLACES_MAX 8192u
#define PLACES_MIN 16u

struct place {
    struct node *node; /* NULL: free, or the node has gone while the descriptor was in use */
    int fd;            /* -1: free */
    unsigned users;
    bool touched, kept;
};

struct fdcache {
    pthread_mutex_t lock;
    int proc;
    unsigned count, hand, kept;
    struct place places[];
};

int fdcache_open(struct fdcache **out, struct error *err)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    rlim_t quarter = limit.rlim_cur / 4;
    unsigned count = quarter > PLACES_MAX   ? PLACES_MAX
                     : quarter < PLACES_MIN ? PLACES_MIN
                                            : (unsigned)quarter;
    struct fdcache *cache = calloc(1, sizeof *cache + count * sizeof cache->places[0]);
    if (cache == NULL)
        return error_set(err, ENOMEM, "out of memory");
    cache->proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (cache->proc < 0) {
        int code = errno;
        free(cache);
        return error_system(err, code, "cannot open /proc/self/fd (is /proc mounted?)");
    }
    cache->count = count;
    for (unsigned i = 0; i < count; i++)
        cache->places[i].fd = -1;
    pthread_mutex_init(&cache->lock, NULL);
    *out = cache;
    return 0;
}

void fdcache_close(struct fdcache *cache)
{
    if (cache == NULL)
        return;
    for (unsigned i = 0; i < cache->count; i++)
        if (cache->places[i].fd >= 0)
            close(cache->places[i].fd);
    close(cache->proc);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

int fdcache_proc(const struct fdcache *cache)
{
    return cache->proc;
}

static bool take(struct fdcache *cache, const struct node *node, struct pin *pin)
{
    if (node->cached < 0)
        return false;
    struct place *place = &cache->places[node->cached];
    place->users++;
    place->touched = true;
    *pin = (struct pin){place->fd, node->cached};
    return true;
}

bool fdcache_get(struct fdcache *cache, struct node *node, struct pin *pin)
{
    pthread_mutex_lock(&cache->lock);
    bool there = take(cache, node, pin);
    pthread_mutex_unlock(&cache->lock);
    return there;
}

/* A place that is free or can be made free, or -1. */
static int find_place(struct fdcache *cache, int *close_fd)
{
    for (unsigned step = 0; step < 2 * cache->count; step++) {
        unsigned at = cache->hand++ % cache->count;
        struct place *place = &cache->places[at];
        if (place->fd < 0)
            return (int)at;
        if (place->users > 0 || place->kept)
            continue;
        if (place->touched) {
            place->touched = false;
            continue;
        }
        *close_fd = place->fd;
        place->node->cached = -1;
        return (int)at;
    }
    return -1;
}

void fdcache_put(struct fdcache *cache, struct node *node, int fd, struct pin *pin)
{
    int close_fd = -1;
    pthread_mutex_lock(&cache->lock);
    if (take(cache, node, pin)) { /* another thread was first */
        close_fd = fd;
    } else {
        int at = find_place(cache, &close_fd);
        if (at >= 0) {
            cache->places[at] = (struct place){.node = node, .fd = fd, .users = 1};
            node->cached = at;
        }
        *pin = (struct pin){fd, at};
    }
    pthread_mutex_unlock(&cache->lock);
    if (close_fd >= 0)
        close(close_fd);
}

void fdcache_release(struct fdcache *cache, struct pin *pin)
{
    int close_fd = -1;
    if (pin->slot == -1) {
        close_fd = pin->fd;
    } else if (pin->slot >= 0) {
        pthread_mutex_lock(&cache->lock);
        struct place *place = &cache->places[pin->slot];
        if (--place->users == 0 && place->node == NULL) {
            close_fd = place->fd;
            place->fd = -1;
        }
        pthread_mutex_unlock(&cache->lock);
    }
    if (close_fd >= 0)
        close(close_fd);
    *pin = (struct pin){-1, -2};
}

void fdcache_keep(struct fdcache *cache, const struct pin *pin)
{
    if (pin->slot < 0)
        return;
    pthread_mutex_lock(&cache->lock);
    struct place *place = &cache->places[pin->slot];
    if (!place->kept && place->node != NULL && cache->kept < cache->count / 2) {
        place->kept = true;
        cache->kept++;
    }
    pthread_mutex_unlock(&cache->lock);
}

void fdcache_drop(struct fdcache *cache, struct node *node)
{
    int close_fd = -1;
    pthread_mutex_lock(&cache->lock);
    if (node->cached >= 0) {
        struct place *place = &cache->places[node->cached];
        cache->kept -= place->kept;
        place->kept = false;
        place->node = NULL;
        if (place->users == 0) {
            close_fd = place->fd;
            place->fd = -1;
        }
        node->cached = -1;
    }
    pthread_mutex_unlock(&cache->lock);
    if (close_fd >= 0)
        close(close_fd);
}
