/*
 * Memory for secret values: whole pages that are locked (never swapped), left out of core dumps and
 * wiped before they are given back. Any thread.
 */
#ifndef VMDECK_NET_SECRET_MEMORY_H
#define VMDECK_NET_SECRET_MEMORY_H

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

/* Zeroed, at least one byte. NULL if it cannot be had or locked: secrets are never kept otherwise.
 */
void *secret_memory_new(size_t size, struct error *err);

/* `size` as in secret_memory_new(). NULL is fine. */
void secret_memory_free(void *memory, size_t size);

/* For a buffer that values passed through: wiped, then freed. */
void secret_buf_free(struct buf *buf);
#define CLEAN_SECRET_BUF __attribute__((cleanup(secret_buf_free)))

#endif
