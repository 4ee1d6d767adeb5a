/*
 * SHA-256 (FIPS 180-4) of memory and of files. Not thread-safe per context; contexts are
 * independent of each other.
 */
#ifndef VMDECK_BASE_HASH_H
#define VMDECK_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define HASH_SIZE     32
#define HASH_HEX_SIZE 65 /* 64 lower-case hexadecimal digits and NUL */

struct hash;

/* A new computation, or NULL without memory. hash_finish() is its end in every case. */
struct hash *hash_start(void);
void hash_add(struct hash *hash, const void *data, size_t size);

/*
 * Adds `length` bytes of a file from `offset` on (the descriptor's position stays). `cancel` as for
 * hash_fd(); -EBADMSG when the file ends before that.
 */
int hash_add_fd(struct hash *hash, int fd, uint64_t offset, uint64_t length,
                const volatile int *cancel, struct error *err);

/* Puts the digest's digits into `hex` (may be NULL) and frees the computation. */
void hash_finish(struct hash *hash, char hex[HASH_HEX_SIZE]);

int hash_memory(const void *data, size_t size, char hex[HASH_HEX_SIZE], struct error *err);

/*
 * The whole file, whatever the descriptor's position (which stays). `cancel` may be NULL;
 * -ECANCELED when it is found set.
 */
int hash_fd(int fd, const volatile int *cancel, char hex[HASH_HEX_SIZE], struct error *err);

#endif
