/*
 * CONFIGURE: what a VM is told once it is somebody's, after its boot or its restore.
 * Single-threaded.
 */
#ifndef VMDECK_AGENT_CONFIGURE_H
#define VMDECK_AGENT_CONFIGURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/wire.h"

#define CONFIGURE_HOSTNAME_MAX 63
#define CONFIGURE_ENTROPY_MIN  32
#define CONFIGURE_ENTROPY_MAX  256

/* Zeroed memory is empty. All is in `memory`. */
struct settings {
    void *memory;
    const uint8_t *entropy;
    uint32_t entropy_size; /* 0: none */
    const char *hostname;  /* NULL: none */
    char **env;
    size_t env_count;
    uint64_t time;              /* nanoseconds since 1970 */
    bool has_time, time_passed; /* time_passed: only forwards */
    const uint8_t *trust;       /* PEM */
    uint32_t trust_size;        /* 0: none */
    bool offline, restored;
};

/* Takes the fields apart. 0 (the caller frees the settings), or -errno and *why. */
int configure_parse(const uint8_t *data, uint32_t size, struct settings *settings,
                    const char **why);
void configure_free(struct settings *settings);

/* Does what is to be done to the system; goes on after a failure and returns the first, *why. */
int configure_apply(const struct settings *settings, const char **why);

/*
 * Files that every configuration writes, open for reading and writing; taken over. They may be
 * missing.
 */
enum configure_file {
    CONFIGURE_HOSTS,
    CONFIGURE_HOSTNAME,
    CONFIGURE_MACHINE_ID,
    CONFIGURE_RANDOM,
    CONFIGURE_FILES
};
void configure_keep(enum configure_file file, int fd);

/*
 * Leaves room for what the first configuration is to write at the end of a kept file: a text of
 * that length, which nobody reads before.
 */
void configure_reserve(enum configure_file file, off_t at, const char *text);

/* What hosts(5) is before a name of ours is added; as long as nobody changes it, that is quick. */
void configure_hosts(const char *text, off_t size);

#endif
