/*
 * Units of work are handed out one by one, so that a thread that gets less of the processor does
 * less. The caller's thread works too: where no other can be started it does everything.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "vm/memory_internal.h"

struct parallel {
    memory_work *work;
    void *context;
    const volatile int *cancel;
    uint64_t units;
    atomic_uint_fast64_t next;
    atomic_bool stop;
    pthread_mutex_t lock; /* of what follows */
    int rc;
    struct error err;
};

static void *run(void *context)
{
    struct parallel *parallel = context;
    struct error err = {0};
    while (!atomic_load(&parallel->stop)) {
        uint64_t unit = atomic_fetch_add(&parallel->next, 1);
        if (unit >= parallel->units)
            break;
        int rc = memory_canceled(parallel->cancel) ? error_set(&err, ECANCELED, "interrupted")
                                                   : parallel->work(parallel->context, unit, &err);
        if (rc == 0)
            continue;
        pthread_mutex_lock(&parallel->lock);
        if (parallel->rc == 0) {
            parallel->rc = rc;
            parallel->err = err;
        }
        pthread_mutex_unlock(&parallel->lock);
        atomic_store(&parallel->stop, true);
    }
    return NULL;
}

int memory_parallel(unsigned threads, uint64_t units, memory_work *work, void *context,
                    const volatile int *cancel, struct error *err)
{
    struct parallel parallel = {.work = work, .context = context, .cancel = cancel, .units = units};
    pthread_t others[MEMORY_THREADS_MAX];
    unsigned started = 0;
    pthread_mutex_init(&parallel.lock, NULL);
    while (started + 1 < threads && started + 1 < units &&
           pthread_create(&others[started], NULL, run, &parallel) == 0)
        started++;
    run(&parallel);
    for (unsigned i = 0; i < started; i++)
        pthread_join(others[i], NULL);
    pthread_mutex_destroy(&parallel.lock);
    if (parallel.rc < 0 && err != NULL)
        *err = parallel.err;
    return parallel.rc;
}

unsigned memory_threads(void)
{
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return count > MEMORY_THREADS_MAX ? MEMORY_THREADS_MAX : (unsigned)count;
}

int memory_read_at(int fd, void *data, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(fd, (uint8_t *)data + done, size - done, (off_t)(offset + done));
        if (got == 0)
            return -ENODATA;
        if (got < 0 && errno != EINTR)
            return -errno;
        done += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

int memory_write_at(int fd, const void *data, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t put = pwrite(fd, (const uint8_t *)data + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno != EINTR)
            return -errno;
        done += put > 0 ? (size_t)put : 0;
    }
    return 0;
}
