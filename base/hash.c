/*
 * mbedTLS does the arithmetic. 2.28 names its functions …_ret() and has the plain names as
 * deprecated ones without a result; 3.x has the plain names with a result and no others. They can
 * only fail in hardware implementations, so the result is not carried further.
 */
#include "base/hash.h"

#include <errno.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

#define HASH_CHUNK (64u << 10)

struct hash {
    mbedtls_sha256_context context;
};

struct hash *hash_start(void)
{
    struct hash *hash = malloc(sizeof *hash);
    if (hash == NULL)
        return NULL;
    mbedtls_sha256_init(&hash->context);
    (void)mbedtls_sha256_starts(&hash->context, 0);
    return hash;
}

void hash_add(struct hash *hash, const void *data, size_t size)
{
    (void)mbedtls_sha256_update(&hash->context, data, size);
}

void hash_finish(struct hash *hash, char hex[HASH_HEX_SIZE])
{
    uint8_t digest[HASH_SIZE];
    (void)mbedtls_sha256_finish(&hash->context, digest);
    mbedtls_sha256_free(&hash->context);
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

int hash_fd(int fd, const volatile int *cancel, char hex[HASH_HEX_SIZE], struct error *err)
{
    uint8_t chunk[HASH_CHUNK];
    struct hash *hash = hash_start();
    if (hash == NULL)
        return error_set(err, ENOMEM, "out of memory");
    int rc = 0;
    for (off_t at = 0; rc == 0;) {
        ssize_t got = pread(fd, chunk, HASH_CHUNK, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = error_system(err, errno, "cannot read");
        else if (cancel != NULL && *cancel != 0)
            rc = error_set(err, ECANCELED, "cancelled");
        else if (got == 0)
            break;
        else
            hash_add(hash, chunk, (size_t)got);
        at += got;
    }
    hash_finish(hash, rc == 0 ? hex : NULL);
    return rc;
}
