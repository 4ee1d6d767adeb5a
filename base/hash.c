/*
 * Nettle does the arithmetic: it uses the CPU's SHA instructions, which makes it about seven times
 * as fast as mbedTLS 2.28 (1.1 GB/s against 160 MB/s), and libarchive brings it along anyway.
 */
#include "base/hash.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"

#define HASH_CHUNK (64u << 10)

struct hash {
    struct sha256_ctx context;
};

struct hash *hash_start(void)
{
    struct hash *hash = malloc(sizeof *hash);
    if (hash == NULL)
        return NULL;
    sha256_init(&hash->context);
    return hash;
}

void hash_add(struct hash *hash, const void *data, size_t size)
{
    sha256_update(&hash->context, size, data);
}

void hash_finish(struct hash *hash, char hex[HASH_HEX_SIZE])
{
    uint8_t digest[HASH_SIZE];
    sha256_digest(&hash->context, sizeof digest, digest);
    free(hash);
    if (hex != NULL)
        str_hex(hex, digest, sizeof digest);
}

int hash_memory(const void *data, size_t size, char hex[HASH_HEX_SIZE], struct error *err)
{
    struct hash *hash = hash_start();
    if (hash == NULL)
        return error_set(err, ENOMEM, "out of memory");
    hash_add(hash, data, size);
    hash_finish(hash, hex);
    return 0;
}

/* Adds `length` bytes, or those up to the end of the file if there are fewer; *length: how many. */
static int hash_read(struct hash *hash, int fd, uint64_t offset, uint64_t *length,
                     const volatile int *cancel, struct error *err)
{
    uint8_t chunk[HASH_CHUNK];
    uint64_t done = 0;
    while (done < *length) {
        uint64_t rest = *length - done;
        ssize_t got =
            pread(fd, chunk, rest < HASH_CHUNK ? (size_t)rest : HASH_CHUNK, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(err, errno, "cannot read");
        if (cancel != NULL && *cancel != 0)
            return error_set(err, ECANCELED, "cancelled");
        if (got == 0)
            break;
        hash_add(hash, chunk, (size_t)got);
        done += (uint64_t)got;
    }
    *length = done;
    return 0;
}

int hash_add_fd(struct hash *hash, int fd, uint64_t offset, uint64_t length,
                const volatile int *cancel, struct error *err)
{
    uint64_t done = length;
    int rc = hash_read(hash, fd, offset, &done, cancel, err);
    if (rc == 0 && done < length)
        rc = error_set(err, EBADMSG, "the file ends early");
    return rc;
}

int hash_fd(int fd, const volatile int *cancel, char hex[HASH_HEX_SIZE], struct error *err)
{
    uint64_t length = INT64_MAX;
    struct hash *hash = hash_start();
    if (hash == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = hash_read(hash, fd, 0, &length, cancel, err);
    hash_finish(hash, rc == 0 ? hex : NULL);
    return rc;
}
